"""Who may use a network: one thread trains it, and others predict, any number of them at once, between its batches."""

import os
import sys
import threading
import weakref
from typing import Any

_all: "weakref.WeakSet[Turns]" = weakref.WeakSet()
_held: list["Turns"] = []


class Place:
    """The locks of a thread that reads: it holds both while it does, and waits with the first alone."""

    def __init__(self):
        self.waiting, self.inside = threading.RLock(), threading.RLock()


class Turns:
    """The locks of one network.

    Whoever changes its state does so within `write`, alone. A training does so for one batch at a time, and before each
    lets in who waits (`let_in`); others wait `with turns.waiting`. Who only reads does so within `read`, beside any
    number of others: each thread has a lock of its own, and `write` takes those of all threads.

    `state` alone is enough where nobody reads. Only locks in C, in `with` statements: what is raised between two
    instructions never leaves them locked.
    """

    def __init__(self):
        self.trainer = None  # the thread that trains, or trained last
        self._renew()
        _all.add(self)

    def _renew(self):
        self.training = threading.Lock()
        self.state, self.waiting = threading.RLock(), threading.RLock()
        self._places, self._mine = weakref.WeakSet(), threading.local()  # a thread that ends takes its place along

    def read(self, do, *args):
        """do(*args) while nobody writes."""
        place = getattr(self._mine, "place", None) or self._new_place()
        with place.waiting, place.inside:
            return do(*args)

    def _new_place(self):
        place = Place()
        with self.waiting, self.state:  # a writer at work would not know of it
            self._places.add(place)
        self._mine.place = place
        return place

    def write(self, do, *args):
        """do(*args) while nobody else reads or writes."""
        with self.state:
            return _within([place.inside for place in self._places], do, args)

    def let_in(self) -> None:
        """Waits for those who wait already."""
        with self.waiting:
            pass
        for place in list(self._places):
            with place.waiting:
                pass

    def nested(self, what: str) -> bool:
        """Whether this thread trains already: `what` is then called from a callback.

        Raises RuntimeError where another one does.
        """
        if not self.training.locked():
            return False
        if self.trainer != threading.get_ident():
            raise RuntimeError(f"{what}: found another thread that trains this network, expected one at a time")
        return True


def _within(locks: list[Any], do, args):
    """do(*args) with all of the locks."""
    if not locks:
        return do(*args)
    a, b, c, d, e, f, g, h = (*locks[:8], *[locks[0]] * (8 - len(locks[:8])))
    with a, b, c, d, e, f, g, h:
        return _within(locks[8:], do, args)


def refuse_within(code, owner, what: str) -> None:
    """RuntimeError where the calling thread is within the method of that code, of the same owner, already: what it does
    there called someone's sampler, hash family or signal handler, which called `what`."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code is code and frame.f_locals.get("self") is owner:
            raise RuntimeError(
                f"{what}: found a call from within another of the same network, by a signal handler, sampler or hash "
                "family, expected one after it: let a handler set a flag, and a callback of fit look at it"
            )
        frame = frame.f_back


def _before_fork():
    # A child has the network as it is: between two batches, since other threads do not come along.
    for turns in sorted(_all, key=id):
        turns.state.acquire()
        _held.append(turns)


def _in_parent():
    while _held:
        _held.pop().state.release()


def _in_child():
    _held.clear()
    for turns in list(_all):
        turns._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
