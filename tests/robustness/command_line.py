"""The command line in this process, with something done to it after chosen batches."""

import json
import signal

import numpy as np

from slide.cli import main
from slide.cli.checkpoint import Checkpoint
from slide.data import make_xmc, save_xmc

BATCHES = 10  # of an epoch


def write_data(folder, n_rows=600, labels=159, seed=0):
    """The options that name the data, which is as small as that of a test, and a batch size that gives BATCHES."""
    (X, Y), (X_test, Y_test) = make_xmc("amazon-670k", n_train=n_rows, n_test=50, scale=0.004, seed=seed)
    save_xmc(folder / "train.txt", X, Y)
    save_xmc(folder / "test.txt", X_test, Y_test)
    size = str(n_rows // BATCHES)
    return ["--train", f"{folder / 'train.txt'}", "--test", f"{folder / 'test.txt'}", "--batch-size", size]


def run(capsys, *arguments):
    """(exit code, stdout, stderr); the handlers of signals are as before."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    assert [signal.getsignal(number) for number in numbers] == before
    return code, *capsys.readouterr()


def after_batch(monkeypatch, batch, do):
    """do() after that batch of a training."""
    due = Checkpoint.due

    def seen(self, step):
        if step == batch:
            do()
        return due(self, step)

    monkeypatch.setattr(Checkpoint, "due", seen)


def records(path):
    """The lines of a log, each of which is valid JSON."""

    def refuse(name):
        raise ValueError(f"{name} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def assert_same_file(one, other, run=False):
    """Two model files hold the same arrays and, but for seconds, the same header."""
    with np.load(one) as a, np.load(other) as b:
        assert a.files == b.files
        for name in a.files:
            if name != "header":
                np.testing.assert_array_equal(a[name], b[name], err_msg=name)
        headers = [json.loads(bytes(x["header"])) for x in (a, b)]
    for header in headers:
        header["run"].pop("seconds")
        if not run:
            header.pop("run")
    assert headers[0] == headers[1]
