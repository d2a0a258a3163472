from numpy import float32, int32, int64, uint64
from numpy.typing import NDArray

def inclusion_rows(
    indptr: NDArray[int64], ids: NDArray[int32], retrieved_ptr: NDArray[int64], retrieved: NDArray[int32],
    counts: NDArray[int32], entries: int, draws: NDArray[float32], missed: NDArray[float32], seen: NDArray[uint64],
    weights: NDArray[float32], threads: int
) -> None: ...
