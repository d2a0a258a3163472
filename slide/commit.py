"""Changes of state that happen whole: all of them, or none."""

from collections import deque
from functools import partial


class Commit:
    """Calls that `run` makes one after the other, with nothing of Python in between.

    The interpreter raises what comes from outside, such as KeyboardInterrupt from a signal, between two of its
    instructions, never within a call of compiled code. `run` is one such call, provided that all functions are
    compiled ones (kernels, NumPy's ufuncs, built-ins) and their arguments right. What may fail, allocate or run
    someone's Python comes before.
    """

    def __init__(self):
        self._calls = []

    def call(self, function, *args, **kwargs) -> None:
        self._calls.append(partial(function, *args, **kwargs))

    def set(self, target, **attributes) -> None:
        """Attributes of an object, none of which is a property."""
        for name, value in attributes.items():
            self.call(setattr, target, name, value)

    def run(self) -> None:
        deque(map(partial.__call__, self._calls), maxlen=0)
