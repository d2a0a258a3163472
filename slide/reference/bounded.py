"""The rows of weights whose logit may reach a floor, in plain NumPy."""

import numpy as np

from slide.reference.screen import decode_blocks


def bounded_rows(first, codes, scale, shift, ids, residual, length, edges, inputs, scores, limits):
    """[(ids of the rows that may, rising, blocks screened)] of each input, decoded, and its limits (3,)."""
    rows, out = decode_blocks(codes, scale), []
    cluster = np.repeat(np.arange(len(first) - 1), np.diff(first))
    for x, own, (norm, coding, floor) in zip(inputs, scores, limits, strict=True):
        base = own[cluster].astype(float)
        blocks = ~(base + edges[:, 1] + norm * edges[:, 0] < floor)
        z = (rows @ x).reshape(ids.shape) + shift + base[:, None]
        may = ~(z + norm * residual + coding * length < floor) & blocks[:, None] & (ids >= 0)
        out.append((np.sort(ids[may]), int(blocks.sum())))
    return out
