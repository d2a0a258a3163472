from numpy import float32, int32, int64
from numpy.typing import NDArray

from slide._kernels.groups import Groups
from slide._kernels.weights import WeightRows

class Targets:
    def __init__(
        self, label_ptr: NDArray[int64], slots: NDArray[int32], counts: NDArray[int64], weights: NDArray[float32],
        group_size: int, scale: NDArray[float32], smooth: float
    ) -> None: ...

def softmax_rows(
    rows: WeightRows, groups: Groups, targets: Targets, delta: NDArray[float32], dx: NDArray[float32],
    loss: NDArray[float32], work: NDArray[float32], room: NDArray[float32], threads: int
) -> None: ...
def open_rows(
    rows: WeightRows, groups: Groups, targets: Targets, delta: NDArray[float32], dx: NDArray[float32],
    loss: NDArray[float32], work: NDArray[float32], room: NDArray[float32], threads: int, sums: NDArray[float32],
    mass: NDArray[float32]
) -> None: ...
def close_rows(
    rows: WeightRows, groups: Groups, targets: Targets, delta: NDArray[float32], dx: NDArray[float32],
    loss: NDArray[float32], work: NDArray[float32], room: NDArray[float32], threads: int, sums: NDArray[float32],
    mass: NDArray[float32]
) -> None: ...
def work_size(groups: Groups, gradient: bool, threads: int) -> int: ...
