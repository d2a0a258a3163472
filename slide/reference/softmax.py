"""Twin of slide/_kernels/softmax.pyx: the softmax over active sets."""

import numpy as np

from slide.reference.forward import forward_rows, input_gradient_rows


def softmax_rows(W, bias, indptr, ids, x_indptr, x_cols, x, weights, label_ptr, slots, group_size, scale, smooth):
    """(delta, dx, loss): softmax over each group's active set against targets spread evenly over the labels.

    An active neuron counts weights[a] times, once where there are no weights; scale (n,): the factor of each sample.
    """
    weights = weights if len(weights) else np.ones(len(ids))
    z = forward_rows(W, bias, indptr, ids, x_indptr, x_cols, x, False)
    n = len(label_ptr) - 1
    delta, loss = np.zeros_like(z), np.zeros(n)
    for i in range(n):
        g, s = divmod(i, group_size)
        mine = slots[label_ptr[i] : label_ptr[i + 1]]
        if len(mine) == 0:
            continue
        logits = z[indptr[g] : indptr[g + 1], s]
        count = weights[indptr[g] : indptr[g + 1]]
        p = count * np.exp(logits - logits.max())
        p /= p.sum()
        target = smooth * count / count.sum()
        target[mine] += (1 - smooth) / len(mine)
        delta[indptr[g] : indptr[g + 1], s] = scale[i] * (p - target)
        loss[i] = -np.log(p[mine] + 1e-38).mean()
    return delta, input_gradient_rows(W, indptr, ids, x_indptr, x_cols, delta), loss


def open_rows(W, bias, indptr, ids, x_indptr, x_cols, x, weights, label_ptr, slots, group_size):
    """(sums (3, n), mass (groups,)) of one owner's rows of active sets: of each sample the largest logit, the sum of
    exponentials less that, and the sum of its labels' logits, as often as neurons count; of each group its weights."""
    weights = weights if len(weights) else np.ones(len(ids))
    z = forward_rows(W, bias, indptr, ids, x_indptr, x_cols, x, False)
    n = len(label_ptr) - 1
    sums = np.zeros((3, n))
    for i in range(n):
        g, s = divmod(i, group_size)
        logits, count = z[indptr[g] : indptr[g + 1], s], weights[indptr[g] : indptr[g + 1]]
        top = logits.max(initial=-3e38)
        mine = slots[label_ptr[i] : label_ptr[i + 1]]
        sums[:, i] = top, (count * np.exp(logits - top)).sum(), (logits + np.log(count))[mine].sum()
    return sums, np.array([weights[low:high].sum() for low, high in zip(indptr[:-1], indptr[1:], strict=True)])


def close_rows(
    W, bias, indptr, ids, x_indptr, x_cols, x, weights, label_ptr, slots, group_size, counts, scale, smooth, sums, mass
):
    """(delta, dx, loss) of one owner's rows: sums and mass are those of all owners, counts (n,) all labels."""
    weights = weights if len(weights) else np.ones(len(ids))
    z = forward_rows(W, bias, indptr, ids, x_indptr, x_cols, x, False)
    delta, loss = np.zeros_like(z), np.zeros(len(counts))
    for i in np.flatnonzero(counts):
        g, s = divmod(i, group_size)
        count = weights[indptr[g] : indptr[g + 1]]
        target = smooth * count / mass[g]
        target[slots[label_ptr[i] : label_ptr[i + 1]]] += (1 - smooth) / counts[i]
        p = count * np.exp(z[indptr[g] : indptr[g + 1], s] - sums[0, i]) / sums[1, i]
        delta[indptr[g] : indptr[g + 1], s] = scale[i] * (p - target)
        loss[i] = np.log(sums[1, i]) + sums[0, i] - sums[2, i] / counts[i]
    return delta, input_gradient_rows(W, indptr, ids, x_indptr, x_cols, delta), loss
