"""The paper's asynchronous accumulation (MLSys 2020, section 3.1): threads add to shared gradients without locks.

In:   as update.pyx
Steps:
  1. place_rows       a row of gradients for every touched row, set to zero
  2. accumulate_rows  every group adds its part, unsynchronised
  3. apply_rows       the optimizer on every touched row
Recht et al. 2011 (HOGWILD!): where active sets are sparse, two threads seldom meet in a row, and a lost addition
does not hurt. The result depends on timing as soon as there are two threads.
"""

from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t

from slide._kernels.groups cimport Groups, column_ids, columns_of, inputs_of
from slide._kernels.optimizer cimport OptimizerStep, step_weight, step_of, sum_coef
from slide._kernels.simd.vec cimport ops
from slide._kernels.transpose cimport N_PARTS, PairsByRow
from slide._kernels.weights cimport Float32Rows

cdef enum:
    SIDE_BY_SIDE = 64  # weights that are stepped together


def place_rows(PairsByRow by_row, const int64_t[::1] row_ptr, int32_t[::1] place, float[:, ::1] grad,
               float[::1] bias_grad, int threads):
    """place[pair] = the row of grad that belongs to its touched row; all rows of grad are set to zero.

    The touched rows of part p have the rows row_ptr[p]:row_ptr[p + 1] of grad.
    """
    cdef int64_t p, i, k, j, at
    for p in prange(N_PARTS, nogil=True, num_threads=threads, schedule="dynamic"):
        for i in range(row_ptr[p], row_ptr[p + 1]):
            at = by_row.part_ptr[p] + i - row_ptr[p]
            bias_grad[i] = 0.0
            for j in range(grad.shape[1]):
                grad[i, j] = 0.0
            for k in range(by_row.starts[at], by_row.starts[at] + by_row.counts[at]):
                place[by_row.pair[k]] = <int32_t>i


def accumulate_rows(Groups groups, const int32_t[::1] place, const float[:, ::1] coef, float[:, ::1] grad,
                    float[::1] bias_grad, int threads):
    """Every group adds its part to the shared gradients, unsynchronised."""
    cdef int64_t g, k
    for g in prange(groups.n, nogil=True, num_threads=threads, schedule="dynamic"):
        for k in range(groups.indptr[g], groups.indptr[g + 1]):
            accumulate_row(groups, g, &coef[k, 0], &grad[place[k], 0], &bias_grad[place[k]])


cdef inline void accumulate_row(Groups groups, int64_t group, const float *coef, float *grad,
                                float *bias_grad) noexcept nogil:
    cdef int64_t lanes = groups.lanes, d = columns_of(groups, group), s, j
    cdef const int32_t *cols = column_ids(groups, group)
    cdef const float *x = inputs_of(groups, group)
    if cols == NULL:
        ops.row_gradient(coef, x, lanes, d, grad)
    else:
        for s in range(lanes):
            for j in range(d):
                grad[cols[j]] += coef[s] * x[s * d + j]
    bias_grad[0] += sum_coef(coef, lanes)


def apply_rows(Float32Rows rows, PairsByRow by_row, const int64_t[::1] row_ptr, const float[:, ::1] grad,
               const float[::1] bias_grad, bint sparse, tuple hyper, int threads):
    """The optimizer on every touched row; of sparse inputs only the columns whose gradient is not zero."""
    cdef OptimizerStep step = step_of(rows.adam, hyper)
    cdef int64_t part, i, r
    for part in prange(N_PARTS, nogil=True, num_threads=threads, schedule="dynamic"):
        for i in range(row_ptr[part], row_ptr[part + 1]):
            r = by_row.rows[by_row.part_ptr[part] + i - row_ptr[part]]
            if sparse:
                step_where_not_zero(rows, r, &grad[i, 0], &step)
                rows.step_bias(r, bias_grad[i], &step)
            else:
                rows.step(r, &grad[i, 0], bias_grad[i], &step, NULL, -1)


cdef inline void step_where_not_zero(Float32Rows rows, int64_t r, const float *g,
                                     const OptimizerStep *step) noexcept nogil:
    cdef float where[SIDE_BY_SIDE]
    cdef int64_t block, j, i, n
    for block in range((rows.width + SIDE_BY_SIDE - 1) // SIDE_BY_SIDE):
        j = block * SIDE_BY_SIDE
        n = min(<int64_t>SIDE_BY_SIDE, rows.width - j)
        if rows.adam:
            for i in range(n):
                where[i] = g[j + i] != 0.0
            ops.adam_where(&rows.w[r, j], &rows.m[r, j], &rows.v[r, j], g + j, where, n, &step.weights)
        else:
            for i in range(j, j + n):
                if g[i] != 0.0:
                    step_weight(&rows.w[r, i], NULL, NULL, g[i], False, &step.weights)
