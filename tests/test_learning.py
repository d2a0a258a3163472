"""Networks of every kind learn what can be learnt: separable data, and the distribution of labels."""

import numpy as np
import pytest
from scipy import sparse

from slide import SGD, Adam, Dense, Network, Schedule
from slide.hashing import FAMILIES
from tests.networks import N_FEATURES, N_LABELS, SAMPLERS, sampled, separable

LEARNERS = {
    "full": ([Dense(32), sampled(sampler="full")], {}),
    **{s: ([Dense(32), sampled(sampler=s)], {}) for s in (*SAMPLERS, "uniform")},
    **{h: ([Dense(32), sampled(hash=h, K=2)], {}) for h in sorted(FAMILIES)},
    "paper's group": ([Dense(32), sampled()], {"group_size": 1}),
    "dense": ([Dense(32), Dense(N_LABELS)], {}),
    "hidden dense": ([Dense(32), Dense(24), Dense(N_LABELS)], {}),
    "linear": ([Dense(N_LABELS)], {}),
    "hidden sampled": ([Dense(32), sampled(64, active=40), sampled()], {}),
    "first sampled": ([sampled(64, active=40), sampled()], {}),
    "weight decay": ([Dense(32), sampled()], {"optimizer": Adam(lr=0.01, weight_decay=0.01)}),
    "sgd": ([Dense(32), sampled()], {"optimizer": SGD(lr=2.0)}),
    "dropout": ([Dense(64), sampled(label_smoothing=0.05)], {"dropout": 0.2}),
    "hogwild": ([Dense(32), sampled()], {"update": "hogwild", "threads": 8}),
    "hogwild, first sampled": ([sampled(64, active=40), sampled()], {"update": "hogwild", "threads": 8}),
    "hogwild, sgd": (
        [Dense(32), sampled()], {"update": "hogwild", "threads": 8, "group_size": 1, "optimizer": SGD(lr=2.0)},
    ),
}  # fmt: skip
FAST = ("full", "vanilla", "ranged", "hogwild")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in LEARNERS])
def test_separable_data_is_learnt(name):
    layers, settings = LEARNERS[name]
    settings = {"optimizer": Adam(lr=0.01), "batch_size": 32, "threads": 2, **settings}
    network = Network(N_FEATURES, layers, **settings)
    X, Y = separable(n=300)
    losses = []
    network.fit(X, Y, epochs=30, callback=lambda _, loss: losses.append(loss))
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) / 2
    assert network.evaluate(*separable(1)).scores["P@1"] > 0.9


@pytest.mark.slow
def test_a_corrected_softmax_learns_the_distribution_of_labels():
    """From an input that says nothing: without the correction what is drawn often comes out too small."""
    rng, chance = np.random.default_rng(0), 1 / np.arange(1.0, N_LABELS + 1)
    chance /= chance.sum()
    Y = sparse.csr_array(np.eye(N_LABELS, dtype=np.float32)[rng.choice(N_LABELS, 4000, p=chance)])
    distance = {}
    for corrected in (False, True):
        correction = {"logq_correction": True, "logq_warmup": 50} if corrected else {}
        layer = sampled(sampler="uniform", active=2, min_active=8, label_fill=0.5, **correction)
        schedule = Schedule("linear", steps=1500)
        network = Network(1, [Dense(4), layer], group_size=4, optimizer=Adam(lr=1e-2), schedule=schedule, seed=1)
        network.fit(np.ones((4000, 1), np.float32), Y, steps=1500)
        ids, logits = network.predict(np.ones((1, 1), np.float32), k=N_LABELS)
        learnt = np.exp(logits[0] - logits.max())[np.argsort(ids[0])]
        distance[corrected] = np.abs(learnt / learnt.sum() - chance).sum() / 2
    assert distance[True] < 0.05 and distance[False] > 0.1, distance
