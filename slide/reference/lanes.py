"""Twin of slide/_kernels/lanes.pyx: lane blocks."""

import numpy as np


def pack_rows(x, group_size, lanes):
    """(n, d) rows as the blocks of their groups: out[g * d + j, s] = x[g * group_size + s, j]."""
    n, d = x.shape
    n_groups = -(-n // group_size)
    out = np.zeros((n_groups * d, lanes), np.float32)
    for g in range(n_groups):
        part = x[g * group_size : (g + 1) * group_size]
        out[g * d : (g + 1) * d, : len(part)] = part.T
    return out


def unpack_rows(block, group_size, n, d):
    """The inverse of pack_rows."""
    return np.array([block[i // group_size * d : (i // group_size + 1) * d, i % group_size] for i in range(n)])


def sample_major_rows(indptr, block):
    """Each group's (columns x lanes) block as lanes x columns, flat."""
    return np.concatenate([block[a:b].T.ravel() for a, b in zip(indptr[:-1], indptr[1:], strict=True)])
