from numpy import float32, int32
from numpy.typing import NDArray

def sum_rows(
    W: NDArray[float32], ids: NDArray[int32], ones: NDArray[float32], out: NDArray[float32], threads: int
) -> None: ...
def scale_rows(
    w: NDArray[float32], m: NDArray[float32], v: NDArray[float32], ids: NDArray[int32], factor: float, threads: int
) -> None: ...
