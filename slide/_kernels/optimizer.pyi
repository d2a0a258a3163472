from typing import Any

from numpy import float32
from numpy.typing import NDArray

def step_rows(
    w: NDArray[float32], m: NDArray[float32], v: NDArray[float32], g: NDArray[float32], adam: bool,
    hyper: tuple[Any, ...], threads: int
) -> None: ...
