"""Training that is resumed is the training that was interrupted; one that was finished goes on as is asked."""

import json
import shutil
import signal

import numpy as np
import pytest

import slide
from slide import Adam, Network, Schedule
from slide.data import load_xmc
from slide.validation import Watch
from tests.networks import N_ROWS, assert_same, make, separable
from tests.robustness.command_line import BATCHES, after_batch, assert_same_file, records, run, write_data
from tests.robustness.test_signals import send

SETS = ("--sampler", "vanilla", "--min-active", 30, "--group-size", 4)
COMMANDS = {
    "as recommended": (),
    "active sets that grow": (*SETS, "--grow", 2),
    "constant": ("--schedule", "constant", "--warmup", 5, "--optimizer", "sgd"),
    "cosine": (*SETS, "--schedule", "cosine", "--warmup", 5, "--final", 0.1, "--N0", 4, "--renew-every", 2),
    "bfloat16": (*SETS, "--weight-type", "bfloat16", "--moment-type", "bfloat16"),
    "all active": ("--sampler", "full", "--evaluate-every", 7),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return [*write_data(tmp_path_factory.mktemp("data")), "--threads", "1"]


@pytest.fixture
def train(capsys):
    return lambda *arguments: run(capsys, "train", *arguments)


@pytest.fixture
def finished(data, tmp_path, train):
    """A model after two epochs, with its log."""
    code, _, err = train(*data, "--epochs", 2, "--save", tmp_path / "m.npz", "--log", tmp_path / "run.jsonl")
    assert (code, err) == (0, "")
    return tmp_path / "m.npz"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_same_command_goes_on_exactly(name, data, tmp_path, train, monkeypatch):
    once, parts, log = tmp_path / "once.npz", tmp_path / "parts.npz", tmp_path / "run.jsonl"
    command = [*data, *COMMANDS[name], "--epochs", 3, "--log", log]
    assert train(*command, "--save", once)[0] == 0
    whole = [line for line in records(log) if line["event"] == "evaluation"]
    for i, batch in enumerate((3, 14, 20)):
        with monkeypatch.context() as patched:
            after_batch(patched, batch, send(signal.SIGTERM))
            resumed = ("--resume", parts) if i else ()
            assert train(*command, *resumed, "--save", parts)[0] == 143
        assert Network.load(parts).step == batch
    code, out, err = train(*command, "--resume", parts, "--save", parts)
    assert (code, err) == (0, "") and "goes on after batch 20, epoch 2, up to 3 epochs in all" in out
    assert "->" not in out.partition("in all")[2]  # nothing changes
    assert_same_file(once, parts, run=len(whole) == 3)  # else evaluations were skipped
    lines = records(log)
    assert [line["resumed"] for line in lines if line["event"] == "start"] == [None, *[str(parts)] * 3]
    last = [line for line in lines if line["event"] == "evaluation"][-1]
    for key in ("epoch", "step", "samples", "P@1", "P@3", "P@5", "active"):
        assert last[key] == whole[-1][key]
    starts = [line["train_seconds"] for line in lines if line["event"] == "evaluation"]
    assert starts == sorted(starts)  # seconds count over the whole


def test_a_command_without_settings_goes_on_as_well(data, tmp_path, train, monkeypatch):
    once, parts = tmp_path / "once.npz", tmp_path / "parts.npz"
    command = [*data, *COMMANDS["active sets that grow"], "--epochs", 3]
    assert train(*command, "--save", once)[0] == 0
    for batch in (4, 25):  # before and after the growth
        with monkeypatch.context() as patched:
            after_batch(patched, batch, send(signal.SIGTERM))
            train(*command, "--save", parts)
        assert train(*data, "--resume", parts, "--save", parts)[0] == 0
        assert_same_file(once, parts)


def test_a_checkpoint_is_where_training_goes_on(data, tmp_path, train, monkeypatch):
    once, parts, log = tmp_path / "once.npz", tmp_path / "parts.npz", tmp_path / "run.jsonl"
    command = [*data, *COMMANDS["cosine"], "--epochs", 3, "--save-every", 4, "--log", log]
    assert train(*command, "--save", once)[0] == 0
    for batch in (15, 22):
        with monkeypatch.context() as patched:
            after_batch(patched, batch, lambda: (_ for _ in ()).throw(SystemExit))
            patched.setattr("slide.cli.checkpoint.Checkpoint.finish", lambda *args: None)  # as kill -9 would
            train(*command, *(("--resume", parts) if batch > 15 else ()), "--save", parts)
        assert Network.load(parts).step == batch // 4 * 4
    assert train(*command, "--resume", parts, "--save", parts)[0] == 0
    assert_same_file(once, parts, run=True)


def test_a_finished_run_is_trained_further(data, finished, tmp_path, train):
    before, log = Network.load(finished, threads=1), tmp_path / "run.jsonl"
    n_lines = len(records(log))
    command = [*data, "--epochs", 4, "--resume", finished, "--save", tmp_path / "n.npz", "--log", log]
    code, out, err = train(*command)
    assert (code, err) == (0, "")
    assert "schedule extended: Schedule(kind='linear', steps=20) -> Schedule(kind='linear', steps=40); " in out
    assert "the learning rate was 0.00025, and is 0.0025 now" in out
    rows = [line.split() for line in out.splitlines() if line.split()[0] in ("1", "2", "3", "4")]
    assert [(row[0], row[1]) for row in rows] == [("3", "30"), ("4", "40")]
    lines = records(log)
    assert [line["epoch"] for line in lines if line["event"] == "evaluation"] == [1, 2, 3, 4] and len(lines) > n_lines
    assert lines[-1]["scores"]["test"]["one network"]["P@1"] == lines[-2]["P@1"]
    before.schedule = Schedule("linear", steps=40)
    assert_same(before.fit(*load_xmc(data[1]), steps=20), Network.load(tmp_path / "n.npz", threads=1))


@pytest.mark.parametrize("asked, said", [
    ((), "epochs: found 2 with --resume, expected more than the 2 epochs that"),
    (("--epochs", 2), "epochs: found 2 with --resume, expected more than the 2 epochs that"),
    (("--epochs", 1), "epochs: found 1 with --resume, expected more than the 2 epochs that"),
    (("--steps", 20), "steps: found 20 with --resume, expected more than the 20 batches that"),
])  # fmt: skip
def test_what_is_trained_already_is_refused(asked, said, data, finished, train):
    before = finished.read_bytes()
    code, _, err = train(*data, *asked, "--resume", finished, "--save", finished)
    assert code == 2 and said in err and "counts over the whole" in err
    assert finished.read_bytes() == before


def test_training_may_end_sooner(data, tmp_path, train, monkeypatch):
    with monkeypatch.context() as patched:
        after_batch(patched, 5, send(signal.SIGTERM))
        train(*data, "--epochs", 4, "--save", tmp_path / "m.npz")
    code, out, _ = train(*data, "--steps", 12, "--resume", tmp_path / "m.npz", "--save", tmp_path / "m.npz")
    assert code == 0 and "schedule shortened" in out and "up to 12 batches in all" in out
    network = Network.load(tmp_path / "m.npz")
    assert network.step == 12 and network.schedule == Schedule("linear", steps=12)


@pytest.mark.parametrize("setting, value, found", [
    ("lr", 0.01, lambda network: network.optimizer.lr),
    ("beta1", 0.5, lambda network: network.optimizer.beta1),
    ("weight-decay", 0.1, lambda network: network.optimizer.weight_decay),
    ("schedule", "cosine", lambda network: network.schedule.kind),
    ("schedule", "constant", lambda network: network.schedule.kind),
    ("final", 0.5, lambda network: network.schedule.final),
    ("warmup", 25, lambda network: network.schedule.warmup),
    ("dropout", 0.1, lambda network: network.dropout),
    ("group-size", 8, lambda network: network.group_size),
    ("label-smoothing", 0.2, lambda network: network.label_smoothing),
])  # fmt: skip
def test_what_a_network_may_change_takes_effect(setting, value, found, data, finished, tmp_path, train):
    log = tmp_path / "run.jsonl"
    command = [*data, "--epochs", 3, "--resume", finished, f"--{setting}", value, "--save", finished, "--log", log]
    code, out, err = train(*command)
    assert (code, err) == (0, "") and found(Network.load(finished)) == value
    assert f"-> {value!r}" in out or "schedule changed: " in out
    (start,) = [line for line in records(log) if line.get("resumed")]
    assert start["changes"] and start["settings"][setting.replace("-", "_")] == value


@pytest.mark.parametrize("setting, value, now", [
    ("hidden", 64, "[128]"), ("seed", 1, "0"), ("optimizer", "sgd", "'adam'"), ("K", 2, "4"),
    ("hash", "dwta", "'ranged'"),
    ("sampler", "topk", "'vanilla'"), ("min-active", 50, "400"), ("weight-type", "bfloat16", "'float32'"),
])  # fmt: skip
def test_what_it_cannot_is_refused(setting, value, now, data, finished, train):
    code, _, err = train(*data, "--epochs", 3, "--resume", finished, f"--{setting}", value)
    name = setting.replace("-", "_")
    assert code == 2 and f"{name}: found " in err and f"expected {now} as {finished} has it" in err
    assert len(err.splitlines()) == 1


def test_growth_is_kept_or_refused(data, tmp_path, train):
    model = tmp_path / "m.npz"
    assert train(*data, *SETS, "--grow", 2, "--epochs", 2, "--save", model)[0] == 0
    code, _, err = train(*data, "--grow", 3, "--epochs", 3, "--resume", model)
    assert code == 2 and f"grow: found 3.0 with --resume, expected 2.0, by which {model} has grown" in err
    assert train(*data, "--grow", 2, "--epochs", 9, "--resume", model, "--save", model)[0] == 0
    assert Network.load(model).specs[-1].min_active == 60  # once


def test_epochs_are_passes_whatever_the_batches(data, finished, train):
    other = [*data[:4], "--batch-size", 100, "--threads", 1]
    code, out, _ = train(*other, "--epochs", 4, "--resume", finished, "--save", finished)
    assert code == 0 and "batch_size: 60 -> 100" in out
    network = Network.load(finished)
    assert network.samples == 4 * 600 and network.step == 2 * BATCHES + 2 * 6 and network.schedule.steps == network.step


def test_other_data_is_noticed(data, finished, tmp_path, train):
    (tmp_path / "more").mkdir()
    (tmp_path / "other").mkdir()
    more, other = write_data(tmp_path / "more", n_rows=700), write_data(tmp_path / "other", seed=1)
    for files, said in ((more, "was trained on 600 rows, and goes on with the 700 of"),
                        (other, "was trained on other rows, and goes on with the 600 of")):  # fmt: skip
        code, out, _ = train(*files[:4], "--epochs", 3, "--resume", finished)
        assert code == 0 and said in out
    assert Network.load(finished).step == 2 * BATCHES
    assert "goes on with" not in train(*data, "--epochs", 3, "--resume", finished)[1]


def test_a_log_that_ends_within_a_line_goes_on_below(data, finished, tmp_path, train):
    log = tmp_path / "run.jsonl"
    with open(log, "a") as file:
        file.write('{"event": "eval')
    assert train(*data, "--epochs", 3, "--resume", finished, "--log", log)[0] == 0
    lines = log.read_text().splitlines()
    torn = lines.index('{"event": "eval')
    assert [json.loads(line)["event"] for line in lines[torn + 1 :]] == ["start", "evaluation", "end"]


BROKEN = (
    {"seconds": "3"}, {"odd": 1}, {"settings": 3}, {"epochs": -1}, {"scores": {"P@1": None}},
    {"mixings": {"hidden": {"k": 0}}}, {"mixings": []}, {"grown": [None]}, {"ended": 2}, {"grow": 0},
    {"grow_at": 2}, {"networks": 0.5},
)  # fmt: skip


@pytest.mark.parametrize("run", BROKEN)
def test_a_broken_record_of_a_run_is_refused(run, data, finished, train):
    Network.load(finished).save(finished, run=run)
    code, _, err = train(*data, "--epochs", 3, "--resume", finished)
    assert code == 2 and f"{finished}: found a broken record of its run" in err


@pytest.mark.parametrize("schedule", [Schedule("linear", steps=5), Schedule("cosine", warmup=2, steps=5)])
def test_nothing_is_trained_at_rate_zero(schedule):
    X, Y = separable()
    network = make("dense", 1, schedule=schedule).fit(X, Y, steps=5)
    before = [layer.weights.copy() for layer in network.layers]
    for train in (lambda: network.fit(X, Y), lambda: network.fit(X, Y, steps=1), lambda: network.partial_fit(X, Y)):
        with pytest.raises(ValueError, match=r"schedule: found .* whose rate is 0 at batch \d+.*network.schedule = "):
            train()
    assert network.step == 5
    for layer, weights in zip(network.layers, before, strict=True):
        np.testing.assert_array_equal(layer.weights, weights)
    network.schedule = Schedule(schedule.kind, steps=10)
    assert network.fit(X, Y, steps=5).step == 10
    network.schedule = Schedule()
    assert network.fit(X, Y).step == 10 + -(-N_ROWS // 32)


def test_a_rate_that_ends_above_zero_goes_on():
    X, Y = separable()
    network = make("dense", 1, optimizer=Adam(), schedule=Schedule("linear", steps=5, final=0.1)).fit(X, Y, steps=8)
    assert network.step == 8


WATCHED = {
    "plateau": ("--validation", 0.2, "--evaluate-every", 4, "--patience", 2, "--epochs", 12),
    "patience": ("--validation", 0.2, "--evaluate-every", 3, "--patience", 3, "--epochs", 8, "--schedule", "linear"),
    "networks": ("--validation", 0.2, "--evaluate-every", 4, "--epochs", 4, "--networks", 2),
}


@pytest.mark.parametrize("name", WATCHED)
@pytest.mark.parametrize("killed", [False, True])
def test_held_out_rows_go_on_where_they_were(name, killed, data, tmp_path, train, monkeypatch):
    once, parts, log = tmp_path / "once.npz", tmp_path / "parts.npz", tmp_path / "run.jsonl"
    command = [*data, *WATCHED[name], "--log", log]
    code, whole, _ = train(*command, "--save", once)
    steps = [line["step"] for line in records(log) if line["event"] == "evaluation"]
    assert code == 0 and len(steps) > 4
    ends = sorted({2, 5, steps[len(steps) // 2] + 1, steps[-1] - 1})
    for batch in ends:
        resumed = ("--resume", parts) if parts.exists() else ()
        with monkeypatch.context() as patched:
            after_batch(patched, batch, send(signal.SIGTERM))
            every = ("--save-every", 1) if killed else ()
            if killed:  # what a kill leaves is what is there at the batch
                after_batch(patched, batch, lambda: parts.exists() and shutil.copy(parts, tmp_path / "left.npz"))
            assert train(*command, *resumed, *every, "--save", parts)[0] == 143
        if killed:
            shutil.move(tmp_path / "left.npz", parts)
        assert slide.load(parts).evaluate(*load_xmc(data[3])).scores["P@1"] >= 0  # the best so far
    code, out, err = train(*command, "--resume", parts, "--save", parts)
    assert (code, err) == (0, "")
    assert_same_file(once, parts)
    assert out.splitlines()[-3:-1] == whole.splitlines()[-3:-1]  # scores


def test_a_network_that_ended_is_not_trained_again(data, tmp_path, train, monkeypatch):
    """One of several that held-out rows ended early, before the next had begun."""
    once, parts, command = tmp_path / "once.npz", tmp_path / "parts.npz", [*data, *WATCHED["networks"]]
    assert train(*command, "--save", once)[0] == 0
    finish, ended = Watch.finish, []

    def then_stop(watch, network):
        finish(watch, network)
        if watch.done and not ended:
            ended.append(network)
            send(signal.SIGTERM)()

    with monkeypatch.context() as patched:
        patched.setattr(Watch, "finish", then_stop)
        assert train(*command, "--save", parts)[0] == 143
    code, out, err = train(*command, "--resume", parts, "--save", parts)
    assert (code, err) == (0, "") and "network 2 of 2" in out and "network 1 of 2" not in out
    assert_same_file(once, parts)
