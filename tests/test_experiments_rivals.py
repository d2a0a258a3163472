"""slide beside other systems for many labels: what is measured, chosen and drawn, whichever of them are installed."""

import signal

import numpy as np
import pytest
from scipy import sparse

from experiments.benchmarks import rivals as benchmark
from experiments.frame import draw, problems, processes, records, runner
from experiments.peers import rivals

ABOUT = dict(set="tiny", seed=0)
SCORES = {"P@1": 0.5, "P@3": 0.4, "P@5": 0.3, "PSP@1": 0.2, "PSP@3": 0.2, "PSP@5": 0.2}
FAILED = dict(of="trial", limit=60, **ABOUT)
COSTS = dict(train_s=10.0, predict_s=1.0, peak_gb=0.5, model_mb=20.0)


class Popular(rivals.Rival):
    """Always the most frequent labels; in vain where `choice` says so."""

    PACKAGE, PIP, RANDOM = "numpy", "numpy", False

    @staticmethod
    def choices(n_labels):
        return [{"endless": False}]

    def prepare(self, X, Y, X_test):
        assert np.allclose(X.multiply(X).sum(axis=1), 1, atol=1e-5)

    def fit(self, X, Y):
        while self.choice["endless"]:
            pass
        self.top = np.argsort(-np.asarray(Y.sum(axis=0)).ravel(), kind="stable")

    def predict(self, X, k):
        return np.tile(self.top[:k], (X.shape[0], 1))

    def save(self, folder):
        folder.mkdir()
        np.save(folder / "top.npy", self.top)


def measure(**arguments):
    rivals.RIVALS["popular"] = Popular
    yield from rivals.measure("popular", **arguments)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rivals") / "tiny"
    benchmark.save(folder, problems.problem("tiny"))
    return str(folder)


@pytest.mark.slow
def test_a_rival_is_measured_in_a_process_of_its_own(data):
    [line] = processes.lines(__name__, "measure", choice={"endless": False}, seed=0, folder=data, limit=60)
    assert line["P@1"] == pytest.approx(problems.problem("tiny").popularity)
    assert line["train_s"] >= 0 and line["predict_s"] >= 0 and line["peak_gb"] > 0.01
    assert line["model_mb"] == pytest.approx(8 * 2680 / 1e6, rel=0.1) and {"P@5", "PSP@1", "PSP@5"} <= set(line)


@pytest.mark.slow
def test_a_rival_that_takes_too_long_is_ended(data):
    with pytest.raises(processes.Ended) as ended:
        list(processes.lines(__name__, "measure", choice={"endless": True}, seed=0, folder=data, limit=1))
    assert ended.value.code == -signal.SIGXCPU


@pytest.mark.slow
def test_arguments_that_the_command_line_refuses_are_told(data):
    with pytest.raises(processes.Ended, match="argument --epochs"):
        list(processes.lines("experiments.peers.slide_command", "measure", tune=None,
                             train={"slide": ["--epochs", "no"]}, seed=3, folder=data, limit=60))  # fmt: skip


@pytest.mark.slow
def test_where_no_rival_is_installed_slide_is_measured_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(rivals, "missing", lambda system: f"{system} is left out")
    picture, measured = runner.run("rivals", "smoke", 1, 0, tmp_path)
    lines = records.load(picture.with_suffix(".jsonl"))
    assert measured and picture.stat().st_size > 10_000
    assert {line["text"] for line in records.of(lines, "note")} == {f"{name} is left out" for name in rivals.RIVALS}
    results = records.of(lines, "result")
    assert [line["system"] for line in results] == ["slide-rule", "slide", "slide-networks"]
    for line in results:
        assert line["P@1"] > 0.1 and line["train_s"] >= 0 and line["model_mb"] > 1 and "batch_size" in line["settings"]
    assert results[0]["tune_s"] == 0 <= results[1]["tune_s"] == results[2]["tune_s"]
    assert "tiny: slide" in benchmark.finding(lines)


@pytest.mark.slow
@pytest.mark.parametrize("system", rivals.RIVALS)
def test_every_rival_that_is_installed_is_better_than_the_most_frequent_label(system, tmp_path):
    pytest.importorskip(rivals.RIVALS[system].PACKAGE)
    problem = problems.problem("delicious-983") if problems.find("delicious-983") else problems.problem("tiny")
    benchmark.save(tmp_path / "data", problem)
    choice = rivals.RIVALS[system].choices(problem.n_labels)[0]
    [line] = processes.lines("experiments.peers.rivals", "measure", system=system, choice=choice, seed=0,
                             folder=str(tmp_path / "data"), limit=120)  # fmt: skip
    assert line["P@1"] > problem.popularity and line["model_mb"] > 0.01


def test_a_rival_is_tuned_once_and_slide_comes_last():
    plan = {"sets": {"a": [0, 1], "b": [0]}}
    found = [(x["set"], x["system"], x["stage"], x.get("seed")) for x in
             benchmark.grid(plan, ["a", "b"], ["pecos", "neighbours", "slide-rule", "slide"], 7)]  # fmt: skip
    first = [(name, system, *stage) for name in "ab" for system in ("pecos", "neighbours")
             for stage in (("tune", None), ("test", 7))]  # fmt: skip
    last = [(name, system, "test", seed) for name, seeds in (("a", (7, 8)), ("b", (7,)))
            for system in ("slide-rule", "slide") for seed in seeds]  # fmt: skip
    assert found == [*first, ("a", "pecos", "test", 8), *last]


def test_the_best_trial_is_chosen_and_its_time_counted():
    lines = [
        dict(record="trial", system="pecos", choice={"threshold": 0.1}, **ABOUT, **COSTS, **{"P@1": 0.4}),
        dict(record="trial", system="pecos", choice={"threshold": 0.2}, **ABOUT, **COSTS, **{"P@1": 0.6}),
        dict(record="failed", system="pecos", choice={"threshold": 0.3}, over=True, text=None, **FAILED),
        dict(record="failed", system="omikuji", choice={"tree": "Bonsai"}, over=False, text="?", **FAILED),
        dict(record="result", system="pecos", choice={"threshold": 0.2}, **ABOUT, **COSTS, **SCORES),
        dict(record="result", system="pecos", choice={"threshold": 0.2}, **ABOUT, **COSTS, **SCORES | {"P@1": 0.7}),
    ]
    assert benchmark.chosen(lines, {"set": "tiny", "system": "pecos"}) == {"threshold": 0.2}
    assert benchmark.chosen(lines, {"set": "tiny", "system": "omikuji"}) == {"tree": "Bonsai"}
    [line] = benchmark.summarise(lines)
    assert line["tune_s"] == 82 and line["P@1"] == pytest.approx(0.6) and (line["low"], line["high"]) == (0.5, 0.7)
    text = benchmark.table(lines)
    assert "PECOS XR-Linear" in text and "took more than 60 CPU seconds" in text


def test_the_figure_names_the_best_of_both_sides(tmp_path):
    data = dict(record="data", name="tiny", title="tiny synthetic set", n_train=10, n_labels=7)
    lines = [dict(record="result", system=name, choice=None, **ABOUT, **COSTS, **SCORES | {"P@1": score})
             for name, score in (("pecos", 0.5), ("omikuji", 0.6), ("slide", 0.55), ("slide-rule", 0.4))]  # fmt: skip
    lines = [{"record": "header"}, data, *lines]
    assert "tiny: slide as it comes 0.550 in 10 s, omikuji, 3 trees 0.600 in 10 s." in benchmark.finding(lines)
    figure = benchmark.plot(lines)
    draw.caption(figure, benchmark.finding(lines))
    figure.savefig(tmp_path / "x.png")
    assert "7 labels" in figure.axes[0].get_title()


def test_predictions_have_a_place_for_every_rank():
    scores = sparse.csr_matrix([[0.1, 0.0, 0.3, 0.2], [0, 0, 0, 0], [0, 0.5, 0, 0]])
    assert rivals.best_of(scores, 3).tolist() == [[2, 3, 0], [-1, -1, -1], [1, -1, -1]]
    assert rivals.padded([], 2).shape == (0, 2)
    assert rivals.texts_of(scores) == ["f0 f2 f3", "", "f1"]
    assert np.allclose(rivals.unit_rows(scores).multiply(rivals.unit_rows(scores)).sum(axis=1).T, [1, 0, 1])
