"""Bins of coordinates, as WTA, DWTA and MinHash share them: permutations cut in pieces."""

import numpy as np


def cut_permutations(family, width, n_bins):
    """(n_bins, width) int32 coordinates: random permutations of 0..dim-1, each cut in dim // width bins."""
    a_permutation = family.dim // width
    bins = np.empty((-(-n_bins // a_permutation), a_permutation, width), np.int32)
    for first, orders in family._permutations(len(bins)):
        kept = orders[:, : a_permutation * width]
        bins[first : first + len(orders)] = kept.reshape(-1, a_permutation, width)
    return bins.reshape(-1, width)[:n_bins].copy()


def invert_bins(bins, dim):
    """(dim, permutations) int64 slots bin << bits | position, -1 outside every bin, and bits."""
    n_bins, width = bins.shape
    bits = max(1, (width - 1).bit_length())
    a_permutation = dim // width
    slots = np.full((dim, -(-n_bins // a_permutation)), -1, np.int64)
    which, positions = np.divmod(np.arange(bins.size, dtype=np.int64), width)
    slots[bins.ravel(), which // a_permutation] = which << bits | positions
    return slots, bits


def choose_ratio(n, dim, width):
    """C(n, width) / C(dim, width), elementwise in n: that a random bin lies within n given coordinates."""
    n = np.asarray(n, np.float64)[..., None]
    steps = np.arange(width)
    return np.prod(np.maximum(n - steps, 0) / (dim - steps), axis=-1)


def empty_odds(n_x, n_y, n_union, dim, width):
    """Probabilities that a random bin holds none of two sets of coordinates, and some of just one."""
    both = choose_ratio(dim - n_union, dim, width)
    return both, choose_ratio(dim - n_x, dim, width) + choose_ratio(dim - n_y, dim, width) - 2 * both


def agreement(x, y, candidates, width):
    """The share of width-subsets of the coordinates that one of `candidates` wins in x and in y.

    Candidate i is beaten by none of the `lower` coordinates, smaller in both, and by each of the `tied` ones
    (equal in one or both, larger in neither) where that one comes first in the bin, a random order:
    sum over t of C(lower, width-1-t) C(tied, t) / (t+1) = (C(lower+tied+1, width) - C(lower, width)) /
    (tied+1).
    """
    share = 0.0
    for i in candidates:
        lower = np.count_nonzero((x < x[i]) & (y < y[i]))
        tied = np.count_nonzero((x <= x[i]) & (y <= y[i])) - lower - 1
        ratios = choose_ratio([lower + tied + 1, lower], len(x), width)
        share += (ratios[0] - ratios[1]) / (tied + 1)
    return float(min(share, 1.0))
