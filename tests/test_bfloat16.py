"""bfloat16 weights: kernels give the bits of float32 ones on the same numbers, and results are rounded without a bias.

Weights and second moments are rounded at random to one of both neighbours, up with the share of the way that lies
behind; first moments to the nearest.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slide import SGD, Adam, Dense, Network, Sampled, reference
from slide._kernels.simd import vec
from slide.bfloat16 import BLOCK_ROWS, narrow, widen
from slide.data import make_xmc
from slide.layers.base import exact_topk
from slide.layers.lane_block import NO_IDS, lanes_of
from slide.layers.weights import BFloat16Weights, Weights, touched_ids
from slide.machine.memory import Scratch
from tests.conftest import THREADS, assert_equal_arrays, read_only, times
from tests.kernel_problems import normal, problem, sixteenths

floats = st.integers(0, 2**32 - 1).map(lambda bits: np.array(bits, np.uint32).view(np.float32)[()])


@times(3)
@given(st.lists(floats, min_size=1, max_size=70))
def test_narrowing_takes_the_nearest_and_widening_is_exact(values):
    x = np.array(values, np.float32).reshape(1, -1)
    read_only(x)
    for name in vec.available():
        before = vec.live()
        vec.use(name)
        bits = narrow(x, 2)
        back = widen(bits, 2)
        vec.use(before)
        np.testing.assert_array_equal(bits, reference.narrow(x))
        np.testing.assert_array_equal(back.view(np.uint32), reference.widen(bits).view(np.uint32))
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(x) & np.isfinite(back)
        error = np.abs(back[finite].astype(np.float64) - x[finite])
    assert (error <= np.maximum(np.abs(x[finite].astype(np.float64)) / 256, 1e-40)).all()
    assert (np.isnan(back) == np.isnan(x)).all()
    np.testing.assert_array_equal(widen(narrow(back)).view(np.uint32)[finite], back.view(np.uint32)[finite])


def test_every_bit_pattern_comes_back():
    bits = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    numbers = ~np.isnan(widen(bits))
    np.testing.assert_array_equal(narrow(widen(bits))[numbers], bits[numbers])


def test_random_rounding_has_the_right_mean():
    x = np.full(200_000, 1 + 0.3 / 128, np.float32)  # three tenths of the way from 1 to its neighbour
    up = [np.mean(reference.widen(reference.narrow_at_random(x, reference.key(7, step, 3))) > 1) for step in range(5)]
    assert np.allclose(up, 0.3, atol=5 * np.sqrt(0.21 / len(x)))
    draws = reference.draw_bits(reference.key(1, 2, 3), np.arange(1 << 16))
    ones = (draws[:, None] >> np.arange(32, dtype=np.uint32) & 1).mean(axis=0)
    assert np.abs(ones - 0.5).max() < 5 * 0.5 / 256
    other = reference.draw_bits(reference.key(1, 2, 4), np.arange(1 << 16))
    assert abs(np.corrcoef(draws.astype(float), other.astype(float))[0, 1]) < 5 / 256


SHAPES = st.tuples(
    st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 150), st.integers(1, 100),
    st.sampled_from([1, 3, 16, 20, 32]),
)  # fmt: skip


def both(W, bias, optimizer=None, moment_type="float32"):
    """(BFloat16Weights, float32 Weights) that hold the same numbers."""
    n, d = W.shape
    ours = BFloat16Weights(n, d, optimizer or SGD(), 0.0, np.random.default_rng(0), True, moment_type)
    theirs = Weights(n, d, optimizer or SGD(), 0.0, np.random.default_rng(0))
    ours.w[...] = narrow(W)
    theirs.w[...] = widen(ours.w)
    ours.bias[0], theirs.bias[0] = bias, bias
    return ours, theirs


def agree_with_float32(shape):
    """Where pairs of bfloat16 are multiplied inputs are rounded, too: there on numbers that rounding leaves alone."""
    draw = sixteenths if vec.live() == "avx512bf16" else normal
    W, bias, active, block, label_ptr, slots = problem(*shape, False, draw)
    ours, theirs = both(W, bias)
    read_only(ours.w, theirs.w, ours.bias, active.indptr, active.ids, block.indptr, block.values, label_ptr, slots)
    pairs, weights = (len(active.ids), lanes_of(shape[4])), np.linspace(1, 4, len(active.ids), dtype=np.float32)
    for threads in THREADS:
        results = []
        for rows in (ours, theirs):
            z, delta, dx, again = (np.full(s, np.nan, np.float32) for s in (pairs, pairs, *[block.values.shape] * 2))
            loss, scale = np.full(shape[1], np.nan, np.float32), np.full(shape[1], 0.1, np.float32)
            rows.forward(active, block, True, z, threads)
            rows.softmax(
                active, block, weights, label_ptr, slots, np.diff(label_ptr), scale, 0.2, delta, dx, loss, threads
            ).at_once()
            rows.input_gradient(active, block, delta, again, threads)
            results.append((z, delta, dx, loss, again))
        for got, want in zip(*results, strict=True):
            np.testing.assert_array_equal(got, want)


@given(SHAPES)
def test_forward_kernels_are_those_of_float32_on_the_same_weights(shape):
    agree_with_float32(shape)


def test_they_are_on_every_instruction_set(simd):
    for shape in [(1, 37, 128, 90, 16), (2, 5, 77, 9, 1), (3, 40, 100, 70, 32), (4, 1, 1, 1, 16)]:
        agree_with_float32(shape)


OPTIMIZERS = [Adam(lr=0.01, weight_decay=0.1), Adam(beta1=0.5), SGD(lr=0.125)]


def updated(shape, optimizer, moment_type, threads):
    """The state of BFloat16Weights after updates that are those of float32 narrowed, and nearly those of NumPy."""
    W, bias, active, block, _, _ = problem(*shape, False, sixteenths)
    coef = sixteenths(np.random.default_rng(shape[0]), len(active.ids), lanes_of(shape[4]))
    x = block.sample_major(Scratch(), 1)
    ours, theirs = both(W, bias, optimizer, moment_type)
    twin, _ = both(W, bias, optimizer, moment_type)
    ours.seed = twin.seed = shape[0]
    read_only(coef, x, active.ids)
    for step in (1, 4):
        before = {name: widen(a) if a.dtype == np.uint16 else a.copy() for name, a in ours.state().items()}
        for name, array in before.items():
            theirs.state()[name][...] = array
        for name, array in ours.state().items():
            twin.state()[name][...] = array
        for rows in (ours, theirs):
            touched = touched_ids(rows.update(active, coef, block.indptr, block.ids, x, step, 1.0, threads))
        assert sorted(touched) == sorted(set(active.ids.tolist()))
        bits = (ours.w.copy(), ours.m.copy(), ours.v.copy())
        for r in touched:
            reference.narrow_row(r, theirs.w, theirs.m, theirs.v, *bits, ours.seed, step)
        for got, want in zip((ours.w, ours.m, ours.v), bits, strict=True):
            np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(ours.bias, theirs.bias)
        hyper = np.float32(optimizer.hyper(step, 1.0)).astype(np.float64)  # 1 - 0.999 is another number in float32
        reference.update_rows(
            active.indptr, active.ids, coef, block.indptr, NO_IDS, x, twin.w, twin.m, twin.v, twin.bias, twin.adam,
            hyper, twin.seed, step,
        )  # fmt: skip
        for name, got in ours.state().items():
            assert_nearly_equal(got, twin.state()[name])
    return ours.state()


def assert_nearly_equal(got, want):
    """float32 to its rounding; of bfloat16 one in a hundred may be rounded to the other neighbour."""
    if got.dtype != np.uint16:
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)
        return
    places = [np.where(a < 0x8000, a.astype(int), 0x8000 - a.astype(int)) for a in (got, want)]
    apart = np.abs(places[0] - places[1])
    assert apart.max(initial=0) <= 1 and np.count_nonzero(apart) <= 1 + apart.size / 100


@given(SHAPES, st.sampled_from(OPTIMIZERS), st.sampled_from(["float32", "bfloat16"]))
def test_updates_are_those_of_float32_rounded(shape, optimizer, moment_type):
    first, *others = (updated(shape, optimizer, moment_type, threads) for threads in THREADS)
    for other in others:
        assert_equal_arrays(other, first)


def test_updates_are_on_every_instruction_set(simd):
    for shape in [(1, 37, 128, 90, 16), (2, 5, 77, 9, 1), (3, 1, 1, 1, 16)]:
        updated(shape, Adam(), "bfloat16", 2)


@pytest.mark.parametrize("moment_type", ["float32", "bfloat16"])
def test_small_steps_are_not_lost(moment_type):
    """A thousand steps of 2**-12 of the weight: to the nearest not one of them would count."""
    W = np.ones((8, 64), np.float32)
    ours, _ = both(W, np.zeros(8, np.float32), Adam(lr=2.0**-12, eps=1e-12), moment_type)
    _, _, active, block, _, _ = problem(0, 1, 64, 8, 1, False)
    active = type(active)(np.array([0, 8]), np.arange(8, dtype=np.int32))
    x = np.ones(64, np.float32)
    for step in range(1, 1001):
        ours.update(active, np.ones((8, 1), np.float32), block.indptr, block.ids, x, step, 1.0, 1)
    # A step goes one of 256 down with 1/16: of 512 weights the mean is within 4 standard errors, sqrt(59 / 512) / 256.
    np.testing.assert_allclose(widen(ours.w).mean(), 1 - 1000 / 4096, atol=0.0055)
    if moment_type == "bfloat16":
        np.testing.assert_allclose(widen(ours.v).mean(), 1 - 0.999**1000, rtol=0.015)


def network(threads=2, moment_type="bfloat16", n_features=5428, n_labels=2680, **settings):
    layer = {"active": 200, "K": 3, "hash": "dwta", "weight_type": "bfloat16", "moment_type": moment_type}
    layer |= settings.pop("layer", {})
    if layer.get("sampler") in ("uniform", "full"):
        del layer["K"], layer["hash"]
    if layer.get("sampler") == "full":
        del layer["active"]
    layers = settings.pop("hidden", [Dense(32)])
    return Network(n_features, [*layers, Sampled(n_labels, **layer)], optimizer=Adam(5e-3), threads=threads, **settings)


@pytest.fixture(scope="module")
def data():
    return make_xmc("amazon-670k", 1500, 300, scale=0.004, seed=0)


def shape_of(data):
    (X, Y), _ = data
    return {"n_features": X.shape[1], "n_labels": Y.shape[1]}


@pytest.mark.slow
@pytest.mark.parametrize("moment_type", ["float32", "bfloat16"])
def test_a_network_learns_as_well_as_in_float32(data, moment_type):
    train, test = data
    given = {"batch_size": 64, **shape_of(data)}
    net = network(moment_type=moment_type, **given).fit(*train, epochs=10)
    assert net.layers[-1].state()["neurons.w"].dtype == np.uint16
    layer = {"weight_type": "float32", "moment_type": "float32"}
    plain = network(layer=layer, **given).fit(*train, epochs=10)
    p1, want = (each.evaluate(*test).scores["P@1"] for each in (net, plain))
    assert want > 0.15 and abs(p1 - want) < 0.07
    sampled = net.evaluate(*test, sampled=True)
    assert sampled.scores["P@1"] > 0.05 and sampled.active < net.n_labels


def test_a_sampled_layer_may_be_hidden(data):
    hidden = [Dense(16), Sampled(300, K=3, active=50, weight_type="bfloat16", moment_type="bfloat16")]
    layer = {"weight_type": "float32", "moment_type": "float32"}
    net = network(hidden=hidden, layer=layer, **shape_of(data))
    before = net.layers[1].parameters.w.copy()
    net.fit(*data[0], steps=3)
    assert (net.layers[1].parameters.w != before).any()
    assert np.isfinite(net.predict(data[1][0])[1]).all()


def test_exact_prediction_is_that_of_the_widened_weights(rng):
    net = network(n_features=50, n_labels=2 * BLOCK_ROWS + 77, layer={"sampler": "uniform"})
    layer = net.layers[-1]
    layer.bias[:] = rng.standard_normal(layer.n_neurons) / 4
    x = rng.standard_normal((9, 32)).astype(np.float32)
    values, ids, n = layer.topk(x, 5)
    want = exact_topk(x, layer.weights, layer.bias, 5, Scratch(), 2)
    np.testing.assert_array_equal(values, want[0])
    np.testing.assert_array_equal(ids, want[1])
    assert n == layer.n_neurons and values.dtype == np.float32 and ids.dtype == np.int32
    with pytest.raises(ValueError, match="read-only"):
        layer.weights[0] = 0


@pytest.mark.parametrize(("change", "message"), [
    ({"layer": {"weight_type": "float16"}}, "weight_type: found 'float16', expected one of float32, bfloat16"),
    ({"layer": {"weight_type": "float32"}}, "moment_type: found 'bfloat16' in .* belongs with weight_type='b"),
    ({"layer": {"sampler": "full"}}, "weight_type: found 'bfloat16' in .* belongs with a sampler that leaves neurons"),
    ({"hidden": []}, r"weight_type: found 'bfloat16' in layers\[0\], whose inputs are sparse, expected 'float32'"),
    ({"update": "hogwild"}, "update: found 'hogwild', expected 'rows'"),
])  # fmt: skip
def test_what_it_cannot_do_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        network(n_features=20, n_labels=100, **change)
