from numpy import float32
from numpy.typing import NDArray

from slide._kernels.hashing.row_hasher import RowHasher

class CrossPolytopeHasher(RowHasher):
    def __init__(self, dim: int, K: int, L: int, width: int, bits: int, signs: NDArray[float32]) -> None: ...
