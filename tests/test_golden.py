"""A golden run: seeded trainings end in the weights that are written down in golden.json.

Bits are compared on the plain instruction set, where the order of every sum is written in the code. They depend on what
is outside of this project in three ways only, and each is looked at first:

- the initial weights, which NumPy's generator draws: `start` is their checksum;
- exp and log of the C library and of NumPy, which the logQ correction and a full softmax of several blocks take;
- whether the compiler makes one rounding of a product and a sum, as it does where every processor has such an
  instruction (arm64, or x86 with -march=native).

Where one of them is another than when the record was made, and on every other instruction set, sums of the weights
under waves of several lengths must still agree to a hundred-thousandth, to a thousandth where weights are bfloat16.

A failure says that training gives other bits than before. If that is what a change is meant to do, say so in its
commit and renew the record:

    SLIDE_SIMD=plain python -m tests.test_golden
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from slide import Adam, Dense, Network, RehashSchedule, Sampled
from slide._kernels import inclusion
from slide._kernels.simd import vec
from slide.layers.weights import Weights
from slide.optim import SGD
from slide.rows import SparseRows

RECORD = Path(__file__).with_name("golden.json")
N, N_FEATURES, N_LABELS, STEPS = 96, 60, 200, 30
SOFTMAX = dict(active=24, min_active=60, K=2, L=8, rehash=RehashSchedule(N0=8, growth=0.1, renew_every=2))
HALF = dict(weight_type="bfloat16", moment_type="bfloat16")

# name: (layers, settings of the network, whether exp or log of a library has a part in it)
RUNS = {
    "ranged, logQ": (
        [Dense(16), Sampled(N_LABELS, hash="ranged", label_fill=0.5, logq_correction=True, logq_warmup=10, **SOFTMAX)],
        {}, True,
    ),
    "dwta, smoothed": ([Dense(16), Sampled(N_LABELS, hash="dwta", label_smoothing=0.3, **SOFTMAX)], {}, False),
    "simhash, single samples": ([Dense(16), Sampled(N_LABELS, hash="simhash", **SOFTMAX)], {"group_size": 1}, False),
    "hidden sampled": (
        [Dense(16), Sampled(40, active=20, K=2, L=8, hash="wta"), Sampled(N_LABELS, hash="minhash", **SOFTMAX)],
        {"dropout": 0.2}, False,
    ),
    "bfloat16": ([Dense(16), Sampled(N_LABELS, hash="dwta", **SOFTMAX, **HALF)], {}, False),
    "full": ([Dense(16), Dense(N_LABELS, label_smoothing=0.1)], {}, True),
    "full, sgd": ([Dense(16), Dense(90)], {"optimizer": SGD(lr=0.5, weight_decay=0.01)}, False),
}  # fmt: skip


def data(n_labels):
    """(X, Y): whole numbers, so that no rounding has a part in them."""
    rng = np.random.default_rng(1)
    X = rng.integers(1, 4, (N, N_FEATURES)) * (rng.random((N, N_FEATURES)) < 0.15)
    Y = np.zeros((N, n_labels))
    Y[np.arange(N), (X @ np.arange(N_FEATURES)).astype(int) % n_labels] = 1
    Y[np.arange(0, N, 3), rng.integers(0, n_labels, N // 3)] = 1
    return sparse.csr_array(X, dtype=np.float32), sparse.csr_array(Y, dtype=np.float32)


def trained(name, threads=2):
    """(checksum of the initial weights, the network after STEPS batches)."""
    layers, settings, _ = RUNS[name]
    settings = {"optimizer": Adam(lr=0.01, eps=1e-3), "batch_size": 32, "group_size": 16, **settings}
    network = Network(N_FEATURES, layers, seed=7, threads=threads, **settings)
    start = checksum(network)
    return start, network.fit(*data(network.n_labels), steps=STEPS)


def weights(network):
    """Weights and biases of every layer, float32."""
    return [np.ascontiguousarray(a) for layer in network.layers for a in (layer.weights, layer.bias)]


def checksum(network):
    return hashlib.sha256(b"".join(a.astype("<f4").tobytes() for a in weights(network))).hexdigest()[:16]


def waves(network):
    """Of each array of weights its length as a vector, and its sums under three waves."""
    found = []
    for a in weights(network):
        flat = a.ravel().astype(np.float64)
        at = np.arange(len(flat))
        found.append([np.linalg.norm(flat), *(float(flat @ np.sin((at + 1) / period)) for period in (1, 10, 100))])
    return found


def library():
    """A checksum of some values of exp and log as the C library's and NumPy's are here."""
    n = 4096
    ids, counts = np.arange(n, dtype=np.int32), np.arange(n, dtype=np.int32)
    weights, ends = np.empty(n, np.float32), np.array([0, n])
    inclusion.inclusion_rows(
        ends, ids, np.zeros(2, np.int64), ids[:0], counts, n, np.full(1, 0.7, np.float32), np.full(1, 0.9, np.float32),
        np.zeros((1, n // 64), np.uint64), weights, 1,
    )  # fmt: skip
    x = np.linspace(-80, 0, n, dtype=np.float32)
    return hashlib.sha256(weights.tobytes() + np.exp(x).tobytes() + (weights**0.3).tobytes()).hexdigest()[:16]


def rounds_once():
    """Whether the kernels make a product and a sum with one rounding: (1 + 2**-12)**2 - (1 + 2**-11) is then not 0."""
    x = SparseRows(np.array([0, 1]), np.zeros(1, np.int32), np.array([1 + 2**-12], np.float32), (1, 1))
    rows, out = Weights(1, 1, SGD(), 0.0, np.random.default_rng(0), with_bias=False), np.empty((1, 1), np.float32)
    rows.w[...] = 1 + 2**-12
    rows.lookup(x, np.array([-1 - 2**-11], np.float32), out, 1)
    return bool(out[0, 0] != 0)


@pytest.fixture(scope="module")
def record():
    return json.loads(RECORD.read_text())


def same_bits_promised(name, start, record):
    if vec.live() != "plain" or rounds_once() or start != record["runs"][name]["start"]:
        return False
    return not RUNS[name][2] or library() == record["library"]


@pytest.mark.parametrize("name", RUNS)
def test_a_seeded_training_ends_in_the_weights_on_record(simd, name, record):
    start, network = trained(name)
    expected = record["runs"][name]
    for found, want in zip(waves(network), expected["waves"], strict=True):
        np.testing.assert_allclose(found, want, rtol=0, atol=(1e-3 if name == "bfloat16" else 1e-5) * want[0])
    if same_bits_promised(name, start, record):
        assert checksum(network) == expected["end"], "training gives other bits: see the head of this file"


def test_every_set_of_settings_on_record_is_run(record):
    assert record["runs"].keys() == RUNS.keys()


def renew():
    """Writes golden.json anew."""
    assert vec.live() == "plain", "run it with SLIDE_SIMD=plain"
    assert not rounds_once(), "run it where products and sums are rounded each"
    runs = {}
    for name in RUNS:
        start, network = trained(name)
        runs[name] = {"start": start, "end": checksum(network), "waves": waves(network)}
    RECORD.write_text(json.dumps({"library": library(), "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    renew()
