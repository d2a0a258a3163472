"""Layers for prediction alone: weights, biases and the buckets of tables, without what training needs beside them."""

from dataclasses import dataclass

DROPPED = ("m", "v", "located", "arrivals", "moved")  # names of arrays, after the last dot
DROPPED_PARTS = ("recent", "inputs")


@dataclass(frozen=True)
class Frozen:
    """In place of a random generator: a layer is made without its arrays, which `adopt` gives it.

    seed   of a sampled layer, what it drew when it was made
    """

    seed: int | None = None

    def integers(self, high):
        return self.seed


@dataclass(frozen=True)
class Unfilled:
    """In place of a random generator: a layer is made with weights that are zero, since a state is loaded next.

    seed   of a sampled layer, what it drew when it was made
    """

    seed: int | None = None

    def integers(self, high):
        return self.seed

    def standard_normal(self, shape, dtype, out):
        """Leaves `out` as it is."""


def frozen_state(state: dict) -> dict:
    """Of the arrays of a network, {name: array}, those that prediction reads."""
    return {name: array[:1] if _is_bias(name) else array for name, array in state.items() if _is_kept(name)}


def frozen_types(types: dict) -> dict:
    """Of {name: (dtype, shape)}, those of a `frozen_state`."""
    return {
        name: (what[0], (min(1, what[1][0]), *what[1][1:])) if _is_bias(name) else what
        for name, what in types.items()
        if _is_kept(name)
    }


def _is_kept(name):
    *parts, last = name.split(".")
    if "family" in parts:
        return True
    return last.rstrip("*") not in DROPPED and not set(parts) & set(DROPPED_PARTS)


def _is_bias(name):
    return name.endswith(".bias")
