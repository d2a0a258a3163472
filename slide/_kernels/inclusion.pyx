"""How many neurons each active one stands for, group by group, by one thread each."""

from cython.parallel cimport prange, threadid
from libc.math cimport expf, log1pf
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset

from slide._kernels.marks cimport is_marked, mark, unmark


cdef enum:
    SMALL_COUNTS = 64  # counts below it, which most are, are weighed once for each group


cdef inline float weight_of(int32_t count, int64_t entries, float draws, float missed,
                            int64_t n_neurons) noexcept nogil:
    cdef float frequency = min(<float>count / entries, <float>(1 - 1e-6))
    cdef float probability = 1 - missed * expf(draws * log1pf(-frequency))
    return 1 / max(probability, <float>1 / n_neurons)


cdef void weigh_row(const int32_t* ids, int64_t n, const int32_t* retrieved, int64_t n_retrieved,
                    const int32_t* counts, int64_t entries, float draws, float missed, int64_t n_neurons,
                    uint64_t* seen, float* weights) noexcept nogil:
    cdef float of_small[SMALL_COUNTS]
    cdef int64_t i
    cdef int32_t count
    memset(of_small, 0, sizeof(of_small))
    for i in range(n_retrieved):
        mark(seen, retrieved[i])
    for i in range(n):
        count = counts[ids[i]]
        if is_marked(seen, ids[i]):
            weights[i] = 1
        elif count >= SMALL_COUNTS:
            weights[i] = weight_of(count, entries, draws, missed, n_neurons)
        else:
            if of_small[count] == 0:
                of_small[count] = weight_of(count, entries, draws, missed, n_neurons)
            weights[i] = of_small[count]
    unmark(seen, retrieved, n_retrieved)


def inclusion_rows(const int64_t[::1] indptr, const int32_t[::1] ids, const int64_t[::1] retrieved_ptr,
                   const int32_t[::1] retrieved, const int32_t[::1] counts, int64_t entries,
                   const float[::1] draws, const float[::1] missed, uint64_t[:, ::1] seen, float[::1] weights,
                   int threads):
    """weights (ids,): 1 / the probability 1 - missed[g] * (1 - frequency)**draws[g] of each id of group g, 1 of those
    that were retrieved, and no more than there are neurons.

    counts (n_neurons,): a neuron's frequency, times `entries`. seen (threads, words): see marks.pxd.
    """
    cdef int64_t g, a
    cdef int me
    for g in prange(missed.shape[0], nogil=True, schedule="dynamic", num_threads=threads,
                    use_threads_if=missed.shape[0] > 1):
        me = threadid()
        a = indptr[g]
        if indptr[g + 1] > a:
            weigh_row(&ids[a], indptr[g + 1] - a, &retrieved[0] + retrieved_ptr[g],
                      retrieved_ptr[g + 1] - retrieved_ptr[g], &counts[0], entries, draws[g], missed[g],
                      counts.shape[0], &seen[me, 0], &weights[a])
