from numpy import int32, uint32, uint64
from numpy.typing import NDArray

class Tables:
    def __init__(
        self, located: NDArray[uint32], buckets: NDArray[uint32], items: NDArray[int32], arrivals: NDArray[uint32],
        bucket_size: int, reservoir: bool, seed: int
    ) -> None: ...

def locate_rows(
    codes: NDArray[uint32], folds: NDArray[uint64], shift: int, mask: int, located: NDArray[uint32], threads: int
) -> None: ...
def build_rows(
    codes: NDArray[uint32], folds: NDArray[uint64], shift: int, mask: int, tables: Tables, step: int,
    present: NDArray[int32], threads: int
) -> None: ...
def reinsert_rows(
    ids: NDArray[int32], moved: NDArray[uint32], tables: Tables, step: int, movers: NDArray[int32], threads: int
) -> None: ...
def clear_rows(tables: Tables, threads: int) -> None: ...
