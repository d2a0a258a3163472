"""How far a logit may be from its score: with it the k best labels of a screen are provably those of all.

Of a row w with bias b, in a cluster of center c, whose codes stand for p, and an input x, whose codes stand for q, both
in another basis (x B and w R, with B R' nearly the identity), the score is x.c + q.p and the biases. So it is off by

    |x.w - score| <= |x B| |(w - c) R - p| + |x B - q| |p| + |x| |1 - B R'| |w - c|

and by what is rounded. A sum of m products of floats, in any order, is off by about m 2**-24 |x| |w| at most (Higham,
Accuracy and Stability of Numerical Algorithms, section 3.1), here and in the logits of the layer: `rounding` is four
times that.
"""

import numpy as np

UNIT = 2.0**-24  # of float32: what rounding changes, in proportion
MORE = 1 + 1e-4  # for what is rounded of a bound itself
LARGEST = 3e38


def norms(rows: np.ndarray) -> np.ndarray:
    """float64 (n,): of rows (n, d)."""
    return np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))


def rounding(width: int) -> float:
    """Of a sum of `width` products and a few more, in proportion to the norms of its factors."""
    return 4 * (width + 16) * UNIT


def as_bound(values) -> np.ndarray:
    """float32, not below the values; finite."""
    return np.fmin(np.multiply(values, MORE), LARGEST).astype(np.float32)


def slack_of(of_inputs, of_rows, row: float, center: float, bias: float) -> np.ndarray:
    """float32 (3,): what the coordinates of an input, and a score, may be off in proportion to the norm of the input;
    and what a score may be off beside that.

    of_inputs, of_rows   (d, d), see `slide.search.clusters.whitening`
    row, center, bias    the largest norms of rows and centers, and the largest bias
    """
    b, r = of_inputs.astype(np.float64), of_rows.astype(np.float64)
    off, u = np.linalg.norm(np.eye(len(b)) - b @ r.T), rounding(len(b))
    return as_bound([u * np.linalg.norm(b), off * (row + center) + u * (3 * row + center), 6 * u * bias])


def limits_of(slack, x, coordinates, codes, factors, floors) -> np.ndarray:
    """float32 (n, 3): the limits of `slide/_kernels/bounded.pyx` for logits that may reach floors (n,).

    slack                    of `slack_of`
    x, coordinates           inputs float32 (n, d), and as they are coded, (n, width)
    codes, factors           of `encode_rows` in slide/_kernels/screen.pyx
    """
    own, along, beside = slack.astype(np.float64)
    length, step = norms(x), factors[:, 0].astype(np.float64)
    inside, own = norms(coordinates), own * length
    off = norms(coordinates - step[:, None] * codes) + own
    # Codes are half of a step from 0 at least, so that the scale of a row is 2 / sqrt(d) of its length at most.
    rounded = 512 * UNIT * step * np.abs(codes, dtype=np.int32).sum(axis=1) / np.sqrt(x.shape[1])
    floor = np.nextafter((floors - (along * length + beside)).astype(np.float32), np.float32(-np.inf))
    return np.stack([(inside + own) * MORE, (off + rounded) * MORE, floor], axis=1).astype(np.float32)
