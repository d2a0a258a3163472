"""The wide layer by itself: gradients, three calls of which only the last changes anything, files, settings."""

import copy
import pickle

import numpy as np
import pytest
from scipy import sparse

from slide import SGD, Adam, Dense, Network, RehashSchedule, SampledHidden, SampledSoftmax, Schedule
from slide._kernels.simd.vec import LANES
from tests.conftest import assert_equal_arrays
from tests.robustness.interruptions import Points, count, spread

N, D, LABELS = 21, 7, 40
ALL = {"active": LABELS}


def softmax(n_labels=LABELS, **settings):
    small = {"K": 2, "L": 4, "rehash": RehashSchedule(N0=3)} if settings.get("sampler") != "full" else {}
    return SampledSoftmax(D, n_labels, **{"threads": 2, **small, **settings})


def problem(n=N, n_labels=LABELS, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, D)).astype(np.float32), rng.integers(0, n_labels, n)


def everything(layer):
    return {name: a.copy() for name, a in layer.state().items()} | {"step": np.array(layer.step)}


def dense_loss(h, w, b, Y, scale):
    """The sum of scale * cross entropy, and its gradients by h, w and b, in float64; Y (n, labels) sums to 1 a row."""
    z = h.astype(np.float64) @ w.T + b
    z -= z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    delta = scale[:, None] * (np.exp(log_p) - Y) * (Y.sum(axis=1, keepdims=True) > 0)
    return -(scale[:, None] * Y * log_p).sum(), delta @ w, delta.T @ h, delta.sum(axis=0)


@pytest.mark.parametrize("group_size", [1, 16, 64])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("gradient", ["one", "number", "each"])
def test_with_all_neurons_active_gradients_are_those_of_the_dense_layer(group_size, reduction, gradient):
    layer = softmax(**ALL, group_size=group_size, optimizer=SGD(lr=1.0))
    rng = np.random.default_rng(1)
    h, _ = problem()
    layer.bias[...] = rng.standard_normal(LABELS)
    w, b = layer.weights.astype(np.float64), layer.bias.astype(np.float64)
    indicator = rng.random((N, LABELS)) < 0.05
    indicator[3], weight = False, rng.random(N).astype(np.float32) + 0.1
    factor = {"one": 1.0, "number": 0.25, "each": rng.standard_normal(N).astype(np.float32)}[gradient]
    even = indicator / np.maximum(indicator.sum(axis=1, keepdims=True), 1)
    scale = weight / (weight.sum() if reduction == "mean" else 1)
    batch = layer.forward(h, indicator, weight, reduction)
    dh = layer.backward(batch, factor)
    layer.update(batch)
    np.testing.assert_allclose(batch.loss, dense_loss(h, w, b, even, scale)[0], rtol=1e-5)
    _, want_h, want_w, want_b = dense_loss(h, w, b, even, scale * factor)
    np.testing.assert_allclose(dh, want_h, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(w - layer.weights, want_w, rtol=1e-4, atol=2e-6)
    np.testing.assert_allclose(b - layer.bias, want_b, rtol=1e-4, atol=2e-6)


def test_nothing_moves_before_the_update():
    layer, (h, Y) = softmax(active=4, optimizer=Adam(lr=0.1)), problem()
    for _ in range(5):
        layer.learn(h, Y)
    before = everything(layer)
    batch = layer.forward(h, Y)
    again = layer.forward(h, Y)
    np.testing.assert_array_equal(batch.losses, again.losses)
    layer.backward(batch)
    layer.loss(h, Y), layer.topk(h, sampled=True), layer.log_prob(h)
    assert_equal_arrays(everything(layer), before)
    layer.update(batch)
    changed = [name for name, a in everything(layer).items() if not np.array_equal(a, before[name])]
    assert {"step", "layers.0.neurons.w", "layers.0.neurons.m", "layers.0.recent.added"} <= set(changed)


def test_learn_is_the_three_calls():
    one, other, (h, Y) = softmax(active=4), softmax(active=4), problem()
    for _ in range(8):
        loss, dh = one.learn(h, Y)
        batch = other.forward(h, Y)
        np.testing.assert_array_equal(dh, other.backward(batch))
        other.update(batch)
        assert loss == batch.loss
    assert_equal_arrays(everything(one), everything(other))


def test_it_learns_as_the_output_layer_of_a_network():
    """A network of one layer reads the same rows as sparse ones: its sums are in another order."""
    h, Y = problem()
    settings = {"seed": 3, "threads": 2, "group_size": 8, "optimizer": Adam(lr=0.01), "schedule": Schedule(warmup=3)}
    layer = softmax(active=5, min_active=20, **settings)
    network = Network(D, [layer.layer.spec], normalize=False, batch_size=N, **settings)
    np.testing.assert_array_equal(layer.weights, network.layers[0].weights)
    for _ in range(12):
        np.testing.assert_allclose(layer.learn(h, Y)[0], network.partial_fit(h, Y), rtol=1e-5)
    np.testing.assert_allclose(layer.weights, network.layers[0].weights, atol=1e-4)
    ids, values = network.predict(h, k=3)
    found, logits = layer.topk(h, 3)
    np.testing.assert_array_equal(found, ids)
    np.testing.assert_allclose(logits, values, atol=1e-3)


@pytest.mark.parametrize("group_size", [1, 8, 40])
@pytest.mark.parametrize("ends", [[16, 32], [1, 4, 32], [30, 31, 32]])
def test_several_batches_make_one_step(ends, group_size):
    """Of plain gradient descent: the sum of their gradients, as if all were in one batch."""
    h, Y = problem(32)
    layers = [softmax(**ALL, group_size=group_size, optimizer=SGD(lr=1.0)) for _ in range(2)]
    start = layers[0].weights.copy()
    layers[0].learn(h, Y, reduction="sum")
    rows = np.split(np.arange(32), ends[:-1])
    parts = [layers[1].forward(h[i], Y[i], reduction="sum", number=number) for number, i in enumerate(rows)]
    for part in parts:
        layers[1].backward(part)
    np.testing.assert_array_equal(layers[1].weights, start)
    layers[1].update(*parts)
    np.testing.assert_allclose(layers[1].weights, layers[0].weights, atol=1e-5)
    assert layers[1].step == 1 and layers[1].samples == 32


@pytest.mark.parametrize("n, sizes", [(1, [1]), (16, [16]), (17, [17]), (33, [17, 16]), (65, [22, 22, 21])])
def test_a_batch_is_cut_into_few_groups_of_even_size(n, sizes):
    layer, (h, Y) = softmax(active=4, group_size=32), problem(n)
    block = layer.forward(h, Y)._pass.block
    assert block.group_size == sizes[0] and len(block.indptr) - 1 == len(sizes)
    assert block.values.shape[1] - sizes[0] < LANES


def test_batches_that_wait_together_have_draws_and_arrays_of_their_own():
    layer, (h, Y) = softmax(n_labels=500, active=4, min_active=60, label_fill=0.0), problem(n_labels=500)
    first, second = layer.forward(h, Y), layer.forward(h, Y, number=1)
    assert not np.array_equal(np.sort(first._pass.active[0]), np.sort(second._pass.active[0]))
    want = layer.backward(layer.forward(h, Y))
    np.testing.assert_array_equal(layer.backward(first), want)
    free = len(layer._free)
    del second
    assert len(layer._free) == free + 1


def test_the_loss_of_evaluation_is_over_all_labels():
    layer, (h, Y) = softmax(active=4), problem()
    logits = h.astype(np.float64) @ layer.weights.T + layer.bias
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    weight = np.arange(1.0, N + 1)
    mine = log_p[np.arange(N), Y]
    np.testing.assert_allclose(layer.losses(h, Y), -mine, rtol=1e-5)
    np.testing.assert_allclose(layer.loss(h, Y, weight), -(weight @ mine) / weight.sum(), rtol=1e-5)
    np.testing.assert_allclose(layer.loss(h, Y, reduction="sum"), -mine.sum(), rtol=1e-5)
    np.testing.assert_allclose(layer.log_prob(h), log_p, atol=1e-5)
    np.testing.assert_allclose(layer.log_prob(h, Y), mine, atol=1e-5)
    pairs = np.stack([Y, (Y + 1) % LABELS], axis=1)
    np.testing.assert_allclose(layer.logits(h, pairs), np.take_along_axis(logits, pairs, 1), atol=1e-5)
    np.testing.assert_array_equal(layer.topk(h, 2)[0], np.argsort(-logits, axis=1)[:, :2])
    assert layer.loss(h, [[]] * N) == 0.0


def test_kinds_of_labels_are_one():
    h, Y = problem()
    found = []
    for labels in (Y, Y.tolist(), [[y] for y in Y], np.eye(LABELS)[Y], sparse.csr_array(np.eye(LABELS)[Y])):
        layer = softmax(active=4)
        layer.learn(h, labels)
        found.append(layer.weights)
    for weights in found[1:]:
        np.testing.assert_array_equal(weights, found[0])


def test_weights_of_zero_are_as_samples_that_are_not_there():
    layer, (h, Y) = softmax(sampler="full"), problem()
    weight = (np.arange(N) % 2).astype(float)
    dh = layer.backward(layer.forward(h, Y, weight))
    np.testing.assert_allclose(dh[1::2], layer.backward(layer.forward(h[1::2], Y[1::2])), atol=1e-7)
    assert not dh[::2].any()
    assert layer.forward(h, Y, np.zeros(N)).loss == 0.0


def test_rows_by_gradients_from_elsewhere_take_steps_of_the_same_optimizer():
    layer, rng = softmax(active=4, optimizer=SGD(lr=0.5)), np.random.default_rng(0)
    ids, grads = np.array([3, 9, 3]), rng.standard_normal((3, D)).astype(np.float32)
    want, bias = layer.weights.copy(), layer.bias.copy()
    np.subtract.at(want, ids, 0.5 * grads)
    layer.update_rows(ids, grads)
    np.testing.assert_allclose(layer.weights, want, atol=1e-6)
    np.testing.assert_array_equal(layer.bias, bias)


@pytest.mark.parametrize("settings", [{}, {"weight_type": "bfloat16", "moment_type": "bfloat16"}, {"sampler": "full"}])
def test_files_pickles_and_copies_go_on_bit_for_bit(settings, tmp_path):
    layer, (h, Y) = softmax(**({"active": 4} | settings if "sampler" not in settings else settings)), problem()
    for _ in range(7):
        layer.learn(h, Y)
    layer.save(tmp_path / "layer.npz")
    others = SampledSoftmax.load(tmp_path / "layer.npz"), pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)
    for _ in range(4):
        loss, _ = layer.learn(h, Y)
        assert all(other.learn(h, Y)[0] == loss for other in others)
    for other in others:
        assert_equal_arrays(everything(other), everything(layer))
    assert Network.load(tmp_path / "layer.npz").step == 7 if "weight_type" not in settings else True


def test_files_of_other_networks_are_refused(tmp_path):
    Network(D, [Dense(4), Dense(LABELS)], threads=1).save(tmp_path / "network.npz")
    with pytest.raises(ValueError, match="not one Sampled layer"):
        SampledSoftmax.load(tmp_path / "network.npz")


def test_threads_do_not_change_bits():
    h, Y = problem()
    states = []
    for threads in (1, 2, 8):
        layer = softmax(active=4, threads=threads, group_size=8)
        for _ in range(6):
            layer.learn(h, Y)
        states.append(everything(layer))
    assert_equal_arrays(states[1], states[0])
    assert_equal_arrays(states[2], states[0])


def test_settings_are_attributes_and_what_has_no_effect_is_refused():
    layer = softmax(active=4, optimizer=Adam(lr=0.1))
    layer.optimizer = Adam(lr=0.2)
    layer.threads = 1
    assert layer.optimizer.lr == 0.2 and layer.context.threads == 1
    for name, value in {"seed": 1, "n_labels": 3, "step": 0, "weight": 1}.items():
        with pytest.raises(AttributeError, match=name):
            setattr(layer, name, value)
    with pytest.raises(ValueError, match="optimizer: found SGD"):
        layer.optimizer = SGD()
    with pytest.raises(TypeError, match="actives: found among the settings of SampledSoftmax"):
        softmax(actives=3)
    with pytest.raises(TypeError, match="dropout: found"):
        softmax(dropout=0.3)
    with pytest.raises(ValueError, match="min_active: found 4 .* where it has no effect"):
        softmax(sampler="full", min_active=4)
    with pytest.raises(ValueError, match="label_fill: .* in the output layer"):
        SampledHidden(D, 30, label_fill=0.5)


def test_tables_come_with_a_setting_of_theirs_and_neurons_are_drawn_without():
    drawn = SampledSoftmax(D, 8000, threads=1)
    assert drawn.layer.sampler.draws_uniformly and drawn.layer.spec.min_active == 1000
    assert (drawn.layer.spec.active, drawn.layer.spec.label_fill, drawn.optimizer.beta1) == (250, 1.0, 0.0)
    for setting in ({"active": 300}, {"hash": "dwta"}, {"L": 10}, {"rehash": RehashSchedule(N0=7)}):
        assert SampledSoftmax(D, 8000, threads=1, **setting).layer.sampler.needs_tables, setting
    with pytest.raises(ValueError, match="sampled: found True for a layer without hash tables"):
        drawn.topk(np.zeros((2, D), np.float32), sampled=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, h, Y: s.forward(h[:, :3], Y), "h: found float32 of shape"),
        (lambda s, h, Y: s.forward(h * np.nan, Y), "h: found numbers that are not finite"),
        (lambda s, h, Y: s.forward(h, Y[:4]), "Y: found 4 rows, expected 21"),
        (lambda s, h, Y: s.forward(h, Y + LABELS), "Y: found label"),
        (lambda s, h, Y: s.forward(h, Y, -np.ones(N)), "sample_weight: found -1"),
        (lambda s, h, Y: s.forward(h, Y, np.ones(3)), "sample_weight: found .* expected a number or 21"),
        (lambda s, h, Y: s.forward(h, Y, reduction="none"), "reduction: found 'none'"),
        (lambda s, h, Y: s.backward(s.forward(h, Y), np.inf), "gradient: found inf"),
        (lambda s, h, Y: s.update(s.forward(h, Y)), "update: found a batch whose `backward` was not called"),
        (lambda s, h, Y: s.update(), "update: found 0 batches"),
        (lambda s, h, Y: s.backward(softmax(active=4).forward(h, Y)), "expected what `forward` of this layer returned"),
        (lambda s, h, Y: s.logits(h, Y + LABELS), "labels: found .* expected integers from 0 to 39"),
        (lambda s, h, Y: s.logits(h, Y[:3]), "labels: found int64 of shape"),
        (lambda s, h, Y: s.update_rows([LABELS], h[:1]), "ids: found"),
        (lambda s, h, Y: s.update_rows([1, 2], h[:1]), "gradients: found 1 rows, expected 2"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(call, message):
    layer, (h, Y) = softmax(active=4), problem()
    before = everything(layer)
    with pytest.raises(ValueError, match=message):
        call(layer, h, Y)
    assert_equal_arrays(everything(layer), before)


def test_a_batch_is_differentiated_and_updated_once():
    layer, (h, Y) = softmax(active=4), problem()
    batch = layer.forward(h, Y)
    layer.backward(batch)
    with pytest.raises(ValueError, match="differentiated already"):
        layer.backward(batch)
    layer.update(batch)
    with pytest.raises(ValueError, match="updated, or discarded, already"):
        layer.update(batch)


def test_gradients_that_would_make_weights_infinite_change_nothing():
    layer, (h, Y) = softmax(active=4), problem()
    before = everything(layer)
    batch = layer.forward(h, Y)
    layer.backward(batch, 1e30)
    with pytest.raises(FloatingPointError, match="may become infinite"):
        layer.update(batch)
    assert_equal_arrays(everything(layer), before)


def test_nothing_is_trained_at_rate_zero_in_silence():
    layer, (h, Y) = softmax(active=4, schedule=Schedule("linear", steps=2)), problem()
    layer.learn(h, Y)
    layer.learn(h, Y)
    with pytest.raises(ValueError, match="schedule: .* whose rate is 0 at update 3"):
        layer.learn(h, Y)
    layer.schedule = Schedule("linear", steps=4)
    layer.learn(h, Y)
    assert layer.step == 3


def test_a_hidden_layer_by_itself_follows_its_gradient():
    rng, (h, _) = np.random.default_rng(2), problem()
    hidden = SampledHidden(D, 30, active=8, K=2, L=3, optimizer=SGD(lr=1.0), threads=2, group_size=4)
    w, b = hidden.weights.astype(np.float64), hidden.bias.astype(np.float64)
    dy = rng.standard_normal((N, 30)).astype(np.float32)
    batch = hidden.forward(h)
    mask = batch.output > 0
    np.testing.assert_allclose(batch.output, np.where(mask, h @ w.T + b, 0), atol=1e-5)
    assert mask.any() and not mask.all()
    np.testing.assert_allclose(hidden.backward(batch, dy), (dy * mask) @ w, atol=1e-5)
    np.testing.assert_array_equal(hidden.weights, w.astype(np.float32))
    hidden.update(batch)
    np.testing.assert_allclose(w - hidden.weights, (dy * mask).T @ h, atol=1e-5)
    np.testing.assert_allclose(hidden.exact(h), np.maximum(h @ hidden.weights.T + hidden.bias, 0), atol=1e-5)


@pytest.mark.parametrize("reinsert", [False, True])
def test_a_batch_that_is_interrupted_is_whole_or_never_was(reinsert):
    h, Y = problem()
    begun = softmax(active=4, threads=1, rehash=RehashSchedule(N0=2, growth=0.0, renew_every=2), reinsert=reinsert)
    for _ in range(3):
        begun.learn(h, Y)

    def after(layer, n):
        while layer.step < n:
            layer.learn(h, Y)
        layer.rehash()
        return everything(layer)

    states = {n: after(copy.deepcopy(begun), n) for n in (3, 4, 6)}
    for at in spread(count(lambda: copy.deepcopy(begun).learn(h, Y)), 40):
        layer = copy.deepcopy(begun)
        Points(at).run(lambda layer=layer: layer.learn(h, Y))
        assert_equal_arrays(after(copy.deepcopy(layer), layer.step), states[layer.step])
        assert_equal_arrays(after(layer, 6), states[6])


@pytest.mark.parametrize("make", [
    lambda n: SampledHidden(9, n, active=2), lambda n: SampledSoftmax(9, n), lambda n: SampledHidden(n, 9, active=2),
])  # fmt: skip
@pytest.mark.parametrize("size", [2**31, 2**64])
def test_a_size_beyond_an_index_is_refused_by_name(make, size):
    with pytest.raises(ValueError, match="^n_(neurons|labels|inputs): found"):
        make(size)
