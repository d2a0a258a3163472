"""Rows of a CSR matrix side by side: how a batch is cut from the training set.

(SciPy's own row indexing wants offsets and columns of one type: it would copy all columns for every batch.)
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy


def take_rows(const int64_t[::1] starts, const int64_t[::1] indptr, const int32_t[::1] ids, const float[::1] values,
              int32_t[::1] out_ids, float[::1] out_values):
    """Row i of the result, indptr[i]:indptr[i + 1], is as much of ids and values from starts[i] on."""
    cdef int64_t i, n
    with nogil:
        for i in range(starts.shape[0]):
            n = indptr[i + 1] - indptr[i]
            if n > 0:
                memcpy(&out_ids[indptr[i]], &ids[starts[i]], n * sizeof(int32_t))
                memcpy(&out_values[indptr[i]], &values[starts[i]], n * sizeof(float))
