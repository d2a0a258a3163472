# The gradient of inputs tile by tile, for stages that have deltas at hand.
from libc.stdint cimport int64_t

from slide._kernels.groups cimport Groups, Tile
from slide._kernels.weights cimport WeightRows


cdef int64_t partial_size(Groups groups) noexcept nogil
cdef void zero_group(Groups groups, int64_t group, float *dx) noexcept nogil
cdef void gradient_tile(WeightRows rows, Groups groups, const Tile *tile, const float *delta, float *dx, float *partial,
                        float *room) noexcept nogil
cdef void add_partials(Groups groups, const float *partial, float *dx, int threads) noexcept nogil
