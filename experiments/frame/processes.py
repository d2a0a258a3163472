"""Measurements in a process of their own: so that memory, CPU time and environment are theirs alone.

    python -m experiments.frame.processes MODULE FUNCTION '{"argument": ...}'

calls MODULE.FUNCTION, which yields dicts; each is printed as a line of JSON.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections import deque

from experiments.frame.machine import ROOT

# NumPy asks for huge pages by itself: a child that is to have none needs this in its environment.
NO_HUGE_PAGES = {"NUMPY_MADVISE_HUGEPAGE": "0"}
NO_TORCH = "PyTorch is left out: not installed (pip install 'slidenn[baselines]')"


class Ended(RuntimeError):
    """A child that failed; code: its exit code, negative where a signal ended it."""

    def __init__(self, text: str, code: int):
        super().__init__(text)
        self.code = code


def command(module: str, function: str, **arguments) -> list[str]:
    return [sys.executable, "-m", "experiments.frame.processes", module, function, json.dumps(arguments)]


def mpiexec() -> str | None:
    """The launcher of the extra `distributed`; None where it, or mpi4py, is not there."""
    if importlib.util.find_spec("mpi4py") is None:
        return None
    return shutil.which("mpiexec", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]))


def lines(module: str, function: str, *, env=None, ranks=0, **arguments):
    """Yields what the function of `module` (its dotted name) yields in a child with `env` added to the environment.

    ranks: so many processes run it together, by `mpiexec`; 0: one does, without MPI.

    Raises Ended, a RuntimeError, with the end of what the child said where it fails.
    """
    launcher = [mpiexec(), "-n", str(ranks)] if ranks else []
    child = subprocess.Popen(
        launcher + command(module, function, **arguments), cwd=ROOT, env={**os.environ, **(env or {})}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    said = deque(maxlen=12)
    try:
        for line in child.stdout:
            if line.startswith("{"):
                yield json.loads(line)
            else:
                said.append(line)
        if child.wait() != 0:
            raise Ended(f"{module}.{function}: ended with {child.returncode}: {''.join(said)}", child.returncode)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        child.stdout.close()


def waits(system: str, scale: str) -> dict:
    """What a system's process has in its environment: PyTorch's threads spin while they wait, its steps are faster so.

    Not at the scale "smoke", which is no measurement and may share the machine.
    """
    return {"OMP_WAIT_POLICY": "active"} if system.startswith("torch") and scale != "smoke" else {}


def present(systems, records) -> list[str]:
    """Those of the systems that can be measured here, with a note in the records where PyTorch is missing."""
    if has_torch():
        return list(systems)
    records.add("note", text=NO_TORCH)
    return [name for name in systems if not name.startswith("torch")]


def has_torch() -> bool:
    """Whether PyTorch, of the extra `baselines`, can be imported."""
    return importlib.util.find_spec("torch") is not None


def gpu() -> str | None:
    """The name of the GPU that PyTorch finds; None where it finds none, or is not there.

    A child is asked: PyTorch, once imported, would keep memory and threads in this process.
    """
    if not has_torch():
        return None
    [found] = lines("experiments.peers.pytorch", "gpu")
    return found["name"]


if __name__ == "__main__":
    found = importlib.import_module(sys.argv[1])
    for item in getattr(found, sys.argv[2])(**json.loads(sys.argv[3])):
        print(json.dumps(item), flush=True)
