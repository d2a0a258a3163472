from typing import Any

from numpy import float32, int32
from numpy.typing import NDArray

from slide._kernels.groups import Groups
from slide._kernels.transpose import PairsByRow
from slide._kernels.weights import Float32Rows, WeightRows

def scratch_size(width: int) -> int: ...
def update_rows(
    rows: WeightRows, by_row: PairsByRow, groups: Groups, coef: NDArray[float32], hyper: tuple[Any, ...], seed: int,
    number: int, scratch: NDArray[float32], threads: int
) -> None: ...
def update_sparse_rows(
    rows: Float32Rows, by_row: PairsByRow, groups: Groups, coef: NDArray[float32], hyper: tuple[Any, ...],
    scratch: NDArray[float32], place: NDArray[int32], columns: NDArray[int32], threads: int
) -> None: ...
