"""How many threads the kernels use, and NumPy's BLAS beside them: one rule for the whole package."""

import math
import os
import threading
import weakref
from functools import cache
from pathlib import Path

from threadpoolctl import ThreadpoolController

from slide.machine import forks  # noqa: F401  threads and forks: whoever uses the one is safe from the other
from slide.settings.checks import check_integer

MOST = max(64, 8 * (os.cpu_count() or 1))


def available_threads() -> int:
    """The number of threads where none is given: OMP_NUM_THREADS (its first number, where it is a list), or else the
    CPUs that this process may use, by its affinity and by the CPU quota of its control group (rounded up)."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if first.isdecimal() and len(first) < 10 and int(first) > 0:  # what is no number OpenMP complains of, and ignores
        return min(int(first), MOST)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cpus, _own_quota(), MOST)))


def check_threads(threads: int | None) -> int:
    """`threads` as a positive int; None means `available_threads`.

    Raises ValueError where it is not an integer from 1 to MOST, eight for each CPU and at least 64: far more threads
    than CPUs only wait for each other, and the system may end a process that asks for too many.
    """
    if threads is None:
        return available_threads()
    return check_integer("threads", threads, 1, MOST)


@cache
def _own_quota() -> float:
    return cpu_quota()


def cpu_quota(root: str = "/sys/fs/cgroup", membership: str = "/proc/self/cgroup") -> float:
    """CPUs' worth of time that this process's control groups, version 1 or 2, leave it; infinite where none limits it.

    A group is limited by those that it is in. Within a container its path may be that of the host: then what is
    mounted at `root` is the group itself.
    """
    try:
        lines = Path(membership).read_text().splitlines()
    except OSError:
        return math.inf
    least = math.inf
    for line in lines:
        _, controllers, path = line.split(":", 2) if line.count(":") >= 2 else ("", "-", "/")
        if controllers == "":
            places, read = [""], _quota_2
        elif "cpu" in controllers.split(","):
            places, read = ["cpu", "cpu,cpuacct", controllers], _quota_1
        else:
            continue
        inside = Path(path.lstrip("/"))
        for place in places:
            for group in (inside, *inside.parents):
                least = min(least, read(Path(root, place, group)))
    return least


def _quota_2(group: Path) -> float:
    return _share(*_words(group / "cpu.max", 2))


def _quota_1(group: Path) -> float:
    return _share(*_words(group / "cpu.cfs_quota_us", 1), *_words(group / "cpu.cfs_period_us", 1))


def _words(path, n):
    try:
        words = path.read_text().split()
    except OSError:
        words = []
    return words if len(words) == n else [""] * n


def _share(quota, period):
    """Microseconds of a period as CPUs: "max" and -1 are no limit."""
    if not (quota.isdecimal() and period.isdecimal() and int(quota) and int(period)):
        return math.inf
    return int(quota) / int(period)


@cache
def _blas() -> list:
    # Looking up the loaded libraries takes a millisecond: once is enough, NumPy is loaded by then.
    return ThreadpoolController().select(user_api="blas").lib_controllers


def _limits_one_thread(library) -> bool:
    """Whether a limit set by threadpoolctl holds for the thread alone that sets it."""
    openmp = library.internal_api == "openblas" and library.threading_layer == "openmp"
    return openmp and hasattr(library, "clear_controlling_thread") or library.internal_api == "mkl"


def _set_blas(numbers, chosen=lambda library: True) -> None:
    """Threads of each library that is chosen."""
    for library, number in zip(_blas(), numbers, strict=True):
        if chosen(library):
            # From 3.7 on threadpoolctl obeys the first thread alone that sets a limit of the process, and is silent.
            release = getattr(library, "clear_controlling_thread", lambda force: None)
            release(force=True)
            library.set_num_threads(number)
            release(force=True)


class one_blas_thread:
    """A context in which every BLAS call runs on the thread that makes it: one thread adds in one order, and the
    kernels have threads of their own.

    The limit is the process's, or with some libraries the calling thread's. That of the process holds while any thread
    is in such a context; the last to leave gives back what there was. One that is never left, as an exception came
    between two instructions, leaves when it is forgotten.
    """

    _lock = threading.RLock()
    _inside: "weakref.WeakSet[one_blas_thread]" = weakref.WeakSet()
    _before: list[int] | None = None

    def __enter__(self):
        cls, self._thread = type(self), threading.get_ident()
        with cls._lock:
            self._found = [library.num_threads for library in _blas()]
            if cls._before is None:
                cls._before = self._found
            cls._inside.add(self)
            _set_blas([1] * len(self._found))

    def __exit__(self, *error):
        with self._lock:
            own = self in self._inside and self._thread == threading.get_ident()
            self._inside.discard(self)
            self._restore()
            if own:
                _set_blas(self._found, _limits_one_thread)

    def __del__(self):
        self.__exit__()

    @classmethod
    def _restore(cls):
        if cls._before is not None and not cls._inside:
            _set_blas(cls._before, lambda library: not _limits_one_thread(library))
            cls._before = None

    @classmethod
    def _in_child(cls):
        """Only the thread that forked is there, and what another held stays locked."""
        cls._lock = threading.RLock()
        for each in list(cls._inside):
            if each._thread != threading.get_ident():
                cls._inside.discard(each)
        cls._restore()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=one_blas_thread._in_child)
