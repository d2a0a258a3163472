"""Rows of weights, and moments if asked, that are stored as bfloat16: the upper half of a float32.

Memory holds 16 bits, arithmetic is float32 all the same: forward, rows are widened some at a time, which stay in the
cache while all lanes pass, and products and sums are those of float32 rows in their order, so that results are bit for
bit those of float32 on the same weights. (Where the processor multiplies bfloat16, logits come from its products
instead.) A row that is updated is widened, stepped as ever and narrowed again.

What is narrowed: weights and second moments at random (Gupta et al. 2015, "Deep learning with limited numerical
precision"). They grow by less than the 2**-9 of themselves that rounding to the nearest keeps (1 - beta2 is 2**-10),
so to the nearest they would stand still; at random the mean is right. First moments move by a tenth of their distance
to the gradient and are rounded to the nearest. The random bits are a function of (seed, step, row, column).

Inputs are dense; bits are uint16.
"""

from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t, uint16_t, uint64_t

from slide._kernels.groups cimport Groups, Tile, ids_of, inputs_of
from slide._kernels.optimizer cimport OptimizerStep, add_ahead, prefetch_bytes
from slide._kernels.prefetch cimport prefetch_read_l2
from slide._kernels.rng cimport key
from slide._kernels.simd.vec cimport N_LANES, TILE_ROWS, Ahead, ops
from slide._kernels.weights cimport WeightRows

cdef int32_t[TILE_ROWS] IN_ORDER  # the ids of rows side by side
for _place in range(TILE_ROWS):
    IN_ORDER[_place] = _place


def widen_rows(const uint16_t[:, ::1] bits, float[:, ::1] out, int threads):
    cdef int64_t i, n = bits.shape[0], d = bits.shape[1]
    if d == 0:
        return
    for i in prange(n, nogil=True, num_threads=threads, schedule="static"):
        ops.widen(&bits[i, 0], d, &out[i, 0])


def narrow_rows(const float[:, ::1] x, uint16_t[:, ::1] out, int threads):
    """To the nearest, ties to even."""
    cdef int64_t i, n = x.shape[0], d = x.shape[1]
    if d == 0:
        return
    for i in prange(n, nogil=True, num_threads=threads, schedule="static"):
        ops.narrow(&x[i, 0], d, &out[i, 0])


def room_size(int64_t width):
    """Floats that a thread needs beside rows of this width: widened rows and their biases."""
    return TILE_ROWS * (width + 1)


cdef class BFloat16Rows(WeightRows):
    """As Float32Rows, of w as bits and m and v as bits or float32. Every row has a bias."""

    cdef uint16_t[:, ::1] w
    cdef float[:, ::1] m
    cdef float[:, ::1] v
    cdef uint16_t[:, ::1] m_bits
    cdef uint16_t[:, ::1] v_bits
    cdef bint narrow_moments

    def __init__(self, w, m, v, bias):
        self.arrays = w, m, v, bias
        self.width, self.adam, self.has_bias = w.shape[1], m.shape[0] > 0, True
        self.narrow_moments = m.itemsize == sizeof(uint16_t)
        self.w, self.bias = w, bias
        if self.narrow_moments:
            self.m_bits, self.v_bits = m, v
        else:
            self.m, self.v = m, v

    cdef void logits(self, Groups groups, const Tile *tile, float *room, float *out) noexcept nogil:
        cdef int64_t d = self.width, lanes = groups.lanes, low = 0, n, block, lane, k
        cdef const int32_t *ids = ids_of(groups, tile)
        cdef const float *x = inputs_of(groups, tile.group)
        cdef float *bias = room + TILE_ROWS * d
        if lanes > 1 and ops.lane_logits_bfloat16 != NULL:
            for block in range(lanes // N_LANES):
                lane = block * N_LANES
                ops.lane_logits_bfloat16(&self.w[0, 0], d, &self.bias[0, 0], ids, tile.n, x + lane, out + lane, lanes)
            return
        while low < tile.n:
            n = self.widen_tile(groups, tile, low, room)
            for k in range(n):
                bias[k] = self.bias[0, ids[low + k]]
            if lanes == 1:
                ops.row_logits(room, d, bias, IN_ORDER, n, NULL, d, x, out + low)
            else:
                ops.lane_logits(room, d, bias, IN_ORDER, n, 0, NULL, d, x, out + low * lanes, lanes)
            low += n

    cdef void add_input_gradient(self, Groups groups, const Tile *tile, const float *delta, float *room,
                                 float *dx) noexcept nogil:
        cdef int64_t d = self.width, lanes = groups.lanes, low = 0, n
        while low < tile.n:
            n = self.widen_tile(groups, tile, low, room)
            if lanes == 1:
                ops.row_input_gradient(room, d, IN_ORDER, n, NULL, d, delta + low, dx)
            else:
                ops.lane_input_gradient(room, d, IN_ORDER, n, 0, NULL, d, delta + low * lanes, dx, lanes)
            low += n

    cdef int64_t widen_tile(self, Groups groups, const Tile *tile, int64_t low, float *room) noexcept nogil:
        """Rows of a tile from `low` on, TILE_ROWS at most, as float32 side by side; returns how many.

        Asks for as many after them, which come from memory while these are worked on.
        """
        cdef int64_t d = self.width, n = min(tile.n - low, <int64_t>TILE_ROWS), k, j
        cdef const int32_t *ids = ids_of(groups, tile) + low
        for k in range(n):
            if k + TILE_ROWS < tile.n - low + tile.following:
                for j in range(0, d, 32):  # a cache line
                    prefetch_read_l2(&self.w[ids[k + TILE_ROWS], j])
            ops.widen(&self.w[ids[k], 0], d, room + k * d)
        return n

    cdef void plan_prefetch(self, int64_t row, Ahead *ahead) noexcept nogil:
        cdef int64_t d = self.width
        add_ahead(ahead, &self.w[row, 0], d * sizeof(uint16_t))
        if self.adam and self.narrow_moments:
            add_ahead(ahead, &self.m_bits[row, 0], d * sizeof(uint16_t))
            add_ahead(ahead, &self.v_bits[row, 0], d * sizeof(uint16_t))
        elif self.adam:
            add_ahead(ahead, &self.m[row, 0], d * sizeof(float))
            add_ahead(ahead, &self.v[row, 0], d * sizeof(float))
        self.prefetch_bias(row)

    cdef void step(self, int64_t row, const float *g, float bias_g, const OptimizerStep *step, float *room,
                   int64_t next_row) noexcept nogil:
        cdef int64_t d = self.width
        cdef uint64_t stream = key(step.seed, step.number, row)
        if next_row >= 0:
            prefetch_bytes(&self.w[next_row, 0], d * sizeof(uint16_t))
        if not self.adam:
            ops.widen(&self.w[row, 0], d, room)
            ops.sgd(room, g, d, step.weights.lr, step.weights.decay)
            ops.narrow_at_random(room, d, stream, 0, &self.w[row, 0])
        elif self.narrow_moments:
            ops.adam_bfloat16_moments(&self.w[row, 0], &self.m_bits[row, 0], &self.v_bits[row, 0], g, d,
                                      &step.weights, stream)
        else:
            ops.adam_bfloat16(&self.w[row, 0], &self.m[row, 0], &self.v[row, 0], g, d, &step.weights, stream)
        self.step_bias(row, bias_g, step)
