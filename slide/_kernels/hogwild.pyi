from typing import Any

from numpy import float32, int32, int64
from numpy.typing import NDArray

from slide._kernels.groups import Groups
from slide._kernels.transpose import PairsByRow
from slide._kernels.weights import Float32Rows

def place_rows(
    by_row: PairsByRow, row_ptr: NDArray[int64], place: NDArray[int32], grad: NDArray[float32],
    bias_grad: NDArray[float32], threads: int
) -> None: ...
def accumulate_rows(
    groups: Groups, place: NDArray[int32], coef: NDArray[float32], grad: NDArray[float32],
    bias_grad: NDArray[float32], threads: int
) -> None: ...
def apply_rows(
    rows: Float32Rows, by_row: PairsByRow, row_ptr: NDArray[int64], grad: NDArray[float32],
    bias_grad: NDArray[float32], sparse: bool, hyper: tuple[Any, ...], threads: int
) -> None: ...
