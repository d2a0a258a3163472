from numpy import float32, int32, int64
from numpy.typing import NDArray

from slide._kernels.transpose import PairsByRow

def lookup_rows(
    indptr: NDArray[int64], ids: NDArray[int32], values: NDArray[float32], W: NDArray[float32],
    bias: NDArray[float32], relu: bool, out: NDArray[float32], threads: int
) -> None: ...
def lookup_and_sort_rows(
    indptr: NDArray[int64], ids: NDArray[int32], values: NDArray[float32], W: NDArray[float32],
    bias: NDArray[float32], relu: bool, out: NDArray[float32], by_row: PairsByRow, threads: int
) -> None: ...
