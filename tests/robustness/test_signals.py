"""Whatever ends a training, signals, full disks, closed pipes or errors, its network is saved, and the exit code says
that something was wrong."""

import errno
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from slide.cli import train
from slide.cli.checkpoint import Interval
from slide.network import Network
from slide.state import files as state_files
from slide.state import storage
from tests.robustness.command_line import after_batch, records, run, write_data
from tests.robustness.kill import kills

SIGNALS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return [*write_data(tmp_path_factory.mktemp("data")), "--threads", "1", "--epochs", "2"]


@pytest.fixture(autouse=True)
def hangups():
    """Under nohup they are ignored, here they are not."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def send(*numbers):
    def do():
        for number in numbers:
            os.kill(os.getpid(), number)

    return do


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_training_after_the_batch_and_saves(number, data, tmp_path, capfd, monkeypatch):
    model, log = tmp_path / "m.npz", tmp_path / "run.jsonl"
    after_batch(monkeypatch, 7, send(number))
    code, out, err = run(capfd, "train", *data, "--save", model, "--log", log)
    assert code == 128 + number and "Traceback" not in err and "ending after this batch" in err
    assert f"saved {model}" in out and Network.load(model).step == 7
    lines = records(log)
    assert lines[-1]["event"] == "end" and lines[-1]["interrupted"] and lines[-1]["saved"] == str(model)
    assert bool(lines[-1]["scores"]) == (number == signal.SIGINT)  # who sends the others waits for seconds alone


@pytest.mark.parametrize("numbers", [(signal.SIGINT,) * 2, (signal.SIGTERM, signal.SIGINT), (signal.SIGINT,) * 5])
def test_a_second_signal_breaks_the_batch_and_saves_what_is_whole(numbers, data, tmp_path, capsys, monkeypatch):
    model = tmp_path / "m.npz"
    learn = Network._learn

    def broken(self, *args):
        if self.step == 6:
            send(*numbers)()
        return learn(self, *args)

    monkeypatch.setattr(Network, "_learn", broken)
    code, out, err = run(capsys, "train", *data, "--save", model)
    assert code == 128 + numbers[0] and "Traceback" not in err and f"saved {model}" in out
    assert Network.load(model).step == 6


@pytest.mark.parametrize("numbers, step", [([signal.SIGTERM], 10), ([signal.SIGINT], 10), ([signal.SIGINT] * 3, 10)])
def test_a_signal_within_an_evaluation(numbers, step, data, tmp_path, capsys, monkeypatch):
    evaluate = Network.evaluate

    def seen(self, *args, **more):
        send(*numbers)()
        return evaluate(self, *args, **more)

    monkeypatch.setattr(Network, "evaluate", seen)
    model = tmp_path / "m.npz"
    code, _, err = run(capsys, "train", *data, "--save", model)
    assert code == 128 + numbers[0] and "Traceback" not in err
    assert Network.load(model).step == step


def test_no_signal_breaks_a_save(data, tmp_path, capsys, monkeypatch):
    write, model = storage.write, tmp_path / "m.npz"

    def seen(file, **arrays):
        send(*SIGNALS)()
        write(file, **arrays)

    monkeypatch.setattr(storage, "write", seen)
    code, _, err = run(capsys, "train", *data, "--save", model)
    assert code == 128 + SIGNALS[0] and "Traceback" not in err and Network.load(model).step == 20


def test_a_hangup_that_is_ignored_stays_so(data, tmp_path, capsys, monkeypatch):
    after_batch(monkeypatch, 7, send(signal.SIGHUP))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(capsys, "train", *data, "--save", tmp_path / "m.npz")[0] == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert Network.load(tmp_path / "m.npz").step == 20


def test_nothing_replaces_a_model_before_a_batch_is_trained(data, tmp_path, capsys, monkeypatch):
    (tmp_path / "m.npz").write_bytes(b"a good model")
    monkeypatch.setattr(train, "_start", lambda *args: send(signal.SIGTERM)())
    code, _, err = run(capsys, "train", *data, "--save", tmp_path / "m.npz")
    assert code == 143 and "no batch was trained" in err
    assert (tmp_path / "m.npz").read_bytes() == b"a good model"


@pytest.mark.parametrize("error, code", [(MemoryError("too much"), 2), (OSError("odd"), 2), (SystemExit(5), 5)])
def test_an_error_in_training_costs_its_batch_alone(error, code, data, tmp_path, capsys, monkeypatch):
    learn, model = Network._learn, tmp_path / "m.npz"

    def fails(self, *args):
        if self.step == 6:
            raise error
        return learn(self, *args)

    monkeypatch.setattr(Network, "_learn", fails)
    found, out, _ = run(capsys, "train", *data, "--save", model)
    assert found == code and f"saved {model}" in out and Network.load(model).step == 6


def test_a_network_that_diverges_is_kept_as_it_last_was(data, tmp_path, capsys):
    model, beside, log = tmp_path / "m.npz", tmp_path / "m.diverged.npz", tmp_path / "run.jsonl"
    for _ in range(2):
        code, _, err = run(capsys, "train", *data, "--lr", "1e9", "--save", model, "--log", log)
        assert code == 2 and "training diverged: " in err and "Traceback" not in err
        end = records(log)[-1]
        assert end["event"] == "end" and end["diverged"] and end["step"] > 0
        if not beside.exists():
            good = model.read_bytes()
    assert f"{model} was left as it was" in err and end["saved"] == str(beside)
    assert model.read_bytes() == good and Network.load(beside).step == end["step"]
    assert all(np.isfinite(layer.weights).all() for layer in Network.load(beside).layers)


def test_a_folder_that_goes_away_costs_no_model(data, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    after_batch(monkeypatch, 7, lambda: shutil.rmtree(folder))
    code, out, err = run(capsys, "train", *data, "--save", folder / "m.npz")
    assert code == 1 and "found no folder" in err and "s of training on" in out
    where = err.partition("saved ")[2].partition(" instead")[0]
    assert where.startswith(str(tmp_path / "slide-")) and Network.load(where).step == 20


def test_a_folder_in_the_place_of_the_model_costs_no_model(data, tmp_path, capsys, monkeypatch):
    model = tmp_path / "m.npz"
    (tmp_path / "m.rescued.npz").write_bytes(b"from before")
    after_batch(monkeypatch, 7, model.mkdir)
    code, _, err = run(capsys, "train", *data, "--save", model)
    assert code == 1 and f"saved {tmp_path / 'm.rescued1.npz'} instead" in err
    assert Network.load(tmp_path / "m.rescued1.npz").step == 20
    assert (tmp_path / "m.rescued.npz").read_bytes() == b"from before"


def test_full_disks_everywhere_are_no_success(data, tmp_path, capsys, monkeypatch):
    def full(file, **_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    monkeypatch.setattr(storage, "write", full)
    (tmp_path / "m.npz").write_bytes(b"a good model")
    code, out, err = run(capsys, "train", *data, "--save", "m.npz", "--save-every", 3)
    assert code == 1 and "it is lost" in err and "s of training on" in out and "Traceback" not in err
    assert err.count("training goes on") == 1  # once, not at every checkpoint
    assert os.listdir(tmp_path) == ["m.npz"] and (tmp_path / "m.npz").read_bytes() == b"a good model"


def test_a_checkpoint_that_fails_is_made_again(data, tmp_path, capsys, monkeypatch):
    write, calls = storage.write, []

    def sometimes(file, **arrays):
        calls.append(len(calls))
        if len(calls) in (2, 3):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, **arrays)

    monkeypatch.setattr(storage, "write", sometimes)
    log = tmp_path / "run.jsonl"
    code, _, err = run(capsys, "train", *data, "--save", tmp_path / "m.npz", "--save-every", 4, "--log", log)
    assert code == 0 and err.count("No space left on device") == 1
    assert [line["step"] for line in records(log) if line["event"] == "saved"] == [4, 16, 20]


def test_what_cannot_be_saved_is_found_before_training(data, tmp_path, capsys, monkeypatch):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    wrong = ["--train", "no-such-file", *data[2:]]  # nothing is read before
    for path, said in (("folder", "found a folder"), ("pipe", "found a pipe"), ("/dev/full", "found a device"),
                       ("no/m.npz", "found no folder")):  # fmt: skip
        code, out, err = run(capsys, "train", *wrong, "--save", tmp_path / path)
        assert code == 2 and said in err and not out and len(err.splitlines()) == 1
    monkeypatch.setattr(state_files.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))
    code, out, err = run(capsys, "train", *data, "--save", tmp_path / "m.npz")
    assert code == 2 and "m.npz: found 1,000 bytes free" in err and "epoch" not in out.splitlines()[-1]
    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe"]


def test_the_room_looked_for_is_that_of_the_file(tmp_path):
    network = Network(300, [storage.Dense(64), storage.Sampled(500, K=3, L=8)])
    network.save(tmp_path / "m.npz")
    assert storage.n_bytes(network) == pytest.approx(os.path.getsize(tmp_path / "m.npz"), rel=0.1)


def test_data_and_models_are_not_written_over(data, tmp_path, capsys):
    link = tmp_path / "link"
    link.symlink_to(data[1])
    for option, path in (("--save", data[1]), ("--save", link), ("--log", data[3])):
        code, _, err = run(capsys, "train", *data, option, path)
        assert code == 2 and f"{option}: found {path}, the file of --train or --test" in err
    code, _, err = run(capsys, "train", *data, "--save", tmp_path / "m.npz", "--log", tmp_path / "m.npz")
    assert code == 2 and "the file of --save" in err
    assert run(capsys, "train", *data, "--save-every", 3)[0] == 2


@pytest.mark.parametrize("text, every", [("500", Interval(500)), ("5min", Interval(seconds=300)),
                                         ("90s", Interval(seconds=90)), ("1.5h", Interval(seconds=5400))])  # fmt: skip
def test_intervals(text, every):
    assert Interval.parse(text) == every


@pytest.mark.parametrize("text", ["0", "1.5", "-3", "5 min", "5m", "", "0s"])
def test_what_is_no_interval_is_refused(text, data, capsys):
    code, _, err = run(capsys, "train", *data, "--save", "m.npz", f"--save-every={text}")
    assert code == 2 and "--save-every: found" in err and "(500), epochs (2epochs) or a time" in err


def test_a_time_makes_checkpoints(data, tmp_path, capsys):
    log = tmp_path / "run.jsonl"
    assert run(capsys, "train", *data, "--save", tmp_path / "m.npz", "--log", log, "--save-every", "0.0001s")[0] == 0
    assert [line["step"] for line in records(log) if line["event"] == "saved"] == list(range(1, 21))


def test_a_log_that_cannot_be_written_costs_no_model(data, tmp_path, capsys):
    code, out, err = run(capsys, "train", *data, "--save", tmp_path / "m.npz", "--log", "/dev/full")
    assert code == 1 and err.count("No space left on device; training goes on without the log") == 1
    assert "s of training on" in out and Network.load(tmp_path / "m.npz").step == 20


@pytest.mark.slow
@pytest.mark.parametrize("stdout", ["/dev/full", "closed", "head"])
def test_an_output_that_cannot_be_written_costs_no_model(stdout, data, tmp_path):
    command = [sys.executable, "-m", "slide", "train", *data, "--save", str(tmp_path / "m.npz")]
    if stdout == "closed":
        command = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    with open("/dev/full", "w") as full:
        out = {"/dev/full": full, "head": subprocess.PIPE}.get(stdout)
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, text=True)
        if stdout == "head":
            process.stdout.readline()
            process.stdout.close()
        err = process.stderr.read()
        assert process.wait(timeout=100) == (1 if stdout == "/dev/full" else 0), err
    assert "Traceback" not in err and "Exception" not in err
    assert ("stdout: " in err) == (stdout == "/dev/full")
    assert Network.load(tmp_path / "m.npz").step == 20
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "slide", "predict", str(tmp_path / "m.npz"), "--input", data[3]]
        found = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert found.returncode == 2 and "No space left on device" in found.stderr and "Exception" not in found.stderr


@pytest.mark.slow
def test_kill_9_costs_the_work_since_the_last_checkpoint_alone(tmp_path):
    assert kills(8, tmp_path)["killed"] == 8
