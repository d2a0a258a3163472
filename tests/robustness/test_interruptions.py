"""After any exception a network is as after its last whole batch, and goes on from there bit for bit."""

import copy
import pickle

import numpy as np
import pytest

from slide import Adam, Dense, Network, RehashSchedule, Sampled
from slide.hashing import SimHash
from slide.rows import ActiveSet
from slide.sampling import Sampler, Vanilla
from slide.state import storage
from tests.networks import N_FEATURES, N_LABELS, assert_same, sampled, separable
from tests.robustness.interruptions import Points, count, spread

OFTEN = RehashSchedule(N0=2, growth=0.0, renew_every=2)
LAYERS = {
    "reinserted": [Dense(8), sampled(K=2, rehash=OFTEN, reinsert=True, policy="reservoir")],
    "watching": [Dense(8), sampled(hash="ranged", K=3, rehash=RehashSchedule(N0=1, growth=0.0))],
    "lengths": [Dense(8), sampled(hash="mips", rehash=OFTEN)],
    "labels seen last": [
        Dense(8), sampled(K=2, active=5, min_active=20, label_fill=0.6, logq_correction=True, max_labels=1),
    ],
    "hidden sampled": [Dense(8), sampled(24, K=2, rehash=OFTEN, reinsert=True), sampled(K=2, rehash=OFTEN)],
    "full": [Dense(8), Dense(N_LABELS)],
    "full, hidden sampled": [sampled(24, K=2, rehash=OFTEN, reinsert=True), Dense(8), Dense(N_LABELS)],
    "full alone": [Dense(N_LABELS)],
    "uniform": [Dense(8), sampled(sampler="uniform")],
    "bfloat16": [Dense(8), sampled(K=2, weight_type="bfloat16", moment_type="bfloat16", rehash=OFTEN)],
}  # fmt: skip
MORE = {"full, hidden sampled": {"dropout": 0.2}, "full": {"dropout": 0.2}, "uniform": {"update": "hogwild"}}
X, Y = separable()


def make(name):
    return Network(N_FEATURES, LAYERS[name], batch_size=32, seed=3, threads=1, **MORE.get(name, {}))


def step(network):
    """The next batch of training, which partial_fit takes: a function of the step."""
    first = 20 * network.step % 100
    return network.partial_fit(X[first : first + 32], Y[first : first + 32])


def go_on(network, end):
    while network.step < end:
        step(network)
    network.rehash()
    return network


class Course:
    """A network after `begun` batches, and what it is after one, two and five more if nothing happens."""

    def __init__(self, name, begun=3):
        self.begun = make(name)
        for _ in range(begun):
            step(self.begun)
        self.before = begun
        self.later = {n: go_on(copy.deepcopy(self.begun), begun + n) for n in (0, 1, 2, 5)}

    def check(self, network, most=1):
        """That it is whole, after `before` batches or up to `most` more, predicts so, is saved so, and goes on so."""
        copy.deepcopy(network)  # whoever uses a network next finishes a batch that was cut off half-way
        done = network.step - self.before
        assert 0 <= done <= most
        assert network.samples == 32 * network.step
        assert_same(go_on(copy.deepcopy(network), network.step), self.later[done])
        twin = pickle.loads(pickle.dumps(network))
        for each in (network, twin):
            assert_same(go_on(each, self.before + 5), self.later[5])


@pytest.fixture(scope="module")
def course():
    made = {}
    return lambda name: made.setdefault(name, Course(name))


def interrupt_a_batch(course, points, **how):
    for at in points:
        network = copy.deepcopy(course.begun)
        Points(at, **how).run(lambda network=network: step(network))
        course.check(network)


@pytest.mark.parametrize("name", LAYERS)
def test_a_batch_that_is_interrupted_is_whole_or_never_was(course, name):
    network = copy.deepcopy(course(name).begun)
    interrupt_a_batch(course(name), spread(count(lambda: step(network)), 12))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("name", LAYERS)
def test_a_batch_that_is_interrupted_at_any_instruction(course, name, kind):
    network = copy.deepcopy(course(name).begun)
    points = spread(count(lambda: step(network), instructions=True), 10, seed=1 + (kind is MemoryError))
    interrupt_a_batch(course(name), points, kind=kind, instructions=True)


@pytest.mark.parametrize("name", ["reinserted", "watching", "lengths", "hidden sampled", "bfloat16"])
def test_a_rehash_that_is_interrupted_was_done_or_was_not(course, name):
    begun = course(name).begun
    without, done = go_on_only(begun), go_on_only(begun, rehash=True)
    twin = copy.deepcopy(begun)
    for at in spread(count(twin.rehash), 12):
        network = copy.deepcopy(begun)
        Points(at).run(network.rehash)
        reached = go_on_only(network)
        assert any(same(reached, expected) for expected in (without, done))


def go_on_only(network, rehash=False):
    network = copy.deepcopy(network)
    if rehash:
        network.rehash()
    for _ in range(3):
        step(network)
    return storage.state(network)


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("change", [lambda n: n.grow(2.0), lambda n: setattr(n, "label_smoothing", 0.3),
                                    lambda n: setattr(n, "optimizer", Adam(lr=0.05))])  # fmt: skip
def test_a_change_of_settings_that_is_interrupted_was_done_or_was_not(course, change):
    begun = course("hidden sampled").begun
    new = copy.deepcopy(begun)
    n = count(lambda: change(new))
    allowed = [(x.specs, x.group_size, x.optimizer, storage.state(go_on(copy.deepcopy(x), 6))) for x in (begun, new)]
    for at in spread(n, 12):
        network = copy.deepcopy(begun)
        Points(at).run(lambda network=network: change(network))
        found = network.specs, network.group_size, network.optimizer, storage.state(go_on(network, 6))
        assert any(found[:3] == each[:3] and same(found[3], each[3]) for each in allowed)


def test_fit_that_is_interrupted_ends_after_a_whole_batch():
    """Anywhere between its first batch and its last: training goes on as if it had been told to stop there."""
    begun = make("hidden sampled")
    whole = copy.deepcopy(begun).fit(X, Y, steps=9)
    whole.rehash()
    for at in spread(count(lambda: copy.deepcopy(begun).fit(X, Y, steps=6)), 12):
        network = copy.deepcopy(begun)
        Points(at).run(lambda network=network: network.fit(X, Y, steps=6))
        network.fit(X, Y, steps=9 - network.step)
        network.rehash()
        assert_same(network, whole)


def test_an_interrupted_prediction_changes_nothing(course):
    begun = course("reinserted").begun
    expected = copy.deepcopy(begun).predict(X, sampled=True)
    for at in spread(count(lambda: copy.deepcopy(begun).predict(X, sampled=True)), 12):
        network = copy.deepcopy(begun)
        Points(at).run(lambda network=network: network.predict(X, sampled=True))
        for a, b in zip(network.predict(X, sampled=True), expected, strict=True):
            np.testing.assert_array_equal(a, b)
        course("reinserted").check(network)


class Fails(RuntimeError):
    """What code of one's own raises."""


class Timed:
    """Raises at the n-th call of whatever uses it; unarmed until then."""

    left = None

    @classmethod
    def call(cls):
        if cls.left is not None:
            cls.left -= 1
            if cls.left == 0:
                cls.left = None
                raise Fails


class FailingHash(SimHash):
    """SimHash in Python, and what it learnt in arrays that `fit` writes to."""

    def __init__(self, dim, K, L, seed=0):
        super().__init__(dim, K, L, seed)
        self.means = np.zeros(dim, np.float32)

    def fit(self, rows):
        Timed.call()
        self.means *= 0.5
        self.means += rows.mean(axis=0)
        Timed.call()

    def state(self):
        return {"means": self.means}

    def load_state(self, state):
        if state:
            self.means = np.array(state["means"])

    def codes(self, rows):
        Timed.call()
        return SimHash.codes(self, self.dense(rows) - self.means)


class FailingSampler(Vanilla):
    def sample(self, *args, **kwargs):
        Timed.call()
        found = super().sample(*args, **kwargs)
        Timed.call()
        return found


def own():
    settings = {
        "hash": FailingHash, "sampler": FailingSampler, "K": 3, "L": 4, "active": 8,
        "rehash": RehashSchedule(N0=2, growth=0.0, renew_every=3),
    }  # fmt: skip
    layers = [Dense(8), Sampled(20, reinsert=True, **settings), Sampled(N_LABELS, **settings)]
    return Network(N_FEATURES, layers, batch_size=32, seed=3, threads=1)


def test_code_of_ones_own_that_fails_at_any_call_changes_nothing():
    begun = own()
    for _ in range(3):
        step(begun)
    whole = go_on(copy.deepcopy(begun), 8)
    for at in range(1, 60):
        network = copy.deepcopy(begun)
        Timed.left = at
        try:
            for _ in range(3):
                before = network.step
                step(network)
        except Fails:
            assert network.step == before  # the failed batch never was
        reached = Timed.left is None
        Timed.left = None
        twin = pickle.loads(pickle.dumps(network))
        for each in (network, twin):
            assert_same(go_on(each, 8), whole)
        if not reached:
            break
    assert 20 < at < 59


def test_a_hash_family_that_always_fails_leaves_what_can_be_saved(tmp_path):
    network = own()
    for _ in range(3):
        step(network)
    expected = storage.state(copy.deepcopy(network))

    def always(self, rows):
        raise Fails

    fit, FailingHash.fit = FailingHash.fit, always
    try:
        for _ in range(2):
            with pytest.raises(Fails):
                for _ in range(3):
                    step(network)
            with pytest.raises(Fails):
                network.rehash()
            network.save(tmp_path / "model.npz")
            network.predict(X)
    finally:
        FailingHash.fit = fit
    assert network.step == 4 and expected.keys() <= storage.state(network).keys() | {"layers.1.index.moved"}
    twin = Network.load(tmp_path / "model.npz", threads=1)
    assert_same(go_on(twin, 8), go_on(network, 8))


def test_a_callback_that_fails_leaves_the_batches_that_it_saw():
    whole = make("hidden sampled").fit(X, Y, steps=7)
    network = make("hidden sampled")

    def callback(network, loss):
        if network.step == 4:
            raise Fails

    with pytest.raises(Fails):
        network.fit(X, Y, steps=7, callback=callback)
    assert network.step == 4
    assert_same(network.fit(X, Y, steps=3), whole)


def test_too_little_memory_anywhere_in_a_batch(course, monkeypatch):
    """Whatever NumPy allocates may fail: each of these functions at each of its calls."""
    for name in ("empty", "zeros", "full", "multiply", "ascontiguousarray", "concatenate", "repeat", "arange"):
        real = getattr(np, name)
        for at in range(1, 40, 3):
            calls = []

            def fail(*args, real=real, calls=calls, at=at, **kwargs):
                calls.append(1)
                if len(calls) == at:
                    raise MemoryError
                return real(*args, **kwargs)

            network = copy.deepcopy(course("reinserted").begun)
            with monkeypatch.context() as patched:
                patched.setattr(np, name, fail)
                try:
                    step(network)
                except MemoryError:
                    assert network.step == 3
            if len(calls) < at:
                break
            course("reinserted").check(network)


class FromTheMiddle(Sampler):
    """Uses its network while that learns."""

    network = None

    def sample(self, tables, codes, n_rows, group_size, n_neurons, seed, step, threads=None):
        if FromTheMiddle.network is not None:
            FromTheMiddle.use(FromTheMiddle.network)
        return ActiveSet.of([np.arange(5)] * -(-n_rows // group_size))


@pytest.mark.parametrize("use", [
    lambda n: n.predict(X), lambda n: n.rehash(), lambda n: n.fit(X, Y), lambda n: step(n), lambda n: pickle.dumps(n),
    lambda n: n.save("nowhere"), lambda n: n.grow(2), lambda n: n.evaluate(X, Y),
])  # fmt: skip
def test_a_network_is_not_used_from_within_a_batch(use, monkeypatch):
    """A signal handler may come at any time: what it does to the network would be half done, or undone."""
    network = Network(N_FEATURES, [Dense(8), Sampled(N_LABELS, sampler=FromTheMiddle, min_active=10)], threads=1)
    step(network)
    monkeypatch.setattr(FromTheMiddle, "network", network)
    monkeypatch.setattr(FromTheMiddle, "use", use, raising=False)
    with pytest.raises(RuntimeError, match="found a call from within another of the same network"):
        step(network)
    monkeypatch.setattr(FromTheMiddle, "network", None)
    assert network.step == 1
    step(network)
