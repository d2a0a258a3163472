"""Training that diverges ends with an error, and the last finite weights stay."""

import copy

import numpy as np
import pytest
from scipy import sparse

from slide import SGD, Adam, Dense, Network, RehashSchedule, Sampled
from tests.networks import N_FEATURES, N_LABELS, arrays, assert_same, sampled, separable

X, Y = separable()
OFTEN = RehashSchedule(N0=2, growth=0.0)
LAYERS = {
    "tables": [Dense(8), sampled(rehash=OFTEN, reinsert=True)],
    "ranged": [Dense(8), sampled(hash="ranged", K=4, rehash=OFTEN)],
    "hidden sampled": [sampled(24, rehash=OFTEN), sampled(rehash=OFTEN)],
    "bfloat16": [Dense(8), sampled(weight_type="bfloat16", moment_type="bfloat16")],
    "logQ": [Dense(8), sampled(active=5, min_active=20, logq_correction=True)],
    "one sampled layer": [sampled()],
    "full": [Dense(8), Dense(N_LABELS)],
    "deep": [Dense(8), Dense(8), Dense(N_LABELS)],
    "one dense layer": [Dense(N_LABELS)],
}


def is_finite(network):
    """That it can be saved says the same."""
    for layer in network.layers:
        layer.check_finite()
    floats = {name: a for name, a in arrays(network).items() if a.dtype.kind == "f" and not name.endswith(".least")}
    return all(np.isfinite(array).all() for array in floats.values())


def without_moments(layers):
    return [
        Sampled(**{**vars(x), "moment_type": "float32"}) if getattr(x, "moment_type", "") == "bfloat16" else x
        for x in layers
    ]


@pytest.mark.parametrize("optimizer", [SGD(lr=1e4), SGD(lr=1e20), Adam(lr=1e15), Adam(lr=3e38), SGD(lr=1e300),
                                       Adam(lr=1e30, weight_decay=1e5), SGD(lr=1.0, weight_decay=50.0)])  # fmt: skip
@pytest.mark.parametrize("name", LAYERS)
def test_what_diverges_ends_with_the_last_finite_weights(name, optimizer):
    layers = LAYERS[name] if isinstance(optimizer, Adam) else without_moments(LAYERS[name])
    network = Network(N_FEATURES, layers, optimizer=optimizer, batch_size=16, threads=1)
    losses = []
    try:
        network.fit(X, Y, steps=60, callback=lambda _, loss: losses.append(loss))
    except FloatingPointError as error:
        assert f"batch {network.step + 1}: found" in str(error) and "diverged" in str(error)
        assert len(losses) == network.step < 60
    assert np.isfinite(losses).all() and is_finite(network)


def test_a_batch_that_is_refused_changes_nothing():
    network = Network(N_FEATURES, LAYERS["tables"], optimizer=SGD(lr=0.1), normalize=False, batch_size=16, threads=1)
    network.fit(X, Y, steps=5)
    twin = copy.deepcopy(network)
    for huge in (1e20, 1e38, -1e38):
        with pytest.raises(FloatingPointError, match="batch 6: found"):
            network.partial_fit(X * huge, Y)
    assert_same(network, twin)
    assert_same(network.fit(X, Y, steps=5), twin.fit(X, Y, steps=5))


def test_with_tables_the_loss_itself_shows_it():
    """Weights of NaN, wherever they come from: not a finite loss of the neurons that were found."""
    for name in ("tables", "hidden sampled", "bfloat16", "full"):
        network = Network(N_FEATURES, LAYERS[name], batch_size=16, threads=1).fit(X, Y, steps=3)
        w = network.layers[-1].parameters.w
        w[...] = np.uint16(0x7FC0) if w.dtype == np.uint16 else np.nan
        with pytest.raises(FloatingPointError, match="batch 4: found a loss of nan"):
            network.fit(X, Y, steps=1)
        assert network.step == 3


def test_rows_without_labels_that_overflow_are_noticed():
    """Their loss is 0, whatever their logits are."""
    huge = sparse.csr_array(np.full((8, N_FEATURES), 1e38, np.float32))
    for layers in ([Dense(N_LABELS)], [sampled()], LAYERS["full"], LAYERS["tables"]):
        network = Network(N_FEATURES, layers, normalize=False, threads=1)
        with pytest.raises(FloatingPointError):
            network.partial_fit(huge, np.zeros((8, N_LABELS)))
        assert network.step == 0 and is_finite(network)
