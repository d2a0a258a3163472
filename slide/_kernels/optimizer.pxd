# The optimizer's step on one row of weights; what a layer's weights and moments look like to a kernel.
from libc.math cimport sqrtf
from libc.stdint cimport int64_t

from slide._kernels.prefetch cimport prefetch_write_l2
from slide._kernels.simd.vec cimport MOST_AHEAD, AdamStep, Ahead, ops


cdef struct Rows:
    # Weights and optimizer state of one layer; bias and moments may be NULL.
    float *w
    float *m
    float *v
    float *bias
    float *bias_m
    float *bias_v
    int64_t width


cdef inline void step_entry(float *w, float *m, float *v, float g, bint adam, const AdamStep *p) noexcept nogil:
    if adam:
        m[0] = p.beta1 * m[0] + (1 - p.beta1) * g
        v[0] = p.beta2 * v[0] + (1 - p.beta2) * (g * g)
        w[0] = (1 - p.decay) * w[0] - p.lr * m[0] / (sqrtf(v[0]) + p.eps)
    else:
        w[0] = (1 - p.decay) * w[0] - p.lr * g


cdef inline void prefetch_row(const Rows *rows, int64_t r, bint adam) noexcept nogil:
    """All of a row at once, where no other work is at hand."""
    cdef int64_t j
    for j in range(r * rows.width, (r + 1) * rows.width, 16):
        prefetch_write_l2(rows.w + j)
        if adam:
            prefetch_write_l2(rows.m + j)
            prefetch_write_l2(rows.v + j)


cdef inline void apply_row(const Rows *rows, int64_t r, float *g, float bias_g, bint adam,
                           const AdamStep *p, int64_t next_r=-1) noexcept nogil:
    """The optimizer on row r; meanwhile row next_r, unless negative, is fetched from memory."""
    cdef AdamStep no_decay = p[0]
    no_decay.decay = 0.0
    if adam and next_r >= 0:
        ops.adam_ahead(
            rows.w + r * rows.width, rows.m + r * rows.width, rows.v + r * rows.width, g, rows.width, p,
            rows.w + next_r * rows.width, rows.m + next_r * rows.width, rows.v + next_r * rows.width
        )
    elif adam:
        ops.adam(rows.w + r * rows.width, rows.m + r * rows.width, rows.v + r * rows.width, g, rows.width, p)
    else:
        if next_r >= 0:
            prefetch_row(rows, next_r, adam)
        ops.sgd(rows.w + r * rows.width, g, rows.width, p.lr, p.decay)
    if rows.bias != NULL:
        step_entry(&rows.bias[r], &rows.bias_m[r], &rows.bias_v[r], bias_g, adam, &no_decay)


cdef inline void add_ahead(Ahead *ahead, const void *at, int64_t n_bytes) noexcept nogil:
    if ahead.n < MOST_AHEAD:
        ahead.at[ahead.n] = <const char *>at
        ahead.left[ahead.n] = (n_bytes + 63) // 64
        ahead.lines += ahead.left[ahead.n]
        ahead.n += 1


cdef inline void plan_row(Ahead *ahead, const Rows *rows, int64_t r, bint adam) noexcept nogil:
    """Weights and moments of a row are planned to be prefetched, its bias is."""
    cdef int64_t n_bytes = rows.width * sizeof(float)
    add_ahead(ahead, rows.w + r * rows.width, n_bytes)
    if adam:
        add_ahead(ahead, rows.m + r * rows.width, n_bytes)
        add_ahead(ahead, rows.v + r * rows.width, n_bytes)
    if rows.bias != NULL:
        prefetch_write_l2(rows.bias + r)
        prefetch_write_l2(rows.bias_m + r)
        prefetch_write_l2(rows.bias_v + r)


cdef inline void fill_rows(Rows *rows, float[:, ::1] w, float[:, ::1] m, float[:, ::1] v, float[:, ::1] bias) noexcept:
    rows.w = &w[0, 0]
    rows.width = w.shape[1]
    rows.m = &m[0, 0] if m.shape[0] else NULL
    rows.v = &v[0, 0] if v.shape[0] else NULL
    rows.bias = &bias[0, 0] if bias.shape[0] else NULL
    rows.bias_m = &bias[1, 0] if bias.shape[0] else NULL
    rows.bias_v = &bias[2, 0] if bias.shape[0] else NULL


cdef inline float sum_coef(const float *c, int64_t lanes) noexcept nogil:
    cdef float total = 0.0
    cdef int64_t s
    for s in range(lanes):
        total += c[s]
    return total
