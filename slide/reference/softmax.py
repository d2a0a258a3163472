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
