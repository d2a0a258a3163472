"""The rows of a layer's weights: what stages do with a few of them at a time.

The forward stages multiply the rows of a tile (see groups.pxd) by the inputs of its group; the update stage takes one
row after the other. Each number format is a class with these operations: float32 here, bfloat16 in bfloat16.pyx.
"""

from libc.stdint cimport int32_t

from slide._kernels.groups cimport column_ids, columns_of, ids_of, inputs_of
from slide._kernels.optimizer cimport add_ahead, prefetch_bytes, step_weight, step_weights
from slide._kernels.prefetch cimport prefetch_write_l2
from slide._kernels.simd.vec cimport ops


cdef class WeightRows:
    """What all formats share: biases (3 x rows: value and moments, no rows where there are none) are float32."""

    def __reduce__(self):
        return type(self), self.arrays

    cdef void logits(self, Groups groups, const Tile *tile, float *room, float *out) noexcept nogil:
        """out (rows x lanes): the logits of a tile's rows. room: of one thread, as much as the format asks for."""
        pass

    cdef void add_input_gradient(self, Groups groups, const Tile *tile, const float *delta, float *room,
                                 float *dx) noexcept nogil:
        """dx (columns x lanes) += what comes of the deltas (rows x lanes) of a tile's rows."""
        pass

    cdef void plan_prefetch(self, int64_t row, Ahead *ahead) noexcept nogil:
        """Notes a row's weights and moments, to be prefetched beside other work."""
        pass

    cdef void step(self, int64_t row, const float *g, float bias_g, const OptimizerStep *step, float *room,
                   int64_t next_row) noexcept nogil:
        """The optimizer on a row, whose gradient is g. room: a row. next_row, unless negative, is prefetched."""
        pass

    cdef void prefetch_bias(self, int64_t row) noexcept nogil:
        if self.has_bias:
            prefetch_write_l2(&self.bias[0, row])
            prefetch_write_l2(&self.bias[1, row])
            prefetch_write_l2(&self.bias[2, row])

    cdef void step_bias(self, int64_t row, float bias_g, const OptimizerStep *step) noexcept nogil:
        if self.has_bias:
            step_weight(&self.bias[0, row], &self.bias[1, row], &self.bias[2, row], bias_g, step.adam, &step.biases)


cdef class Float32Rows(WeightRows):
    """Of the arrays w, m and v (rows x width), m and v without rows where the optimizer is SGD, and bias."""

    def __init__(self, w, m, v, bias):
        self.arrays = w, m, v, bias
        self.w, self.m, self.v, self.bias = w, m, v, bias
        self.width, self.adam, self.has_bias = w.shape[1], m.shape[0] > 0, bias.shape[0] > 0

    cdef void logits(self, Groups groups, const Tile *tile, float *room, float *out) noexcept nogil:
        cdef int64_t d = columns_of(groups, tile.group), lanes = groups.lanes
        cdef const float *x = inputs_of(groups, tile.group)
        cdef const float *bias = &self.bias[0, 0]
        cdef const int32_t *ids = ids_of(groups, tile)
        cdef const int32_t *cols = column_ids(groups, tile.group)
        if lanes == 1:
            ops.row_logits(&self.w[0, 0], self.width, bias, ids, tile.n, cols, d, x, out)
        else:
            ops.lane_logits(&self.w[0, 0], self.width, bias, ids, tile.n, tile.following, cols, d, x, out, lanes)

    cdef void add_input_gradient(self, Groups groups, const Tile *tile, const float *delta, float *room,
                                 float *dx) noexcept nogil:
        cdef int64_t d = columns_of(groups, tile.group), lanes = groups.lanes
        cdef const int32_t *ids = ids_of(groups, tile)
        cdef const int32_t *cols = column_ids(groups, tile.group)
        if lanes == 1:
            ops.row_input_gradient(&self.w[0, 0], self.width, ids, tile.n, cols, d, delta, dx)
        else:
            ops.lane_input_gradient(&self.w[0, 0], self.width, ids, tile.n, tile.following, cols, d, delta, dx, lanes)

    cdef void plan_prefetch(self, int64_t row, Ahead *ahead) noexcept nogil:
        cdef int64_t n_bytes = self.width * sizeof(float)
        add_ahead(ahead, &self.w[row, 0], n_bytes)
        if self.adam:
            add_ahead(ahead, &self.m[row, 0], n_bytes)
            add_ahead(ahead, &self.v[row, 0], n_bytes)
        self.prefetch_bias(row)

    cdef void step(self, int64_t row, const float *g, float bias_g, const OptimizerStep *step, float *room,
                   int64_t next_row) noexcept nogil:
        if self.adam and next_row >= 0:
            ops.adam_ahead(&self.w[row, 0], &self.m[row, 0], &self.v[row, 0], g, self.width, &step.weights,
                           &self.w[next_row, 0], &self.m[next_row, 0], &self.v[next_row, 0])
        else:
            if next_row >= 0:
                prefetch_bytes(&self.w[next_row, 0], self.width * sizeof(float))
            step_weights(&self.w[row, 0], &self.m[row, 0], &self.v[row, 0], g, self.width, self.adam, &step.weights)
        self.step_bias(row, bias_g, step)
