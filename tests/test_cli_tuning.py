"""Tuning, validation, ensembles and neighbours from the command line."""

import json

import numpy as np
import pytest
from scipy import sparse

import slide
from slide import Network
from slide.cli import main
from slide.data import load_xmc, save_xmc
from slide.prediction import Ensemble, Mixed
from slide.tuning import search
from tests.networks import separable

QUICK = ("--threads", 1, "--hidden", 16, "--lr", 0.02, "--batch-size", 20)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    save_xmc(folder / "train.txt", *separable(n=300))
    save_xmc(folder / "test.txt", *separable(seed=1, n=80))
    return "--train", folder / "train.txt", "--test", folder / "test.txt"


@pytest.fixture(autouse=True)
def short_races(monkeypatch):
    monkeypatch.setattr(search, "RACE", (2, 4))
    monkeypatch.setattr(search, "EVERY", (2, 4))
    monkeypatch.setattr(search, "WIDER", {"hidden": [32], "dropout": 0.2})


def run(capsys, *arguments):
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as stop:
        code = stop.code
    return code, *capsys.readouterr()


def records(path, event):
    return [line for line in map(json.loads, path.read_text().splitlines()) if line["event"] == event]


def test_two_files_are_enough(data, tmp_path, capsys):
    model, log = tmp_path / "m.npz", tmp_path / "run.jsonl"
    code, out, _ = run(capsys, "train", *data, "--save", model, "--log", log)
    assert code == 0 and "tuning: " in out and "tuned on 60 held-out rows: P@1" in out
    (tuning,), (end,) = records(log, "tuning"), records(log, "end")
    assert tuning["rows"] == 60 and len(tuning["records"]) >= 4 and tuning["scores"]["P@1"] > 0.3
    found = slide.load(model)
    X, Y = load_xmc(data[3])
    best = end["scores"]["test"]
    name = "with neighbours" if isinstance(found, Mixed) else "one network"
    assert found.evaluate(X, Y).scores["P@1"] == pytest.approx(best[name]["P@1"])
    assert f"test, 80 rows, {name}: P@1 {best[name]['P@1']:.4f}" in out
    before = (tmp_path / "m.npz.tuning.jsonl").read_text()
    again, out_again, _ = run(capsys, "train", *data, "--save", model)
    assert again == 0 and (tmp_path / "m.npz.tuning.jsonl").read_text() == before
    assert [line for line in out_again.splitlines() if line.startswith("test,")] == [
        line for line in out.splitlines() if line.startswith("test,")
    ]


def test_the_training_file_alone_is_enough(data, tmp_path, capsys):
    code, out, _ = run(capsys, "train", *data[:2], "--no-tune", "--save", tmp_path / "m.npz")
    assert code == 0 and "test," not in out and Network.load(tmp_path / "m.npz").step > 0
    code, out, _ = run(capsys, "train", *data[:2])
    assert code == 0 and "validation, before all rows were trained on: P@1" in out


@pytest.mark.parametrize("given", [QUICK, ("--epochs", 2), ("--steps", 3), ("--no-tune",), ("--validation", 0.2)])
def test_who_says_how_to_train_is_not_tuned(given, data, capsys):
    code, out, _ = run(capsys, "train", *data, *given)
    assert code == 0 and "tuning" not in out


def test_settings_that_are_given_stay_in_tuning(data, tmp_path, capsys):
    code, out, _ = run(capsys, "train", *data, *QUICK, "--tune", "--save", tmp_path / "m.npz")
    assert code == 0 and "hidden=[16]" in out.split("settings: ")[1] and "lr=0.02" in out


def test_tune_prints_options_that_train_takes(data, tmp_path, capsys):
    code, out, _ = run(capsys, "tune", *data[:2], "--threads", 1, "--cache", tmp_path / "trials")
    assert code == 0
    words = out.splitlines()[-1].split()
    assert words[:4] == ["python", "-m", "slide", "train"]
    code, out, _ = run(capsys, *words[3:], *data[2:])
    assert code == 0 and "test, 80 rows" in out


def test_the_best_network_by_validation_is_saved(data, tmp_path, capsys):
    model, log = tmp_path / "m.npz", tmp_path / "run.jsonl"
    options = ("--validation", data[3], "--epochs", 30, "--patience", 2, "--evaluate-every", "0.5epochs")
    code, out, _ = run(capsys, "train", *data, *QUICK, *options, "--save", model, "--log", log)
    assert code == 0
    evaluations, (end,) = records(log, "evaluation"), records(log, "end")
    top = max(line["P@1"] for line in evaluations)
    assert end["scores"]["validation"]["one network"]["P@1"] == pytest.approx(top)
    assert Network.load(model).evaluate(*load_xmc(data[3])).scores["P@1"] == pytest.approx(top)
    assert evaluations[-1]["step"] < 30 * 15  # it ended before
    code, _, _ = run(capsys, "train", *data[:2], *QUICK, "--validation", 0.2, "--epochs", 3, "--schedule", "linear")
    assert code == 0


def test_several_networks_predict_together_and_go_on(data, tmp_path, capsys):
    model, half = tmp_path / "m.npz", tmp_path / "half.npz"
    code, out, _ = run(capsys, "train", *data, *QUICK, "--epochs", 3, "--networks", 3, "--save", model)
    assert code == 0 and "network 3 of 3, seed 2" in out and "test, 80 rows, 3 networks: P@1" in out
    found = slide.load(model)
    assert isinstance(found, Ensemble) and [network.seed for network in found.networks] == [0, 1, 2]
    code, _, _ = run(capsys, "train", *data, *QUICK, "--epochs", 3, "--networks", 2, "--save", half)
    code, _, _ = run(capsys, "train", *data, "--resume", half, "--networks", 3, "--save", half)
    assert code == 0
    X, Y = load_xmc(data[3])
    for one, other in zip(found.predict(X), slide.load(half).predict(X), strict=True):
        assert np.array_equal(one, other)
    code, _, err = run(capsys, "train", *data, "--resume", half, "--networks", 2)
    assert code == 2 and "expected at least the 3 of" in err


def test_neighbours_join_as_asked(data, tmp_path, capsys):
    model = tmp_path / "m.npz"
    code, out, _ = run(capsys, "train", *data, *QUICK, "--epochs", 3, "--neighbours", 7, "--save", model)
    found = slide.load(model)
    assert code == 0 and isinstance(found, Mixed) and {mixing.k for mixing in found.mixings.values()} == {7}
    X, Y = load_xmc(data[3])
    assert f"with neighbours: P@1 {found.evaluate(X, Y).scores['P@1']:.4f}" in out
    code, out, _ = run(capsys, "train", *data, "--resume", model, "--epochs", 5, "--save", model)
    assert code == 0 and isinstance(slide.load(model), Mixed) and slide.load(model).networks[0].step == 5 * 15


def test_items_that_a_row_has_are_left_out_in_training_too(tmp_path, capsys):
    rng = np.random.default_rng(5)
    X, Y = (sparse.csr_matrix((rng.random((90, 30)) < share).astype(np.float32)) for share in (0.3, 0.1))
    save_xmc(tmp_path / "items.txt", X, Y)
    files = ("--train", tmp_path / "items.txt", "--test", tmp_path / "items.txt", "--save", tmp_path / "m.npz")
    code, out, _ = run(capsys, "train", *files, "--mask-seen")
    assert code == 0
    scores = slide.load(tmp_path / "m.npz").evaluate(*load_xmc(tmp_path / "items.txt"), mask_seen=True).scores
    assert f"P@1 {scores['P@1']:.4f}" in out


@pytest.mark.parametrize(
    "given, words",
    [
        (("--tune-budget", 2, "--epochs", 1), "--tune-budget: found 2.0 without tuning"),
        (("--tune", "--epochs", 2), "--epochs: found 2 with --tune"),
        (("--tune", "--validation", 0.1), "--validation: found 0.1 with --tune"),
        (("--patience", 2), "--patience: found 2 without --validation"),
        (("--no-tune", "--monitor", "P@1"), "--monitor: found P@1 without --validation"),
        (("--monitor", "F1"), "found 'F1', expected P@k or nDCG@k"),
        (("--validation", 1.5), "expected a number in (0, 1)"),
        (("--schedule", "plateau", "--tune"), "--schedule: found plateau without --validation"),
        (("--grow-at", 0.5), "--grow-at: found 0.5 without --grow"),
        (("--validation", 0.1, "--evaluate-every", "5s"), "--evaluate-every: found a time with --validation"),
        (("--mask-seen", "--epochs", 1), "mask_seen: found True with 40 features and 30 labels"),
    ],
)
def test_what_has_no_effect_is_refused(given, words, data, capsys):
    code, _, err = run(capsys, "train", *data, *given)
    assert code == 2 and words in err


ODD = {
    "one row": [[3]], "two rows": [[3], [4]], "fifty rows": [[i % 7] for i in range(50)], "no labels": [[]] * 60,
    "some without labels": [[i % 7] if i % 3 else [] for i in range(60)], "one label for all": [[4]] * 60,
    "labels of one row each": [[i] for i in range(60)],
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_training_sets(name, tmp_path, capsys, rng):
    n, n_labels = len(ODD[name]), 60 if "each" in name else 10
    X = sparse.csr_matrix((rng.random((n, 20)) < 0.3).astype(np.float32))
    Y = sparse.lil_matrix((n, n_labels), dtype=np.float32)
    for row, labels in enumerate(ODD[name]):
        Y[row, labels] = 1
    save_xmc(tmp_path / "d.txt", X, Y.tocsr())
    files = ("--train", tmp_path / "d.txt", "--test", tmp_path / "d.txt", "--save", tmp_path / "m.npz")
    code, out, _ = run(capsys, "train", *files, "--threads", 1)
    assert code == 0 and f"test, {n} rows" in out
    assert ("tuned on" in out) != ("settings by the rule of thumb: found" in out)
    assert slide.load(tmp_path / "m.npz").n_labels == n_labels


def test_masking_has_an_effect_where_tuning_decides(tmp_path, capsys, rng):
    X, Y = (sparse.csr_matrix((rng.random((60, 12)) < share).astype(np.float32)) for share in (0.3, 0.2))
    save_xmc(tmp_path / "items.txt", X, Y)
    assert run(capsys, "train", "--train", tmp_path / "items.txt", "--mask-seen", "--threads", 1)[0] == 0
    code, _, err = run(capsys, "train", "--train", tmp_path / "items.txt", "--mask-seen", "--epochs", 1)
    assert code == 2 and "--mask-seen: found neither --test nor --validation nor tuning" in err
