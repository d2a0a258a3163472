"""Signals that end a training: it ends after the batch that it is at, so that the network can be saved."""

import os
import signal
import threading
from contextlib import contextmanager, suppress

from slide.distributed.exchange import ALONE

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
HURRY = (signal.SIGTERM, getattr(signal, "SIGHUP", None))  # whoever sends these waits for seconds alone


class Signals:
    """A context in which SIGINT, SIGTERM and SIGHUP are noted; a SIGHUP that is ignored (nohup) stays so.

    `caught` holds their numbers. Over ranks it has what one of them was sent, once all have asked whether there is any
    (`bool`, which they do in the same order), and the second signal alone breaks, which ends the run.

    Within `breakable` the second one raises KeyboardInterrupt, once, and where what is done need not be finished the
    first that asks for hurry does, too.
    """

    def __init__(self, world=ALONE):
        self._world, self._sent = world, []
        self.caught, self._breakable, self._hurried, self._before = self._sent, False, False, {}

    def __bool__(self):
        if not self._world.any(self._sent):
            return False
        self.caught = max(self._world.all(self._sent), key=len)
        return True

    @property
    def code(self) -> int:
        """The exit code: 128 and the number of the first signal; 0 where there was none."""
        return 128 + self.caught[0] if self.caught else 0

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
                ignored = number != signal.SIGINT and signal.getsignal(number) == signal.SIG_IGN
                if not ignored:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error):
        for number, before in self._before.items():
            signal.signal(number, before)

    @contextmanager
    def breakable(self, hurried=False):
        """hurried: whether the first signal that asks for hurry breaks it."""
        before = self._breakable, self._hurried
        self._breakable, self._hurried = True, hurried and self._world.size == 1
        try:
            yield
        finally:
            self._breakable, self._hurried = before[0] and self._breakable, before[1]

    def _handle(self, number, frame):
        self._sent.append(number)
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        if self._breakable and (len(self._sent) > 1 or (self._hurried and number in HURRY)):
            self._breakable = False
            raise KeyboardInterrupt
        if self._world.rank == 0:
            _tell(f"\n{name}: {'ending after this batch' if len(self._sent) == 1 else 'ending'}\n")


def _tell(text):
    with suppress(OSError):
        os.write(2, text.encode())  # not print: the signal may have come within one
