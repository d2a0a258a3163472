"""Networks over the ranks of MPI, on 1, 2 and 4 processes of this machine."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import slide

ROOT = Path(__file__).parents[1]
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
TRAIN = ["-m", "slide", "train", "--train", "train.txt", "--threads", "1"]

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None, reason="no mpi4py: slidenn[distributed]"),
    pytest.mark.skipif(MPIEXEC is None, reason="no mpiexec: slidenn[distributed]"),
    pytest.mark.slow,
]


def start(n, *arguments, cwd):
    # The one thread of BLAS is said before NumPy is imported: ranks on few CPUs wait for each other's.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [MPIEXEC, "-n", str(n), sys.executable, *map(str, arguments)], cwd=cwd, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def run(n, *arguments, cwd, code=0):
    process = start(n, *arguments, cwd=cwd)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == code, output
    return output


def ranks(n, case, folder):
    run(n, "-m", "mpi4py", "-m", "tests.ranks", case, folder, cwd=ROOT)


@pytest.fixture
def folder(tmp_path):
    """Holds train.txt, test.txt: rows whose label has features of its own."""
    rng = np.random.default_rng(0)
    own = [rng.choice(80, 6, replace=False) for _ in range(120)]
    for name, n in (("train", 400), ("test", 60)):
        labels = rng.integers(0, 120, n)
        lines = [f"{y} " + " ".join(f"{c}:1" for c in sorted(own[y])) for y in labels]
        (tmp_path / f"{name}.txt").write_text("\n".join([f"{n} 80 120", *lines, ""]))
    return tmp_path


@pytest.mark.parametrize("n", [2, 4])
def test_with_all_neurons_active_ranks_are_one_process(n, tmp_path):
    ranks(n, "every_neuron", tmp_path)


@pytest.mark.parametrize("n", [1, 3])
def test_a_number_of_ranks_gives_the_same_bits_again(n, tmp_path):
    ranks(n, "some_neurons", tmp_path)


def test_what_four_ranks_saved_goes_on_on_any_number(tmp_path):
    ranks(4, "save", tmp_path)
    for n in (1, 2):
        ranks(n, "resume", tmp_path)
    network = slide.load(tmp_path / "corrected.npz")
    assert network.step == 10 and (network.predict(np.eye(61), 3, sampled=True)[0] >= 0).any()
    network.save(tmp_path / "corrected.npz")
    ranks(3, "resume", tmp_path)


def test_what_cannot_be_shared_out_is_refused(tmp_path):
    ranks(2, "refusals", tmp_path)


def test_an_exception_on_one_rank_ends_all(tmp_path):
    process = start(3, "-m", "tests.ranks", "lost", tmp_path, cwd=ROOT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "KeyError: 'of this rank alone'" in output
    assert "rank 1 of 3 cannot go on, all ranks are ended" in output


def test_the_command_line_trains_over_ranks(folder):
    options = [*TRAIN, "--test", "test.txt", "--sampler", "vanilla", "--active", "40", "--save", "m.npz", "--log", "l"]
    output = run(2, "-m", "mpi4py", *options, "--epochs", "3", cwd=folder)
    assert output.count("saved m.npz") == output.count("popularity baseline") == 1
    events = [json.loads(line)["event"] for line in (folder / "l").read_text().splitlines()]
    assert events == ["start", "evaluation", "evaluation", "evaluation", "end"]
    assert slide.load(folder / "m.npz").step == 6
    output = run(4, *options, "--resume", "m.npz", "--epochs", "5", cwd=folder)
    assert output.count("goes on after batch 6") == 1
    assert slide.load(folder / "m.npz").step == 10


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--tune"], "--tune: found with 2 ranks, expected one process"),
        (["--save", "/no/m.npz", "--epochs", "1"], "/no/m.npz: found no folder /no, expected one to write to"),
    ],
)
def test_the_command_line_refuses_once(arguments, message, folder):
    output = run(2, *TRAIN, *arguments, cwd=folder, code=2)
    assert output.count(message) == 1


def children(process):
    """The ranks of a running mpiexec: its grandchildren."""

    def of(pid):
        return [int(x) for x in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    return sorted(rank for proxy in of(process.pid) for rank in of(proxy))


def wait_for(path):
    until = time.monotonic() + 60
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert path.exists()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="ranks are found in /proc")
@pytest.mark.parametrize("sent, code", [(signal.SIGKILL, None), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_a_signal_to_one_rank_ends_all(sent, code, folder):
    process = start(2, *TRAIN, "--steps", "1000000", "--save", "m.npz", "--save-every", "5", cwd=folder)
    wait_for(folder / "m.npz")
    began = time.monotonic()
    os.kill(children(process)[1], sent)
    output, _ = process.communicate(timeout=60)
    assert time.monotonic() - began < 60
    assert process.returncode == code or (code is None and process.returncode != 0)
    assert ("Killed" in output) if code is None else ("saved m.npz" in output)
    step = slide.load(folder / "m.npz").step
    assert step > 0 and (code is not None or step % 5 == 0)


def test_processes_that_cannot_work_together_are_refused(folder):
    """Each would train a network of its own, and write it over that of the others."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMPI_COMM_WORLD_SIZE": "2"}
    found = subprocess.run(
        [sys.executable, *TRAIN, "--epochs", "1"], cwd=folder, env=environment, text=True, capture_output=True,
    )  # fmt: skip
    assert found.returncode == 2 and "found 2 processes that were started together, each of which is" in found.stderr
