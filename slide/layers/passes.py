"""What a forward pass through a sampled layer leaves for its backward pass and its update."""

from dataclasses import dataclass

import numpy as np

from slide.layers.base import SOFTMAX, energy
from slide.layers.lane_block import NO_IDS, LaneBlock, with_lanes
from slide.layers.weights import is_finite
from slide.rows import ActiveSet


@dataclass
class Pass:
    """A batch on its way through a layer; arrays are valid as long as nobody uses their scratch again.

    input    what came in: SparseRows, a dense float32 (n, d) array or a LaneBlock
    block    the same as a LaneBlock
    active   ActiveSet: the neurons of each group
    values   of a hidden layer its activations (pairs, lanes)
    delta    (pairs, lanes): the gradients of the neurons; of a softmax known at once
    dx       shaped as block.values, the gradients of the inputs; no rows where inputs are data
    loss     of a softmax the cross entropy of each sample, float32 (n,)
    scale    of a softmax the factor of each sample's gradient, float32 (n,)
    """

    input: object
    block: LaneBlock
    active: ActiveSet
    values: np.ndarray | None = None
    delta: np.ndarray | None = None
    dx: np.ndarray | None = None
    loss: np.ndarray | None = None
    scale: np.ndarray | None = None

    def as_input(self, dx, threads):
        """Gradients of the inputs, in the currency in which these came; None of data."""
        if isinstance(self.input, np.ndarray):
            return self.block.to_dense(dx, threads)
        return dx if isinstance(self.input, LaneBlock) else None

    def multiply(self, factors) -> None:
        """Multiplies each sample's gradients by its own of the factors, float32 (n,)."""
        self.scale = self.scale * factors
        for values, indptr in ((self.delta, self.active.indptr), (self.dx, self.block.indptr)):
            multiply_lanes(values, indptr, factors, self.block.group_size)

    def energies(self) -> tuple[float, float]:
        """Bounds of the sums of squares of the inputs and of their gradients and deltas (see `energy`)."""
        with np.errstate(over="ignore"):  # infinite is what it is then
            if self.scale is None:
                return energy(self.block.values), energy(self.delta)
            bound = SOFTMAX * max(1.0, energy(self.scale))
            return energy(self.block.values), bound + energy(self.dx if len(self.dx) else self.delta)


def multiply_lanes(values, indptr, factors, group_size) -> None:
    """values[indptr[g]:indptr[g + 1], s] *= the factor of sample s of group g, in place."""
    for g in range(len(indptr) - 1):
        mine = factors[g * group_size : (g + 1) * group_size]
        values[indptr[g] : indptr[g + 1], : len(mine)] *= mine


@dataclass
class UpdateInputs:
    """What `Weights.update` takes of one or several passes: see there."""

    active: ActiveSet
    delta: np.ndarray
    x_indptr: np.ndarray
    x_cols: np.ndarray
    x: np.ndarray

    @classmethod
    def of(cls, passes, scratch, threads) -> "UpdateInputs":
        """Groups of all passes, one after the other: the gradient of a row is the sum over all of them."""
        if len(passes) == 1:
            (each,), block = passes, passes[0].block
            return cls(each.active, each.delta, block.indptr, block.ids, block.sample_major(scratch, threads))
        most = max((each.block for each in passes), key=lambda block: block.values.shape[1])
        blocks = [each.block.with_lanes_of(most) for each in passes]
        return cls(
            ActiveSet(joined([each.active.indptr for each in passes]), np.concatenate([p.active.ids for p in passes])),
            np.concatenate([with_lanes(each.delta, most.values.shape[1]) for each in passes]),
            joined([block.indptr for block in blocks]), NO_IDS,
            np.concatenate([np.array(block.sample_major(scratch, threads)) for block in blocks]),
        )  # fmt: skip


def joined(indptrs) -> np.ndarray:
    """Offsets of lists that stand one after the other."""
    ends = np.cumsum([0, *(indptr[-1] for indptr in indptrs)])
    return np.concatenate([[0], *(indptr[1:] + end for indptr, end in zip(indptrs, ends, strict=False))])


def check_factors(name, factors, n) -> np.ndarray:
    """float32 (n,): a number, or one for each of n samples; ValueError where one is not finite in float32."""
    try:
        found = np.broadcast_to(np.asarray(factors, np.float32), (n,))
    except (TypeError, ValueError):
        raise ValueError(f"{name}: found {factors!r}, expected a number or {n} of them") from None
    if not is_finite(found):
        raise ValueError(f"{name}: found {found[~np.isfinite(found)][0]}, expected finite numbers")
    return found
