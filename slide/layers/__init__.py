"""Layers: what a network is made of, one kind per file."""

from slide.layers.dense import DenseLayer, FullSoftmax
from slide.layers.sampled import SampledLayer
from slide.layers.settings import Dense, Sampled, default_std
from slide.layers.sparse_input import SparseInputLayer

__all__ = ["Dense", "Sampled", "array_types", "build_layers"]


def build_layers(n_features, specs, context, rng):
    """The layers of a network; the last is the softmax. rng: a generator, or a Frozen for each layer."""
    layers, rngs = [], rng if isinstance(rng, list) else [rng] * len(specs)
    exchange = context.exchange
    own = _kinds(exchange.count(n_features), exchange.specs(specs))
    whole = _kinds(n_features, specs)
    for i, (rng, part, (_, width, spec)) in enumerate(zip(rngs, own, whole, strict=True)):
        std = default_std(width, spec.n_neurons, i == 0, i == len(specs) - 1)
        kind, width, spec = part
        layers.append(kind(width, spec, context, rng, std if spec.init_std is None else spec.init_std))
    return layers


def array_types(n_features, specs, optimizer) -> dict:
    """{name: (dtype, shape)} of the arrays that a network of these settings is saved as, before there is one.

    A name that ends in * stands for any number of arrays that begin so, of any type: their layer checks them.
    """
    return {
        f"layers.{i}.{name}": what
        for i, (kind, width, spec) in enumerate(_kinds(n_features, specs))
        for name, what in kind.types(width, spec, optimizer).items()
    }


def _kinds(n_features, specs):
    """(class, inputs, settings) of each layer.

    A sampled layer whose sampler takes every neuron is a dense one: matrix products need no active set.
    """
    width = n_features
    for i, spec in enumerate(specs):
        last = i == len(specs) - 1
        if spec.dense and i == 0 and not last:
            kind = SparseInputLayer
        elif spec.dense:
            kind = FullSoftmax if last else DenseLayer
        else:
            kind = SampledLayer
        yield kind, width, spec
        width = spec.n_neurons
