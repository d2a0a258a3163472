"""Ablations by command: what is varied, what is refused, and that an interrupted one goes on."""

import numpy as np
import pytest

from experiments.__main__ import main
from experiments.ablation import measure, show, variants
from experiments.frame import records
from slide.data import save_xmc
from tests.networks import separable

BASE = ["--base", "epochs=1", "hidden=8", "sampler=vanilla", "active=10", "L=4", "batch_size=50"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    save_xmc(folder / "train.txt", *separable(n=300))
    save_xmc(folder / "test.txt", *separable(seed=1, n=80))
    return [str(folder / "train.txt"), str(folder / "test.txt")]


def run(files, tmp_path, *more):
    return main(["ablate", "--data", *files, "--threads", "1", "--folder", str(tmp_path), *more])


def test_one_setting_at_a_time_beside_the_base(files, tmp_path, capsys):
    assert run(files, tmp_path, "--vary", "K=1,2", "hash=dwta,simhash", *BASE, "--seeds", "2", "--test") == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[1:6]] == ["base", "K=1", "K=2", "hash=dwta", "hash=simhash"]
    lines = records.load(next(tmp_path.glob("*.jsonl")))
    results = records.of(lines, "result")
    assert len(results) == 10 and {line["seed"] for line in results} == {0, 1}
    assert all(0 <= line["P@1"] <= 1 and line["ms"] > 0 for line in results)
    assert records.of(lines, "data")[0]["n_test"] == 80
    assert sorted(path.name.rsplit("-", 1)[1] for path in tmp_path.glob("*.png")) == ["K.png", "hash.png"]


def test_all_combinations_on_held_out_rows(files, tmp_path):
    assert run(files, tmp_path, "--vary", "K=1,2", "lr=0.01,0.02", *BASE, "--seeds", "1", "--cross") == 0
    lines = records.load(next(tmp_path.glob("*.jsonl")))
    assert [line["change"] for line in records.of(lines, "result")] == [
        {"K": 1, "lr": 0.01}, {"K": 1, "lr": 0.02}, {"K": 2, "lr": 0.01}, {"K": 2, "lr": 0.02},
    ]  # fmt: skip
    assert records.of(lines, "data")[0]["n_test"] == 15
    assert list(show.curves(lines, "K")) == ["lr=0.01", "lr=0.02"]
    assert "one seed" in show.finding(lines, "K")


def test_an_interrupted_ablation_goes_on(files, tmp_path, monkeypatch):
    one, done = measure.one, []

    def counted(problem, base, change, *rest):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(change)
        return one(problem, base, change, *rest)

    command = ["--vary", "K=1,2", *BASE, "--seeds", "1"]
    with monkeypatch.context() as patched:
        patched.setattr(measure, "one", counted)
        assert run(files, tmp_path, *command) == 130
    with monkeypatch.context() as patched:
        patched.setattr(measure, "one", lambda *a: done.append(a[2]) or one(*a))
        assert run(files, tmp_path, *command) == 0
    assert done == [{}, {"K": 1}, {"K": 2}]


def test_a_base_setting_is_left_out_where_it_has_no_effect(files):
    problem = measure.with_held_out(measure.read(files, 0), 0)
    base = variants.base_of(["dwta", "sampler=vanilla", "active=10"])
    assert base["hash"] == "dwta"
    del base["sampler"]
    assert "hash" not in variants.complete(problem, base, {"sampler": "uniform"})
    assert variants.complete(problem, base, {"sampler": "topk"})["hash"] == "dwta"
    with pytest.raises(ValueError, match="--base: found .'hash'."):
        variants.check(problem, base, [{"sampler": "uniform"}])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--vary", "k=3"], "--vary: found 'k=3', expected NAME=VALUE"), (["--vary", "K"], "expected NAME=VALUE"),
        (["--vary", "K=x"], "--vary K: found 'x'"), (["--vary", "K=3,3"], "expected each value once"),
        (["--vary", "seed=1,2"], "is an option of its own"), (["--vary", "K=3", "--base", "K=2"], "which --base fixes"),
        (["--vary", "hidden=0,4"], "--vary hidden: found"), (["--vary", "K=3", "--metric", "R@1"], "--metric: found"),
        (["--vary", "K=3", "--seeds", "0"], "--seeds: found 0"), (["--vary", "K=3", "--base", "L=4,5"], "expected one"),
        (["--vary", "adam_epsilon=1"], "expected NAME=VALUE"),
        (["--vary", "momentum=0.9,0.5"], "expected NAME=VALUE"),
        (["--vary", "K=3", "--base", "sampler=full"], "K: found 3"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(words, said, files, tmp_path, capsys):
    assert run(files[:1], tmp_path, *words) == 1
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_test_set_that_is_not_there(files, tmp_path, capsys):
    assert run(files[:1], tmp_path, "--vary", "K=1", "--test") == 1
    assert "--test: found no test file" in capsys.readouterr().err


def test_the_summary_is_mean_and_range():
    lines = [{"record": "header", "settings": {"metric": "P@1"}}]
    lines += [{"record": "result", "change": {"K": 2}, "seed": i, "P@1": p, "ms": 1.0, "active": 5.0} for i, p in
              enumerate((0.2, 0.4))]  # fmt: skip
    (row,) = measure.summary(lines)
    assert row["words"] == "K=2" and np.allclose(row["P@1"], (0.3, 0.2)) and row["recall"] is None
