from numpy import int32, int64, uint16, uint32, uint64
from numpy.typing import NDArray

class GroupSets:
    def __init__(self, offsets: NDArray[int64], ids: NDArray[int32], sizes: NDArray[int64]) -> None: ...

def vanilla_rows(
    located: NDArray[uint32], buckets: NDArray[uint32], items: NDArray[int32], group_size: int, active: int,
    seed: int, step: int, order: NDArray[int32], seen: NDArray[uint64], sets: GroupSets, threads: int
) -> None: ...
def frequent_rows(
    located: NDArray[uint32], buckets: NDArray[uint32], items: NDArray[int32], group_size: int, m: int, active: int,
    counts: NDArray[uint16], histograms: NDArray[uint32], sets: GroupSets, threads: int
) -> None: ...
def uniform_rows(
    active: int, n_neurons: int, seed: int, step: int, seen: NDArray[uint64], ids: NDArray[int32], threads: int
) -> None: ...

class IdLists:
    def __init__(self, indptr: NDArray[int64], ids: NDArray[int32]) -> None: ...

class Fill:
    def __init__(
        self, pool: NDArray[int32], pool_share: float, minimum: int, n_neurons: int, seed: int, step: int
    ) -> None: ...

def complete_rows(
    retrieved: IdLists, labels: IdLists, fill: Fill, group_size: int, seen: NDArray[uint64], places: NDArray[int32],
    label_slots: NDArray[int32], parts: NDArray[int64], sets: GroupSets, threads: int
) -> None: ...
def bound_rows(
    located: NDArray[uint32], buckets: NDArray[uint32], group_size: int, bounds: NDArray[int64], threads: int
) -> None: ...
def compact_rows(sets: GroupSets, indptr: NDArray[int64], ids: NDArray[int32]) -> None: ...
