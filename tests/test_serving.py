"""Many threads predict on one network at once, and each has what it would have alone."""

import gc
import threading
import time

import numpy as np
import pytest

from slide import Dense, Network, Sampled
from slide.machine.turns import Turns
from slide.prediction import Ensemble, Mixed
from slide.sampling import SAMPLERS
from tests.networks import N_LABELS, make, separable
from tests.robustness.test_threads import at_once

X, Y = separable()
NAMES = ["vanilla, simhash", "vanilla, ranged", "topk, dwta", "dense", "hidden sampled", "one layer", "bfloat16"]


def jobs_of(network):
    labels = np.array([1, 5, 2])
    jobs = [lambda k=k, s=s, n=n: network.predict(X[:n], k, s) for k in (1, 7) for s in (False, True) for n in (1, 90)]
    return [
        *jobs, lambda: network.predict_proba(X, 3), lambda: network.predict_proba(X[:1], 3),
        lambda: network.decision_function(X, labels), lambda: list(network.logits(X)),
        lambda: network.predict(X, 2, mask_seen=Y), lambda: list(network.evaluate(X, Y).scores.values()),
    ]  # fmt: skip


def assert_as_alone(jobs, times=3):
    alone = [job() for job in jobs]
    for _ in range(times):
        for found, expected in zip(at_once(*jobs), alone, strict=True):
            assert not isinstance(found, Exception), found
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("threads", [1, 2])
def test_what_threads_compute_at_once_is_what_each_computes_alone(name, threads):
    assert_as_alone(jobs_of(make(name, threads).fit(X, Y, steps=10)))


def test_models_of_several_networks_and_a_memory_are_served_too():
    networks = [make("vanilla, simhash", 1, seed=i).fit(X, Y, steps=10) for i in range(2)]
    for model in (Ensemble(networks), Mixed(networks[0], X, Y)):
        assert_as_alone([lambda m=model, n=n: m.predict(X[:n], 3) for n in (1, 40, 90)] * 2)


def held_up(network):
    """A sampled prediction that waits within a kernel's place for `go`; (thread, inside, go)."""
    layer, inside, go = network.layers[-1], threading.Event(), threading.Event()
    topk = layer.topk

    def slow(x, k):
        if threading.current_thread().name == "slow":
            inside.set()
            go.wait(30)
        return topk(x, k)

    object.__setattr__(layer, "topk", slow)
    thread = threading.Thread(target=lambda: network.predict(X), name="slow", daemon=True)
    thread.start()
    assert inside.wait(30)
    return thread, go


def test_predictions_do_not_wait_for_each_other_and_changes_wait_for_them():
    network = make("vanilla, simhash", 1).fit(X, Y, steps=3)
    thread, go = held_up(network)
    assert at_once(*[lambda: network.predict(X[:2])] * 3)[0][0].shape == (2, 5)
    done = []
    changes = [
        threading.Thread(target=lambda f=f: done.append(f()), daemon=True)
        for f in (lambda: network.fit(X, Y, steps=1), network.rehash, lambda: setattr(network, "threads", 2))
    ]
    for change in changes:
        change.start()
    time.sleep(0.2)
    assert not done and network.step == 3 and network.threads == 1
    go.set()
    for each in (thread, *changes):
        each.join(30)
    assert len(done) == 3 and network.step == 4 and network.threads == 2


def test_sampled_prediction_brings_tables_up_to_date_first():
    one, other = (make("hidden sampled", 1) for _ in range(2))
    for network in (one, other):
        network.fit(X, Y, steps=5)
        network.partial_fit(X[:32], Y[:32])
    assert not all(layer.is_settled(one.step) for layer in one.layers)
    found = at_once(*[lambda: one.predict(X, 3, sampled=True)] * 4)
    assert all(layer.is_settled(one.step) for layer in one.layers)
    for ids, values in found:
        np.testing.assert_array_equal(ids, other.predict(X, 3, sampled=True)[0])
        np.testing.assert_array_equal(values, other.predict(X, 3, sampled=True)[1])


class Alone(SAMPLERS["vanilla"]):
    """One that would notice another thread in it."""

    inside = 0

    def sample(self, *args, **more):
        type(self).inside += 1
        assert type(self).inside == 1
        time.sleep(0.002)
        found = super().sample(*args, **more)
        type(self).inside -= 1
        return found


def test_samplers_of_ones_own_are_called_by_one_thread_at_a_time():
    network = Network(X.shape[1], [Dense(8), Sampled(N_LABELS, sampler=Alone(5), K=2, L=4, min_active=5)], threads=1)
    found = at_once(*[lambda: network.predict(X[:3], 2, sampled=True)] * 5)
    assert all(not isinstance(each, Exception) for each in found), found


def test_threads_that_ended_leave_nothing_behind():
    turns = Turns()
    at_once(*[lambda: turns.read(int)] * 30)
    gc.collect()
    assert len(turns._places) == 0
    turns.read(lambda: None)
    assert len(turns._places) == 1


@pytest.mark.parametrize("n", [1, 8, 20])
def test_a_writer_is_alone_among_many_readers(n):
    turns, reading, wrong = Turns(), [], []

    def read():
        reading.append(1)
        time.sleep(0.0005)
        reading.pop()

    def write():
        wrong.extend(reading)
        time.sleep(0.0005)
        wrong.extend(reading)

    def train():
        for _ in range(20):
            turns.let_in()
            turns.write(write)

    at_once(train, *[lambda: [turns.read(read) for _ in range(20)]] * n)
    assert not wrong and not reading
