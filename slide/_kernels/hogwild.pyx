"""The paper's asynchronous accumulation (MLSys 2020, section 3.1): threads add to shared gradients without locks.

Recht et al. 2011 (HOGWILD!): where active sets are sparse, two threads seldom meet in a row, and a lost addition
does not hurt. The result depends on timing as soon as there are two threads.
"""

from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t

from slide._kernels.optimizer cimport Rows, apply_row, fill_rows, step_entry, sum_coef
from slide._kernels.transpose cimport N_PARTS
from slide._kernels.simd.vec cimport AdamStep, ops


def place_rows(const int64_t[::1] part_ptr, const int64_t[::1] row_ptr, const int32_t[:, ::1] touched,
               const int32_t[:, ::1] pairs, int32_t[::1] place, float[:, ::1] grad, float[::1] bias_grad,
               int threads):
    """place[pair] = the row of grad that belongs to its touched row; all rows of grad are set to zero.

    The touched rows of part p, at part_ptr[p] in `touched`, have the rows row_ptr[p]:row_ptr[p + 1] of grad.
    """
    cdef int64_t p, i, k, j, at
    for p in prange(N_PARTS, nogil=True, num_threads=threads, schedule="dynamic"):
        for i in range(row_ptr[p], row_ptr[p + 1]):
            at = part_ptr[p] + i - row_ptr[p]
            bias_grad[i] = 0.0
            for j in range(grad.shape[1]):
                grad[i, j] = 0.0
            for k in range(touched[1, at], touched[1, at] + touched[2, at]):
                place[pairs[0, k]] = <int32_t>i


cdef inline void accumulate_row(const float *c, int64_t lanes, const int32_t *cols, const float *x, int64_t d,
                                float *grad, float *bias_grad) noexcept nogil:
    cdef int64_t s, j
    if cols == NULL:
        ops.row_gradient(c, x, lanes, d, grad)
    else:
        for s in range(lanes):
            for j in range(d):
                grad[cols[j]] += c[s] * x[s * d + j]
    bias_grad[0] += sum_coef(c, lanes)


def accumulate_rows(const int64_t[::1] indptr, const int32_t[::1] place, const float[:, ::1] coef,
                    const int64_t[::1] x_indptr, const int32_t[::1] x_cols, const float[::1] x, float[:, ::1] grad,
                    float[::1] bias_grad, int threads):
    """Every group adds its part to the shared gradients, unsynchronised."""
    cdef int64_t n_groups = indptr.shape[0] - 1, lanes = coef.shape[1], g, k, d
    cdef bint sparse = x_cols.shape[0] > 0
    for g in prange(n_groups, nogil=True, num_threads=threads, schedule="dynamic"):
        d = x_indptr[g + 1] - x_indptr[g]
        for k in range(indptr[g], indptr[g + 1]):
            accumulate_row(&coef[k, 0], lanes, &x_cols[x_indptr[g]] if sparse else NULL, &x[x_indptr[g] * lanes], d,
                           &grad[place[k], 0], &bias_grad[place[k]])


def apply_rows(const int64_t[::1] part_ptr, const int64_t[::1] row_ptr, const int32_t[:, ::1] touched,
               float[:, ::1] grad, const float[::1] bias_grad, bint sparse, float[:, ::1] w, float[:, ::1] m,
               float[:, ::1] v, float[:, ::1] bias, bint adam, tuple hyper, int threads):
    """The optimizer on every touched row; of sparse inputs only the columns whose gradient is not zero."""
    cdef Rows rows
    cdef AdamStep p, no_decay
    cdef int64_t part, i, j, at, r
    p.lr, p.beta1, p.beta2, p.eps, p.decay = hyper
    no_decay = p
    no_decay.decay = 0.0
    fill_rows(&rows, w, m, v, bias)
    for part in prange(N_PARTS, nogil=True, num_threads=threads, schedule="dynamic"):
        for i in range(row_ptr[part], row_ptr[part + 1]):
            r = touched[0, part_ptr[part] + i - row_ptr[part]]
            if not sparse:
                apply_row(&rows, r, &grad[i, 0], bias_grad[i], adam, &p)
            else:
                for j in range(rows.width):
                    at = r * rows.width + j
                    if grad[i, j] != 0.0:
                        step_entry(&rows.w[at], rows.m + at if adam else NULL, rows.v + at if adam else NULL,
                                   grad[i, j], adam, &p)
                if rows.bias != NULL:
                    step_entry(&rows.bias[r], &rows.bias_m[r], &rows.bias_v[r], bias_grad[i], adam, &no_decay)
