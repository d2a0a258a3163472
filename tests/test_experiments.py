"""Experiments: the frame around them, and the demo from end to end at its smallest scale."""

import json
import subprocess
import sys

import pytest

from experiments.__main__ import main
from experiments.benchmarks import demo
from experiments.frame import catalogue, records, runner
from experiments.frame.draw import COLOURS, LABELS, draw

SENTENCE = dict(
    target=0.5, best={"slide": 0.55, "uniform": 0.5, "full": 0.56}, popularity=0.01, threads=2,
    seconds={"slide": 9.0, "uniform": 9.0, "full": 90.0},
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    picture, measured = runner.run("demo", "smoke", 2, 0, folder)
    assert measured and picture == folder / "demo-smoke.png"
    return folder


def test_list_shows_every_experiment_with_question_and_time(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert "demo" in catalogue.names() and "draw" not in catalogue.names()
    for name in catalogue.names():
        module = catalogue.load(name)
        assert name in out and module.QUESTION in out
        assert module.PAPER and set(module.TIME) == set(module.SETTINGS) <= set(catalogue.SCALES)
        assert callable(module.run) and callable(module.finding) and callable(module.plot)


@pytest.mark.slow
def test_smoke_run_leaves_records_and_picture(folder):
    header, *measured = records.load(folder / "demo-smoke.jsonl")
    assert (folder / "demo-smoke.png").read_bytes().startswith(b"\x89PNG")
    assert not list(folder.glob("*.partial"))
    assert header["settings"] == records.settings_of(demo, "smoke")
    assert {"commit", "cpu", "threads", "seed", "build"} <= set(header)
    lines = [line for line in measured if line["record"] == "evaluation"]
    for system in demo.SYSTEMS:
        own = [line for line in lines if line["system"] == system]
        assert [line["samples"] for line in own] == [1500 * epoch for epoch in range(1, 13)]
        assert all(a["seconds"] < b["seconds"] for a, b in zip(own, own[1:], strict=False))
        assert all(0 <= line["p1"] <= 1 for line in own)
    active = {line["system"]: line["active"] for line in lines}
    n_labels = next(line for line in measured if line["record"] == "data")["n_labels"]
    assert active["slide"] < active["full"] == n_labels


@pytest.mark.slow
def test_a_finished_setting_is_not_run_twice(folder):
    path = folder / "demo-smoke.jsonl"
    before = path.read_bytes()
    assert runner.run("demo", "smoke", 2, 0, folder)[1] is False
    assert path.read_bytes() == before
    header = records.load(path)[0]
    for change in ({"seed": 1}, {"threads": 1}, {"cpu": "another"}, {"settings": {}}):
        assert not runner.finished(path, {**header, **change})


@pytest.mark.slow
def test_again_measures_anew(tmp_path):
    measured = [runner.run("collision_curves", "smoke", 2, 0, tmp_path, again)[1] for again in (False, True)]
    assert measured == [True, True]


@pytest.mark.slow
def test_draws_from_records_alone_without_slide(folder, tmp_path):
    (tmp_path / "demo-smoke.jsonl").write_bytes((folder / "demo-smoke.jsonl").read_bytes())
    code = (
        "import sys; from experiments.__main__ import main; "
        f"main(['draw', 'demo', '--scale', 'smoke', '--folder', {str(tmp_path)!r}]); "
        "sys.exit('slide' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=catalogue.PACKAGE.parent)
    assert (tmp_path / "demo-smoke.png").stat().st_size > 10_000


@pytest.mark.slow
def test_draws_where_slide_never_reached_the_target(folder, tmp_path):
    lines = records.load(folder / "demo-smoke.jsonl")
    lines[-1]["seconds_to_target"]["slide"] = None
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert draw(demo, tmp_path / "x.jsonl").exists()


@pytest.mark.parametrize(
    ("slide", "full", "said"),
    [
        (6.0, 60.0, "10.0 times faster on 2 threads"),
        (60.0, 6.0, "10.0 times slower on 2 threads"),
        (None, 60.0, "SLIDE did not reach P@1 0.500"),
    ],
)
def test_the_sentence_tells_who_won(slide, full, said):
    assert said in demo.sentence(**SENTENCE, seconds_to_target={"slide": slide, "uniform": None, "full": full})


def test_the_sentence_compares_no_times_where_nothing_was_learned():
    found = {**SENTENCE, "popularity": 0.6, "seconds_to_target": {"slide": 1.0, "uniform": 1.5, "full": 2.0}}
    assert "no times to compare" in demo.sentence(**found)


def test_different_initial_weights_are_refused():
    from slide import Dense, Network, Sampled

    one, other = (Network(20, [Dense(4), Sampled(30, sampler="full")], seed=seed) for seed in (0, 1))
    demo.check_same_weights(one, one)
    with pytest.raises(RuntimeError, match="layer 0"):
        demo.check_same_weights(one, other)


def test_a_run_that_fails_leaves_the_finished_records_alone(tmp_path):
    path = tmp_path / "x.jsonl"
    with records.Records(path, {"experiment": "x"}) as log:
        log.add("point", y=1)
    with pytest.raises(KeyError), records.Records(path, {"experiment": "x"}) as log:
        log.add("point", y=2)
        raise KeyError("y")
    assert [line.get("y") for line in records.load(path)] == [None, 1]


@pytest.mark.parametrize("text", ["", "{}\n", '{"record": "header"}\nnonsense\n', "[1]\n"])
def test_bad_records_name_their_file_and_line(tmp_path, text):
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"bad\.jsonl:[12]: found"):
        records.load(path)


def test_unknown_names_and_scales_are_refused(capsys):
    assert main(["run", "nothing"]) == 1
    assert "expected one of" in capsys.readouterr().err
    assert main(["run", "demo", "--scale", "paper"]) == 1
    assert "scale: found 'paper'" in capsys.readouterr().err


def test_every_system_has_its_own_colour_and_a_label():
    assert len(set(COLOURS.values())) == len(COLOURS) and set(COLOURS) == set(LABELS)


def smoke(name, folder, threads=2):
    picture, measured = runner.run(name, "smoke", threads, folder=folder)
    assert measured and picture.stat().st_size > 10_000
    assert len(records.load(picture.with_suffix(".jsonl"))) > 1


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(catalogue.names()) - {"demo", "huge_pages"}))
def test_every_experiment_runs_and_draws_at_smoke_scale(name, tmp_path, one_process):
    smoke(name, tmp_path, threads=1 if name == "sparsity_accuracy" else 2)  # NumPy's threads wait by spinning


@pytest.mark.slow
def test_processes_of_their_own_measure_the_same(tmp_path):
    smoke("huge_pages", tmp_path)


@pytest.mark.slow
def test_accuracy_is_drawn_over_the_time_of_a_gpu_where_there_is_one(tmp_path, monkeypatch, one_process):
    pytest.importorskip("torch")
    from experiments.frame import machine, processes
    from experiments.paper import time_accuracy
    from experiments.peers import pytorch

    def on_the_cpu(*shape, device, make=pytorch.full_softmax, **settings):
        devices.append(device)
        return make(*shape, **settings)

    devices = []
    monkeypatch.setattr(pytorch, "full_softmax", on_the_cpu)
    monkeypatch.setattr(pytorch, "gpu", lambda: iter([{"name": "Made-up 100"}]))
    monkeypatch.setattr(processes, "gpu", lambda: "Made-up 100")
    monkeypatch.setattr(machine, "has_bfloat16", lambda: False)
    picture, _ = runner.run("time_accuracy", "smoke", threads=2, folder=tmp_path)
    found = records.load(picture.with_suffix(".jsonl"))
    own, full = (records.of(found, "evaluation", system=system) for system in ("torch-gpu", "full"))
    assert len(own) == 2 * 4 and {line["lr"] for line in own} == {line["lr"] for line in full}
    assert not records.of(found, "trial", system="torch-gpu") and devices == ["cpu", *["cuda"] * 3]
    [device] = records.of(found, "device")
    assert device["name"] == "Made-up 100" and device["losses_apart"] < 1e-3
    said = time_accuracy.finding(found)
    assert "GPU: Made-up 100" in said and "no GPU here" not in said and LABELS["torch-gpu"] in said
