"""Layers: what a network is made of, one kind a file."""

from slide.layers.dense import DenseLayer, FullSoftmax
from slide.layers.sampled import SampledLayer
from slide.layers.settings import Dense, Sampled, default_std
from slide.layers.sparse_input import SparseInputLayer

__all__ = ["Dense", "Sampled", "build_layers"]


def build_layers(n_features, specs, run, rng):
    """The layers of a network; the last is the softmax.

    A sampled layer whose sampler takes every neuron is a dense one: matrix products need no active set.
    """
    layers, width, after_dense = [], n_features, False
    for i, spec in enumerate(specs):
        dense = isinstance(spec, Dense) or spec.make_sampler().dense
        last = i == len(specs) - 1
        if dense and i == 0 and not last:
            kind = SparseInputLayer
        elif dense:
            kind = FullSoftmax if last else DenseLayer
        else:
            kind = SampledLayer
        if getattr(spec, "weight_type", "float32") != "float32" and (dense or not after_dense):
            where = "with a sampler of every neuron" if dense else "in a layer whose inputs are sparse"
            raise ValueError(f"weight_type: found {spec.weight_type!r} {where}, expected 'float32'")
        std = default_std(width, spec.n_neurons, i == 0, last) if spec.init_std is None else spec.init_std
        layers.append(kind(width, spec, run, rng, std))
        width, after_dense = spec.n_neurons, dense
    return layers
