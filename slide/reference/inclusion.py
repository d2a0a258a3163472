"""Twin of slide/_kernels/inclusion.pyx: how many neurons each active one stands for."""

import numpy as np


def inclusion_rows(sets, retrieved, frequency, draws, missed):
    """The weights of each group's ids: see sampling.inclusion."""
    weights = []
    for g, ids in enumerate(sets):
        probability = 1 - missed[g] * (1 - np.minimum(frequency[ids], 1 - 1e-6)) ** draws[g]
        probability[np.isin(ids, retrieved[g])] = 1.0
        weights.append(1 / np.maximum(probability, 1 / len(frequency)))
    return weights
