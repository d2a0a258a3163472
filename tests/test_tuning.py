"""Settings chosen by held-out training rows."""

import numpy as np
import pytest
from scipy import sparse

from slide.defaults import make_network
from slide.rows import as_label_rows, as_sparse_rows
from slide.tuning import search, tune
from slide.tuning.cache import Cache
from slide.tuning.trials import Plateau, Trial, lead
from tests.networks import separable

X, Y = separable(n=400)
QUICK = {"threads": 1, "batch_size": 32}


@pytest.fixture(autouse=True)
def short_races(monkeypatch):
    monkeypatch.setattr(search, "RACE", (8, 16))
    monkeypatch.setattr(search, "EVERY", (8, 16))
    monkeypatch.setattr(search, "WIDER", {"hidden": [32], "dropout": 0.2})


def test_what_is_chosen_can_be_trained_and_is_the_same_again():
    lines = []
    tuned = tune(X, Y, given=QUICK, report=lines.append)
    assert len(lines) >= len(tuned.records) >= 4
    assert tuned.rows == 80 and 0 < tuned.scores["P@1"] <= 1 and tuned.cost > 0
    assert {"hidden", "lr", "epochs", "label_smoothing", "seed"} <= tuned.settings.keys()
    network = make_network(X.shape[1], Y.shape[1], tuned.steps, tuned.settings).fit(X, Y, steps=tuned.steps)
    assert network.schedule.steps == tuned.steps and network.evaluate(X, Y).scores["P@1"] > 0.5
    again = tune(X, Y, given=QUICK)
    assert again == tuned


def test_what_is_given_stays():
    tuned = tune(X, Y, given={**QUICK, "hidden": [24], "label_smoothing": 0.25, "lr": 0.02})
    assert (tuned.settings["hidden"], tuned.settings["label_smoothing"], tuned.settings["lr"]) == ([24], 0.25, 0.02)
    assert [record.get("ended") for record in tuned.records[:2]] == ["", "plateau"]


def test_trials_in_the_cache_are_not_repeated(tmp_path, monkeypatch):
    path = tmp_path / "trials.jsonl"
    first = tune(X, Y, given=QUICK, cache=path)
    written = path.read_text()

    def never(*args):
        raise AssertionError("raced again")

    monkeypatch.setattr(search, "race", never)
    assert tune(X, Y, given=QUICK, cache=path) == first
    assert path.read_text() == written
    with pytest.raises(AssertionError, match="raced again"):
        tune(X[:300], Y[:300], given=QUICK, cache=path)


def test_a_cache_that_was_cut_off_is_continued(tmp_path):
    path = tmp_path / "trials.jsonl"
    first = tune(X, Y, given=QUICK, cache=path)
    path.write_text(path.read_text()[:-40])
    assert tune(X, Y, given=QUICK, cache=path) == first


def test_challengers_that_the_budget_does_not_pay_for_are_not_tried():
    lines = []
    tuned = tune(X, Y, given=QUICK, budget=1.101, report=lines.append)
    assert sum("not tried" in line for line in lines) >= 2
    assert len([record for record in tuned.records if "lead" in record]) == 0


def test_hidden_rows_that_take_too_much_memory_are_no_memory(monkeypatch):
    monkeypatch.setattr(search, "HIDDEN_BYTES", 1000)
    lines = []
    assert "hidden" not in tune(X, Y, given=QUICK, report=lines.append).mixings
    assert any("neighbours by hidden rows: not tried" in line for line in lines)


def test_a_better_challenger_wins_and_a_worse_one_is_given_up(monkeypatch):
    monkeypatch.setattr(search, "TARGETS", ())
    monkeypatch.setattr(search, "WIDER", {"hidden": [2]})
    worse = tune(X, Y, given={**QUICK, "dropout": 0.0, "label_smoothing": 0.0}, budget=9.0)
    assert worse.settings["hidden"] == [128]
    monkeypatch.setattr(search, "WIDER", {"lr": 0.02})
    better = tune(X, Y, given={**QUICK, "hidden": [16], "dropout": 0.0, "label_smoothing": 0.0}, budget=9.0)
    assert better.settings["lr"] in (0.005, 0.02)
    leads = [record["lead"] for record in better.records if "lead" in record]
    assert all((x > 1) == (better.settings["lr"] == 0.02) for x in leads)


@pytest.mark.parametrize("n", [1, 2, 19])
def test_few_rows_are_no_ground_for_a_choice(n):
    lines = []
    tuned = tune(X[:n], Y[:n], given=QUICK, report=lines.append)
    assert tuned.why.startswith(f"found {n} training rows") and tuned.why in lines[0]
    make_network(X.shape[1], Y.shape[1], tuned.steps, tuned.settings).fit(X[:n], Y[:n], steps=tuned.steps)


@pytest.mark.parametrize("n", [20, 50])
def test_some_more_rows_are(n):
    tuned = tune(X[:n], Y[:n], given=QUICK)
    assert not tuned.why and tuned.rows == n // 5


def test_labels_that_say_nothing():
    n = 60
    one = sparse.csr_array(np.ones((n, 1), np.float32))
    same = np.zeros(n, np.int64)
    for labels, n_labels in ((one, None), (same, 7)):
        tuned = tune(X[:n], labels, given=QUICK, n_labels=n_labels)
        assert tuned.scores["P@1"] == 1 and not tuned.why
    none = tune(X[:n], sparse.csr_array((n, 5), dtype=np.float32), given=QUICK)
    unknown = tune(X[:n], np.arange(n), given=QUICK, n_labels=n)
    assert "no label of the" in none.why and "no label of the" in unknown.why
    half = sparse.csr_array(Y[:n].toarray() * (np.arange(n) % 2)[:, None].astype(np.float32))
    assert not tune(X[:n], half, given=QUICK).why


def test_wrong_arguments():
    with pytest.raises(ValueError, match="X: found no rows"):
        tune(X[:0], Y[:0])
    with pytest.raises(ValueError, match="budget: found 0"):
        tune(X, Y, budget=0)
    with pytest.raises(ValueError, match="monitor: found 'F1'"):
        tune(X, Y, monitor="F1")
    with pytest.raises(ValueError, match="Y: found"):
        tune(X, Y[:3])


def test_a_lead_is_in_standard_errors(rng):
    values = rng.random(500)
    assert lead(values, values) == 0
    assert lead(values + 0.1 * rng.standard_normal(500) + 0.1, values) == pytest.approx(22.4, abs=2)


def test_a_plateau_is_told_by_rises_of_a_standard_error(rng):
    watch = Plateau(None, None, "P@1", 1, 2, True)
    values = (rng.random(400) < 0.5).astype(float)
    assert watch.rises(values) and not watch.rises(values)
    values = values.copy()
    values[np.flatnonzero(values == 0)[:2]], values[np.flatnonzero(values == 1)[0]] = 1, 0
    assert not watch.rises(values)
    values = values.copy()
    values[:60] = 1
    assert watch.rises(values)


def test_a_trial_is_read_as_it_was_written(tmp_path, rng):
    path, about = tmp_path / "trials.jsonl", {"seed": 1}
    arrays = as_sparse_rows(X), as_label_rows(Y)
    trial = Trial({"hidden": [3], "lr": 0.1}, {7: rng.random(9).astype(np.float32)}, None, "behind")
    Cache(path, *arrays, about).add_race(trial)
    found = Cache(path, *arrays, about).race({"lr": 0.1, "hidden": [3]})
    assert found.ended == "behind" and np.array_equal(found.values[7], trial.values[7])
    assert Cache(path, *arrays, {"seed": 2}).race(trial.settings) is None


def test_a_challenger_that_diverges_loses(monkeypatch):
    monkeypatch.setattr(search, "TARGETS", ())
    monkeypatch.setattr(search, "WIDER", {"lr": 1e30})
    tuned = tune(X, Y, given={**QUICK, "hidden": [16]}, budget=9.0)
    assert tuned.settings["lr"] == 0.005
    assert "diverged" in [record.get("ended") for record in tuned.records]
