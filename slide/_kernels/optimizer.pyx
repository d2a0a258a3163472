"""The optimizer's step on whole arrays, for layers whose every weight has a gradient."""

from cython.parallel cimport prange
from libc.stdint cimport int64_t


def step_rows(float[:, ::1] w, float[:, ::1] m, float[:, ::1] v, const float[:, ::1] g, bint adam, tuple hyper,
              int threads):
    """Applies the gradient g (same shape as w) to w and its moments; m and v have no rows with SGD."""
    cdef OptimizerStep step = step_of(adam, hyper)
    cdef int64_t i, width = w.shape[1]
    for i in prange(w.shape[0], nogil=True, num_threads=threads, schedule="static"):
        step_weights(&w[i, 0], &m[i, 0], &v[i, 0], &g[i, 0], width, adam, &step.weights)
