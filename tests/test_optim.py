"""Optimizers are the textbook's, biases do not decay, learning rates follow their schedule.

One and two steps by hand are in test_by_hand_training.py.
"""

import math

import numpy as np
import pytest

from slide import SGD, Adam, Dense, Network, Schedule
from slide._kernels import optimizer as kernel
from slide.layers.weights import Weights
from tests.conftest import THREADS


def textbook_adam(w, grads, lr, beta1, beta2, eps, weight_decay=0.0):
    """Kingma & Ba 2015, algorithm 1, with decoupled weight decay."""
    m = v = 0
    for t, g in enumerate(grads, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        step = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)
        w = w - lr * weight_decay * w - lr * step
    return w, m, v


@pytest.mark.parametrize("eps", [1e-8, 1e-30])
def test_steps_of_gradients_of_any_size(simd, eps):
    """Moments that are no normal numbers, zero, or beyond the largest number give the step that they should."""
    g = np.concatenate([[0.0, 1e-25], 10.0 ** np.linspace(-24, 18, 100), [1e25, 3e38]]).astype(np.float32)[None]
    w, m, v = (np.zeros_like(g) for _ in range(3))
    with np.errstate(over="ignore"):
        kernel.step_rows(w, m, v, g, True, (0.1, 0.9, 0.999, eps, 0.0), 1)
    want = -0.1 * m.astype(np.float64) / (np.sqrt(v.astype(np.float64)) + np.float32(eps))
    finite = np.isfinite(v)
    np.testing.assert_allclose(w[finite], want[finite], rtol=1e-6)
    assert np.isfinite(w).all()


EXACT = {"beta1": 0.875, "beta2": 1 - 2**-9}  # in float32, too; 1 - 0.999 is there by 1e-5 another number


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize(
    ("settings", "rtol"),
    [(EXACT, 2e-6), (EXACT | {"weight_decay": 0.1}, 2e-6), (EXACT | {"beta1": 0.0, "eps": 0.1}, 2e-6),
     (EXACT | {"beta2": 0.0}, 2e-6), ({}, 2e-5)],
)  # fmt: skip
def test_adam_is_the_textbook_one(simd, rng, settings, rtol, threads):
    optimizer = Adam(lr=0.01, **settings)
    w = rng.standard_normal((7, 33))
    grads = rng.standard_normal((20, 7, 33)).astype(np.float32)
    weights = Weights(7, 33, optimizer, 0.0, rng)
    weights.w[...] = w
    for step, g in enumerate(grads, 1):
        weights.update_all(g, g[:, 0].copy(), step, 1.0, threads)
    hyper = (0.01, optimizer.beta1, optimizer.beta2, optimizer.eps)
    want = textbook_adam(w, grads.astype(np.float64), *hyper, optimizer.weight_decay)
    for got, expected in zip((weights.w, weights.m, weights.v), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol / 5)
    bias, _, _ = textbook_adam(np.zeros(7), grads[:, :, 0].astype(np.float64), *hyper)
    np.testing.assert_allclose(weights.bias[0], bias, rtol=rtol, atol=rtol / 5)


def test_sgd_is_the_textbook_one(simd, rng):
    """On quarters, which are exact in float32."""
    w, g = (rng.integers(-9, 10, (2, 5, 40)) / 4).astype(np.float32)
    want = w - 0.5 * 0.5 * (g + 0.125 * w)
    nothing = np.zeros((0, 40), np.float32)
    kernel.step_rows(w, nothing, nothing, g, False, SGD(lr=0.5, weight_decay=0.125).hyper(1, 0.5), 2)
    np.testing.assert_array_equal(w, want)


@pytest.mark.parametrize("optimizer", [SGD(lr=0.1, weight_decay=0.5), Adam(lr=0.1, weight_decay=0.5)])
def test_biases_do_not_decay(optimizer):
    """Without labels there is no gradient: only weight decay moves anything, and no bias."""
    network = Network(4, [Dense(3), Dense(5), Dense(6)], optimizer=optimizer, threads=1)
    before = []
    for layer in network.layers:
        layer.bias[...] = 1.0
        before.append(layer.weights.copy())
    network.partial_fit(np.ones((2, 4)), np.zeros((2, 6)))
    for layer, weights in zip(network.layers, before, strict=True):
        np.testing.assert_array_equal(layer.bias, 1.0)
        np.testing.assert_allclose(layer.weights, weights * 0.95, rtol=2e-7)


def test_rate_scales_the_learning_rate():
    assert Adam(lr=0.1, weight_decay=0.5).hyper(3, 0.5) == Adam(lr=0.05, weight_decay=0.5).hyper(3, 1.0)
    assert SGD(lr=0.1, weight_decay=0.5).hyper(3, 0.5) == SGD(lr=0.05, weight_decay=0.5).hyper(3, 1.0)


def test_a_constant_rate_rises_linearly_at_first():
    assert [Schedule().rate(step) for step in (1, 2, 10**6)] == [1, 1, 1]
    rates = [Schedule(warmup=3).rate(step) for step in range(1, 7)]
    assert rates == [0.25, 0.5, 0.75, 1, 1, 1]


@pytest.mark.parametrize("kind", ["linear", "cosine"])
@pytest.mark.parametrize("warmup", [0, 4])
@pytest.mark.parametrize("final", [0.0, 0.2, 1.0])
def test_linear_and_cosine_rates_fall_from_one_to_the_final_one(kind, warmup, final):
    schedule = Schedule(kind, warmup=warmup, steps=20, final=final)
    rates = np.array([schedule.rate(step) for step in range(1, 30)])
    np.testing.assert_allclose(rates[:warmup], np.arange(1, warmup + 1) / (warmup + 1), rtol=1e-12)
    assert rates[warmup] == 1
    assert (np.diff(rates[warmup:]) <= 0).all()
    np.testing.assert_allclose(rates[20:], final, atol=1e-12)
    middle = warmup + (20 - warmup) // 2
    np.testing.assert_allclose(rates[middle], (1 + final) / 2, rtol=1e-12)
    assert (rates[:20] > 0).all()


def test_the_name_of_an_optimizer_is_not_a_setting():
    assert (Adam.name, SGD.name) == ("adam", "sgd")
    for make in (Adam, SGD):
        with pytest.raises(TypeError, match="name"):
            make(name="sgd")


BAD_RATES = (0, -1, math.inf, math.nan, "1", None)


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        *[(Adam, "lr", v) for v in BAD_RATES],
        *[(SGD, "lr", v) for v in BAD_RATES],
        *[(Adam, "eps", v) for v in (*BAD_RATES, 1e-46, 1e-38)],
        *[(Adam, name, v) for name in ("beta1", "beta2") for v in (-0.1, 1, math.nan, "0", None)],
        *[(make, "weight_decay", v) for make in (Adam, SGD) for v in (-0.1, math.inf, math.nan, "0", None)],
        *[(Schedule, "kind", v) for v in ("step", None, 1)],
        *[(Schedule, "warmup", v) for v in (-1, math.inf, math.nan, "1", None)],
        *[(Schedule, "final", v) for v in (-0.1, 1.5, math.nan, "1", None)],
    ],
)
def test_settings_out_of_range_are_refused(make, name, value):
    with pytest.raises(ValueError, match=name):
        make(**{name: value})


def test_the_smallest_eps_is_the_smallest_normal_number():
    smallest = float(np.finfo(np.float32).tiny)
    assert Adam(eps=smallest).eps == smallest
    with pytest.raises(ValueError, match=r"eps: found 1e-46, expected a number in \[1.17.*e-38, inf\)"):
        Adam(eps=1e-46)


def test_a_schedule_is_longer_than_its_warmup():
    assert Schedule("linear", warmup=8, steps=9).rate(9) == 1
    for warmup in (9, 20):
        with pytest.raises(ValueError, match=f"^warmup: found {warmup} in Schedule.*expected fewer than steps$"):
            Schedule("cosine", warmup=warmup, steps=9)


@pytest.mark.parametrize("steps", [None, 0, -3, "9", math.nan])
def test_schedules_that_fall_need_their_length(steps):
    with pytest.raises(ValueError, match="steps"):
        Schedule("linear", steps=steps)
