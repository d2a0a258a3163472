"""How many clusters and candidates a recall takes: measured on inputs whose exact top is known."""

from dataclasses import dataclass

import numpy as np

MORE = 16  # candidates, at first, beyond as many as are asked for
OF_CLUSTERS = 0.75  # of what may be missed, what clusters may
OF_FLOOR = 0.8  # of the best, as many as are in the clusters that give a floor
FACTOR = 1.25  # by which clusters grow where they were too few


@dataclass(frozen=True)
class Found:
    """What a recall takes, and what was measured with it.

    recall      the share of the exact k best labels that is found, of the `inputs` rows it was measured on
    probes      clusters that are screened for an input, with a recall of 1 at first; `clusters` there are
    candidates  neurons whose logits are then computed, with a recall of 1 in the mean
    screened    neurons that are screened, per input
    """

    recall: float
    inputs: int
    probes: int
    clusters: int
    candidates: int
    screened: float


def find_parameters(index, topk, k: int, recall: float, threads: int) -> Found:
    """The fewest clusters, and about the fewest candidates, with which `recall` is reached on the index's inputs.

    topk(x, k, probes, candidates) gives (values, ids, screened) as prediction does.
    """
    ranks = np.sort(index.ranks(threads)[:, :k].reshape(-1))
    probes = probes_for(ranks, 1 - OF_CLUSTERS * (1 - recall))
    most = index.best.shape[1] + 2**14
    candidates = k + MORE
    while True:
        _, ids, screened = topk(index.inputs, k, probes, candidates)
        share = share_found(ids, index.best[:, :k])
        if share >= recall or (probes == index.n_clusters and candidates >= most):
            return Found(share, len(ids), probes, index.n_clusters, candidates, screened)
        in_clusters = np.searchsorted(ranks, probes) / len(ranks)
        if in_clusters >= recall and candidates < most:
            candidates *= 2
        else:
            probes = min(index.n_clusters, int(probes * FACTOR) + 1)


def find_floor(index, topk, k: int, threads: int) -> Found:
    """The same of a recall of 1: the clusters in which nearly all of the k best are, so that the least of these is a
    floor which few others reach.

    topk(x, k, probes) gives (values, ids, screened, computed).
    """
    probes = probes_for(np.sort(index.ranks(threads)[:, :k].reshape(-1)), OF_FLOOR)
    _, ids, screened, computed = topk(index.inputs, k, probes)
    share = share_found(ids, index.best[:, :k])
    return Found(share, len(ids), probes, index.n_clusters, round(computed), screened)


def probes_for(ranks: np.ndarray, share: float) -> int:
    """Clusters, in which that share of the labels is whose clusters have these ranks, rising."""
    return 1 + int(ranks[max(0, int(np.ceil(len(ranks) * share)) - 1)])


def share_found(ids: np.ndarray, best: np.ndarray) -> float:
    """The share of the labels best (n, k) that are among ids (n, k), -1 or labels."""
    found = [np.isin(row, some).sum() for row, some in zip(best, ids, strict=True)]
    return float(np.sum(found) / max(best.size, 1))
