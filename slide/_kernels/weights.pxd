# The rows of a layer's weights as stages see them, whatever their number format.
from libc.stdint cimport int64_t

from slide._kernels.groups cimport Groups, Tile
from slide._kernels.optimizer cimport OptimizerStep
from slide._kernels.simd.vec cimport Ahead


cdef class WeightRows:
    cdef readonly tuple arrays  # what it was made of
    cdef int64_t width
    cdef bint adam
    cdef bint has_bias
    cdef float[:, ::1] bias

    cdef void logits(self, Groups groups, const Tile *tile, float *room, float *out) noexcept nogil
    cdef void add_input_gradient(self, Groups groups, const Tile *tile, const float *delta, float *room,
                                 float *dx) noexcept nogil
    cdef void plan_prefetch(self, int64_t row, Ahead *ahead) noexcept nogil
    cdef void step(self, int64_t row, const float *g, float bias_g, const OptimizerStep *step, float *room,
                   int64_t next_row) noexcept nogil
    cdef void prefetch_bias(self, int64_t row) noexcept nogil
    cdef void step_bias(self, int64_t row, float bias_g, const OptimizerStep *step) noexcept nogil


cdef class Float32Rows(WeightRows):
    cdef float[:, ::1] w
    cdef float[:, ::1] m
    cdef float[:, ::1] v
