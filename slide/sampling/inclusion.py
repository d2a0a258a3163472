"""How probable it was that a neuron came to be in an active set: what a softmax over the set must be corrected by."""

import numpy as np


def inclusion_weights(active, parts, retrieved, frequency, others, n_neurons) -> np.ndarray:
    """How many neurons each active one stands for: 1 / (its probability to be active), float32 (ids,).

    A softmax over an active set whose logits are larger by log(weight) estimates that over all neurons (Bengio &
    Senecal 2008; Jean et al. 2015, section 3). For it the true label of a sample is one of the neurons that might have
    been drawn: its probability is that of being active if it were not that sample's. A neuron is active if it

    - was retrieved, given the tables: probability 1;
    - is a label of another sample of the group, or was drawn from the labels seen last: 1 - (1 - f)**n, f the share
      that it has of all label entries, n the entries of the others and the draws;
    - or was drawn uniformly from what was still missing.

    active, parts : of `complete`.
    retrieved : ActiveSet of what tables found; None where nothing was, or all of it was drawn uniformly.
    frequency : float (ids,), each active neuron's share of label entries.
    others : float (groups,), label entries of the group that are not of the same sample, in the mean.
    """
    sizes = np.diff(active.indptr)
    group = np.repeat(np.arange(len(sizes)), sizes)
    uniform = sizes - (parts[:, 2] if retrieved is not None else parts[:, 0] + parts[:, 2] - parts[:, 1])
    unseen = n_neurons - sizes + uniform  # of which they were drawn
    missed = 1 - uniform / np.maximum(unseen, 1)
    # Where all are active nothing was left to chance.
    missed[sizes == n_neurons] = 0.0
    frequency = np.minimum(frequency, 1 - 1e-7)
    probability = 1 - missed[group] * np.exp((others + parts[:, 3])[group] * np.log1p(-frequency))
    if retrieved is not None:
        probability[_among(active, retrieved, n_neurons)] = 1.0
    # A label alone in its set could not have come there in another way.
    return (1 / np.maximum(probability, 1 / n_neurons)).astype(np.float32)


def _among(active, retrieved, n_neurons):
    """Which active neurons were retrieved for their group, bool (ids,)."""
    keys = (
        np.repeat(np.arange(len(x)) * n_neurons, np.diff(x.indptr)) + x.ids for x in (active, retrieved)
    )
    return np.isin(*keys)
