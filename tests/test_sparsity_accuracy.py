"""What the experiment on sparsity stands on: generated images, and networks that keep some of their neurons."""

import copy

import numpy as np
import pytest
from scipy.spatial import ConvexHull, QhullError
from threadpoolctl import threadpool_limits

from experiments.frame import binary_images, claims, problems, records, runner
from experiments.paper import sparsity_accuracy
from experiments.paper.sparsity_accuracy import choices, results
from experiments.paper.sparsity_accuracy.centred import Centred
from experiments.peers.masked_networks import AllKept, Dropout, MaskedNetwork, NoisyWinners, Standout, Winners

SIDE = binary_images.SIDE
GATES = [AllKept, lambda: Dropout(0.4), lambda: Standout(0.3), lambda: Winners(0.3)]


@pytest.fixture(autouse=True)
def one_thread():
    """NumPy's threads would cost more than the small products of these tests."""
    with threadpool_limits(1, "blas"):
        yield


def hull_is_white(image) -> bool:
    """Whether all pixels in the convex hull of the white ones are white, by Qhull; a line has no hull there."""
    hull = ConvexHull(np.argwhere(image))
    pixels = np.argwhere(np.ones_like(image))
    inside = (pixels @ hull.equations[:, :-1].T + hull.equations[:, -1] <= 1e-9).all(axis=1)
    return inside.sum() == image.sum()


@pytest.mark.parametrize("draw", [binary_images.rectangles, binary_images.convex])
def test_images_are_a_function_of_the_seed_and_labels_are_even(draw):
    images, labels = draw(300, 3)
    again = draw(300, 3)
    assert images.shape == (300, SIDE**2) and images.dtype == bool
    assert (images == again[0]).all() and (labels == again[1]).all() and (images != draw(300, 4)[0]).any()
    assert 0.4 < labels.mean() < 0.6


def test_rectangles_are_borders_and_labels_tell_the_tall_ones():
    for image, label in zip(*binary_images.rectangles(400, 0), strict=True):
        image = image.reshape(SIDE, SIDE)
        rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        expected = np.zeros_like(image)
        expected[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        expected[rows[0] + 1 : rows[-1], columns[0] + 1 : columns[-1]] = False
        assert (image == expected).all() and abs(height - width) >= 3 and label == (height > width)


def test_convex_labels_agree_with_the_hull_and_brightness_does_not_tell_them():
    images, labels = binary_images.convex(600, 0)
    for image, label in zip(images[:200], labels, strict=False):
        assert hull_is_white(image.reshape(SIDE, SIDE)) == label
    white = images.sum(axis=1)
    assert white[labels == 1].min() >= 19 and white[labels == 0].min() >= 10
    assert 0.8 < white[labels == 1].mean() / white[labels == 0].mean() < 1.25


def test_is_convex_agrees_with_the_hull_on_scattered_pixels():
    rng = np.random.default_rng(0)
    corner = np.zeros((300, SIDE, SIDE), bool)
    corner[:, 4:9, 7:12] = rng.random((300, 5, 5)) < rng.choice([0.15, 0.5, 0.95], (300, 1, 1))
    seen = []
    for image, found in zip(corner, binary_images.is_convex(corner), strict=True):
        try:
            assert found == hull_is_white(image)
            seen.append(found)
        except (QhullError, ValueError):  # too few pixels, or all on a line
            continue
    assert any(seen) and not all(seen)


def test_thin_and_empty_sets_are_convex_and_gaps_are_not():
    images = np.zeros((5, SIDE, SIDE), bool)
    images[1, 3, 4] = images[2, 5, 5:9] = True
    images[3, [2, 4], [6, 7]] = True  # the line between them meets no pixel
    images[4, [2, 4], [6, 8]] = True  # and here it meets one
    assert binary_images.is_convex(images.reshape(5, -1)).tolist() == [True, True, True, True, False]


@pytest.mark.parametrize("gate", GATES)
def test_gradients_are_those_of_the_loss(gate):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((6, 5)), rng.integers(0, 3, 6)
    network = MaskedNetwork([5, 8, 7, 3], gate, lr=1e-2, steps=9, seed=2, dtype=np.float64)
    network.gradients(x, y)  # the gates have begun
    state = copy.deepcopy((network.rng, network.gates))

    def loss_and_gradients():
        network.rng, network.gates = copy.deepcopy(state)
        return network.gradients(x, y)

    def change(p, at, by):
        p[at] += by
        loss = loss_and_gradients()[0]
        p[at] -= by
        return loss

    for p, g in zip(network.params, loss_and_gradients()[1], strict=True):
        for at in [np.unravel_index(k, p.shape) for k in rng.choice(p.size, min(p.size, 8), replace=False)]:
            slope = (change(p, at, 1e-6) - change(p, at, -1e-6)) / 2e-6
            assert slope == pytest.approx(g[at], abs=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize(("gate", "share"), list(zip(GATES, [1.0, 0.4, 0.3, 0.3], strict=True)))
def test_gates_keep_their_share_and_networks_learn(gate, share):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    x = (rng.standard_normal((400, 10)) + 2 * y[:, None]).astype(np.float32)
    network, seen = MaskedNetwork([10, 200, 200, 2], gate, lr=3e-3, steps=60), []
    network.fit(x, y, 60, 50, lambda inner, loss: seen.append(inner.active))
    assert np.mean(seen[5:]) == pytest.approx(share, abs=0.04)
    assert (network.predict(x) == y).mean() > 0.95
    assert all(p.dtype == np.float32 for p in network.params)


def test_dropout_keeps_the_mean_and_winners_are_the_largest():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((50, 400)).astype(np.float32)
    assert Dropout(0.1).train(a, rng).mean() == pytest.approx(1, abs=0.1)
    kept = Winners(0.1).train(a, rng) > 0
    assert (kept.sum(axis=1) == 40).all()
    assert (np.where(kept, a, 9).min(axis=1) > np.where(kept, -9, a).max(axis=1)).all()


def test_noise_makes_other_winners_and_their_recall_is_kept():
    a = np.random.default_rng(0).standard_normal((40, 200)).astype(np.float32)
    recall = []
    for noise in (0.0, 0.5, 5.0):
        gate = NoisyWinners(0.1, noise)
        kept = gate.train(a, None)
        assert (kept.sum(axis=1) == 20).all() and (noise > 0 or (kept == Winners(0.1).train(a, None)).all())
        assert gate.recall == [pytest.approx((kept * Winners(0.1).train(a, None)).sum() / 800)]
        recall += gate.recall
    assert 1 == recall[0] > recall[1] > recall[2]


def test_the_first_step_is_adams():
    network = MaskedNetwork([3, 4, 2], AllKept, lr=0.01, steps=5, dtype=np.float64)
    before = [p.copy() for p in network.params]
    x, y = np.eye(3), np.array([0, 1, 1])
    _, gradients = network.gradients(x, y)
    network.learn(x, y)
    for p, old, g in zip(network.params, before, gradients, strict=True):
        assert np.allclose(p, old - 0.01 * g / (np.abs(g) + 1e-8), atol=1e-12)


def test_few_active_nodes_have_a_rate_of_their_own():
    assert sparsity_accuracy.groups([0.05, 0.1, 0.25, 0.5]) == [(0.05, [0.05, 0.1]), (0.25, [0.25, 0.5])]
    assert sparsity_accuracy.groups([1.0]) == [(1.0, [1.0])]


@pytest.mark.slow
def test_a_missing_mnist_is_left_out_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(problems, "folders", lambda: [tmp_path])
    picture, _ = runner.run("sparsity_accuracy", "smoke", threads=1, folder=tmp_path)
    lines = records.load(picture.with_suffix(".jsonl"))
    assert [line["name"] for line in records.of(lines, "data")] == ["rectangles", "convex"]
    assert "left out" in records.of(lines, "note")[0]["text"]
    lsh = records.of(lines, "evaluation", method="lsh", share=0.05)
    assert all(0 < share <= 0.06 for line in lsh for share in line["active"])
    assert all(0 <= share <= 1 for line in lsh for share in line["recall"])
    assert {line["seed"] for line in lsh} == {0, 1}
    assert "of 2 data sets" in sparsity_accuracy.verdicts(lines)["sparse"].why


def test_what_tables_hold_is_counted_as_by_hand():
    from slide import Dense, Network, Sampled
    from slide.rows import as_sparse_rows

    hidden = Sampled(30, sampler="topk", active=6, min_active=0, K=2, L=6, bucket_size=30)
    network = Network(12, [hidden, hidden, Dense(3)], group_size=1, seed=3, threads=1)
    X = np.random.default_rng(0).random((7, 12)).astype(np.float32)
    found = choices.held(network, X, 0.2)
    first = network.layers[0]
    rows = as_sparse_rows(X, "X", 12).normalized()
    block, unit = first.retrieve(rows), rows.to_scipy().toarray()
    logits = unit @ first.weights.T
    top = [set(np.argsort(-row)[:6]) for row in logits]
    active = [set(block.ids[low:high].tolist()) for low, high in zip(block.indptr, block.indptr[1:], strict=False)]
    assert found["recall"][0] == pytest.approx(np.mean([len(a & b) / 6 for a, b in zip(active, top, strict=True)]))
    held, most = (sum(max(logits[i, j], 0) for i, ids in enumerate(sets) for j in ids) for sets in (active, top))
    assert found["mass"][0] == pytest.approx(held / most, rel=1e-5)
    cosine = logits / np.linalg.norm(first.weights, axis=1)
    near = np.mean([cosine[i, j] for i, ids in enumerate(top) for j in ids])
    assert found["near"][0] == pytest.approx(near, rel=1e-5) and found["far"][0] < near
    assert choices.work(network) == pytest.approx(
        (6 * (2 * 12 / 3 + 30 / 4) + 6 * (2 * 30 / 3 + 30 / 4)) / (30 * 12 + 30 * 30)
    )


def test_the_family_of_centred_inputs_keeps_the_contract_and_follows_the_inner_product():
    from slide.testing import check_hash_family

    check_hash_family(Centred)
    rng = np.random.default_rng(0)
    w, x = rng.standard_normal((400, 60)), rng.standard_normal((200, 60)) * rng.random(60) + 3 * rng.random(60)
    w, x = w.astype(np.float32), x.astype(np.float32)
    best = w @ x.T >= np.sort(w @ x.T, axis=0)[-20]

    def recall(family):
        shared = (family.codes(w)[:, None] == family.query_codes(x)[None]).sum(axis=2)
        return (best & (shared >= np.sort(shared, axis=0)[-20])).sum() / best.sum()

    before = recall(Centred(60, 2, 300))
    family = Centred(60, 2, 300)
    family.inputs = x.mean(axis=0), x.var(axis=0)
    family.fit(w)
    assert recall(family) > before + 0.03


def record(lsh, published=0.7, winners=0.9, dropout=0.5):
    """Records of two seeds on one set: the dense network has P@1 0.9, and tables of another name are the best."""
    settings = {"shares": [0.05], "noise": [1.0], "tables": {"as published": {}, "more": {}}}
    lines = [{"record": "header", "settings": settings}, {"record": "data", "name": "convex"}]
    for tables, p1 in (("as published", 0.6), ("more", 0.8)):
        lines.append({"record": "trial", "data": "convex", "method": "lsh", "share": 0.05, "tables": tables, "p1": p1})
    runs = [("dense", None, 0.0, 0.9, 1), ("dropout", None, 0.0, dropout, 1), ("adaptive", None, 0.0, 0.8, 1),
            ("winners", None, 0.0, winners, 1), ("winners", None, 1.0, winners - 0.1, 0.5),
            ("lsh", "as published", 0.0, published, 0.3), ("lsh", "more", 0.0, lsh, 0.75)]  # fmt: skip
    for method, tables, noise, p1, recall in runs:
        lines += [{
            "record": "evaluation", "data": "convex", "method": method, "tables": tables, "noise": noise, "p1": p,
            "share": 1.0 if method == "dense" else 0.05, "seed": seed, "recall": [recall], "near": [0.3],
            "far": [0.0], "work": 0.5, "p1_exact": 0.1,
        } for seed, p in ((0, 0.0), (0, p1), (1, p1))]  # fmt: skip
    return lines


@pytest.mark.parametrize(("lsh", "word"), [(0.895, claims.HOLDS), (0.885, claims.FAILS), (0.45, claims.FAILS)])
def test_the_verdict_is_on_the_tables_that_held_out_rows_chose(lsh, word):
    lines = record(lsh)
    verdicts = sparsity_accuracy.verdicts(lines)
    assert verdicts["sparse"].word == word and verdicts["few_neurons"].word == claims.IN_PART
    assert f"Convex {100 * (lsh - 0.9):+.1f} points" in verdicts["sparse"].why
    assert "75 % (30 % as published; winner-take-all that keeps as many: -5.0 points" in verdicts["sparse"].why
    assert "0.700 with those as published" in sparsity_accuracy.finding(lines)


def test_gaps_are_between_networks_of_a_seed():
    lines, others = ([{"seed": s, "p1": p} for s, p in pairs] for pairs in ([(0, 0.5), (1, 0.9)], [(1, 1.0), (0, 0.4)]))
    assert results.gaps(lines, others) == pytest.approx([0.1, -0.1]) and results.gap(lines, others) == pytest.approx(0)
    assert results.spread([0.1, 0.3]) == pytest.approx(0.02**0.5) and results.spread([0.1]) == 0
