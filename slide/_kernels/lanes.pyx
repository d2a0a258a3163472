"""Lane blocks: the samples of a group side by side, so that one vector register holds one column of all of them.

A block has, for each group, d_g rows (columns of the input) of `lanes` floats; group g owns rows
indptr[g]:indptr[g + 1]. Lanes past the group's last sample hold zeros.
"""

from cython.parallel cimport prange
from libc.stdint cimport int64_t

from slide._kernels.simd.vec cimport N_LANES

# Blocks are turned N_LANES lanes and 16 columns at a time: they stay in the first-level cache.


cdef inline int64_t turns_of(int64_t lanes) noexcept nogil:
    return (lanes + N_LANES - 1) // N_LANES


cdef void pack_lanes(const float *x, int64_t d, int64_t m, int64_t lanes, int64_t low, float *out) noexcept nogil:
    """Lanes low to low + N_LANES of the d x lanes block of m samples: zeros where there is none."""
    cdef int64_t j, s, first, high = min(low + N_LANES, lanes)
    for first in range(0, d, 16):
        for s in range(low, min(high, m)):
            for j in range(first, min(first + 16, d)):
                out[j * lanes + s] = x[s * d + j]
        for s in range(max(low, m), high):
            for j in range(first, min(first + 16, d)):
                out[j * lanes + s] = 0.0


cdef void unpack_lanes(const float *block, int64_t d, int64_t m, int64_t lanes, int64_t low, float *out) noexcept nogil:
    """The inverse, of m lanes."""
    cdef int64_t j, s, first
    for first in range(0, d, 16):
        for s in range(low, min(low + N_LANES, m)):
            for j in range(first, min(first + 16, d)):
                out[s * d + j] = block[j * lanes + s]


def pack_rows(const float[:, ::1] x, int64_t group_size, float[:, ::1] out, int threads):
    """out[g * d + j, s] = x[g * group_size + s, j]."""
    cdef int64_t n = x.shape[0], d = x.shape[1], lanes = out.shape[1], turns = turns_of(lanes), k, g
    cdef int64_t n_groups = (n + group_size - 1) // group_size
    if n == 0 or d == 0:
        return
    for k in prange(n_groups * turns, nogil=True, num_threads=threads, schedule="static"):
        g = k // turns
        pack_lanes(&x[g * group_size, 0], d, min(group_size, n - g * group_size), lanes, k % turns * N_LANES,
                   &out[g * d, 0])


def unpack_rows(const float[:, ::1] block, int64_t group_size, float[:, ::1] out, int threads):
    """out[g * group_size + s, j] = block[g * d + j, s]: the inverse of `pack_rows`."""
    cdef int64_t n = out.shape[0], d = out.shape[1], lanes = block.shape[1], turns = turns_of(lanes), k, g
    cdef int64_t n_groups = (n + group_size - 1) // group_size
    if n == 0 or d == 0:
        return
    for k in prange(n_groups * turns, nogil=True, num_threads=threads, schedule="static"):
        g = k // turns
        unpack_lanes(&block[g * d, 0], d, min(group_size, n - g * group_size), lanes, k % turns * N_LANES,
                     &out[g * group_size, 0])


def sample_major_rows(const int64_t[::1] indptr, const float[:, ::1] block, float[::1] out, int threads):
    """Turns each group's (d_g x lanes) block into lanes x d_g, at out[indptr[g] * lanes:]."""
    cdef int64_t n_groups = indptr.shape[0] - 1, lanes = block.shape[1], turns = turns_of(lanes), k, g
    for k in prange(n_groups * turns, nogil=True, num_threads=threads, schedule="static"):
        g = k // turns
        unpack_lanes(&block[0, 0] + indptr[g] * lanes, indptr[g + 1] - indptr[g], lanes, lanes, k % turns * N_LANES,
                     &out[0] + indptr[g] * lanes)
