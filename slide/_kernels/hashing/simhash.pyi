from typing import Final

from numpy import float32, int32, int64, uint32
from numpy.typing import NDArray

INTERLEAVED: Final[int]

def simhash_rows(
    rows: NDArray[float32], ids: NDArray[int32], terms: NDArray[int32], K: int, codes: NDArray[uint32],
    blocks: NDArray[float32], lanes: NDArray[uint32], threads: int
) -> None: ...
def simhash_csr_rows(
    indptr: NDArray[int64], ids: NDArray[int32], values: NDArray[float32], starts: NDArray[int64],
    entries: NDArray[int32], K: int, codes: NDArray[uint32], sums: NDArray[float32], threads: int
) -> None: ...
