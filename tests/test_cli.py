"""The command line: what it prints, writes and answers to wrong input."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse

from slide import Dense
from slide.cli import main
from slide.data import Vocabulary, load_xmc, make_xmc, save, save_xmc
from slide.defaults import default_K, recommended
from slide.network import Network

EVALUATION = {"step", "samples", "train_seconds", "P@1", "P@3", "P@5", "active", "stage_ms"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (X, Y), (X_test, Y_test) = make_xmc("amazon-670k", n_train=600, n_test=100, scale=0.004)
    save_xmc(folder / "train.txt", X, Y)
    save_xmc(folder / "test.txt.gz", X_test, Y_test)
    return ["--train", str(folder / "train.txt"), "--test", str(folder / "test.txt.gz"), "--threads", "2"]


def run(capsys, *arguments):
    """(exit code, stdout, stderr)"""
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as stop:
        code = stop.code
    return code, *capsys.readouterr()


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_train_evaluate_predict(files, tmp_path, capsys):
    model, log = tmp_path / "model.npz", tmp_path / "run.jsonl"
    code, out, err = run(capsys, "train", *files, "--epochs", 2, "--save", model, "--log", log)
    assert (code, err) == (0, "")
    assert "popularity baseline" in out and "one network: P@1" in out and f"saved {model}" in out
    lines = [line for line in records(log) if line["event"] == "evaluation"]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert all(line.keys() >= EVALUATION for line in lines)
    assert lines[-1]["samples"] == 1200 and isinstance(lines[-1]["stage_ms"], dict)
    for extra in ([], ["--sampled"]):
        code, out, _ = run(capsys, "evaluate", model, "--test", files[3], *extra)
        assert code == 0 and "P@1" in out
        if not extra:
            assert f"P@1     {lines[-1]['P@1']:.4f}" in out
    code, out, _ = run(capsys, "predict", model, "--input", files[3], "--top-k", 3)
    assert code == 0 and len(out.splitlines()) == 100
    best = [int(line.split()[0].split(":")[0]) for line in out.splitlines()]
    network = Network.load(model)
    (_, _), (X_test, _) = make_xmc("amazon-670k", n_train=600, n_test=100, scale=0.004)
    np.testing.assert_array_equal(best, network.predict(X_test, k=1)[0][:, 0])
    code, out, _ = run(capsys, "predict", model, "--input", files[3], "--probabilities", "--threshold", 0.01)
    expected, values = network.predict_proba(X_test, threshold=0.01)
    lines = [" ".join(f"{i}:{v:.4f}" for i, v in zip(*row, strict=True) if i >= 0)
             for row in zip(expected, values, strict=True)]  # fmt: skip
    assert code == 0 and out.splitlines() == lines
    code, out, err = run(capsys, "predict", model, "--input", files[3], "--recall", 0.9)
    best = [int(line.split()[0].split(":")[0]) for line in out.splitlines()]
    assert code == 0 and "recall 0.9" in err
    np.testing.assert_array_equal(best, network.predict(X_test, recall=0.9)[0][:, 0])
    code, out, err = run(capsys, "predict", model, "--input", files[3], "--recall", 1)
    best = [int(line.split()[0].split(":")[0]) for line in out.splitlines()]
    assert code == 0 and "recall 1.0000" in err
    np.testing.assert_array_equal(best, network.predict(X_test)[0][:, 0])
    for wrong in (["--threshold", 0.5], ["--probabilities", "--sampled"], ["--probabilities", "--threshold", 2],
                  ["--recall", 0.9, "--sampled"], ["--recall", 0.9, "--probabilities"], ["--recall", 1.5]):  # fmt: skip
        code, _, err = run(capsys, "predict", model, "--input", files[3], *wrong)
        assert code == 2 and "found" in err


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """(data, model) of 30 items: what a row has, and what comes next."""
    folder = tmp_path_factory.mktemp("items")
    rng = np.random.default_rng(5)
    X, Y = (sparse.csr_matrix((rng.random((90, 30)) < share).astype(np.float32)) for share in (0.3, 0.1))
    save_xmc(folder / "items.txt", X, Y)
    Network(30, [Dense(8), Dense(30)], threads=1).fit(X, Y, epochs=3).save(folder / "model.npz")
    return folder / "items.txt", folder / "model.npz"


def test_items_that_a_row_has_are_left_out(items, capsys):
    data, model = items
    X, Y = load_xmc(data)
    network = Network.load(model)
    code, out, _ = run(capsys, "predict", model, "--input", data, "--mask-seen")
    found = [[int(pair.split(":")[0]) for pair in line.split()] for line in out.splitlines()]
    assert code == 0 and found == network.predict(X, mask_seen=True)[0].tolist() != network.predict(X)[0].tolist()
    code, out, _ = run(capsys, "evaluate", model, "--test", data, "--mask-seen")
    assert code == 0 and f"P@1     {network.evaluate(X, Y, mask_seen=True).scores['P@1']:.4f}" in out


def test_masking_is_refused_where_features_are_no_labels(files, tmp_path, capsys):
    model = tmp_path / "model.npz"
    run(capsys, "train", *files, "--epochs", 1, "--save", model)
    for command, option in (("predict", "--input"), ("evaluate", "--test")):
        code, _, err = run(capsys, command, model, option, files[3], "--mask-seen")
        assert code == 2 and "mask_seen: found True with" in err
    Network(2, [Dense(2)], threads=1).save(model)
    named, one = tmp_path / "named.npz", sparse.csr_matrix(np.eye(2, dtype=np.float32))
    for labels, refused in ((("a", "b"), False), (("a", "c"), True)):
        save(named, one, one, Vocabulary(("a", "b"), np.ones(2), labels))
        code, _, err = run(capsys, "evaluate", model, "--test", named, "--mask-seen")
        assert code == 2 * refused and ("--mask-seen: found words and labels of other names" in err) == refused


def test_steps_end_training_with_an_evaluation(files, tmp_path, capsys):
    log = tmp_path / "run.jsonl"
    options = ("--steps", 5, "--log", log, "--hash", "simhash", "--sampler", "topk", "--update", "hogwild")
    assert run(capsys, "train", *files, *options)[0] == 0
    assert [line["step"] for line in records(log) if line["event"] == "evaluation"][-1] == 5


def test_weights_are_stored_as_asked(files, tmp_path, capsys):
    model, types = tmp_path / "model.npz", ("--weight-type", "bfloat16", "--moment-type", "bfloat16")
    options = ("--steps", 5, "--sampler", "vanilla", *types, "--save", model)
    assert run(capsys, "train", *files, *options)[0] == 0
    rows = Network.load(model).layers[-1].parameters
    assert rows.w.dtype == rows.v.dtype == np.uint16


def test_active_sets_grow_when_asked(files, tmp_path, capsys):
    model, log = tmp_path / "model.npz", tmp_path / "run.jsonl"
    sets = ("--sampler", "vanilla", "--min-active", 30, "--group-size", 4, "--grow", 2)
    assert run(capsys, "train", *files, *sets, "--log", log, "--save", model)[0] == 0
    network = Network.load(model)
    assert network.specs[-1].min_active == 60 and network.group_size == 8
    active = [line["active"] for line in records(log) if line["event"] == "evaluation"]
    assert active[0] < 60 <= active[-1]


def test_resuming_gives_what_training_at_once_gives(files, tmp_path, capsys):
    once, parts = tmp_path / "once.npz", tmp_path / "parts.npz"
    assert run(capsys, "train", *files, "--epochs", 2, "--save", once)[0] == 0
    network = Network.load(once)
    interrupted = Network(network.n_features, network.specs, optimizer=network.optimizer, schedule=network.schedule,
                          group_size=network.group_size, dropout=network.dropout)  # fmt: skip
    (X, Y), _ = make_xmc("amazon-670k", n_train=600, n_test=100, scale=0.004)
    interrupted.fit(X, Y, steps=2).save(parts)
    assert run(capsys, "train", *files, "--resume", parts, "--save", parts)[0] == 0
    for a, b in zip(network.layers, Network.load(parts).layers, strict=True):
        np.testing.assert_array_equal(a.weights, b.weights)
    code, _, err = run(capsys, "train", *files, "--resume", parts)
    assert code == 2 and "steps: found 6 with --resume, expected more than the 6 batches" in err


def test_a_network_that_goes_on_keeps_its_settings(files, tmp_path, capsys):
    model = tmp_path / "model.npz"
    ours = ("--hash", "dwta", "--lr", 0.01, "--schedule", "constant", "--batch-size", 100, "--label-fill", 1)
    assert run(capsys, "train", *files, *ours, "--steps", 3, "--save", model)[0] == 0
    assert run(capsys, "train", *files, *ours, "--epochs", 2, "--resume", model, "--save", model)[0] == 0
    assert Network.load(model).step == 2 * 6
    for name, value, expected in (("hash", "simhash", "'dwta'"), ("hidden", 64, "[128]"), ("seed", 1, "0"),
                                  ("optimizer", "sgd", "'adam'")):  # fmt: skip
        code, _, err = run(capsys, "train", *files, "--resume", model, "--epochs", 3, f"--{name}", value)
        assert code == 2 and len(err.splitlines()) == 1
        assert f"{name.replace('-', '_')}: found " in err and f"expected {expected} as {model} has it" in err


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_classes_of_a_file_are_those_of_ones_own(command, capsys):
    data = "--test" if command == "evaluate" else "--input"
    code, _, err = run(capsys, command, "model.npz", data, "x", "--hash", "wta")
    assert code == 2 and "--hash: found 'wta', expected a subclass of slide's HashFamily" in err


def test_the_correction_is_a_setting(files, tmp_path, capsys):
    model = tmp_path / "model.npz"
    for options, expected in (
        (("--logq-correction", "--logq-warmup", 7, "--max-labels", 2), (True, 7, 2)),
        (("--no-logq-correction",), (False, None, None)),
    ):
        code, out, _ = run(capsys, "train", *files, "--sampler", "uniform", "--steps", 3, "--save", model, *options)
        assert code == 0 and f"logq_correction={expected[0]}" in out
        spec = Network.load(model).specs[-1]
        assert spec.logq_correction == expected[0]
        assert not expected[0] or (spec.logq_warmup, spec.max_labels) == expected[1:]


def test_ctrl_c_saves_and_exits(files, tmp_path):
    model = tmp_path / "model.npz"
    command = [sys.executable, "-u", "-m", "slide", "train", *files, "--epochs", "100000", "--save", str(model)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.split()[0] == "1":  # the first evaluation
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err and f"saved {model}" in out
    assert Network.load(model).step >= 3


@pytest.mark.parametrize(
    "change, said",
    [
        (["--lr", "-1"], "--lr"),
        (["--epochs", "some"], "--epochs"),
        (["--hash", "md5"], "--hash"),
        (["--dropout", "1.5"], "--dropout"),
        (["--test", "missing.txt"], "missing.txt"),
        (["--train", __file__], "test_cli.py"),
        (["--sampler", "vanilla", "--K", "40"], "K: found 40"),
        (["--max-labels", "0"], "--max-labels"),
        (["--logq-warmup", "-1"], "--logq-warmup"),
        (["--log", "no/such/folder/run.jsonl"], "no/such/folder"),
        (["--save", "no/such/folder/model.npz"], "no/such/folder"),
        (["--resume", __file__], "test_cli.py"),
        (["--sampler", "full", "--K", "3"], "K: found 3, where it has no effect; it belongs with a sampler that reads"),
        (["--sampler", "full", "--K", "9"], "K: found 9, where"),
        (["--no-logq-correction", "--sampler", "full"], "logq_correction: found False, where it has no effect"),
        (["--sampler", "uniform", "--hash", "dwta"], "it belongs with a sampler that reads hash tables"),
        (["--sampler", "uniform", "--N0", "7"], "N0: found 7, where it has no effect"),
        (["--no-logq-correction", "--logq-warmup", "7"], "it belongs with logq_correction=True"),
        (["--m", "3"], "m: found 3 with sampler='vanilla', chosen by the labels, where it has no effect"),
        (["--sampler", "full", "--group-size", "4"], "group_size: found 4, where it has no effect"),
        (["--sampler", "full", "--grow", "2"], "grow: found 2.0 with Sampled"),
        (["--schedule", "constant", "--final", "0.5"], "final: found 0.5 with"),
        (["--optimizer", "sgd", "--beta1", "0.5"], "it belongs with optimizer='adam'"),
        (["--epochs", "2", "--steps", "3"], "--steps"),
        (["--label-fill", "1.1"], "--label-fill"),
    ],
)
def test_wrong_input_gets_one_line_and_code_2(files, capsys, change, said):
    code, out, err = run(capsys, "train", *files, *change)
    assert code == 2
    assert len(err.strip().splitlines()) == 1 and said in err


def test_a_test_file_of_another_shape_is_refused(files, tmp_path, capsys):
    (tmp_path / "other.txt").write_text("1 7 3\n0 1:1\n")
    code, _, err = run(capsys, "train", *files, "--test", tmp_path / "other.txt")
    assert code == 2 and "other.txt: found 7 features" in err


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["train"], ["evaluate"], ["predict", "x"]])
def test_wrong_commands_get_one_line_and_code_2(capsys, arguments):
    code, _, err = run(capsys, *arguments)
    assert code == 2 and len(err.strip().splitlines()) == 1


def test_info(capsys):
    code, out, _ = run(capsys, "info")
    assert code == 0 and "simd" in out and "openmp" in out


def test_recommended_settings_follow_the_size():
    few, many = recommended(5_000, 159), recommended(490_449, 670_091)
    assert few["sampler"] == "full" and many["sampler"] == "vanilla"
    assert few["label_smoothing"] == many["label_smoothing"] == 0.7
    assert [recommended(n, 1000)["epochs"] for n in (10, 100_000, 400_000, 10**7)] == [12, 12, 6, 4]
    assert many["active"] == 1117 and many["min_active"] == 3350 and many["hash"] == "ranged"
    assert recommended(490_449, 670_091, {"active": 300})["min_active"] == 900
    assert recommended(490_449, 670_091, {"min_active": 300})["active"] == 100
    assert [recommended(20_000, n)["min_active"] for n in (5_000, 60_000, 250_000)] == [400, 600, 2000]
    assert [recommended(20_000, n)["N0"] for n in (5_000, 250_000, 2_000_000)] == [50, 50, 400]
    assert default_K(670_091, 3) == 5 and default_K(670_091, 1) == 16 and default_K(2, 3) == 1


def test_logits_are_corrected_but_where_targets_are_smooth():
    names = ("logq_correction", "logq_warmup", "max_labels", "label_smoothing")

    def chosen(*size, **more):
        return [recommended(*size, **more).get(name, "no effect") for name in names]

    assert chosen(20_000, 52_946, labels_per_row=11) == [False, "no effect", None, 0.7]
    assert chosen(490_449, 670_091, labels_per_row=5) == [False, "no effect", None, 0.7]
    many = chosen(490_449, 670_091, given={"label_smoothing": 0.0}, labels_per_row=5)
    assert many == [True, 1000, None, 0.0]
    crowded = recommended(12_920, 983, {"sampler": "vanilla", "min_active": 10}, labels_per_row=19)
    assert [crowded[name] for name in names] == [True, 0, 1, 0.0] and crowded["group_size"] == 4
    sharp = chosen(20_000, 52_946, given={"label_smoothing": 0.0}, labels_per_row=11)
    assert sharp == [True, 316, None, 0.0]  # a third of 12 epochs
    assert recommended(490_449, 670_091, {"epochs": 1, "label_smoothing": 0.0})["logq_warmup"] == 638
    assert chosen(12_920, 983, labels_per_row=19) == ["no effect", "no effect", "no effect", 0.7]


def test_more_samples_share_an_active_set_the_fewer_labels_they_have():
    sizes = [recommended(20_000, 52_946, labels_per_row=n)["group_size"] for n in (1, 11.2, 300)]
    assert sizes == [64, 16, 256] and recommended(490_449, 670_091, labels_per_row=5.4)["group_size"] == 256
