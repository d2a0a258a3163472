"""One step of a network of any layers is the gradient of its loss, by finite differences of a float64 network.

A learning rate of 64 makes steps large beside the rounding of the weights, so that gradients are seen to six digits.
"""

from dataclasses import replace

import numpy as np
import pytest

from slide import SGD, Dense, Network, RehashSchedule, Sampled
from slide.layers.lane_block import LaneBlock
from slide.rows import SparseRows
from slide.settings.fields import with_effect
from slide.settings.network import NetworkSettings
from slide.state.commit import Commit

N, N_FEATURES, N_LABELS = 21, 11, 8  # the last group of 16 or 20 is smaller than the others
LR = 64.0
SMALL = {"K": 2, "L": 3, "bucket_size": 8, "init_std": 0.6, "rehash": RehashSchedule(N0=1)}


def data(rng, n=N):
    """(X, Y) with an empty row of each, in float32."""
    X = (rng.standard_normal((n, N_FEATURES)) * (rng.random((n, N_FEATURES)) < 0.5)).astype(np.float32)
    Y = (rng.random((n, N_LABELS)) < 0.25).astype(np.float32)
    if n > 1:
        X[n // 2], Y[n // 3] = 0, 0
    return X, Y


def active_masks(network, n):
    """For each layer the neurons (n, n_neurons) that the last batch had active."""
    masks = []
    for layer in network.layers:
        mask = np.ones((n, layer.n_neurons), bool)
        if hasattr(layer, "_pass"):
            mask[...] = False
            for i in range(n):
                mask[i, layer._pass.active[i // layer._pass.block.group_size]] = True
        masks.append(mask)
    return masks


def dropout_mask(network, n):
    """What the last step multiplied the last hidden layer's activations by, (n, width)."""
    if not network.dropout:
        return 1.0
    output = network.layers[-1]
    x = output._pass.input if hasattr(output, "_pass") else output._input
    kept = network._drop(x, network.step)[1]
    assert (kept == 0).any() and (kept > 1).any()
    return x.to_dense(kept) if isinstance(x, LaneBlock) else kept


def forward(parameters, X, Y, masks, kept, smooth):
    """(objective, cross entropy without smoothing), means over the batch, in float64."""
    x = X.astype(np.float64)
    for i, ((w, b), mask) in enumerate(zip(parameters, masks, strict=True)):
        if i == len(parameters) - 1 and i:
            x = x * kept
        z = x @ w.T + b
        x = np.maximum(z, 0) * mask
    z = np.where(mask, z, -np.inf)
    z = z - z.max(axis=1, keepdims=True)
    log_p = np.where(mask, z - np.log(np.exp(z).sum(axis=1, keepdims=True)), 0)
    Y = Y * mask
    labels = Y.sum(axis=1, keepdims=True)
    even = Y / np.maximum(labels, 1)
    target = (1 - smooth) * even + smooth * mask / mask.sum(axis=1, keepdims=True)
    return -((target * log_p).sum(axis=1) * (labels[:, 0] > 0)).mean(), -(even * log_p).sum(axis=1).mean()


def numerical_gradients(parameters, objective, eps=1e-5):
    for array in (a for pair in parameters for a in pair):
        grad = np.empty_like(array)
        for at in np.ndindex(array.shape):
            before = array[at]
            array[at] = before + eps
            high = objective()
            array[at] = before - eps
            grad[at] = (high - objective()) / (2 * eps)
            array[at] = before
        yield grad


def check_gradients(layers, seed=0, group_size=16, smooth=0.0, dropout=0.0, n=N, **settings):
    rng = np.random.default_rng(seed)
    X, Y = data(rng, n)
    layers = [*layers[:-1], replace(layers[-1], label_smoothing=smooth)]
    shared = with_effect(NetworkSettings, {"group_size": group_size}, layers)  # where a layer has active sets
    network = Network(
        N_FEATURES, layers, optimizer=SGD(lr=LR), batch_size=n, normalize=False, dropout=dropout, seed=seed,
        **{"threads": 2, **shared, **settings},
    )  # fmt: skip
    for layer in network.layers:
        layer.bias[...] = rng.standard_normal(layer.n_neurons) * 0.3
    before = [(layer.weights.astype(np.float64), layer.bias.astype(np.float64)) for layer in network.layers]
    loss = network.partial_fit(X, Y)
    after = [(layer.weights.astype(np.float64), layer.bias.astype(np.float64)) for layer in network.layers]
    masks, kept = active_masks(network, n), dropout_mask(network, n)
    np.testing.assert_allclose(loss, forward(before, X, Y, masks, kept, smooth)[1], rtol=1e-6)
    want = numerical_gradients(before, lambda: forward(before, X, Y, masks, kept, smooth)[0])
    pairs = [(a, b) for old, new in zip(before, after, strict=True) for a, b in zip(old, new, strict=True)]
    for number, ((old, new), grad) in enumerate(zip(pairs, want, strict=True)):
        np.testing.assert_allclose((old - new) / LR, grad, rtol=1e-5, atol=3e-7, err_msg=f"array {number}")
        assert np.abs(grad).max() > 1e-3  # this says something
    return masks


def sampled(n_neurons, **settings):
    return Sampled(n_neurons, **with_effect(Sampled, {"active": 4, **SMALL, **settings}) | settings)


def dense(n_neurons):
    return Dense(n_neurons, init_std=0.6)


NETWORKS = {
    "full": [dense(7), dense(N_LABELS)],
    "sampled": [dense(7), sampled(N_LABELS)],
    "hidden dense": [dense(7), dense(6), sampled(N_LABELS)],
    "hidden dense, full": [dense(7), dense(6), dense(5), dense(N_LABELS)],
    "hidden sampled": [dense(7), sampled(20, active=9), sampled(N_LABELS)],
    "two hidden sampled": [dense(7), sampled(20, active=9), sampled(12, active=6), sampled(N_LABELS)],
    "hidden sampled, full": [dense(7), sampled(20, active=9), dense(N_LABELS)],
    "sampled, dense, sampled": [dense(7), sampled(20, active=9), dense(6), sampled(N_LABELS)],
    "first sampled": [sampled(20, active=9), sampled(N_LABELS)],
    "first sampled, full": [sampled(20, active=9), dense(N_LABELS)],
    "one sampled layer": [sampled(N_LABELS)],
    "one dense layer": [dense(N_LABELS)],
    "paper's labels": [dense(7), sampled(N_LABELS, labels=False)],
    "no fill": [dense(7), sampled(20, active=9, min_active=0), sampled(N_LABELS, min_active=0)],
    "uniform": [dense(7), sampled(20, sampler="uniform", active=9), sampled(N_LABELS, sampler="uniform")],
    "sampler full": [dense(7), sampled(6, sampler="full"), sampled(N_LABELS, sampler="full")],
}


@pytest.mark.parametrize("group_size", [1, 3, 16, 20])
@pytest.mark.parametrize("name", NETWORKS)
def test_one_step_follows_the_numerical_gradient(name, group_size):
    check_gradients(NETWORKS[name], seed=group_size, group_size=group_size)


@pytest.mark.parametrize("update", ["rows", "hogwild"])
@pytest.mark.parametrize("group_size", [1, 16])
@pytest.mark.parametrize("name", ["full", "sampled", "hidden sampled", "hidden sampled, full", "first sampled"])
def test_gradient_with_smoothing_and_dropout(name, group_size, update):
    settings = {"smooth": 0.2, "dropout": 0.4, "update": update} | ({"threads": 1} if update == "hogwild" else {})
    check_gradients(NETWORKS[name], seed=7, group_size=group_size, **settings)


@pytest.mark.parametrize("sampler", ["topk", "threshold"])
@pytest.mark.parametrize("hash_", ["simhash", "wta", "dwta", "minhash"])
def test_gradient_of_every_family(sampler, hash_):
    settings = {"m": 1} if sampler == "threshold" else {}
    layers = [dense(9), sampled(N_LABELS, sampler=sampler, hash=hash_, active=3, **settings)]
    check_gradients(layers, seed=11)


@pytest.mark.parametrize("name", ["full", "sampled", "first sampled", "one sampled layer", "one dense layer"])
def test_gradient_of_a_single_row(name):
    check_gradients(NETWORKS[name], seed=2, n=1)


@pytest.mark.parametrize("name", ["one sampled layer", "one dense layer"])
def test_data_needs_no_gradient(name):
    X, Y = data(np.random.default_rng(0))
    X, Y = SparseRows(*_csr(X), X.shape), SparseRows(*_csr(Y), Y.shape)
    layer = Network(N_FEATURES, NETWORKS[name], threads=2).layers[0]
    layer.learn(X, Y, 1, 1.0, Commit())
    assert layer.gradient() is None
    assert layer.scratch._buffers["dx"].size == 1


def test_sampled_layers_sample():
    """The checks above are about something: not every neuron is active."""
    masks = check_gradients(NETWORKS["no fill"], seed=3, group_size=1)
    assert not masks[1].all() and not masks[2].all() and masks[0].all()


@pytest.mark.parametrize("name", NETWORKS)
def test_batches_without_entries_or_labels(name):
    """Rows of zeros have logits of biases alone; a batch without labels moves no weight by SGD."""
    shared = with_effect(NetworkSettings, {"group_size": 3}, NETWORKS[name])
    network = Network(N_FEATURES, NETWORKS[name], optimizer=SGD(lr=1.0), threads=2, **shared)
    before = [layer.weights.copy() for layer in network.layers]
    assert network.partial_fit(np.ones((5, N_FEATURES)), np.zeros((5, N_LABELS))) == 0.0
    for layer, weights in zip(network.layers, before, strict=True):
        np.testing.assert_array_equal(layer.weights, weights)
    loss = network.partial_fit(np.zeros((5, N_FEATURES)), np.ones((5, N_LABELS)))
    assert np.isfinite(loss)
    assert all(np.isfinite(layer.weights).all() for layer in network.layers)


def test_sparse_and_dense_input_train_alike():
    rng = np.random.default_rng(5)
    X, Y = data(rng)
    states = []
    for given in (X, SparseRows(*_csr(X), X.shape), X.astype(np.float64)):
        network = Network(N_FEATURES, NETWORKS["sampled"], threads=1)
        network.partial_fit(given, Y)
        states.append(network.layers[0].weights.copy())
    np.testing.assert_array_equal(states[0], states[1])
    np.testing.assert_array_equal(states[0], states[2])


def _csr(X):
    rows, columns = np.nonzero(X)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(X)))]).astype(np.int64)
    return indptr, columns.astype(np.int32), X[rows, columns]
