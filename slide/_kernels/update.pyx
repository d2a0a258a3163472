"""The row's side of a layer: every row of weights has one owner, who sums its gradient and applies the optimizer.

In:   rows of weights; pairs by row (from transpose.pyx); groups, whose inputs lie sample by sample; coef (pairs x
      lanes): the gradient of the pair's output for each of the group's samples
Out:  rows of weights, in place
Steps, part by part of the touched rows (update_part):
  1. rows.plan_prefetch  the weights and moments of the next rows are noted
  2. gradient_rows       their gradients are summed; meanwhile what was noted comes from memory, line by line
  3. rows.step           the optimizer on each, in weights.pyx or bfloat16.pyx
Where inputs have but some columns, `update_sparse_rows` changes only the weights of those.
"""

from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset

from slide._kernels.groups cimport Groups, column_ids, columns_of, inputs_of
from slide._kernels.optimizer cimport OptimizerStep, add_ahead, prefetch_bytes, step_of, sum_coef
from slide._kernels.simd.vec cimport GRADIENT_ROWS, Ahead, ops
from slide._kernels.transpose cimport N_PARTS, PairsByRow
from slide._kernels.weights cimport Float32Rows, WeightRows

cdef enum:
    FETCHED_ROWS = 4  # how far ahead rows are fetched while the optimizer runs


def scratch_size(int64_t width):
    """Floats of scratch that a thread of `update_rows` needs: gradients of rows and of their biases, a row beside."""
    return GRADIENT_ROWS * (width + 1) + width


def update_rows(WeightRows rows, PairsByRow by_row, Groups groups, const float[:, ::1] coef, tuple hyper, uint64_t seed,
                uint64_t number, float[:, ::1] scratch, int threads):
    """Gradient and optimizer of every touched row, in place.

    hyper is (lr, beta1, beta2, eps, decay) with the bias corrections in lr and eps; seed and the number of the step
    decide what is rounded at random. scratch is threads x `scratch_size`.
    """
    cdef OptimizerStep step = step_of(rows.adam, hyper, seed, number)
    cdef int64_t part
    if coef.shape[0] == 0 or rows.width == 0:
        return
    for part in prange(N_PARTS, nogil=True, num_threads=threads, schedule="dynamic"):
        update_part(rows, by_row, part, groups, &coef[0, 0], &step, &scratch[threadid(), 0])


cdef void update_part(WeightRows rows, PairsByRow by_row, int64_t part, Groups groups, const float *coef,
                      const OptimizerStep *step, float *scratch) noexcept nogil:
    """Gradient and optimizer of a part's rows, which are fetched from memory meanwhile: while gradients are summed, or,
    where those have but one lane and take too little time, while the optimizer runs."""
    cdef Ahead ahead
    cdef int64_t k = by_row.part_ptr[part], end = k + by_row.n_touched[part], planned = k, lanes = groups.lanes, done, r
    cdef float *bias_g = scratch + GRADIENT_ROWS * rows.width
    cdef float *room = bias_g + GRADIENT_ROWS
    while k < end:
        ahead.n = ahead.lines = 0
        while lanes > 1 and planned < min(k + GRADIENT_ROWS, end):
            rows.plan_prefetch(by_row.rows[planned], &ahead)
            add_ahead(&ahead, coef_of(by_row, by_row.starts[planned], coef, lanes), lanes * sizeof(float))
            planned += 1
        done = gradient_rows(by_row, k, end, groups, coef, scratch, bias_g, &ahead)
        for r in range(done):
            rows.step(by_row.rows[k + r], scratch + r * rows.width, bias_g[r], step, room,
                      by_row.rows[min(k + r + FETCHED_ROWS, end - 1)] if lanes == 1 else -1)
        k += done
        planned = max(planned, k)


cdef inline const float *coef_of(PairsByRow by_row, int64_t k, const float *coef, int64_t lanes) noexcept nogil:
    return coef + by_row.pair[k] * lanes


cdef int64_t gradient_rows(PairsByRow by_row, int64_t low, int64_t end, Groups groups, const float *coef, float *g,
                           float *bias_g, Ahead *ahead) noexcept nogil:
    """Gradients of the first of the touched rows low:end, into g (rows, width) and bias_g: as many, GRADIENT_ROWS at
    most, as begin with pairs of one group, whose inputs are then read once; returns how many."""
    cdef const float *first[GRADIENT_ROWS]
    cdef int64_t lanes = groups.lanes, group = by_row.group[by_row.starts[low]], d = columns_of(groups, group)
    cdef int64_t n = 0, r, k, start
    while n < min(end - low, GRADIENT_ROWS) and by_row.group[by_row.starts[low + n]] == group:
        first[n] = coef_of(by_row, by_row.starts[low + n], coef, lanes)
        n += 1
    ops.rows_gradient(first, n, inputs_of(groups, group), lanes, d, g, bias_g, ahead)
    for r in range(n):
        start = by_row.starts[low + r]
        for k in range(start + 1, start + by_row.counts[low + r]):
            ops.row_gradient(coef_of(by_row, k, coef, lanes), inputs_of(groups, by_row.group[k]), lanes, d, g + r * d)
            bias_g[r] += sum_coef(coef_of(by_row, k, coef, lanes), lanes)
    return n


# ---- Sparse inputs -------------------------------------------------------------------------------------------------


cdef struct ColumnScratch:
    # Of one thread: n columns of a row, their gradients, those of one pair, weights and moments, side by side; or the
    # gradients of all columns of a row, and where there are any.
    int64_t n
    int32_t *columns
    int32_t *place  # of each column among them; -1 where it is not
    float *g
    float *part
    float *where
    float *w
    float *m
    float *v


def update_sparse_rows(Float32Rows rows, PairsByRow by_row, Groups groups, const float[:, ::1] coef, tuple hyper,
                       float[:, :, ::1] scratch, int32_t[:, ::1] place, int32_t[:, ::1] columns, int threads):
    """As update_rows where the inputs are sparse: of a touched row only the weights of active inputs change.

    scratch (threads x 5 x width), columns (threads x width) and place (threads x width; all -1, left so) are scratch.
    """
    cdef OptimizerStep step = step_of(rows.adam, hyper)
    cdef int64_t part
    cdef int t
    if coef.shape[0] == 0:
        return
    for part in prange(N_PARTS, nogil=True, num_threads=threads, schedule="dynamic"):
        t = threadid()
        update_sparse_part(rows, by_row, part, groups, &coef[0, 0], &step,
                           column_scratch(&scratch[t, 0, 0], rows.width, &place[t, 0], &columns[t, 0]))


cdef inline ColumnScratch column_scratch(float *scratch, int64_t width, int32_t *place,
                                         int32_t *columns) noexcept nogil:
    cdef ColumnScratch some
    some.n, some.columns, some.place, some.g = 0, columns, place, scratch
    some.part = some.g + width
    some.where = some.w = some.part + width
    some.m = some.w + width
    some.v = some.m + width
    return some


cdef enum:
    FEWER_COLUMNS = 4  # a row is stepped as a whole where its pairs have 1 / FEWER_COLUMNS of its columns or more


cdef void update_sparse_part(Float32Rows rows, PairsByRow by_row, int64_t part, Groups groups, const float *coef,
                             const OptimizerStep *step, ColumnScratch some) noexcept nogil:
    cdef int64_t first = by_row.part_ptr[part], end = first + by_row.n_touched[part], k
    for k in range(first, end):
        if rows.adam and FEWER_COLUMNS * columns_of_pairs(by_row, k, groups) >= rows.width:
            prefetch_row(rows, by_row.rows[min(k + 1, end - 1)])
            gradient_where(by_row, k, groups, coef, rows.width, &some)
            ops.adam_where(&rows.w[by_row.rows[k], 0], &rows.m[by_row.rows[k], 0], &rows.v[by_row.rows[k], 0], some.g,
                           some.where, rows.width, &step.weights)
        else:
            sparse_gradient_row(by_row, k, groups, coef, &some)
            step_columns(rows, by_row.rows[k], step, &some)
        if rows.has_bias:
            rows.step_bias(by_row.rows[k], pairs_sum(by_row, k, coef, groups.lanes), step)


cdef inline int64_t columns_of_pairs(PairsByRow by_row, int64_t row, Groups groups) noexcept nogil:
    """Columns that the inputs of a touched row's groups have, those of several counted for each."""
    cdef int64_t k, n = 0
    for k in range(by_row.starts[row], by_row.starts[row] + by_row.counts[row]):
        n += columns_of(groups, by_row.group[k])
    return n


cdef inline void prefetch_row(Float32Rows rows, int64_t row) noexcept nogil:
    cdef int64_t n_bytes = rows.width * sizeof(float)
    prefetch_bytes(&rows.w[row, 0], n_bytes)
    prefetch_bytes(&rows.m[row, 0], n_bytes)
    prefetch_bytes(&rows.v[row, 0], n_bytes)


cdef void gradient_where(PairsByRow by_row, int64_t row, Groups groups, const float *coef, int64_t width,
                         ColumnScratch *some) noexcept nogil:
    """The gradient of a touched row in all columns, g, and which ones its groups have, where."""
    cdef int64_t k, j, d
    cdef const int32_t *cols
    memset(some.g, 0, width * sizeof(float))
    memset(some.where, 0, width * sizeof(float))
    for k in range(by_row.starts[row], by_row.starts[row] + by_row.counts[row]):
        d = columns_of(groups, by_row.group[k])
        cols = column_ids(groups, by_row.group[k])
        memset(some.part, 0, d * sizeof(float))
        ops.row_gradient(coef_of(by_row, k, coef, groups.lanes), inputs_of(groups, by_row.group[k]), groups.lanes, d,
                         some.part)
        for j in range(d):
            some.g[cols[j]] += some.part[j]
            some.where[cols[j]] = 1.0


cdef void sparse_gradient_row(PairsByRow by_row, int64_t row, Groups groups, const float *coef,
                              ColumnScratch *some) noexcept nogil:
    """The gradient of a touched row in the columns that its groups have.

    Those of the first pair come as they are; `place` finds those of the others.
    """
    cdef int64_t lanes = groups.lanes, first = by_row.starts[row], n = by_row.counts[row], j, k
    cdef int32_t group = by_row.group[first]
    cdef const int32_t *cols = column_ids(groups, group)
    some.n = columns_of(groups, group)
    for j in range(some.n):
        some.columns[j] = cols[j]
        some.g[j] = 0.0
    ops.row_gradient(coef_of(by_row, first, coef, lanes), inputs_of(groups, group), lanes, some.n, some.g)
    if n == 1:
        return
    for j in range(some.n):
        some.place[some.columns[j]] = <int32_t>j
    for k in range(first + 1, first + n):
        add_pair(groups, by_row.group[k], coef_of(by_row, k, coef, lanes), some)
    for j in range(some.n):
        some.place[some.columns[j]] = -1


cdef inline void add_pair(Groups groups, int32_t group, const float *coef, ColumnScratch *some) noexcept nogil:
    cdef int64_t d = columns_of(groups, group), j
    cdef const int32_t *cols = column_ids(groups, group)
    for j in range(d):
        some.part[j] = 0.0
    ops.row_gradient(coef, inputs_of(groups, group), groups.lanes, d, some.part)
    for j in range(d):
        if some.place[cols[j]] < 0:
            some.place[cols[j]] = <int32_t>some.n
            some.columns[some.n] = cols[j]
            some.g[some.n] = 0.0
            some.n += 1
        some.g[some.place[cols[j]]] += some.part[j]


cdef inline void step_columns(Float32Rows rows, int64_t row, const OptimizerStep *step,
                              ColumnScratch *some) noexcept nogil:
    """The optimizer on some columns of a row."""
    cdef float *w = &rows.w[row, 0]
    cdef int64_t j, n = some.n
    if rows.adam:
        adam_columns(w, &rows.m[row, 0], &rows.v[row, 0], step, some)
        return
    for j in range(n):
        some.w[j] = w[some.columns[j]]
    ops.sgd(some.w, some.g, n, step.weights.lr, step.weights.decay)
    for j in range(n):
        w[some.columns[j]] = some.w[j]


cdef inline void adam_columns(float *w, float *m, float *v, const OptimizerStep *step,
                              ColumnScratch *some) noexcept nogil:
    """All three rows come from memory at once."""
    cdef int64_t j, k, n = some.n
    for j in range(n):
        k = some.columns[j]
        some.w[j] = w[k]
        some.m[j] = m[k]
        some.v[j] = v[k]
    ops.adam(some.w, some.m, some.v, some.g, n, &step.weights)
    for j in range(n):
        k = some.columns[j]
        w[k] = some.w[j]
        m[k] = some.m[j]
        v[k] = some.v[j]


cdef inline float pairs_sum(PairsByRow by_row, int64_t row, const float *coef, int64_t lanes) noexcept nogil:
    """The gradient of a touched row's bias."""
    cdef float total = 0.0
    cdef int64_t k
    for k in range(by_row.starts[row], by_row.starts[row] + by_row.counts[row]):
        total += sum_coef(coef_of(by_row, k, coef, lanes), lanes)
    return total
