"""From active sets to new weights by hand: each stage on numbers small enough to follow with a pencil.

In the order in which a batch passes them: logits, softmax and its deltas, gradients, the transpose, the optimizer;
then the largest logits of a prediction, and what its ranking scores.
"""

import numpy as np
import pytest

from slide import SGD, Adam, Dense, Network
from slide.bfloat16 import narrow, widen
from slide.layers.base import exact_topk
from slide.layers.lane_block import NO_IDS, LaneBlock
from slide.layers.weights import Weights, touched_ids
from slide.machine.memory import Scratch
from slide.metrics import ndcg_at_k, precision_at_k, propensities, psp_at_k
from slide.rows import ActiveSet
from tests.kernel_problems import listed

LOG2, LOG5 = np.log(2), np.log(5)
NO_WEIGHTS = np.zeros(0, np.float32)


def weights(w, optimizer=None):
    made = Weights(*np.shape(w), optimizer or SGD(lr=1.0), 0.0, np.random.default_rng(0))
    made.w[...] = w
    return made


def block(x, group_size=1):
    return LaneBlock.from_dense(np.array(x, np.float32), group_size, Scratch(), 1)


# ---- Forward --------------------------------------------------------------------------------------------------------


def test_logits_of_the_active_neurons_alone():
    """Neurons 2 and 0 of three: 3 * 1 + 4 * 2 - 1 = 10 and 1 * 1 + 0 * 2 = 1."""
    layer = weights([[1, 0], [9, 9], [3, 4]])
    layer.bias[0] = [0, 0, -1]
    out = np.empty((2, 1), np.float32)
    layer.forward(ActiveSet.of([[2, 0]]), block([[1, 2]]), False, out, 1)
    assert out.tolist() == [[10], [1]]


def test_a_groups_samples_are_lanes_of_one_block():
    """Samples (1, 2) and (3, 4) of a group, active neuron 1 of two, ReLU: 5 - 2 = 3 and 5 - 4 = 1, or 0 above 5."""
    layer = weights([[7, 7], [0, -1]])
    layer.bias[0] = 5
    out = np.empty((1, 16), np.float32)
    layer.forward(ActiveSet.of([[1]]), block([[1, 2], [3, 4], [0, 6]], group_size=3), True, out, 1)
    assert out[0, :3].tolist() == [3, 1, 0]


# ---- Softmax over an active set of three neurons, of logits 0, log 2 and log 5 --------------------------------------


@pytest.mark.parametrize(
    ("smooth", "counts", "labels", "delta", "loss"),
    [
        # Probabilities 1/8, 2/8, 5/8; the label is the second: 1 is taken from it.
        (0.0, [], [1], [1 / 8, 2 / 8 - 1, 5 / 8], 2 * LOG2),
        # Two labels share the target; the loss is the mean of log 4 and log 8/5.
        (0.0, [], [1, 2], [1 / 8, 2 / 8 - 1 / 2, 5 / 8 - 1 / 2], (2 * LOG2 + 3 * LOG2 - LOG5) / 2),
        # Of the target 0.3 goes to all three evenly.
        (0.3, [], [1], [1 / 8 - 0.1, 2 / 8 - 0.8, 5 / 8 - 0.1], 2 * LOG2),
        # The third neuron counts twice: 1/13, 2/13, 10/13.
        (0.0, [1, 1, 2], [1], [1 / 13, 2 / 13 - 1, 10 / 13], np.log(13 / 2)),
        # No label, no gradient.
        (0.3, [], [], [0, 0, 0], 0),
    ],
)  # fmt: skip
def test_softmax_over_three_neurons(smooth, counts, labels, delta, loss):
    layer = weights([[0], [9], [LOG2], [LOG5]])
    active, x, scale = ActiveSet.of([[0, 2, 3]]), block([[1]]), 0.5
    found = np.empty((3, 1), np.float32), np.empty((1, 1), np.float32), np.empty(1, np.float32)
    layer.softmax(
        active, x, np.array(counts, np.float32), np.array([0, len(labels)]), np.array(labels, np.int32),
        np.array([len(labels)]), np.array([scale], np.float32), smooth, *found, 1,
    ).at_once()  # fmt: skip
    np.testing.assert_allclose(found[0][:, 0], scale * np.array(delta), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found[1], scale * (delta[1] * LOG2 + delta[2] * LOG5), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found[2], loss, rtol=1e-6)


# ---- Transpose and update -------------------------------------------------------------------------------------------


def test_pairs_by_group_become_pairs_by_row():
    """Groups want rows 7 and 3; 3; 5 and 7. Pairs are numbered as they stand: row 3 has the second and the third."""
    active = ActiveSet.of([[7, 3], [3], [5, 7]])
    found = listed(weights(np.zeros((9, 1))).transpose(active, 1))  # {row: its (pair, group)}
    assert found == {3: [(1, 0), (2, 1)], 5: [(3, 2)], 7: [(0, 0), (4, 2)]}


def test_a_row_steps_once_by_the_sum_of_what_its_groups_say():
    """Row 1 is wanted by both samples, (1, 0) with delta 0.5 and (0, 2) with -1: its gradient is (0.5, -2), that of its
    bias -0.5. Row 0 is wanted by the second alone: 3 * (0, 2). Row 2 by nobody: it stays."""
    layer = weights([[1, 1], [1, 1], [1, 1]], SGD(lr=1.0))
    x, delta = block([[1, 0], [0, 2]]), np.array([[0.5], [-1], [3]], np.float32)
    plan = layer.update(ActiveSet.of([[1], [1, 0]]), delta, x.indptr, NO_IDS, x.values.reshape(-1), 1, 1.0, 1)
    assert sorted(touched_ids(plan)) == [0, 1]
    assert layer.w.tolist() == [[1, -5], [0.5, 3], [1, 1]]
    assert layer.bias[0].tolist() == [-3, 0.5, 0]


def test_one_step_of_sgd():
    """w - lr * (g + decay * w): 2 - 0.5 * (1 + 0.5 * 2) = 1; the bias does not decay: 2 - 0.5 * 1 = 1.5."""
    layer = weights([[2]], SGD(lr=0.5, weight_decay=0.5))
    layer.bias[0] = 2
    layer.update_all(np.ones((1, 1), np.float32), np.ones(1, np.float32), step=1, rate=1.0, threads=1)
    assert layer.w.tolist() == [[1]] and layer.bias[0].tolist() == [1.5]


def test_two_steps_of_adam():
    """Moments decay by 1/2 and 3/4. The first step is the learning rate, whatever the gradient's size.

    Gradient 4: m = 2 and v = 4, corrected 2 / (1/2) = 4 and 4 / (1/4) = 16: the step is 4 / 4. Then gradient 0: m = 1
    and v = 3, corrected 1 / (3/4) and 3 / (7/16): the step is (4/3) / sqrt(48/7).
    """
    layer = weights([[1, 1]], Adam(lr=0.1, beta1=0.5, beta2=0.75))
    for step, g in ((1, [[4, -0.01]]), (2, [[0, 0]])):
        layer.update_all(np.array(g, np.float32), np.zeros(1, np.float32), step, 1.0, 1)
        if step == 1:
            np.testing.assert_allclose(layer.w, [[0.9, 1.1]], rtol=1e-6)
            np.testing.assert_allclose(layer.m, [[2, -0.005]], rtol=1e-6)
            np.testing.assert_allclose(layer.v, [[4, 0.000025]], rtol=1e-6)
    second = 0.1 * (4 / 3) / (48 / 7) ** 0.5
    np.testing.assert_allclose(layer.w, [[0.9 - second, 1.1 + second]], rtol=1e-6)


def test_a_whole_step_of_a_linear_softmax():
    """Weights of 0 say 1/2 to both labels. Sample (1, 0) is of label 0, (0, 1) of label 1; each counts half:
    gradients -1/4 where label and feature go together, 1/4 where not; biases cancel. The loss is log 2."""
    network = Network(2, [Dense(2, init_std=0.0)], optimizer=SGD(lr=1.0))
    assert network.partial_fit(np.eye(2), np.eye(2)) == pytest.approx(LOG2, rel=1e-6)
    np.testing.assert_allclose(network.layers[0].weights, [[0.25, -0.25], [-0.25, 0.25]], rtol=1e-6)
    np.testing.assert_allclose(network.layers[0].bias, 0, atol=1e-8)


def test_bfloat16_keeps_eight_bits_and_ties_go_to_the_even_one():
    """Between 1 and 2 the neighbours are 1/128 apart."""
    x = np.array([[1, 1 + 1 / 128, 1 + 1 / 256, 1 + 3 / 256, 1 + 0.6 / 128, -3.0]], np.float32)
    assert widen(narrow(x)).tolist() == [[1, 1 + 1 / 128, 1, 1 + 2 / 128, 1 + 1 / 128, -3.0]]


# ---- Prediction and its scores --------------------------------------------------------------------------------------


def test_the_largest_logits_and_of_equals_the_smaller_label():
    W, bias = np.array([[3], [7], [5], [0]], np.float32), np.array([0, 0, 2, 1], np.float32)
    values, ids = exact_topk(np.ones((1, 1), np.float32), W, bias, 3, Scratch(), 1)
    assert values.tolist() == [[7, 7, 3]] and ids.tolist() == [[1, 2, 0]]


Y, RANKING = np.array([[1, 0, 1]]), np.array([[2, 1, 0]])  # labels 0 and 2 are true; 2 is said first, 0 last


def test_precision_is_the_share_of_hits():
    assert [precision_at_k(Y, RANKING, k) for k in (1, 2, 3)] == [1, 1 / 2, 2 / 3]


def test_ndcg_weighs_hits_by_their_rank():
    """Ranks weigh 1, 1 / log2(3) and 1/2; two labels attain 1 + 1 / log2(3) at best."""
    found = [ndcg_at_k(Y, RANKING, k) for k in (1, 2, 3)]
    best = 1 + 1 / np.log2(3)
    np.testing.assert_allclose(found, [1, 1 / best, 1.5 / best], rtol=1e-12)


def test_psp_weighs_hits_by_the_rarity_of_their_label():
    """Labels 0, 1 and 2 weigh 4, 1 and 2. At 1, label 2 is said where 0 would have been best: 2 of 4."""
    found = [psp_at_k(Y, RANKING, np.array([0.25, 1, 0.5]), k) for k in (1, 2, 3)]
    np.testing.assert_allclose(found, [2 / 4, 2 / 6, 1], rtol=1e-12)


def test_propensities_of_frequent_and_absent_labels():
    """Of N = 3 rows, with A = 1 and B = 1: C = (log 3 - 1) * 2, and 1 / (1 + C / (count + 1))."""
    C = 2 * (np.log(3) - 1)
    found = propensities(np.array([[1, 0], [1, 0], [1, 0]]), A=1, B=1)
    np.testing.assert_allclose(found, [1 / (1 + C / 4), 1 / (1 + C)], rtol=1e-12)
