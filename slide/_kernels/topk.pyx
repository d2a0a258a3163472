"""The k largest logits: exact, by blocked products that never hold n x n_neurons, or of an active set.

In:   samples as panels (see layers/panels.py) and weights; or the logits of active sets
Out:  values and ids (n x k) of the largest of each sample, sorted; ties go to the smaller id
Steps of topk_rows, a task for some panels and a part of the neurons:
  1. topk_part   block by block of neurons, panel by panel: a product, and each sample's heap of its largest
  2. offer       the heaps of the parts are joined
  3. sort_heap
"""

from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t

from slide._kernels.heaps cimport offer, sort_heap
from slide._kernels.simd.vec cimport ops


cdef struct TopHeaps:
    # The k largest so far of each of n samples.
    int64_t n
    int64_t k
    float *values
    int32_t *ids


def topk_rows(const float[:, :, ::1] panels, const float[:, ::1] W, const float[::1] bias, int64_t task_panels,
              int64_t block, float[:, ::1] scratch, float[:, :, ::1] values, int32_t[:, :, ::1] ids, int threads):
    """The k neurons of largest x . W + bias for each row: in values[0], ids[0].

    panels (panels x d x width): the samples, a column each, `task_panels` of them a task. values, ids (parts x n x k):
    one heap for each part of the neurons, values as they come, ids -1. scratch is threads x ((block + 1) * width).
    """
    cdef int64_t n_parts = values.shape[0], n_blocks = (W.shape[0] + block - 1) // block
    cdef int64_t n_tasks = (panels.shape[0] + task_panels - 1) // task_panels * n_parts, task, part, first, i, j
    for task in prange(n_tasks, nogil=True, num_threads=threads, schedule="dynamic"):
        part = task % n_parts
        first = task // n_parts * task_panels
        topk_part(panels, first, min(first + task_panels, panels.shape[0]), W, bias, block,
                  part * n_blocks // n_parts, (part + 1) * n_blocks // n_parts, &scratch[threadid(), 0],
                  heaps_from(first * ops.panel, values, ids, part))
    for i in prange(values.shape[1], nogil=True, num_threads=threads, schedule="static"):
        for part in range(1, n_parts):
            for j in range(values.shape[2]):
                if ids[part, i, j] >= 0:
                    offer(values[part, i, j], ids[part, i, j], values.shape[2], &values[0, i, 0], &ids[0, i, 0])
        sort_heap(values.shape[2], &values[0, i, 0], &ids[0, i, 0])


cdef inline TopHeaps heaps_from(int64_t sample, float[:, :, ::1] values, int32_t[:, :, ::1] ids,
                                int64_t part) noexcept nogil:
    cdef TopHeaps heaps
    heaps.n, heaps.k = values.shape[1] - sample, values.shape[2]
    heaps.values, heaps.ids = &values[part, sample, 0], &ids[part, sample, 0]
    return heaps


cdef void topk_part(const float[:, :, ::1] panels, int64_t first, int64_t last, const float[:, ::1] W,
                    const float[::1] bias, int64_t block, int64_t first_block, int64_t last_block, float *z,
                    TopHeaps heaps) noexcept nogil:
    """Samples of the panels first:last and some blocks of neurons, each while its weights are in the cache."""
    cdef TopHeaps some
    cdef int64_t b, p, done
    for b in range(first_block, last_block):
        for p in range(first, last):
            done = (p - first) * ops.panel
            some.n, some.k = min(<int64_t>ops.panel, heaps.n - done), heaps.k
            some.values, some.ids = heaps.values + done * heaps.k, heaps.ids + done * heaps.k
            topk_panel(&panels[p, 0, 0], W, bias, b * block, min(block, W.shape[0] - b * block), z, &some)


cdef inline void topk_panel(const float *panel, const float[:, ::1] W, const float[::1] bias, int64_t first,
                            int64_t size, float *z, TopHeaps *heaps) noexcept nogil:
    """One panel of samples and one block of neurons; z: the largest logit of each sample, and then all of them.

    Ids come in rising order: later ones must be larger than the least of the heap to enter it.
    """
    cdef int64_t i, width = ops.panel, k = heaps.k
    cdef float *top = z
    for i in range(width):
        top[i] = <float>-3e38
    z = z + width
    ops.panel_product(&W[first, 0], W.shape[1], size, panel, W.shape[1], &bias[first], z, width, top, NULL)
    for i in range(heaps.n):
        if heaps.ids[i * k] < 0 or top[i] > heaps.values[i * k]:
            scan_column(z + i, width, size, <int32_t>first, k, heaps.values + i * k, heaps.ids + i * k)


cdef inline void scan_column(const float *z, int64_t ld, int64_t size, int32_t first, int64_t k, float *values,
                             int32_t *ids) noexcept nogil:
    cdef int64_t j
    for j in range(size):
        if ids[0] < 0 or z[j * ld] > values[0]:
            offer(z[j * ld], first + <int32_t>j, k, values, ids)


def topk_active(const int64_t[::1] indptr, const int32_t[::1] active, const float[:, ::1] z, float[:, ::1] values,
                int32_t[:, ::1] ids, int threads):
    """The same among each row's active neurons (one lane: a group is a row); what is missing stays -1."""
    cdef int64_t i, a
    for i in prange(values.shape[0], nogil=True, num_threads=threads, schedule="dynamic"):
        for a in range(indptr[i], indptr[i + 1]):
            offer(z[a, 0], active[a], values.shape[1], &values[i, 0], &ids[i, 0])
        sort_heap(values.shape[1], &values[i, 0], &ids[i, 0])
