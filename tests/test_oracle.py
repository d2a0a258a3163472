"""The oracle itself: gradients of slide/reference.py are those of its losses, by finite differences in float64.

Every kernel is held to its function there, so what is wrong there would be wrong everywhere.
"""

import numpy as np
import pytest

from slide import reference

N_NEURONS, D, GROUP = 7, 5, 2
INDPTR, IDS = np.array([0, 4, 6]), np.array([6, 0, 3, 2, 1, 5])  # two groups' active neurons
LABEL_PTR, SLOTS = np.array([0, 2, 3, 3]), np.array([1, 3, 0])  # of three samples, the last without labels


def problem(seed=0):
    """(W, bias, inputs (columns of all groups, lanes)) in float64."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((N_NEURONS, D)), rng.standard_normal(N_NEURONS), rng.standard_normal((2 * D, GROUP))


def numerical(function, array, eps=1e-6):
    grad = np.empty_like(array)
    for at in np.ndindex(array.shape):
        before = array[at]
        array[at] = before + eps
        high = function()
        array[at] = before - eps
        grad[at] = (high - function()) / (2 * eps)
        array[at] = before
    return grad


def objective(W, bias, x, counts, scale, smooth):
    """scale * the cross entropy of all samples, targets smoothed by counts, written out for each sample and label."""
    total = 0.0
    for i in range(3):
        g, lane = divmod(i, GROUP)
        pairs = range(INDPTR[g], INDPTR[g + 1])
        logits = [W[IDS[a]] @ x[g * D : (g + 1) * D, lane] + bias[IDS[a]] for a in pairs]
        mass = [counts[a] * np.exp(z) for a, z in zip(pairs, logits, strict=True)]
        mine = SLOTS[LABEL_PTR[i] : LABEL_PTR[i + 1]]
        for k, a in enumerate(pairs):
            target = smooth * counts[a] / sum(counts[b] for b in pairs) + (1 - smooth) * (k in mine) / max(len(mine), 1)
            total -= scale * target * np.log(mass[k] / sum(mass)) * (len(mine) > 0)
    return total


@pytest.mark.parametrize("smooth", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_softmax_and_its_gradients_are_those_of_the_cross_entropy(smooth, weighted):
    W, bias, x = problem()
    counts = np.array([1, 3.5, 1, 2, 1, 8]) if weighted else np.zeros(0)
    ones = counts if weighted else np.ones(6)
    rows = W, bias, INDPTR, IDS, np.array([0, D, 2 * D]), np.zeros(0, np.int32)
    halves = np.full(len(LABEL_PTR) - 1, 0.5)
    delta, dx, loss = reference.softmax_rows(*rows, x, counts, LABEL_PTR, SLOTS, GROUP, halves, smooth)
    want = numerical(lambda: objective(W, bias, x, ones, 0.5, smooth), x)
    np.testing.assert_allclose(dx, want, rtol=1e-7, atol=1e-9)
    d_bias = numerical(lambda: objective(W, bias, x, ones, 0.5, smooth), bias)
    np.testing.assert_allclose(np.bincount(IDS, delta.sum(axis=1), N_NEURONS), d_bias, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(loss.sum(), objective(W, bias, x, ones, 1.0, 0.0), rtol=1e-12)
    assert not dx[D:, 1].any() and loss[2] == 0  # no sample there; no label


def test_updates_follow_the_gradient_of_the_weights():
    """A step of SGD on the deltas of the softmax is one down its gradient, also where two groups share a row."""
    W, bias, x = problem()
    ids = np.array([6, 0, 3, 2, 6, 0])
    rows = np.array([0, D, 2 * D]), np.zeros(0, np.int32)
    coef = np.random.default_rng(1).standard_normal((6, GROUP))

    def total():  # of which coef is the gradient by each logit
        return (coef * reference.forward_rows(W, bias, INDPTR, ids, *rows, x, False)).sum()

    want = numerical(total, W), numerical(total, bias)
    stepped, biases = W.copy(), np.stack([bias, 0 * bias, 0 * bias])
    none, flat = np.zeros((0, D)), reference.sample_major_rows(rows[0], x)
    reference.update_rows(INDPTR, ids, coef, *rows, flat, stepped, none, none, biases, False, (1.0, 0, 0, 1, 0))
    np.testing.assert_allclose(W - stepped, want[0], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(bias - biases[0], want[1], rtol=1e-7, atol=1e-9)


def test_input_gradients_are_the_forward_product_turned_round():
    W, bias, x = problem()
    rows = INDPTR, IDS, np.array([0, D, 2 * D]), np.zeros(0, np.int32)
    coef = np.random.default_rng(1).standard_normal((6, GROUP))
    want = numerical(lambda: (coef * reference.forward_rows(W, bias, *rows, x, False)).sum(), x)
    np.testing.assert_allclose(reference.input_gradient_rows(W, *rows, coef), want, rtol=1e-7, atol=1e-9)


def test_the_full_softmax_is_the_one_over_all_neurons():
    rng = np.random.default_rng(3)
    x, (W, bias, _) = rng.standard_normal((3, D)), problem()
    label_ptr, labels = np.array([0, 2, 3, 3]), np.array([1, 4, 6], np.int32)
    delta, dx, loss = reference.full_softmax(x, W, bias, label_ptr, labels, 0.5, 0.3)
    everyone = np.array([0, N_NEURONS]), np.arange(N_NEURONS), np.array([0, D]), np.zeros(0, np.int32)
    want = reference.softmax_rows(W, bias, *everyone, x.T, np.zeros(0), label_ptr, labels, 3, np.full(3, 0.5), 0.3)
    for found, expected in zip((delta.T, dx.T, loss), want, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
