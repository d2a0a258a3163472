from numpy import float32, int32, int64
from numpy.typing import NDArray

def topk_rows(
    panels: NDArray[float32], W: NDArray[float32], bias: NDArray[float32], task_panels: int, block: int,
    scratch: NDArray[float32], values: NDArray[float32], ids: NDArray[int32], threads: int
) -> None: ...
def topk_active(
    indptr: NDArray[int64], active: NDArray[int32], z: NDArray[float32], values: NDArray[float32],
    ids: NDArray[int32], threads: int
) -> None: ...
