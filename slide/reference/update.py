"""Twin of slide/_kernels/update.pyx, hogwild.pyx and optimizer.pyx: gradients of rows, and the optimizer."""

import numpy as np

from slide.reference.bfloat16 import narrow_row, widen
from slide.reference.forward import columns_of
from slide.reference.transpose import transpose_rows


def update_rows(indptr, ids, coef, x_indptr, x_cols, x, w, m, v, bias, use_adam, hyper, seed=0, step=0):
    """Gradient and optimizer of every touched row, in place; of sparse inputs only the columns of its groups.

    Weights, and moments, may be the bits of bfloat16 (uint16): seed and step say how they are rounded.
    """
    wide = [widen(a) if a.dtype == np.uint16 else a for a in (w, m, v)]
    for r, pairs in transpose_rows(indptr, ids).items():
        grad, columns = gradient_row(pairs, coef, x_indptr, x_cols, x, w.shape[1])
        step_row(r, grad, columns, *wide, use_adam, hyper)
        bias_grad = sum(coef[pair].sum() for pair, _ in pairs)
        step_row(r, bias_grad, slice(None), *bias[:, :, None], use_adam, (*hyper[:4], 0.0))
        if w.dtype == np.uint16:
            narrow_row(r, *wide, w, m, v, seed, step)


def gradient_row(pairs, coef, x_indptr, x_cols, x, width):
    """(gradient of a row, which columns its groups have)"""
    lanes, grad, columns = coef.shape[1], np.zeros(width), np.zeros(width, bool)
    for pair, g in pairs:
        a, b = x_indptr[g], x_indptr[g + 1]
        inputs = x[a * lanes : b * lanes].reshape(lanes, b - a)
        grad[columns_of(x_cols, a, b)] += coef[pair] @ inputs
        columns[columns_of(x_cols, a, b)] = True
    return grad[columns], columns


def step_row(r, grad, columns, w, m, v, use_adam, hyper):
    """The optimizer on some columns of row r, in place."""
    lr, decay = hyper[0], hyper[4]
    if not use_adam:
        w[r, columns] = (1 - decay) * w[r, columns] - lr * grad
        return
    entries = [w[r, columns], m[r, columns], v[r, columns]]
    adam(*entries, grad, *hyper)
    w[r, columns], m[r, columns], v[r, columns] = entries


def adam(w, m, v, g, lr, beta1, beta2, eps, decay):
    """One step of Adam in place; lr and eps carry the bias corrections, decay = learning rate * weight decay."""
    m[...] = beta1 * m + (1 - beta1) * g
    v[...] = beta2 * v + (1 - beta2) * g * g
    w[...] = (1 - decay) * w - lr * m / (np.sqrt(v) + eps)
