"""How probable it was that a neuron came to be in an active set: what a softmax over the set must be corrected by."""

import numpy as np

from slide._kernels.inclusion import inclusion_rows
from slide.machine.threads import check_threads
from slide.rows import ActiveSet
from slide.sampling.base import seen_scratch
from slide.sampling.recent import RecentLabels


def inclusion_weights(
    active: ActiveSet, parts: np.ndarray, retrieved: ActiveSet | None, recent: RecentLabels, others: np.ndarray,
    threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """How many neurons each active one stands for: 1 / (its probability to be active).

    A softmax over an active set whose logits are larger by log(weight) estimates that over all neurons (Bengio &
    Senecal 2008; Jean et al. 2015, section 3). For it the true label of a sample is one of the neurons that might have
    been drawn: its probability is that of being active if it were not that sample's. A neuron is active if it

    - was retrieved, given the tables: probability 1;
    - is a label of another sample of the group, or was drawn from the labels seen last: 1 - (1 - f)**n, f the share
      that it has of all label entries, n the entries of the others and the draws;
    - or was drawn uniformly from what was still missing.

    Labels of one sample, and draws that end when enough are found, are taken as if they were independent.

    Parameters
    ----------
    active, parts
        Of `complete`.
    retrieved : ActiveSet or None
        What tables found; None where nothing was, or all of it was drawn uniformly.
    recent : RecentLabels
        Whose entries say how frequent a label is.
    others : ndarray of shape (groups,), float
        Label entries of the group that are not of the same sample, in the mean.
    threads : int or None
        None for every CPU; the result is the same for any number.

    Returns
    -------
    ndarray of shape (ids,), float32
        A weight per active neuron, at least 1.
    """
    threads, n_neurons, sizes = check_threads(threads), len(recent.counts), np.diff(active.indptr)
    uniform = sizes - (parts[:, 2] if retrieved is not None else parts[:, 0] + parts[:, 2] - parts[:, 1])
    missed = 1 - uniform / np.maximum(n_neurons - sizes + uniform, 1)
    missed[sizes == n_neurons] = 0.0  # where all are active nothing was left to chance
    retrieved = ActiveSet.of([[]] * len(active)) if retrieved is None else retrieved
    weights = np.empty(len(active.ids), np.float32)
    inclusion_rows(
        active.indptr, active.ids, retrieved.indptr, retrieved.ids, recent.counts, max(len(recent.ids), 1),
        (others + parts[:, 3]).astype(np.float32), missed.astype(np.float32), seen_scratch(threads, n_neurons),
        weights, threads,
    )  # fmt: skip
    return weights
