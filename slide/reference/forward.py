"""Twin of slide/_kernels/forward.pyx: logits of active neurons, and what their gradients are for the inputs."""

import numpy as np


def columns_of(x_cols, a, b):
    return x_cols[a:b] if len(x_cols) or a == b else slice(None)


def forward_rows(W, bias, indptr, ids, x_indptr, x_cols, x, relu):
    """Logits (or ReLU activations) of every group's active neurons, (entries x lanes)."""
    out = np.zeros((len(ids), x.shape[1]))
    for g in range(len(indptr) - 1):
        active = ids[indptr[g] : indptr[g + 1]]
        a, b = x_indptr[g], x_indptr[g + 1]
        out[indptr[g] : indptr[g + 1]] = W[active][:, columns_of(x_cols, a, b)] @ x[a:b] + bias[active, None]
    return np.maximum(out, 0) if relu else out


def input_gradient_rows(W, indptr, ids, x_indptr, x_cols, delta):
    out = np.zeros((x_indptr[-1], delta.shape[1]))
    for g in range(len(indptr) - 1):
        active, a, b = ids[indptr[g] : indptr[g + 1]], x_indptr[g], x_indptr[g + 1]
        out[a:b] = W[active][:, columns_of(x_cols, a, b)].T @ delta[indptr[g] : indptr[g + 1]]
    return out
