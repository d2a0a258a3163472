"""Held-out rows in `Network.fit`: which weights are kept, when training ends, and when the rate falls."""

import numpy as np
import pytest

from slide import Adam, Dense, Network, Schedule
from slide.validation import MOST, fall, held_out, rows_per_evaluation
from tests.networks import N_FEATURES, N_LABELS, assert_same, sampled, separable

X, Y = separable()


def noisy(rng, n=120, labels=N_LABELS):
    """Rows whose labels have nothing to do with them: to fit them is to overfit."""
    X = (rng.random((n, N_FEATURES)) < 0.2).astype(np.float32)
    return X, rng.integers(0, labels, n)


def network(**settings):
    settings = {"optimizer": Adam(lr=0.02), "batch_size": 20, "threads": 1, **settings}
    return Network(N_FEATURES, [Dense(16), Dense(N_LABELS)], **settings)


def test_held_out_rows_are_a_share_drawn_by_the_seed():
    kept, held = held_out(1000, 0.05, seed=3)
    assert len(held) == 50 and sorted([*kept, *held]) == list(range(1000))
    assert np.array_equal(held, held_out(1000, 0.05, seed=3)[1])
    assert not np.array_equal(held, held_out(1000, 0.05, seed=4)[1])
    assert len(held_out(10**6, 0.5)[1]) == MOST
    assert [len(part) for part in held_out(2, 0.01)] == [1, 1]
    assert [len(part) for part in held_out(2, 0.99)] == [1, 1]
    with pytest.raises(ValueError, match="validation: found a share of 1 rows"):
        held_out(1)


def test_the_best_network_is_what_is_left(rng):
    train, held = noisy(rng), noisy(rng)
    best = network().fit(*train, epochs=12, validation=held)
    records = best.evaluations
    assert [record["step"] for record in records] == list(range(6, 73, 6))
    top = max(record["P@1"] for record in records)
    last = max(record["step"] for record in records if record["P@1"] == top)
    assert best.step == last and best.evaluate(*held).scores["P@1"] == top
    same = network().fit(*train, steps=last)
    assert_same(best, same)
    best.fit(*train, steps=3), same.fit(*train, steps=3)
    assert_same(best, same)


def test_without_restoring_the_last_network_is_left(rng):
    train, held = noisy(rng), noisy(rng)
    assert_same(network().fit(*train, epochs=4, validation=held, restore_best=False), network().fit(*train, epochs=4))


def test_training_ends_when_it_has_not_risen_for_so_many_evaluations(rng):
    train = separable()
    held = noisy(rng)
    ended = network().fit(*train, epochs=100, validation=held, patience=3, evaluate_every=2, restore_best=False)
    scores = [record["P@1"] for record in ended.evaluations]
    assert ended.step == ended.evaluations[-1]["step"] < 500
    assert max(scores[-3:]) <= max(scores[:-3])


def test_a_share_is_not_trained_on():
    kept, held = held_out(X.shape[0], 0.25, seed=0)
    mine = network().fit(X, Y, epochs=3, validation=0.25)
    other = network().fit(X[kept], Y[kept], epochs=3, validation=(X[held], Y[held]))
    assert_same(mine, other)
    assert mine.evaluations == other.evaluations


def test_a_plateau_is_followed_by_a_falling_rate_from_the_best_network():
    rng = np.random.default_rng(1)
    train, held = noisy(rng), noisy(rng)
    trained = network(schedule=Schedule("plateau")).fit(*train, epochs=200, validation=held, restore_best=False)
    schedule = trained.schedule
    start = round(schedule.hold * schedule.steps)
    assert schedule.kind == "linear" and schedule.steps == trained.step == start + fall(start)
    steps = [record["step"] for record in trained.evaluations]
    back = int(np.argmin(np.diff(steps))) + 1  # where it went back to the best
    before = trained.evaluations[:back]
    assert start == max(x["step"] for x in before if x["P@1"] == max(y["P@1"] for y in before))
    assert schedule.rate(start) == 1 and schedule.rate(schedule.steps + 1) == 0


def test_a_plateau_falls_in_time_for_the_end():
    how = {"validation": (X, Y), "patience": 1000, "evaluate_every": 50, "restore_best": False}
    trained = network(schedule=Schedule("plateau")).fit(X, Y, steps=40, **how)
    assert trained.step == trained.schedule.steps == 40 and trained.schedule.hold == 0.75


def test_many_held_out_rows_are_sampled():
    made = Network(N_FEATURES, [Dense(16), sampled()], batch_size=20, group_size=4)
    few, many = (rows_per_evaluation(10**6, made, batches) for batches in (1, 1000))
    assert few == 500 < many == pytest.approx(0.1 * 12 * 1000 * 20 * 12 / N_LABELS, abs=1)
    assert rows_per_evaluation(50, made, batches=1) == 50


def test_a_monitor_may_be_any_metric(rng):
    train, held = noisy(rng), noisy(rng)
    records = network().fit(*train, epochs=2, validation=held, monitor="nDCG@5").evaluations
    assert all(set(record) == {"step", "loss", "P@1", "P@3", "P@5", "nDCG@5", "rows"} for record in records)


@pytest.mark.parametrize(
    "given, words",
    [
        ({"patience": 3}, "patience: found 3 without validation"),
        ({"restore_best": False}, "restore_best: found False without validation"),
        ({"validation": 0}, "validation: found 0"),
        ({"validation": 1.0}, "validation: found 1.0"),
        ({"validation": True}, "validation: found bool"),
        ({"validation": X}, "validation: found"),
        ({"validation": (X[:0], Y[:0])}, "validation: found no rows"),
        ({"validation": (X[:, :3], Y)}, "validation: found 3 columns"),
        ({"validation": 0.1, "monitor": "accuracy"}, "monitor: found 'accuracy'"),
        ({"validation": 0.1, "patience": 0}, "patience: found 0"),
        ({"validation": 0.1, "evaluate_every": 0}, "evaluate_every: found 0"),
        ({"validation": 0.1, "restore_best": 1}, "restore_best: found 1"),
    ],
)
def test_wrong_arguments(given, words):
    with pytest.raises(ValueError, match=words):
        network().fit(X, Y, **given)


def test_a_plateau_needs_validation():
    with pytest.raises(ValueError, match="validation: found None with Schedule"):
        network(schedule=Schedule("plateau")).fit(X, Y)
