# One step of the optimizer: its settings, and the step of a single weight or of some side by side.
from libc.math cimport sqrtf
from libc.stdint cimport int64_t, uint64_t

from slide._kernels.prefetch cimport prefetch_write_l2
from slide._kernels.simd.vec cimport MOST_AHEAD, AdamStep, Ahead, ops


cdef struct OptimizerStep:
    bint adam
    AdamStep weights
    AdamStep biases   # without decay
    uint64_t seed     # of what is rounded at random
    uint64_t number   # of the step, from 1


cdef inline OptimizerStep step_of(bint adam, tuple hyper, uint64_t seed=0, uint64_t number=0):
    """hyper is (lr, beta1, beta2, eps, decay), the bias corrections of Adam in lr and eps."""
    cdef OptimizerStep step
    step.adam, step.seed, step.number = adam, seed, number
    step.weights.lr, step.weights.beta1, step.weights.beta2, step.weights.eps, step.weights.decay = hyper
    step.biases = step.weights
    step.biases.decay = 0.0
    return step


cdef inline void step_weights(float *w, float *m, float *v, const float *g, int64_t n, bint adam,
                              const AdamStep *p) noexcept nogil:
    """n weights side by side; m and v are not read where the optimizer is SGD."""
    if adam:
        ops.adam(w, m, v, g, n, p)
    else:
        ops.sgd(w, g, n, p.lr, p.decay)


cdef inline void step_weight(float *w, float *m, float *v, float g, bint adam, const AdamStep *p) noexcept nogil:
    if adam:
        m[0] = p.beta1 * m[0] + (1 - p.beta1) * g
        v[0] = p.beta2 * v[0] + (1 - p.beta2) * (g * g)
        w[0] = (1 - p.decay) * w[0] - p.lr * m[0] / (sqrtf(v[0]) + p.eps)
    else:
        w[0] = (1 - p.decay) * w[0] - p.lr * g


cdef inline void prefetch_bytes(const void *p, int64_t n_bytes) noexcept nogil:
    """All of it at once, where no other work is at hand."""
    cdef int64_t j
    for j in range(0, n_bytes, 64):
        prefetch_write_l2(<const char *>p + j)


cdef inline void add_ahead(Ahead *ahead, const void *at, int64_t n_bytes) noexcept nogil:
    """Notes a piece of memory, to be prefetched line by line beside other work."""
    if ahead.n < MOST_AHEAD:
        ahead.at[ahead.n] = <const char *>at
        ahead.left[ahead.n] = (n_bytes + 63) // 64
        ahead.lines += ahead.left[ahead.n]
        ahead.n += 1


cdef inline float sum_coef(const float *c, int64_t lanes) noexcept nogil:
    """What one pair adds to the gradient of its row's bias."""
    cdef float total = 0.0
    cdef int64_t s
    for s in range(lanes):
        total += c[s]
    return total
