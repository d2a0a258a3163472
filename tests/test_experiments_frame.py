"""The frame of the experiments: resuming, estimates of time, data, processes, the page of figures."""

import json
import os

import numpy as np
import pytest

from experiments.__main__ import main
from experiments.frame import catalogue, draw, problems, processes, records, report, runner, seeds, training

HEADER = {"experiment": "x", "scale": "smoke", "threads": 1, "seed": 0, "settings": {}, "cpu": "c", "build": {}}
GRID = [{"K": 1}, {"K": 2}, {"K": 3}]


def measure(path, header=HEADER, fail_at=None, **options):
    """Runs GRID; returns the settings that were measured."""
    measured = []
    with records.Records(path, header, **options) as log:
        log.add("data", name="d")
        for setting in log.pending(GRID):
            log.add("half", **setting)
            if setting["K"] == fail_at:
                raise KeyboardInterrupt
            log.add("point", **setting)
            measured.append(setting["K"])
    return measured


def test_an_interrupted_run_goes_on_at_the_next_setting(tmp_path):
    path = tmp_path / "x.jsonl"
    with pytest.raises(KeyboardInterrupt):
        measure(path, fail_at=2)
    assert not path.exists()
    partial = path.with_name("x.jsonl.partial")
    with partial.open("a") as file:
        file.write('{"record": "torn')
    assert measure(path) == [2, 3]
    lines = records.load(path)
    assert [line["K"] for line in lines if line["record"] == "point"] == [1, 2, 3]
    assert [line["K"] for line in lines if line["record"] == "half"] == [1, 2, 3]
    assert len(records.of(lines, "data")) == 1 and not partial.exists()


@pytest.mark.parametrize("change", [{"cpu": "another"}, {"seed": 1}, {"settings": {"n": 2}}, {"build": {"simd": "x"}}])
def test_runs_of_other_machines_or_settings_are_not_gone_on_with(tmp_path, change):
    path = tmp_path / "x.jsonl"
    with pytest.raises(KeyboardInterrupt):
        measure(path, fail_at=3)
    assert measure(path, {**HEADER, **change}) == [1, 2, 3]
    assert len(records.of(records.load(path), "point")) == 3


def test_a_run_again_keeps_nothing(tmp_path):
    path = tmp_path / "x.jsonl"
    with pytest.raises(KeyboardInterrupt):
        measure(path, fail_at=3)
    assert measure(path, fresh=True) == [1, 2, 3]


def test_progress_is_told_after_every_setting(tmp_path):
    told = []
    measure(tmp_path / "x.jsonl", progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(("words", "expected"), [("20 s", 20), ("1.5 min", 90), ("2 h", 7200), ("long", 60)])
def test_seconds_of_words(words, expected):
    assert runner.seconds(words) == expected


def test_every_experiment_of_the_frame_says_what_it_is():
    for name in catalogue.names():
        module = catalogue.load(name)
        assert module.QUESTION.endswith("?") and not module.PAPER.endswith(".")
        for words in module.TIME.values():
            assert runner.seconds(words) != 60.0 or words in ("60 s", "1 min"), (name, words)
        assert bool(getattr(module, "FIGURE", None)) == (name in catalogue.names("paper")), name
    times = {name: runner.seconds(catalogue.load(name).TIME["small"]) for name in catalogue.names("paper")}
    assert sum(times.values()) < 150 * 60
    assert sum(times.values()) - times["architectures"] < 120 * 60  # it is left out where there is no PyTorch, an extra


def test_data_is_found_in_the_folder_that_is_named(tmp_path, monkeypatch):
    from slide.data import make_xmc, save_xmc

    train, test = make_xmc("amazon-670k", 50, 20, scale=0.004)
    folder = tmp_path / "citeulike-tags-53k"
    folder.mkdir()
    save_xmc(folder / "train.txt", *train)
    save_xmc(folder / "test.txt", *test)
    monkeypatch.setenv("SLIDE_DATA", str(tmp_path))
    found = problems.problem("citeulike-tags-53k")
    assert found.title == "citeulike-tags-53k" and found.test[0].shape == test[0].shape
    assert (found.test[0] != test[0]).nnz > 0, "test rows come shuffled"
    assert found.test[1].nnz == test[1].nnz


def test_a_stand_in_says_that_it_is_one(tmp_path, monkeypatch):
    monkeypatch.setenv("SLIDE_DATA", str(tmp_path))
    monkeypatch.setattr(problems, "folders", lambda: [tmp_path])
    monkeypatch.setitem(problems.STAND_INS, "diginetica-43k", ("amazon-670k", 0.004))
    assert "synthetic" in problems.problem("diginetica-43k", n_test=30).title


def test_tuning_never_sees_the_test_set():
    problem = problems.problem("tiny")
    part = training.held_out(problem, 500, 0)
    assert part.train[0].shape[0] == 500 and part.test[0].shape[0] == 150
    rows = {tuple(row.indices) for X in (part.train[0], part.test[0]) for row in X}
    assert rows <= {tuple(row.indices) for row in problem.train[0]}


def test_training_evaluates_where_it_is_told_and_ends_in_time():
    problem = problems.problem("tiny")
    chosen = training.settings("slide", problem, {"active": 100})
    network = training.network(problem, chosen, 5e-3, 12, 1, 0)
    lines = training.train(network, problem, 12, dict, evaluations=4)
    assert [line["step"] for line in lines] == [3, 6, 9, 12]
    network = training.network(problem, chosen, 5e-3, 12, 1, 0)
    assert len(training.train(network, problem, 12, dict, evaluations=4, seconds=0.0)) == 1
    network = training.network(problem, chosen, 5e-3, 12, 1, 0)
    assert [x["step"] for x in training.train(network, problem, 12, dict, evaluations=3, early=True)] == [1, 3, 12]


def echo(value):
    yield {"value": value, "env": os.environ.get("SLIDE_TEST")}


def test_processes_yield_lines_and_tell_why_they_failed():
    [line] = processes.lines(__name__, "echo", env={"SLIDE_TEST": "here"}, value=3)
    assert line == {"value": 3, "env": "here"}
    with pytest.raises(RuntimeError, match="TypeError"):
        list(processes.lines(__name__, "echo", wrong=3))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["core_utilization", "inefficiency"])
def test_without_pytorch_the_others_are_measured_and_the_record_says_so(name, tmp_path, monkeypatch, one_process):
    monkeypatch.setattr(processes, "has_torch", lambda: False)
    picture, _ = runner.run(name, "smoke", threads=1, folder=tmp_path)
    lines = records.load(picture.with_suffix(".jsonl"))
    assert records.of(lines, "note") == [{"record": "note", "text": processes.NO_TORCH}]
    assert "left out: not installed" in report.section(name, catalogue.load(name), lines)


@pytest.mark.slow
def test_the_page_names_every_figure_that_is_there(tmp_path):
    runner.run("collision_curves", "smoke", threads=1, folder=tmp_path)
    for suffix in (".jsonl", ".png"):
        (tmp_path / f"collision_curves-smoke{suffix}").rename(tmp_path / f"collision_curves{suffix}")
    text = report.report(tmp_path).read_text()
    module = catalogue.load("collision_curves")
    assert module.QUESTION in text and "run collision_curves" in text and "demo" not in text


@pytest.mark.slow
def test_a_record_of_other_settings_is_neither_judged_nor_drawn_with_all(tmp_path, capsys):
    header = {"record": "header", "experiment": "bench_peers", "scale": "small", "settings": {"rounds": 77}}
    (tmp_path / "bench_peers.jsonl").write_text(json.dumps(header) + "\n")
    (tmp_path / "bench_peers.png").write_bytes(b"")
    assert "an earlier version" in report.report(tmp_path).read_text()
    assert main(["draw", "all", "--folder", str(tmp_path)]) == 0
    assert "bench_peers: not drawn" in capsys.readouterr().err


@pytest.mark.slow
def test_every_system_chooses_its_regularisation_on_held_out_rows():
    problem = problems.problem("tiny")
    dropout = {"dropout": 0.3, "label_smoothing": 0.0}
    both = {"dropout": 0.3, "label_smoothing": 0.7}
    tried = [training.PLAIN, dropout, both]
    assert training.choices(problem, [1, 2]) == [{"lr": rate, **regular} for regular in tried for rate in (1, 2)]
    lines = []

    def add(record, **line):
        lines.append({"record": record, **line})
        return line

    training.tuned_run(
        "full", problem, add, training.settings("full", problem), rates=[5e-3], epochs=1, tune_epochs=0.5, threads=1,
        seed=0, evaluations=1,
    )  # fmt: skip
    *trials, last = lines
    top = max(trials, key=lambda line: line["p1"])
    assert len(trials) == 3 and training.choice_of(last) == training.choice_of(top)
    training.tuned_run(
        "slide", problem, add, training.settings("slide", problem), rates=[5e-3], epochs=1, tune_epochs=0.5, threads=1,
        seed=0, evaluations=1, choice={"lr": 1e-3, **dropout},
    )  # fmt: skip
    assert len(lines) == 5 and training.choice_of(lines[-1]) == {"lr": 1e-3, **dropout}


def test_a_synthetic_set_is_of_the_shape_that_was_asked_for():
    problem = problems.problem("amazon-670k", shape=dict(scale=0.003, n_train=50, n_test=20))
    assert "scale of 0.003" in problem.title and (len(problem.train[0].indptr), problem.test[0].shape[0]) == (51, 20)


def test_axes_show_all_that_is_drawn():
    figure, (axis,) = draw.panels(1, "x")
    axis.plot([1, 2], [0.2, 0.5])
    draw.popularity(axis, {"popularity": 0.7})
    draw.accuracy(axis, "batches")
    assert axis.get_ylim()[1] > 0.7
    assert json.dumps(records.in_words({"a": 1, "b": "two"})) == '"a=1, two"'
    assert np.isclose(figure.get_figwidth(), 6)


def test_curves_of_several_seeds_are_their_mean_where_all_of_them_were_measured():
    lines = [{"record": "evaluation", "seed": seed, "step": step, "seconds": step + seed, "p1": 0.1 * step + 0.2 * seed}
             for seed in (0, 1) for step in (1, 2)]  # fmt: skip
    lines.append({"record": "evaluation", "seed": 1, "step": 3, "seconds": 9.0, "p1": 0.9})  # the other had no time
    first, second = seeds.curve(lines)
    assert (first["step"], second["step"], first["seeds"]) == (1, 2, 2)
    assert first["p1"] == pytest.approx(0.2) and first["p1_spread"] == pytest.approx(0.2 / 2**0.5)
    assert first["seconds"] == 1.5 and seeds.score([first, second]) == "0.300 +- 0.141"
    assert seeds.in_words([first]).startswith("mean of 2 seeds")


def test_one_seed_has_no_spread():
    [line] = seeds.mean_of([{"step": 1, "seconds": 1.0, "p1": 0.5, "recall": [0.25, 0.5]}])
    assert line["p1_spread"] == 0 and line["recall"] == [0.25, 0.5]
    assert seeds.score([line]) == "0.500" and seeds.in_words([line]) == "one seed"


@pytest.mark.parametrize("bands", [0, 1])
def test_a_curve_has_a_band_where_there_is_a_spread(bands):
    _, [axis] = draw.panels(1, "?")
    draw.curve(axis, [{"x": x, "p1": x, "p1_spread": 0.1 * bands} for x in (1, 2)], "x", "p1", color="#000000")
    assert len(axis.collections) == bands
