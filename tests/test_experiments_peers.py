"""What SLIDE is compared with: the released C++ code is driven, PyTorch takes the same steps."""

import numpy as np
import pytest


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


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["by hand", "autocast"])
def test_pytorch_in_bfloat16_takes_the_same_steps_to_its_rounding(kind):
    pytest.importorskip("torch")
    from experiments.peers import pytorch
    from slide.data import make_xmc

    (X, Y), _ = make_xmc("amazon-670k", 500, 1, scale=0.004)
    n_labels, hidden = Y.shape[1], 128
    ours = full_network(X.shape[1], n_labels)
    output = (pytorch.FullBFloat16(n_labels, hidden, 256) if kind == "by hand"
              else pytorch.Plain(n_labels, hidden, autocast=True))  # fmt: skip
    peer = pytorch.TorchNetwork(X.shape[1], hidden, output, lr=1e-3, threads=2)
    peer.copy_from(ours)
    for rows in 3 * (slice(0, 256), slice(256, 500)):
        loss = ours.partial_fit(X[rows], Y[rows])
        assert peer.partial_fit(X[rows], Y[rows]) == pytest.approx(loss, rel=0.01)


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
