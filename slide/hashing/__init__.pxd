# For hash functions of one's own, compiled: `from slide.hashing cimport RowHasher`.
from slide._kernels.hashing.row_hasher cimport BLOCK_ROWS, RowHasher
