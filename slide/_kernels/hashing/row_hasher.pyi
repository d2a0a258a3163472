from typing import Final

from numpy import float32, int32, int64, uint8, uint32
from numpy.typing import NDArray

BLOCK: Final[int]

class RowHasher:
    @property
    def dim(self) -> int: ...
    @property
    def L(self) -> int: ...
    @property
    def scratch(self) -> int: ...
    def __init__(self, dim: int, L: int, scratch: int = 0) -> None: ...
    def __repr__(self) -> str: ...

def hash_rows(
    hasher: RowHasher, rows: NDArray[float32], out: NDArray[uint32], codes: NDArray[uint32],
    scratch: NDArray[uint8], threads: int
) -> None: ...
def hash_csr_rows(
    hasher: RowHasher, indptr: NDArray[int64], ids: NDArray[int32], values: NDArray[float32], out: NDArray[uint32],
    blocks: NDArray[float32], codes: NDArray[uint32], scratch: NDArray[uint8], threads: int
) -> None: ...
