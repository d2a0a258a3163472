"""Experiments: the frame around them, and the demo from end to end at its smallest scale."""

import importlib
import json
import subprocess
import sys

import numpy as np
import pytest

from experiments.__main__ import main
from experiments.benchmarks import demo
from experiments.frame import records, runner
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
    assert "demo" in runner.names() and "draw" not in runner.names()
    for name in runner.names():
        module = runner.load(name)
        assert name in out and module.QUESTION in out
        assert module.PAPER and set(module.TIME) <= set(runner.SCALES)
        assert callable(module.run) and callable(module.plot)


def test_smoke_run_leaves_records_and_picture(folder):
    header, *measured = records.load(folder / "demo-smoke.jsonl")
    assert (folder / "demo-smoke.png").read_bytes().startswith(b"\x89PNG")
    assert not list(folder.glob("*.partial"))
    assert header["settings"] == runner.settings_of(demo, "smoke")
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


def test_a_finished_setting_is_not_run_twice(folder):
    path = folder / "demo-smoke.jsonl"
    before = path.read_bytes()
    assert runner.run("demo", "smoke", 2, 0, folder)[1] is False
    assert path.read_bytes() == before
    header = records.load(path)[0]
    for change in ({"seed": 1}, {"threads": 1}, {"cpu": "another"}, {"settings": {}}):
        assert not runner.finished(path, {**header, **change})


def test_again_measures_anew(folder, tmp_path):
    (tmp_path / "demo-smoke.jsonl").write_bytes((folder / "demo-smoke.jsonl").read_bytes())
    assert runner.run("demo", "smoke", 2, 0, tmp_path, again=True)[1] is True


def test_draws_from_records_alone_without_slide(folder, tmp_path):
    (tmp_path / "demo-smoke.jsonl").write_bytes((folder / "demo-smoke.jsonl").read_bytes())
    code = (
        "import sys; from experiments.__main__ import main; "
        f"main(['draw', 'demo', '--scale', 'smoke', '--folder', {str(tmp_path)!r}]); "
        "sys.exit('slide' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=runner.PACKAGE.parent)
    assert (tmp_path / "demo-smoke.png").stat().st_size > 10_000


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


@pytest.mark.parametrize("name", sorted(set(runner.names()) - {"demo"}))
def test_every_experiment_runs_and_draws_at_smoke_scale(name, tmp_path):
    picture, measured = runner.run(name, "smoke", threads=2, folder=tmp_path)
    assert measured and picture.stat().st_size > 10_000
    assert len(records.load(picture.with_suffix(".jsonl"))) > 1


def test_the_released_binary_is_driven_and_its_clock_read(tmp_path, monkeypatch):
    from experiments.peers import released
    from slide.data import make_xmc

    script = tmp_path / "runme"
    script.write_text(
        "#!/bin/sh\n. /dev/null\nfolder=$(dirname $1)\ngrep -q '^Batchsize=256$' $1 || exit 1\n"
        "echo 'Avg sample size = 0 30'; echo 'Avg sample size = 0 50'\n"
        "printf 'Epoch 0\\n0 0 0\\n25 70 0.1\\n50 134 0.2\\n' > $folder/log.txt\nsleep 60\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("SLIDE_RELEASED", str(script))
    (X, Y), _ = make_xmc("amazon-670k", 12_800, 1, scale=0.004)
    found = released.measure(released.binary(), X, Y, 16, 1, tmp_path)
    assert found["ms"] == pytest.approx(1e3 * 64 / 6400) and found["active"] == 40 and found["batch"] == 256
    monkeypatch.setenv("SLIDE_RELEASED", str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="SLIDE_RELEASED: found"):
        released.binary()


def full_network(n_features, n_labels):
    from slide import Adam, Dense, Network, Sampled

    layers = [Dense(128), Sampled(n_labels, sampler="full")]
    return Network(n_features, layers, optimizer=Adam(1e-3), batch_size=256, threads=2)


def test_pytorch_peers_take_the_steps_of_the_full_softmax():
    pytest.importorskip("torch")
    from experiments.peers import pytorch
    from slide.data import make_xmc

    (X, Y), _ = make_xmc("amazon-670k", 500, 1, scale=0.004)
    n_labels, hidden = Y.shape[1], 128
    ours = full_network(X.shape[1], n_labels)
    peers = [
        pytorch.TorchNetwork(X.shape[1], hidden, output, lr=1e-3, threads=2)
        for output in (pytorch.Plain(n_labels, hidden), pytorch.Full(n_labels, hidden, 256))
    ]
    for peer in peers:
        peer.copy_from(ours)
    for rows in (slice(0, 256), slice(256, 500), slice(0, 256)):
        loss = ours.partial_fit(X[rows], Y[rows])
        assert [peer.partial_fit(X[rows], Y[rows]) for peer in peers] == pytest.approx([loss, loss], rel=1e-4)


def test_pytorchs_network_has_the_face_of_slides():
    pytest.importorskip("torch")
    from experiments.peers import pytorch
    from slide.data import make_xmc

    train, test = make_xmc("amazon-670k", 600, 300, scale=0.004)
    shape = train[0].shape[1], train[1].shape[1]
    peer = pytorch.full_softmax(*shape, lr=5e-3, steps=9, threads=2, dropout=0.3, label_smoothing=0.5)
    seen = []
    assert peer.fit(*train, steps=9, callback=lambda network, loss: seen.append(loss)) is peer
    assert peer.step == len(seen) == 9 and peer.samples == 1800 and seen[-1] < seen[0]
    ours = full_network(*shape)
    ours.layers[0].weights[...], ours.layers[0].bias[...] = peer.first.w.numpy().T, peer.bias.w[0].numpy()
    ours.layers[1].weights[...], ours.layers[1].bias[...] = peer.output.weights.numpy(), peer.output.bias.numpy()
    assert peer.evaluate(*test).scores["P@1"] == ours.evaluate(*test, ks=(1,)).scores["P@1"]
    peer.fit(*train, steps=5, callback=lambda network, loss: True)
    assert peer.step == 10


def test_no_tensor_is_made_without_its_device(monkeypatch):
    torch = pytest.importorskip("torch")
    from experiments.peers import pytorch
    from slide.data import make_xmc

    train, test = make_xmc("amazon-670k", 600, 50, scale=0.004)
    shape = dict(lr=5e-3, steps=3, dropout=0.3, label_smoothing=0.5, device="cpu")
    monkeypatch.setattr(torch, "from_numpy", None)  # arrays go by `_on`, which moves them
    with torch.device("meta"):  # what is made without a device lands here, and fails beside the others
        for network in (
            pytorch.full_softmax(train[0].shape[1], train[1].shape[1], **shape),
            pytorch.sampled_softmax(train[0].shape[1], train[1], 2000, **shape),
            pytorch.TorchNetwork(
                train[0].shape[1], 16, pytorch.Plain(train[1].shape[1], 16, device="cpu"), lr=5e-3
            ),
        ):
            network.fit(*train, steps=3)
            assert 0 <= network.evaluate(*test).scores["P@1"] <= 1
            assert network.output.weights.isfinite().all()


def test_accuracy_is_drawn_over_the_time_of_a_gpu_where_there_is_one(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from experiments.frame import processes
    from experiments.paper import time_accuracy
    from experiments.peers import pytorch

    def on_the_cpu(*shape, device, make=pytorch.full_softmax, **settings):
        devices.append(device)
        return make(*shape, **settings)

    def lines(module, function, env=None, **given):
        return getattr(importlib.import_module(module), function)(**given)

    devices = []
    monkeypatch.setattr(pytorch, "full_softmax", on_the_cpu)
    monkeypatch.setattr(pytorch, "gpu", lambda: iter([{"name": "Made-up 100"}]))
    monkeypatch.setattr(processes, "gpu", lambda: "Made-up 100")
    monkeypatch.setattr(processes, "lines", lines)
    picture, _ = runner.run("time_accuracy", "smoke", threads=2, folder=tmp_path)
    found = records.load(picture.with_suffix(".jsonl"))
    own, full = (records.of(found, "evaluation", system=system) for system in ("torch-gpu", "full"))
    assert len(own) == 4 and {line["lr"] for line in own} == {line["lr"] for line in full}
    assert not records.of(found, "trial", system="torch-gpu") and devices == ["cpu", "cuda", "cuda"]
    [device] = records.of(found, "device")
    assert device["name"] == "Made-up 100" and device["losses_apart"] < 1e-3
    said = time_accuracy.finding(found)
    assert "GPU: Made-up 100" in said and "no GPU here" not in said and LABELS["torch-gpu"] in said


def test_pytorch_smooths_targets_as_the_full_softmax():
    torch = pytest.importorskip("torch")
    from experiments.peers.pytorch import Full, Targets
    from slide.data import make_xmc

    (_, Y), _ = make_xmc("amazon-670k", 50, 1, scale=0.004)
    softmax = Full(Y.shape[1], 8, 50, smoothing=0.7)
    hidden = torch.rand(50, 8, requires_grad=True)
    target = torch.from_numpy((Y.multiply(1 / Y.sum(axis=1))).toarray()).float()
    target = 0.3 * target + 0.7 / Y.shape[1]
    log_p = torch.log_softmax(hidden @ softmax.weights.t() + softmax.bias, 1)
    (-(target * log_p).sum() / 50).backward()
    _, delta, _ = softmax.learn(hidden.detach(), Targets(Y), 1, 1e-3)
    assert torch.allclose(delta, hidden.grad, atol=1e-7)


def test_pytorch_candidates_are_distinct_and_hold_every_label():
    torch = pytest.importorskip("torch")
    from experiments.peers.pytorch import Candidates

    softmax = Candidates(np.random.default_rng(0).permutation(1000), 8, 200)
    label = torch.tensor([5, 900, 5, 17])
    ids, slot, (_, taken) = softmax.draw(label)
    assert len(set(ids.tolist())) == len(ids) <= 200 and len(ids) > 100 and 0 < taken <= 1
    assert torch.equal(ids[slot], label)


def test_pytorch_candidates_are_weighted_by_how_often_they_are_candidates():
    torch = pytest.importorskip("torch")
    from experiments.peers.pytorch import Candidates

    rng, chance, runs = np.random.default_rng(0), 1 / np.arange(1.0, 101), 4000
    entries = rng.multinomial(10**6, chance / chance.sum())
    softmax, sums = Candidates(entries, 8, 30), np.zeros(100)
    for labels in rng.choice(100, (runs, 5), p=entries / 10**6):
        ids, slot, drawn = softmax.draw(torch.from_numpy(labels))
        weights = softmax.log_weights(ids, 5, 5, *drawn).exp()
        weights[slot[0]] = 1.0  # the label of the first sample is there in any case
        sums[ids] += weights.numpy()
    assert np.abs(sums / runs - 1).mean() < 0.1 and abs(sums.mean() / runs - 1) < 0.03
