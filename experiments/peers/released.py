"""The released C++ SLIDE, for comparison: drives a binary that the user built from keroro824/HashingDeepLearning.

The environment variable SLIDE_RELEASED names the binary; nothing of that code is here. It is given the same data in
its text format, and its published settings for Amazon-670K (K = 6, L = 50, tables rebuilt every 6,400 samples) but
for the evaluations, which it is made to do on few samples with sampling on, outside of its clock, and for the table
size: 2**14 buckets, of which its codes reach 9,556, where the published 2**18 only take memory and time.
"""

import os
import re
import resource
import subprocess
import time
from pathlib import Path

from experiments.frame import machine

VARIABLE = "SLIDE_RELEASED"
PERIOD = 6400  # samples between two rebuilds
PERIODS = 2  # how many are trained; the last is the one that counts
EVALUATED = 20  # batches that it evaluates, before training and every PERIOD
BUCKETS = 14
CONFIG = """numLayer=2
sizesOfLayers={hidden},{n_labels}
InputDim={n_features}
RangePow=6,{buckets}
K=2,6
L=20,50
Sparsity=1,0.005,1,0.005
Batchsize={batch}
Rehash={period}
Rebuild=128000
totRecords={rows}
totRecordsTest={batch}
Lr=0.0001
Epoch=1
Stepsize={every}
trainData={folder}/train.txt
testData={folder}/test.txt
weight={folder}/none.npz
savedweight={folder}/weights.npz
logFile={folder}/log.txt
"""


def binary() -> Path | None:
    """The binary that SLIDE_RELEASED names; None where it is not set.

    Raises ValueError where it names no file that can be executed.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    path = Path(named).resolve()
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise ValueError(f"{VARIABLE}: found {named!r}, expected the path of an executable file")
    return path


def measure(path, X, Y, hidden, threads, folder) -> dict:
    """Trains for two periods from a folder that is written to; what the second one took, by the binary's own clock.

    It prints whole seconds. Its active neurons are those that it retrieves, as it prints them, mean of its batches at
    the ends of periods; where they are fewer than 1,500 it fills up to 1,000.
    """
    batch = fitting_batch(X.shape[1], Y.shape[1], hidden)
    rows = PERIOD * PERIODS
    write(folder, X, Y, hidden, batch, rows)
    start = time.perf_counter()
    seconds, said, peak = execute(path, folder, threads, rows // batch)
    found = [float(number) for number in re.findall(r"Avg sample size = \S+ (\S+)", said)]
    return dict(
        ms=1e3 * (seconds[rows // batch] - seconds[rows // batch // PERIODS]) / PERIOD, batch=batch,
        active=sum(found) / len(found), peak_gb=peak, steps=PERIOD // batch, wall=time.perf_counter() - start,
    )  # fmt: skip


def fitting_batch(n_features, n_labels, hidden) -> int:
    """256 where the binary's memory for it is free, else the 128 of its published settings: it keeps 64 bytes for
    every neuron and sample of a batch."""
    weights = 16 * hidden * (n_labels + n_features) + 50 * 2**BUCKETS * 600
    return 256 if 1.15 * (weights + 64 * 256 * n_labels) < machine.free_memory() else 128


def write(folder, X, Y, hidden, batch, rows):
    """Training rows, test rows and settings, in the binary's formats."""
    from slide.data import save_xmc

    n_test = EVALUATED * batch
    for name, n in (("train", rows), ("test", n_test)):
        if X.shape[0] < n:
            raise ValueError(f"X: found {X.shape[0]} rows, expected at least {n}")
        save_xmc(Path(folder, f"{name}.txt"), X[:n], Y[:n])
    text = CONFIG.format(
        hidden=hidden, n_labels=Y.shape[1], n_features=X.shape[1], batch=batch, rows=rows, folder=folder,
        every=PERIOD // batch, period=PERIOD, buckets=BUCKETS,
    )  # fmt: skip
    Path(folder, "config.csv").write_text(text, encoding="ascii")


def execute(path, folder, threads, steps) -> tuple[dict, str, float]:
    """({batches: seconds of training so far}, what it printed, GB of memory at most); ends it before it saves."""
    log, said = Path(folder, "log.txt"), Path(folder, "said.txt")
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "active"}
    with said.open("wb") as out:
        child = subprocess.Popen([path, Path(folder, "config.csv")], stdout=out, stderr=out, cwd=folder, env=env)
        try:
            while child.poll() is None and steps not in seconds_of(log):
                time.sleep(0.2)
        finally:
            child.kill()
            child.wait()
    seconds = seconds_of(log)
    if steps not in seconds:
        tail = said.read_text(errors="replace")[-400:]
        raise RuntimeError(f"{path}: found no time of batch {steps} in its log, expected one; it said: {tail}")
    peak = machine.peak_gb(resource.RUSAGE_CHILDREN)
    return seconds, said.read_text(errors="replace"), peak


def seconds_of(log) -> dict[int, int]:
    """{batches: seconds}, from the lines "batches seconds accuracy" of its log."""
    if not log.exists():
        return {}
    lines = (line.split() for line in log.read_text(encoding="ascii").splitlines(keepends=True) if line.endswith("\n"))
    return {int(parts[0]): int(parts[1]) for parts in lines if len(parts) == 3}
