from typing import Any

from numpy import float32, int32, int64
from numpy.typing import NDArray

from slide._kernels.weights import Float32Rows

def exponentials_rows(
    panels: NDArray[float32], W: NDArray[float32], bias: NDArray[float32], z: NDArray[float32],
    top: NDArray[float32], total: NDArray[float32], threads: int
) -> None: ...
def logits_of_labels(
    x: NDArray[float32], W: NDArray[float32], bias: NDArray[float32], label_ptr: NDArray[int64],
    labels: NDArray[int32], out: NDArray[float32], threads: int
) -> None: ...

class LabelsByBlock:
    def __init__(
        self, block_ptr: NDArray[int64], label: NDArray[int32], sample: NDArray[int32], target: NDArray[float32]
    ) -> None: ...

def scratch_size(block: int, columns: int) -> int: ...
def backward_rows(
    rows: Float32Rows, panels: NDArray[float32], z: NDArray[float32], factor: NDArray[float32],
    even: NDArray[float32], labels: LabelsByBlock, hyper: tuple[Any, ...], dx: NDArray[float32],
    scratch: NDArray[float32], threads: int
) -> None: ...
