from numpy import float32, int32, uint32
from numpy.typing import NDArray

def bound_rows(
    rows: NDArray[float32], ids: NDArray[int32], mean: NDArray[float32], variance: NDArray[float32], errors: float,
    out: NDArray[float32], threads: int
) -> None: ...
def range_rows(
    places: NDArray[int32], bounds: NDArray[float32], held: NDArray[uint32], least: NDArray[float32],
    bits: NDArray[int32], codes: NDArray[uint32], threads: int
) -> None: ...
