"""Changes of state that happen whole: all of them, or none."""

from contextlib import contextmanager
from functools import partial
from time import perf_counter


class Commit:
    """Calls that `run` makes one after the other, with nothing of Python in between.

    The interpreter raises what comes from outside, such as KeyboardInterrupt from a signal, between two of its
    instructions, never within a call of compiled code. `run` makes all of its calls in one such call, provided that
    all functions are compiled ones (kernels, NumPy's ufuncs, built-ins) and their arguments right. What may fail,
    allocate or run someone's Python comes before.
    """

    def __init__(self):
        self._calls = []
        self._spans = []

    def call(self, function, *args) -> None:
        self._calls.append(partial(function, *args))

    def set(self, target, **attributes) -> None:
        """Attributes of an object, none of which is a property."""
        for name, value in attributes.items():
            self.call(object.__setattr__, target, name, value)  # and not a __setattr__ in Python

    def add(self, other: "Commit") -> None:
        """What another one would do, after what this one does."""
        before = len(self._calls)
        self._calls += other._calls
        self._spans += [(clock, stage, first + before, last + before) for clock, stage, first, last in other._spans]

    @contextmanager
    def timed(self, clock, stage: str):
        """What is added within counts, once it is run, as that stage's."""
        first = len(self._calls)
        self.call(perf_counter)
        yield
        self._spans.append((clock, stage, first, len(self._calls)))
        self.call(perf_counter)

    def run(self) -> None:
        found = list(map(partial.__call__, self._calls))
        for clock, stage, first, last in self._spans:
            clock.add(stage, found[last] - found[first])
