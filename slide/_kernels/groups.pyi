from numpy import float32, int32, int64
from numpy.typing import NDArray

class Groups:
    def __init__(
        self, indptr: NDArray[int64], ids: NDArray[int32], x_indptr: NDArray[int64], x_cols: NDArray[int32],
        x: NDArray[float32], lanes: int
    ) -> None: ...
