"""Twin of slide/_kernels/full.pyx: the full softmax."""

import numpy as np


def full_softmax(x, W, bias, label_ptr, labels, scale, smooth):
    """(delta, dx, loss) with every neuron active; delta is n x n_neurons."""
    z = x @ W.T + bias
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    delta, loss = np.zeros_like(p), np.zeros(len(x))
    for i in range(len(x)):
        mine = labels[label_ptr[i] : label_ptr[i + 1]]
        if len(mine) == 0:
            continue
        target = np.full(len(W), smooth / len(W))
        target[mine] += (1 - smooth) / len(mine)
        delta[i] = scale * (p[i] - target)
        loss[i] = -np.log(p[i, mine]).mean()
    return delta, delta @ W, loss
