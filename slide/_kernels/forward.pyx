"""The group's side of a sampled layer: logits of its active rows, the softmax over them, gradients of its inputs.

One thread has a group, or some of its lanes where there are fewer groups than threads: what a lane gets is the same.
Blocks are lane blocks (see lanes.pyx): `x` the inputs, whose group g owns rows
x_indptr[g]:x_indptr[g + 1] and columns x_cols of them (empty: all columns in order); `out` and `delta` the active
neurons, rows indptr[g]:indptr[g + 1].
"""

from cython.parallel cimport prange
from libc.math cimport logf
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from slide._kernels.vec cimport ops

cdef enum:
    MOST = 256  # lanes that a softmax has at once, whole blocks


cdef inline void logits_part(const float *W, int64_t stride, const float *bias, const int32_t *ids, int64_t n,
                             const int32_t *cols, int64_t d, const float *x, const Part *part,
                             float *out) noexcept nogil:
    if part.ld == 1:
        ops.row_logits(W, stride, bias, ids, n, cols, d, x, out)
    else:
        ops.lane_logits(W, stride, bias, ids, n, cols, d, x + part.lane, out + part.lane, part.lanes, part.ld)


cdef inline void input_gradient_part(const float *W, int64_t stride, const int32_t *ids, int64_t n,
                                     const int32_t *cols, int64_t d, const float *delta, const Part *part,
                                     float *dx) noexcept nogil:
    zero_part(dx, d, part)
    if part.ld == 1:
        ops.row_input_gradient(W, stride, ids, n, cols, d, delta, dx)
    else:
        ops.lane_input_gradient(W, stride, ids, n, cols, d, delta + part.lane, dx + part.lane, part.lanes, part.ld)


cdef void zero_part(float *x, int64_t n, const Part *part) noexcept nogil:
    cdef int64_t j
    for j in range(n):
        memset(x + j * part.ld + part.lane, 0, part.lanes * sizeof(float))


cdef inline float add_log_weights(float *z, const float *weights, int64_t n, int64_t lanes,
                                  int64_t width) noexcept nogil:
    """Adds the logarithm of each row's weight to `width` lanes of z; returns the sum of the weights."""
    cdef float total = 0.0, more
    cdef int64_t a, s
    for a in range(n):
        total += weights[a]
        more = logf(weights[a]) if weights[a] != 1.0 else <float>0.0
        for s in range(width):
            z[a * lanes + s] += more
    return total


cdef void softmax_lanes(float *z, int64_t n, int64_t ld, int64_t lanes, const float *weights, const int32_t *slots,
                        const int64_t *label_ptr, int64_t m, float scale, float smooth, float *loss) noexcept nogil:
    """Logits z of m samples become their deltas scale * (softmax - target); a sample without labels gets none.

    An active neuron counts as often as its weight says, NULL: once. The target is (1 - smooth) / n_labels for each
    label, and smooth in proportion to the weights for all n active neurons. z has one lane, or up to MOST of a block
    of ld, of which the first m have samples.
    """
    cdef float[MOST] top
    cdef float[MOST] total
    cdef float[MOST] factor
    cdef float[MOST] even
    cdef float mass = n
    cdef int64_t s
    if weights != NULL:
        mass = add_log_weights(z, weights, n, ld, lanes)
    if ld == 1:
        total[0] = ops.row_exp(z, n, ops.row_max(z, n))
    else:
        ops.lane_exp(z, ld, n, lanes, top, total)
    for s in range(lanes):
        factor[s] = 0.0
        even[s] = 0.0
        if s < m:
            loss[s] = loss_row(z + s, ld, slots, label_ptr[s], label_ptr[s + 1], total[s])
            if label_ptr[s + 1] > label_ptr[s]:
                factor[s] = scale / total[s]
                even[s] = scale * smooth / mass
    if ld == 1:
        row_deltas(z, n, weights, factor[0], even[0])
    else:
        ops.lane_deltas(z, ld, n, lanes, weights, factor, even)
    for s in range(m):
        subtract_target(z + s, ld, slots, label_ptr[s], label_ptr[s + 1], scale * (1 - smooth))


cdef void row_deltas(float *z, int64_t n, const float *weights, float factor, float even) noexcept nogil:
    cdef int64_t a
    for a in range(n):
        z[a] = z[a] * factor - even * (weights[a] if weights != NULL else 1)


cdef void softmax_part(float *z, int64_t n, const Part *part, const float *weights, const int32_t *slots,
                       const int64_t *label_ptr, int64_t m, float scale, float smooth, float *loss) noexcept nogil:
    """As softmax_lanes for a part of a group of m samples, all of whose logits are z."""
    cdef int64_t low = part.lane, end = part.lane + part.lanes, lanes
    while low < end:
        lanes = min(end - low, <int64_t>MOST)
        softmax_lanes(z + low, n, part.ld, lanes, weights, slots, label_ptr + low,
                      max(min(m - low, lanes), <int64_t>0), scale, smooth, loss + low)
        low += lanes


cdef inline float loss_row(const float *e, int64_t lanes, const int32_t *slots, int64_t low, int64_t high,
                           float total) noexcept nogil:
    """Mean cross entropy over the labels low:high of one sample, from exponentials e and their sum."""
    cdef float loss = 0.0
    cdef int64_t k
    for k in range(low, high):
        loss -= logf(e[slots[k] * lanes] / total + <float>1e-38)
    return loss / (high - low) if high > low else loss


cdef inline void subtract_target(float *delta, int64_t lanes, const int32_t *slots, int64_t low, int64_t high,
                                 float mass) noexcept nogil:
    cdef int64_t k
    for k in range(low, high):
        delta[slots[k] * lanes] -= mass / (high - low)


cdef void relu_part(float *x, int64_t n, const Part *part) noexcept nogil:
    cdef int64_t a, k
    for a in range(n):
        for k in range(a * part.ld + part.lane, a * part.ld + part.lane + part.lanes):
            x[k] = max(x[k], <float>0.0)


def forward_rows(const float[:, ::1] W, const float[::1] bias, const int64_t[::1] indptr, const int32_t[::1] ids,
                 const int64_t[::1] x_indptr, const int32_t[::1] x_cols, const float[:, ::1] x, bint relu,
                 float[:, ::1] out, int threads):
    """out[a] = W[ids[a], x_cols] . x + bias[ids[a]] for the active neurons a of every group, then ReLU if asked."""
    cdef int64_t n_groups = indptr.shape[0] - 1, ld = out.shape[1], stride = W.shape[1], g, k, n, d
    cdef int64_t lanes = lanes_a_part(n_groups, ld, threads)
    cdef bint sparse = x_cols.shape[0] > 0
    cdef Part part
    for k in prange(n_groups * parts_a_group(lanes, ld), nogil=True, num_threads=threads, schedule="dynamic"):
        part = part_of_group(k, lanes, ld)
        g = part.group
        n = indptr[g + 1] - indptr[g]
        d = x_indptr[g + 1] - x_indptr[g]
        logits_part(&W[0, 0], stride, &bias[0], &ids[indptr[g]], n, &x_cols[x_indptr[g]] if sparse else NULL, d,
                    &x[x_indptr[g], 0], &part, &out[indptr[g], 0])
        if relu:
            relu_part(&out[indptr[g], 0], n, &part)


def input_gradient_rows(const float[:, ::1] W, const int64_t[::1] indptr, const int32_t[::1] ids,
                        const int64_t[::1] x_indptr, const int32_t[::1] x_cols, const float[:, ::1] delta,
                        float[:, ::1] dx, int threads):
    """dx[j] = sum_a W[ids[a], x_cols[j]] * delta[a] for every group."""
    cdef int64_t n_groups = indptr.shape[0] - 1, ld = delta.shape[1], stride = W.shape[1], g, k, d
    cdef int64_t lanes = lanes_a_part(n_groups, ld, threads)
    cdef bint sparse = x_cols.shape[0] > 0
    cdef Part part
    for k in prange(n_groups * parts_a_group(lanes, ld), nogil=True, num_threads=threads, schedule="dynamic"):
        part = part_of_group(k, lanes, ld)
        g = part.group
        d = x_indptr[g + 1] - x_indptr[g]
        input_gradient_part(&W[0, 0], stride, &ids[indptr[g]], indptr[g + 1] - indptr[g],
                            &x_cols[x_indptr[g]] if sparse else NULL, d, &delta[indptr[g], 0], &part,
                            &dx[x_indptr[g], 0])


def softmax_rows(const float[:, ::1] W, const float[::1] bias, const int64_t[::1] indptr, const int32_t[::1] ids,
                 const int64_t[::1] x_indptr, const int32_t[::1] x_cols, const float[:, ::1] x,
                 const float[::1] weights, const int64_t[::1] label_ptr, const int32_t[::1] slots,
                 int64_t group_size, float scale, float smooth, float[:, ::1] delta, float[:, ::1] dx, float[::1] loss,
                 int threads):
    """Forward, softmax over the active set, output deltas and input gradients of every group, in one visit.

    While a group is worked on, its active rows stay in a cache: they are read from memory once.
    weights[a], where there are any, says how many neurons the active neuron a stands for in the softmax. `slots[k]` is
    the place of label entry k in its group's active set; the target is (1 - smooth) / (number of labels) each, and
    smooth spread over the active set by its weights. A dx without rows is not computed.
    """
    cdef int64_t n_groups = indptr.shape[0] - 1, ld = delta.shape[1], stride = W.shape[1]
    cdef int64_t lanes = lanes_a_part(n_groups, ld, threads), n_samples = loss.shape[0], g, k, n, d, first
    cdef bint sparse = x_cols.shape[0] > 0
    cdef const int32_t *cols
    cdef const int32_t *label_slots = &slots[0] if slots.shape[0] > 0 else NULL
    cdef float *z
    cdef Part part
    for k in prange(n_groups * parts_a_group(lanes, ld), nogil=True, num_threads=threads, schedule="dynamic"):
        part = part_of_group(k, lanes, ld)
        g = part.group
        n = indptr[g + 1] - indptr[g]
        d = x_indptr[g + 1] - x_indptr[g]
        first = g * group_size
        cols = &x_cols[x_indptr[g]] if sparse else NULL
        z = &delta[indptr[g], 0]
        logits_part(&W[0, 0], stride, &bias[0], &ids[indptr[g]], n, cols, d, &x[x_indptr[g], 0], &part, z)
        softmax_part(z, n, &part, &weights[indptr[g]] if weights.shape[0] > 0 else NULL, label_slots,
                     &label_ptr[first], min(group_size, n_samples - first), scale, smooth, &loss[first])
        if dx.shape[0] > 0:
            input_gradient_part(&W[0, 0], stride, &ids[indptr[g]], n, cols, d, z, &part, &dx[x_indptr[g], 0])
