from typing import Final

from numpy import float32, int8, int32, int64, uint8
from numpy.typing import NDArray

ROWS: Final[int]

def products_rows(
    x: NDArray[float32], panels: NDArray[float32], bias: NDArray[float32], out: NDArray[float32], threads: int
) -> None: ...
def encode_rows(x: NDArray[float32], codes: NDArray[int8], factors: NDArray[float32], threads: int) -> None: ...
def choose_rows(
    scores: NDArray[float32], n_clusters: int, few: int, scratch: NDArray[float32], chosen: NDArray[int32],
    threads: int
) -> None: ...
class Blocks:
    def __init__(
        self, first: NDArray[int64], codes: NDArray[uint8], scale: NDArray[float32], shift: NDArray[float32],
        ids: NDArray[int32]
    ) -> None: ...

def search_rows(
    blocks: Blocks, codes: NDArray[int8], factors: NDArray[float32], scores: NDArray[float32],
    chosen: NDArray[int32], few: int, cluster_ptr: NDArray[int64], inputs: NDArray[int32], part_ptr: NDArray[int64],
    floors: NDArray[float32], values: NDArray[float32], ids: NDArray[int32], threads: int
) -> int: ...
