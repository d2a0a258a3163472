"""Twin of slide/_kernels/bandwidth.pyx: bandwidth of a machine."""

import numpy as np


def sum_rows(W, ids, ones, out):
    out += W[ids].reshape(len(out), len(ones), -1).sum(axis=1)


def scale_rows(w, m, v, ids, factor):
    for matrix in (w, m, v):
        matrix[ids] *= np.float32(factor)
