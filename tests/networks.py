"""Small networks of every kind, and data that they learn, for the tests of whole networks."""

import numpy as np
from scipy import sparse

from slide import SGD, Adam, Dense, Network, RehashSchedule, Sampled, Schedule
from slide.hashing import FAMILIES
from slide.settings.fields import with_effect
from tests.conftest import assert_equal_arrays

N_FEATURES, N_LABELS, N_ROWS = 40, 30, 150


def separable(seed=0, n=N_ROWS):
    """(X sparse, Y sparse): every label has features of its own, rows have one or two labels and a little noise."""
    rng = np.random.default_rng(seed)
    prototypes = np.random.default_rng(99).random((N_LABELS, N_FEATURES))
    prototypes *= prototypes > 0.8
    Y = np.eye(N_LABELS)[rng.integers(0, N_LABELS, n)]
    Y[: n // 5] = np.maximum(Y[: n // 5], np.roll(Y[: n // 5], 1, axis=0))
    X = Y @ prototypes + 0.1 * rng.random((n, N_FEATURES)) * (rng.random((n, N_FEATURES)) < 0.2)
    return sparse.csr_array(X.astype(np.float32)), sparse.csr_array(Y.astype(np.float32))


def sampled(n_neurons=N_LABELS, **settings):
    """What is not said is small, as far as it has an effect."""
    small = {"active": 12, "K": 3, "L": 6, "bucket_size": 8, "rehash": RehashSchedule(N0=10, growth=0.0)}
    return Sampled(n_neurons, **with_effect(Sampled, small | settings) | settings)


SAMPLERS = ("vanilla", "topk", "threshold")
REHASH = [RehashSchedule(10, growth, renew) for growth in (0.0, 0.3) for renew in (0, 2)]
# Every sampler with every family; the other settings take turns.
CONFIGURATIONS = {
    f"{sampler}, {hash_}": (
        [
            Dense(16),
            sampled(
                sampler=sampler, hash=hash_, K=2, rehash=REHASH[(i + j) % 4], reinsert=(i + j) % 2 == 0,
                policy=("fifo", "reservoir")[i % 2], labels=j != 3,
            ),
        ],
        {"optimizer": Adam(weight_decay=(0.0, 0.1)[(i + j // 2) % 2]), "group_size": (16, 1, 3)[(i + j) % 3]},
    )
    for i, sampler in enumerate(SAMPLERS)
    for j, hash_ in enumerate(sorted(FAMILIES))
} | {
    "filled by labels": ([Dense(16), sampled(K=2, active=5, min_active=25, label_fill=0.6)], {"group_size": 20}),
    "logQ": ([Dense(16), sampled(K=2, active=5, min_active=20, logq_correction=True, label_smoothing=0.3)], {}),
    "logQ, few labels": (
        [Dense(16), sampled(K=2, active=5, min_active=20, label_fill=0.5, logq_correction=True, logq_warmup=9,
                            max_labels=1)], {"group_size": 5}),
    "logQ, uniform": ([Dense(16), sampled(sampler="uniform", active=20, logq_correction=True)], {}),
    "uniform": ([Dense(16), sampled(sampler="uniform")], {"optimizer": Adam(beta1=0.5)}),
    "full": ([Dense(16), sampled(sampler="full")], {"dropout": 0.3}),
    "dense": ([Dense(16), Dense(8), Dense(N_LABELS, label_smoothing=0.1)], {"optimizer": SGD(weight_decay=0.01)}),
    "hidden sampled": (
        [Dense(16), sampled(40, K=2, reinsert=True), sampled(K=2, hash="dwta")],
        {"dropout": 0.2, "schedule": Schedule("cosine", warmup=10, steps=120)},
    ),
    "first sampled": ([sampled(40, K=2), sampled(K=2)], {"optimizer": Adam(weight_decay=0.01)}),
    "bfloat16": (
        [Dense(16), sampled(K=2, reinsert=True, weight_type="bfloat16", moment_type="bfloat16")], {"dropout": 0.1},
    ),
    "bfloat16, uniform": ([Dense(16), sampled(sampler="uniform", weight_type="bfloat16")], {}),
    "one layer": ([sampled(K=2, hash="dwta")], {"group_size": 20}),
}  # fmt: skip


def make(name, threads, **more):
    """The network of one of CONFIGURATIONS."""
    layers, settings = CONFIGURATIONS[name]
    return Network(N_FEATURES, layers, **{"batch_size": 32, "seed": 3, "threads": threads, **settings, **more})


def arrays(network):
    """Every array that training goes on from."""
    return {f"{i}.{k}": v for i, layer in enumerate(network.layers) for k, v in layer.state().items()}


def assert_same(one, other):
    """Two networks go on alike: the same bits everywhere."""
    assert one.step == other.step and one.samples == other.samples
    assert_equal_arrays(arrays(one), arrays(other))


def assert_same_predictions(one, other, X):
    for k in (1, 7):
        for is_sampled in (False, True):
            for a, b in zip(one.predict(X, k, is_sampled), other.predict(X, k, is_sampled), strict=True):
                np.testing.assert_array_equal(a, b)
