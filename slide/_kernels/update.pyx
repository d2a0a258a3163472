"""The row's side of a layer: every row of weights has one owner, who sums its gradient and applies the optimizer.

A pair is one entry of an active set: group g wanted row ids[pair] with the coefficients coef[pair] (one a lane).
Pairs come by row, in parts, from transpose.pyx; each row is visited once.
"""

from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t

from slide._kernels.optimizer cimport (
    Rows, add_ahead, apply_row, fill_rows, plan_row, step_entry, sum_coef,
)
from slide._kernels.transpose cimport N_PARTS
from slide._kernels.simd.vec cimport BESIDE, AdamStep, Ahead, ops

cdef enum:
    FAR = 4  # rows that are fetched while the optimizer runs

ROWS_BESIDE = BESIDE


cdef int64_t gradient_rows(const int32_t *start, const int32_t *count, int64_t n, const int32_t *pair,
                           const int32_t *group, const float *coef, int64_t lanes, const int64_t *x_indptr,
                           const float *x, int64_t width, float *g, float *bias_g,
                           Ahead *ahead) noexcept nogil:
    """Gradients of the first of n rows, into g (rows, width) and bias_g: as many, up to BESIDE, as begin with pairs
    of one group, whose inputs are then read once; returns how many. Row r has count[r] pairs from start[r] on."""
    cdef const float *first[BESIDE]
    cdef int64_t rows = 0, r, k
    while rows < min(n, BESIDE) and group[start[rows]] == group[start[0]]:
        first[rows] = coef + <int64_t>pair[start[rows]] * lanes
        rows += 1
    ops.rows_gradient(first, rows, x + x_indptr[group[start[0]]] * lanes, lanes, width, g, bias_g,
                      ahead)
    for r in range(rows):
        for k in range(start[r] + 1, start[r] + count[r]):
            ops.row_gradient(coef + <int64_t>pair[k] * lanes, x + x_indptr[group[k]] * lanes, lanes, width,
                             g + r * width)
            bias_g[r] += sum_coef(coef + <int64_t>pair[k] * lanes, lanes)
    return rows


cdef void update_part(const Rows *rows, const int32_t *ids, const int32_t *start, const int32_t *count, int64_t n,
                      const int32_t *pair, const int32_t *group, const float *coef, int64_t lanes,
                      const int64_t *x_indptr, const float *x, bint adam, const AdamStep *p,
                      float *scratch) noexcept nogil:
    """Gradient and optimizer of n rows, which are fetched from memory meanwhile: while their gradients are summed, or,
    where those have but one lane and take too little time, while the optimizer runs."""
    cdef Ahead ahead
    cdef int64_t k = 0, planned = 0, width = rows.width, done, r
    cdef float *bias_g = scratch + BESIDE * width
    while k < n:
        ahead.n = ahead.lines = 0
        while lanes > 1 and planned < min(k + BESIDE, n):
            plan_row(&ahead, rows, ids[planned], adam)
            add_ahead(&ahead, coef + <int64_t>pair[start[planned]] * lanes, lanes * sizeof(float))
            planned += 1
        done = gradient_rows(start + k, count + k, n - k, pair, group, coef, lanes, x_indptr, x, width, scratch,
                             bias_g, &ahead)
        for r in range(done):
            apply_row(rows, ids[k + r], scratch + r * width, bias_g[r], adam, p,
                      ids[min(k + r + FAR, n - 1)] if lanes == 1 else -1)
        k += done
        planned = max(planned, k)


def update_rows(const int64_t[::1] part_ptr, const int32_t[::1] n_touched, const int32_t[:, ::1] touched,
                const int32_t[:, ::1] pairs, const float[:, ::1] coef, const int64_t[::1] x_indptr,
                const float[::1] x, float[:, ::1] w, float[:, ::1] m, float[:, ::1] v, float[:, ::1] bias,
                bint adam, tuple hyper, float[:, ::1] scratch, int threads):
    """Gradient and optimizer of every touched row, in place.

    x holds the groups' inputs sample by sample (lanes x width at x_indptr[g] * lanes). bias (3 x rows: value and
    moments), m and v (SGD) may have no rows. hyper is (lr, beta1, beta2, eps, decay) with the bias corrections in lr
    and eps; scratch is threads x BESIDE * (width + 1).
    """
    cdef Rows rows
    cdef AdamStep p
    cdef int64_t part, lanes = coef.shape[1]
    p.lr, p.beta1, p.beta2, p.eps, p.decay = hyper
    if coef.shape[0] == 0 or w.shape[1] == 0:
        return
    fill_rows(&rows, w, m, v, bias)
    for part in prange(N_PARTS, nogil=True, num_threads=threads, schedule="dynamic"):
        update_part(&rows, &touched[0, part_ptr[part]], &touched[1, part_ptr[part]], &touched[2, part_ptr[part]],
                    n_touched[part], &pairs[0, 0], &pairs[1, 0], &coef[0, 0], lanes, &x_indptr[0], &x[0], adam, &p,
                    &scratch[threadid(), 0])


cdef inline int64_t sparse_gradient_row(const int32_t *pair, const int32_t *group, int64_t n, const float *coef,
                                        int64_t lanes, const int64_t *x_indptr, const int32_t *x_cols,
                                        const float *x, float *g, float *part, int32_t *place,
                                        int32_t *columns) noexcept nogil:
    """As gradient_row for inputs that have columns x_cols only: g[j] is the gradient of columns[j]; returns how many.

    The columns of the first pair come as they are; place (all -1, left so) finds those of the others.
    """
    cdef int64_t k, j, d, count = x_indptr[group[0] + 1] - x_indptr[group[0]]
    cdef const int32_t *cols = x_cols + x_indptr[group[0]]
    for j in range(count):
        columns[j] = cols[j]
        g[j] = 0.0
    ops.row_gradient(coef + <int64_t>pair[0] * lanes, x + x_indptr[group[0]] * lanes, lanes, count, g)
    if n == 1:
        return count
    for j in range(count):
        place[columns[j]] = <int32_t>j
    for k in range(1, n):
        d = x_indptr[group[k] + 1] - x_indptr[group[k]]
        cols = x_cols + x_indptr[group[k]]
        for j in range(d):
            part[j] = 0.0
        ops.row_gradient(coef + <int64_t>pair[k] * lanes, x + x_indptr[group[k]] * lanes, lanes, d, part)
        for j in range(d):
            if place[cols[j]] < 0:
                place[cols[j]] = <int32_t>count
                columns[count] = cols[j]
                g[count] = 0.0
                count += 1
            g[place[cols[j]]] += part[j]
    for j in range(count):
        place[columns[j]] = -1
    return count


cdef inline void adam_columns(float *w, float *m, float *v, const int32_t *columns, int64_t n, const float *g,
                              const AdamStep *p, float *part_w, float *part_m, float *part_v) noexcept nogil:
    """Adam on n columns of a row, side by side in scratch."""
    cdef int64_t j
    for j in range(n):
        part_w[j] = w[columns[j]]
        part_m[j] = m[columns[j]]
        part_v[j] = v[columns[j]]
    ops.adam(part_w, part_m, part_v, g, n, p)
    for j in range(n):
        w[columns[j]] = part_w[j]
        m[columns[j]] = part_m[j]
        v[columns[j]] = part_v[j]


cdef inline void sgd_columns(float *w, const int32_t *columns, int64_t n, const float *g, const AdamStep *p,
                             float *part_w) noexcept nogil:
    cdef int64_t j
    for j in range(n):
        part_w[j] = w[columns[j]]
    ops.sgd(part_w, g, n, p.lr, p.decay)
    for j in range(n):
        w[columns[j]] = part_w[j]


cdef inline float pairs_sum(const int32_t *pair, int64_t n, const float *coef, int64_t lanes) noexcept nogil:
    cdef float total = 0.0
    cdef int64_t k
    for k in range(n):
        total += sum_coef(coef + <int64_t>pair[k] * lanes, lanes)
    return total


def update_sparse_rows(const int64_t[::1] part_ptr, const int32_t[::1] n_touched, const int32_t[:, ::1] touched,
                       const int32_t[:, ::1] pairs, const float[:, ::1] coef, const int64_t[::1] x_indptr,
                       const int32_t[::1] x_cols, const float[::1] x, float[:, ::1] w, float[:, ::1] m,
                       float[:, ::1] v, float[:, ::1] bias, bint adam, tuple hyper, float[:, :, ::1] scratch,
                       int32_t[:, ::1] place, int32_t[:, ::1] columns, int threads):
    """As update_rows where the inputs are sparse: of a touched row only the weights of active inputs change.

    scratch (threads x 5 x width), columns (threads x width) and place (threads x width; all -1, left so) are scratch.
    """
    cdef Rows rows
    cdef AdamStep p, no_decay
    cdef int64_t part, k, n, r
    cdef int thread
    cdef float bias_g
    cdef int64_t lanes = coef.shape[1]
    p.lr, p.beta1, p.beta2, p.eps, p.decay = hyper
    no_decay = p
    no_decay.decay = 0.0
    if coef.shape[0] == 0:
        return
    fill_rows(&rows, w, m, v, bias)
    for part in prange(N_PARTS, nogil=True, num_threads=threads, schedule="dynamic"):
        thread = threadid()
        for k in range(part_ptr[part], part_ptr[part] + n_touched[part]):
            r = touched[0, k]
            n = sparse_gradient_row(&pairs[0, touched[1, k]], &pairs[1, touched[1, k]], touched[2, k], &coef[0, 0],
                                    lanes, &x_indptr[0], &x_cols[0], &x[0], &scratch[thread, 0, 0],
                                    &scratch[thread, 1, 0], &place[thread, 0], &columns[thread, 0])
            if adam:
                adam_columns(rows.w + r * rows.width, rows.m + r * rows.width, rows.v + r * rows.width,
                             &columns[thread, 0], n, &scratch[thread, 0, 0], &p, &scratch[thread, 2, 0],
                             &scratch[thread, 3, 0], &scratch[thread, 4, 0])
            else:
                sgd_columns(rows.w + r * rows.width, &columns[thread, 0], n, &scratch[thread, 0, 0], &p,
                            &scratch[thread, 2, 0])
            if rows.bias != NULL:
                bias_g = pairs_sum(&pairs[0, touched[1, k]], touched[2, k], &coef[0, 0], lanes)
                step_entry(&rows.bias[r], &rows.bias_m[r], &rows.bias_v[r], bias_g, adam, &no_decay)
