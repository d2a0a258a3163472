"""What the memory of a machine gives to a layer: rows read one after the other or at random, rows read and written."""

from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t

from slide._kernels.optimizer cimport prefetch_bytes
from slide._kernels.simd.vec cimport ops

cdef enum:
    FETCHED_ROWS = 8  # how far ahead rows are fetched


def sum_rows(const float[:, ::1] W, const int32_t[::1] ids, const float[::1] ones, float[:, ::1] out, int threads):
    """out[c] += the rows ids of piece c, of ids in pieces of the length of `ones`."""
    cdef int64_t c, size = ones.shape[0]
    for c in prange(out.shape[0], nogil=True, num_threads=threads, schedule="static"):
        ops.row_lookup(&W[0, 0], W.shape[1], &ids[c * size], &ones[0], size, &out[c, 0])


def scale_rows(float[:, ::1] w, float[:, ::1] m, float[:, ::1] v, const int32_t[::1] ids, float factor, int threads):
    """The rows ids (unique) of three matrices times `factor`: each is read and written once."""
    cdef int64_t i, r, following, n = ids.shape[0], width = w.shape[1]
    for i in prange(n, nogil=True, num_threads=threads, schedule="static"):
        following = ids[min(i + FETCHED_ROWS, n - 1)]
        prefetch_bytes(&w[following, 0], width * sizeof(float))
        prefetch_bytes(&m[following, 0], width * sizeof(float))
        prefetch_bytes(&v[following, 0], width * sizeof(float))
        r = ids[i]
        ops.scale(&w[r, 0], width, factor)
        ops.scale(&m[r, 0], width, factor)
        ops.scale(&v[r, 0], width, factor)
