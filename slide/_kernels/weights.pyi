from typing import Any

from numpy import float32
from numpy.typing import NDArray

class WeightRows:
    @property
    def arrays(self) -> tuple[Any, ...]: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

class Float32Rows(WeightRows):
    def __init__(
        self, w: NDArray[float32], m: NDArray[float32], v: NDArray[float32], bias: NDArray[float32]
    ) -> None: ...
