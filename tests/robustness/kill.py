"""kill -9 at any moment of a training: `python -m tests.robustness.kill 100` kills 100 and prints what was lost.

The last checkpoint that the log names is there each time, whole, and training that goes on from it ends with the bits
of training that nobody killed.
"""

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from slide.cli import main
from slide.data import make_xmc, save_xmc
from slide.network import Network
from tests.robustness.command_line import assert_same_file, records

EVERY = 2  # batches
STEPS = 60  # that training takes if nobody kills it


def write_data(folder):
    """Data of about the size of Bibtex."""
    (X, Y), (X_test, Y_test) = make_xmc("amazon-670k", n_train=2000, n_test=50, scale=0.004)
    save_xmc(folder / "train.txt", X, Y)
    save_xmc(folder / "test.txt", X_test, Y_test)


def start(folder, *more) -> int:
    """The process id of a training."""
    command = ["train", "--train", folder / "train.txt", "--test", folder / "test.txt", "--batch-size", 64, "--steps",
               STEPS, "--threads", 1, "--save-every", EVERY, "--log", folder / "run.jsonl", *more]  # fmt: skip
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        out = os.open(folder / "out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        code = main([str(argument) for argument in command])
    finally:
        os._exit(code)


def finish(folder, *more) -> None:
    _, status = os.waitpid(start(folder, *more), 0)
    assert os.waitstatus_to_exitcode(status) == 0, (folder / "out").read_text()


def whole_lines(log) -> list[dict]:
    if not log.exists():
        return []
    text = log.read_text()
    if not text.endswith("\n"):  # the line that was being written
        log.write_text(text[: text.rfind("\n") + 1])
    return records(log)


def kill_once(folder, random_, resumed) -> tuple[int, bool]:
    """(the batch of the model afterwards, 0 for none; whether the training was still under way)."""
    model, log = folder / "m.npz", folder / "run.jsonl"
    log.unlink(missing_ok=True)
    before = Network.load(model).step if resumed else 0
    process = start(folder, "--save", model, *(("--resume", model) if resumed else ()))
    lines, deadline = random_.randrange(8), time.monotonic() + 60
    while time.monotonic() < deadline and (not log.exists() or log.read_bytes().count(b"\n") < lines):
        if os.waitpid(process, os.WNOHANG)[0]:
            process = None
            break
        time.sleep(0.001)
    if process:
        time.sleep(random_.random() * 0.05)
        os.kill(process, signal.SIGKILL)
        status = os.waitpid(process, 0)[1]
        if not os.WIFSIGNALED(status):
            process = None
    saved = max([line["step"] for line in whole_lines(log) if line["event"] == "saved"], default=before)
    step = Network.load(model).step if model.exists() else 0
    assert saved <= step <= saved + EVERY or process is None, (saved, step)
    parts = list(folder.glob(".*.part"))
    assert len(parts) <= 1, parts
    return step, process is not None


def kills(n: int, folder: Path, seed: int = 0) -> dict:
    """Kills n trainings, one after the other, each going on from the last; AssertionError where anything is lost."""
    write_data(folder)
    finish(folder, "--save", folder / "once.npz")
    random_, killed, ends, parts, step = random.Random(seed), 0, 0, 0, 0
    while killed < n:
        step, under_way = kill_once(folder, random_, step > 0)
        killed += under_way
        parts += len(list(folder.glob(".*.part")))
        if step >= STEPS:
            assert_same_file(folder / "once.npz", folder / "m.npz")
            (folder / "m.npz").unlink()
            ends, step = ends + 1, 0
    finish(folder, "--save", folder / "m.npz", *(("--resume", folder / "m.npz") if step else ()))
    assert_same_file(folder / "once.npz", folder / "m.npz")
    assert not list(folder.glob(".*.part"))
    return {"killed": killed, "trainings that ended alike": ends + 1, "killed within a save": parts}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as found:
        n_kills = int(sys.argv[1]) if len(sys.argv) > 1 else 100
        print(", ".join(f"{name}: {count}" for name, count in kills(n_kills, Path(found)).items()) + ", lost: 0")
