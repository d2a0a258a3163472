"""Runs a compiled hasher over rows: what its threads work in, and the kernels that share the rows among them."""

import numpy as np

from slide._kernels.hashing.row_hasher import BLOCK, hash_csr_rows, hash_rows

LANES = 16


def aligned(threads, length, dtype):
    """(threads, length) scratch of a 4-byte dtype whose rows start at multiples of 64 bytes."""
    length = -(-length // LANES) * LANES
    raw = np.empty(threads * length + LANES, dtype)
    start = -raw.ctypes.data % 64 // raw.itemsize
    return raw[start : start + threads * length].reshape(threads, length)


def run_hasher(hasher, rows, codes, threads):
    """codes (n, L), of any strides, of dense float32 rows (n, dim) by a RowHasher."""
    hash_rows(hasher, rows, codes, *_scratch(hasher, threads), threads)


def run_hasher_csr(hasher, indptr, ids, values, codes, threads):
    """The same of CSR rows, which become dense a block at a time."""
    blocks = np.zeros((threads, BLOCK * hasher.dim), np.float32)
    hash_csr_rows(hasher, indptr, ids, values, codes, blocks, *_scratch(hasher, threads), threads)


def _scratch(hasher, threads):
    """Codes of a block, and bytes to work in, each thread's on cache lines of its own."""
    codes = aligned(threads, BLOCK * hasher.L, np.uint32)
    return codes, aligned(threads, max(1, -(-hasher.scratch // 4)), np.uint32).view(np.uint8)
