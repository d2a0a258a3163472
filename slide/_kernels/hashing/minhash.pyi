from numpy import float32, int32, int64, uint8, uint32, uint64
from numpy.typing import NDArray

def minhash_rows(
    rows: NDArray[float32], ids: NDArray[int32], slots: NDArray[int64], slot_bits: int, labels: NDArray[uint8],
    K: int, bits: int, a: int, b: int, codes: NDArray[uint32], heaps: NDArray[uint64], positions: NDArray[int32],
    threads: int
) -> None: ...
def minhash_csr_rows(
    indptr: NDArray[int64], ids: NDArray[int32], values: NDArray[float32], slots: NDArray[int64], slot_bits: int,
    labels: NDArray[uint8], K: int, bits: int, a: int, b: int, codes: NDArray[uint32], heaps: NDArray[uint64],
    positions: NDArray[int32], threads: int
) -> None: ...
