from numpy import float32
from numpy.typing import NDArray

from slide._kernels.groups import Groups
from slide._kernels.weights import WeightRows

def forward_rows(
    rows: WeightRows, groups: Groups, relu: bool, out: NDArray[float32], room: NDArray[float32], threads: int
) -> None: ...
def input_gradient_rows(
    rows: WeightRows, groups: Groups, delta: NDArray[float32], dx: NDArray[float32], work: NDArray[float32],
    room: NDArray[float32], threads: int
) -> None: ...
def work_size(groups: Groups, threads: int) -> int: ...
