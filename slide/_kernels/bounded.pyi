from numpy import float32, int8, int32, int64
from numpy.typing import NDArray

from slide._kernels.screen import Blocks

def bounded_rows(
    blocks: Blocks, residual: NDArray[float32], length: NDArray[float32], edges: NDArray[float32],
    codes: NDArray[int8], factors: NDArray[float32], scores: NDArray[float32], limits: NDArray[float32],
    ids: NDArray[int32], counts: NDArray[int64], threads: int
) -> None: ...
