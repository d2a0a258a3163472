"""Lane blocks: the samples of a group side by side, so that one vector register holds one column of all of them.

A block has, for each group, d_g rows (columns of the input) of `lanes` floats; group g owns rows
indptr[g]:indptr[g + 1]. Lanes past the group's last sample hold zeros.
"""

from cython.parallel cimport prange
from libc.stdint cimport int64_t


cdef inline void pack_row(const float *x, int64_t d, int64_t m, int64_t lanes, float *out) noexcept nogil:
    cdef int64_t j, s
    for j in range(d):
        for s in range(m):
            out[j * lanes + s] = x[s * d + j]
        for s in range(m, lanes):
            out[j * lanes + s] = 0.0


def pack_rows(const float[:, ::1] x, int64_t group_size, float[:, ::1] out, int threads):
    """out[g * d + j, s] = x[g * group_size + s, j]."""
    cdef int64_t n = x.shape[0], d = x.shape[1], lanes = out.shape[1], g, m
    cdef int64_t n_groups = (n + group_size - 1) // group_size
    if n == 0 or d == 0:
        return
    for g in prange(n_groups, nogil=True, num_threads=threads, schedule="static"):
        m = min(group_size, n - g * group_size)
        pack_row(&x[g * group_size, 0], d, m, lanes, &out[g * d, 0])


def unpack_rows(const float[:, ::1] block, int64_t group_size, float[:, ::1] out, int threads):
    """out[g * group_size + s, j] = block[g * d + j, s]: the inverse of `pack_rows`."""
    cdef int64_t n = out.shape[0], d = out.shape[1], i, j, g, s
    for i in prange(n, nogil=True, num_threads=threads, schedule="static"):
        g = i // group_size
        s = i % group_size
        for j in range(d):
            out[i, j] = block[g * d + j, s]


def sample_major_rows(const int64_t[::1] indptr, const float[:, ::1] block, float[::1] out, int threads):
    """Turns each group's (d_g x lanes) block into lanes x d_g, at out[indptr[g] * lanes:]."""
    cdef int64_t n_groups = indptr.shape[0] - 1, lanes = block.shape[1], g, j, s, d, start
    for g in prange(n_groups, nogil=True, num_threads=threads, schedule="static"):
        start = indptr[g]
        d = indptr[g + 1] - start
        for s in range(lanes):
            for j in range(d):
                out[start * lanes + s * d + j] = block[start + j, s]
