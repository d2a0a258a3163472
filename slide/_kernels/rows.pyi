from numpy import float32, int32, int64
from numpy.typing import NDArray

def take_rows(
    starts: NDArray[int64], indptr: NDArray[int64], ids: NDArray[int32], values: NDArray[float32],
    out_ids: NDArray[int32], out_values: NDArray[float32]
) -> None: ...
