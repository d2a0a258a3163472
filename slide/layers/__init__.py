"""Layers: what a network is made of, one kind per file."""

from slide.layers.dense import DenseLayer, FullSoftmax
from slide.layers.sampled import SampledLayer
from slide.layers.settings import Dense, Sampled, default_std
from slide.layers.sparse_input import SparseInputLayer

__all__ = ["Dense", "Sampled", "build_layers"]


def build_layers(n_features, specs, context, rng):
    """The layers of a network; the last is the softmax.

    A sampled layer whose sampler takes every neuron is a dense one: matrix products need no active set.
    """
    layers, width = [], n_features
    for i, spec in enumerate(specs):
        last = i == len(specs) - 1
        if spec.dense and i == 0 and not last:
            kind = SparseInputLayer
        elif spec.dense:
            kind = FullSoftmax if last else DenseLayer
        else:
            kind = SampledLayer
        std = default_std(width, spec.n_neurons, i == 0, last) if spec.init_std is None else spec.init_std
        layers.append(kind(width, spec, context, rng, std))
        width = spec.n_neurons
    return layers
