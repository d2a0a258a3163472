"""What the ranks of a run tell each other: `Exchange` is a world of one, whose sums are the identity.

Layers and Network know this contract alone; `slide.distributed.ranks` has it for the ranks of MPI. Every method is
called by all ranks, in the same order.
"""

from contextlib import nullcontext

import numpy as np

NO_TIME = nullcontext()


class Exchange:
    """A world of one.

    rank, size   the number of this process, and how many there are
    """

    rank, size = 0, 1

    def check(self, n_features: int, specs, settings) -> None:
        """ValueError, naming the setting, where a network cannot be shared out, or ranks are told different things."""

    def check_same(self, what: str, *rows) -> None:
        """ValueError where ranks were given different SparseRows."""

    def refuse(self, what: str) -> None:
        """RuntimeError where a method is for one process alone."""

    def settings(self, settings: dict) -> dict:
        """Keywords of Network, with the threads of this rank where none are given."""
        return settings

    def count(self, n: int) -> int:
        """How many of n rows are this rank's."""
        return n

    def total(self, n: int) -> int:
        """The sum over ranks."""
        return n

    def specs(self, specs):
        """The settings of layers, of this rank's part of the last one."""
        return specs

    def own(self, rows):
        """SparseRows of the columns that are this rank's, under its numbers for them."""
        return rows

    def seed(self, seed: int) -> int:
        """Of draws that are to be independent over ranks."""
        return seed

    def fill(self, w: np.ndarray, draw) -> None:
        """draw(w), which fills an array (rows, width): this rank's rows of what it draws for all."""
        draw(w)

    def once(self, array: np.ndarray) -> np.ndarray:
        """What is to be counted once in a sum over ranks: zeros on all but one."""
        return array

    def timed(self, clock):
        """A context whose time counts as the stage of the exchange, where there is one."""
        return NO_TIME

    def sum(self, *arrays: np.ndarray) -> None:
        """Adds up float32 arrays over ranks, in place, in the order of ranks."""

    def normalise(self, most, total, *sums):
        """float32 arrays: of each sample the largest logit, the sum of exp(logit - largest), and what is added up."""
        return most, total, *sums

    def softmax(self, stages) -> None:
        """Takes a softmax through its stages (see `slide.layers.weights.SoftmaxStages`)."""
        stages.at_once()

    def best(self, values: np.ndarray, ids: np.ndarray, active: float, k: int):
        """(values, ids, active neurons per sample): of the best labels of each rank the k best of all."""
        return values, ids, active

    def any(self, flag) -> bool:
        """Whether it is true on a rank."""
        return bool(flag)

    def same(self, value):
        """The first rank's value."""
        return value

    def all(self, value) -> list:
        """Every rank's value."""
        return [value]

    def write(self, arrays: dict, types: dict, do) -> None:
        """do(arrays), of the whole network, where it is to be saved; raises on all ranks what that raises.

        types   {name: (dtype, shape)} of the whole
        """
        do(arrays)

    def part(self, archive, network):
        """Of the arrays of a file those that this rank's part of the network is to have."""
        return archive

    def ended(self, code: int, message: str | None, note) -> int:
        """Ends a command with an exit code and, where it went wrong, note(message)."""
        if message is not None:
            note(message)
        return code

    def lost(self, error: BaseException) -> None:
        """Called where a rank cannot go on: does not return where others wait for it."""


ALONE = Exchange()
