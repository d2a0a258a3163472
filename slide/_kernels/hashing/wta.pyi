from numpy import float32, int32, int64, uint32
from numpy.typing import NDArray

def wta_rows(
    rows: NDArray[float32], ids: NDArray[int32], bins: NDArray[int32], K: int, bits: int, codes: NDArray[uint32],
    blocks: NDArray[float32], lanes: NDArray[uint32], threads: int
) -> None: ...
def wta_csr_rows(
    indptr: NDArray[int64], ids: NDArray[int32], values: NDArray[float32], dim: int, bins: NDArray[int32], K: int,
    bits: int, codes: NDArray[uint32], blocks: NDArray[float32], lanes: NDArray[uint32], threads: int
) -> None: ...
def dwta_rows(
    rows: NDArray[float32], ids: NDArray[int32], bins: NDArray[int32], K: int, bits: int, a: int, b: int,
    codes: NDArray[uint32], blocks: NDArray[float32], lanes: NDArray[uint32], positions: NDArray[int32],
    threads: int
) -> None: ...
def dwta_csr_rows(
    indptr: NDArray[int64], ids: NDArray[int32], values: NDArray[float32], slots: NDArray[int64], slot_bits: int,
    K: int, bits: int, a: int, b: int, codes: NDArray[uint32], best: NDArray[float32], positions: NDArray[int32],
    threads: int
) -> None: ...
