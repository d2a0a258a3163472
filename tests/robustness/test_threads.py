"""Several Python threads, several processes, and how many threads of its own the package starts."""

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from scipy import sparse

from slide import Dense, Network
from slide._kernels import openmp
from slide._kernels.simd import vec
from slide.machine import forks, threads
from slide.machine.threads import MOST, available_threads, check_threads, cpu_quota, one_blas_thread
from tests.networks import CONFIGURATIONS, N_FEATURES, N_LABELS, assert_same, make, separable

X, Y = separable()
CAN_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def at_once(*jobs):
    """Runs functions in a thread each, started together; what they returned, or the exception that they raised."""
    found, gate = [None] * len(jobs), threading.Barrier(len(jobs))

    def run(i, job):
        gate.wait()
        try:
            found[i] = job()
        except Exception as error:
            found[i] = error

    workers = [threading.Thread(target=run, args=each, daemon=True) for each in enumerate(jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert not worker.is_alive(), "waits for ever"
    return found


@pytest.mark.parametrize("name", ["vanilla, ranged", "full", "hidden sampled", "uniform"])
def test_predictions_beside_each_other_are_those_alone(name):
    network = make(name, 2).fit(X, Y, steps=10)
    jobs = [(lambda k=k, s=s: network.predict(X, k, s)) for k in (1, 3, 7, N_LABELS) for s in (False, True)]
    alone = [job() for job in jobs]
    for _ in range(3):
        for found, expected in zip(at_once(*jobs), alone, strict=True):
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a, b)


def test_a_second_training_is_refused_and_the_first_is_as_if_alone():
    network, alone = (make("hidden sampled", 1) for _ in range(2))
    alone.fit(X, Y, steps=60)
    ready = threading.Event()

    def second(train):
        ready.wait(60)
        return train()

    found = at_once(
        lambda: network.fit(X, Y, steps=60, callback=lambda n, _: ready.set() or n.step == -1).step,
        *[lambda train=train: second(train) for train in (
            lambda: network.fit(X, Y), lambda: network.partial_fit(X, Y), lambda: network.fit(X, Y, steps=1))],
    )  # fmt: skip
    refused = [x for x in found[1:] if isinstance(x, RuntimeError)]
    assert found[0] == network.step == 60 and len(refused) == 3, found
    assert "found another thread that trains this network" in str(refused[0])
    assert_same(network, alone)
    network.fit(X, Y, steps=1)


def test_prediction_and_saving_go_between_the_batches_of_a_training(tmp_path):
    """What they see is the network after some whole batch."""
    network, other = (make("vanilla, ranged", 1) for _ in range(2))
    after = {}
    for _ in range(31):
        after[other.step] = other.predict(X, 3)
        other.fit(X, Y, steps=1)
    seen, end = [], threading.Event()

    def watch():
        while not end.is_set():
            seen.append(network.predict(X, 3))
        return pickle.loads(pickle.dumps(network)).step

    def train():
        network.fit(X, Y, steps=30)
        end.set()

    found = at_once(train, watch, watch)
    assert found[1:] == [30, 30]
    known = {values.tobytes() for _, values in after.values()}
    assert seen and all(values.tobytes() in known for _, values in seen)


def test_training_does_not_keep_others_waiting():
    network = make("vanilla, simhash", 1)
    steps, end = [], threading.Event()

    def predict():
        for _ in range(10):
            network.predict(X[:1])
            steps.append(network.step)
        end.set()

    at_once(lambda: network.fit(X, Y, steps=100_000, callback=lambda *_: end.is_set()), predict)
    assert network.step < 100_000 and len(steps) == 10


def test_a_callback_may_use_its_network():
    network = make("hidden sampled", 1)

    def callback(network, loss):
        network.predict(X[:3], sampled=True)
        network.evaluate(X, Y)
        network.rehash()
        pickle.dumps(network)
        assert at_once(lambda: network.predict(X[:3]))[0] is not None

    network.fit(X, Y, steps=3, callback=callback)
    assert network.step == 3


def test_the_callers_arrays_may_change_meanwhile():
    """Written to from another thread while they are read: what was read is checked, and nothing else is followed."""
    rng = np.random.default_rng(0)
    wide = sparse.random(3000, N_FEATURES, 0.2, "csr", np.float32, random_state=1)
    labels = sparse.csr_matrix((np.ones(3000, np.float32), rng.integers(0, N_LABELS, 3000), np.arange(3001)))
    labels.resize(3000, N_LABELS)
    good, end = [a.copy() for a in (wide.indices, wide.indptr, labels.indices)], threading.Event()

    def disturb():
        while not end.is_set():
            for array, whole in zip((wide.indices, wide.indptr, labels.indices), good, strict=True):
                array[::7] = 2**30
                array[...] = whole

    def train():
        network, refused = Network(N_FEATURES, [Dense(8), Dense(N_LABELS)], threads=1), 0
        for _ in range(15):
            try:
                network.fit(wide, labels, steps=2)
            except ValueError:
                refused += 1
        end.set()
        return refused

    assert at_once(train, disturb)[0] <= 15


def blas_threads():
    """Of the libraries that were there when the package first asked: NumPy's."""
    return [library.num_threads for library in threads._blas()]


def test_the_blas_limit_ends_with_the_last_who_wants_it():
    before = blas_threads()
    inside, go = threading.Barrier(3), threading.Event()

    def hold():
        with one_blas_thread():
            inside.wait(60)
            go.wait(60)

    workers = [threading.Thread(target=hold) for _ in range(2)]
    for worker in workers:
        worker.start()
    inside.wait(60)
    assert set(blas_threads()) <= {1}
    with one_blas_thread(), one_blas_thread():
        pass
    assert set(blas_threads()) <= {1}
    go.set()
    for worker in workers:
        worker.join()
    assert blas_threads() == before
    networks = [make("dense", 1) for _ in range(3)]
    at_once(*[lambda network=network: network.fit(X, Y, steps=20) for network in networks])
    assert blas_threads() == before


@pytest.mark.parametrize("hidden", [[8], [8, 8]])
def test_predictions_limit_blas_where_they_call_it(hidden):
    network, seen = Network(N_FEATURES, [*map(Dense, hidden), Dense(N_LABELS)], threads=1).fit(X, Y, steps=3), []
    for layer in network.layers[:-1]:
        def exact(x, exact=layer.exact, calls_blas=layer.exact_calls_blas):
            seen.append(set(blas_threads()) <= {1} or not calls_blas)
            return exact(x)

        object.__setattr__(layer, "exact", exact)
    before = blas_threads()
    network.predict(X[:5])
    assert seen == [True] * len(hidden) and blas_threads() == before
    assert [layer.exact_calls_blas for layer in network.layers[:-1]] == [False] + [True] * (len(hidden) - 1)


def test_a_blas_limit_that_was_never_left_ends_when_it_is_forgotten():
    before = blas_threads()
    forgotten = one_blas_thread()
    forgotten.__enter__()
    assert set(blas_threads()) <= {1}
    del forgotten
    assert blas_threads() == before


def _work(network):
    twin = pickle.loads(pickle.dumps(network))
    return network.predict(X, k=3)[0].tobytes(), twin.fit(X, Y, steps=3).predict(X, k=3)[0].tobytes()


NETWORK = None


def _work_on_what_was_forked(_):
    return _work(NETWORK)


@CAN_FORK
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("name", ["vanilla, ranged", "dense"])
def test_a_forked_process_works_as_its_parent(name, monkeypatch):
    network = make(name, 2).fit(X, Y, steps=5)
    monkeypatch.setattr(sys.modules[__name__], "NETWORK", network)
    expected = _work(network)
    with multiprocessing.get_context("fork").Pool(2) as pool, warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for handed in (pool.map_async(_work_on_what_was_forked, range(4)), pool.map_async(_work, [network] * 2)):
            for found in handed.get(timeout=60):
                assert found == expected
    assert _work(network) == expected  # and the parent goes on


@CAN_FORK
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not vec.openmp(), reason="no OpenMP here")
def test_where_openmp_cannot_start_again_a_child_runs_on_one_thread(monkeypatch):
    network = make("vanilla, ranged", 2).fit(X, Y, steps=5)
    expected = network.predict(X, 3)[0]
    monkeypatch.setattr(forks, "release_threads", lambda: False)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with warnings.catch_warnings(record=True):
                right = np.array_equal(network.predict(X, 3)[0], expected)
            os.write(write, b"same" if right else b"other")
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        assert answer.read() == b"same"
    os.waitpid(child, 0)


@CAN_FORK
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_in_the_middle_of_a_training_has_a_whole_network():
    """By another thread, and by a callback: locks that a thread of the parent holds are open in the child."""
    network, end = make("vanilla, ranged", 1), threading.Event()
    codes = []

    def fork():
        child = os.fork()
        if child == 0:
            code = 1
            try:
                step = network.step
                twin = pickle.loads(pickle.dumps(network))
                code = 0 if twin.step == step and network.fit(X, Y, steps=2).step == step + 2 else 2
            finally:
                os._exit(code)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    def fork_often():
        for _ in range(3):
            fork()
        end.set()

    at_once(lambda: network.fit(X, Y, steps=100_000, callback=lambda *_: end.is_set()), fork_often)
    network.fit(X, Y, steps=1, callback=lambda *_: fork())
    assert codes == [0] * 4


def test_more_threads_than_sense_are_refused():
    for number in (MOST + 1, 20_000, 100_000, 2**31, 2**70):
        with pytest.raises(ValueError, match=f"threads: found {number}, expected an integer from 1 to {MOST}"):
            check_threads(number)
        with pytest.raises(ValueError, match="threads: found"):
            Network(4, [Dense(3)], threads=number)
        with pytest.raises(ValueError, match="threads: found"):
            make("dense", 1).threads = number
    assert MOST >= 64
    network = Network(N_FEATURES, CONFIGURATIONS["vanilla, ranged"][0], threads=MOST).fit(X, Y, steps=2)
    assert_same(network, Network(N_FEATURES, CONFIGURATIONS["vanilla, ranged"][0], threads=1).fit(X, Y, steps=2))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3", 3), ("4,2", 4), (" 5 , 1", 5), ("100000", MOST),
        *[(text, None) for text in ("", "0", "-2", "many", "9" * 30, ",")],
    ],
)  # fmt: skip
def test_the_environment_says_how_many_threads_there_are(value, expected, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    default = available_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert available_threads() == check_threads(None) == (expected or default)


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/", {}, np.inf),
        ("0::/", {"cpu.max": "max 100000"}, np.inf),
        ("0::/", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "50000 100000"}, 0.5),
        ("0::/docker/gone", {"cpu.max": "200000 100000"}, 2.0),
        ("3:cpu,cpuacct:/", {"cpu,cpuacct/cpu.cfs_quota_us": "300000", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 3.0),
        ("1:cpu:/a", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, np.inf),
        ("1:cpu:/a\n0::/", {"cpu/a/cpu.cfs_quota_us": "100000", "cpu/a/cpu.cfs_period_us": "100000"}, 1.0),
        ("4:memory:/a", {"cpu/a/cpu.cfs_quota_us": "1", "cpu.max": "1 1"}, np.inf),
        ("nonsense", {"cpu.max": "1 100"}, np.inf),
        ("0::/", {"cpu.max": "no numbers at all"}, np.inf),
        ("0::/", {"cpu.max": "100 0"}, np.inf),
    ],
)
def test_control_groups_limit_the_cpus(membership, files, expected, tmp_path):
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    (tmp_path / "membership").write_text(membership + "\n")
    assert cpu_quota(str(tmp_path / "groups"), str(tmp_path / "membership")) == expected
    assert cpu_quota(str(tmp_path / "groups"), str(tmp_path / "absent")) == np.inf


def test_a_quota_decides_the_default(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cpus = available_threads()
    for quota, expected in ((0.2, 1), (1.0, 1), (1.5, min(2, cpus)), (1e9, cpus)):
        monkeypatch.setattr(threads, "_own_quota", lambda quota=quota: quota)
        assert available_threads() == expected


def test_the_kernels_run_on_one_thread_where_they_must_stay_alone():
    """In a process of its own, which stays so."""
    program = (
        "import numpy as np\n"
        "from slide import Dense, Network\n"
        "from slide._kernels.openmp import release_threads, stay_alone\n"
        "X = np.eye(50, dtype=np.float32)\n"
        "network = Network(50, [Dense(20), Dense(60)], threads=2).fit(X, np.arange(50))\n"
        "before = network.predict(X, 60)\n"
        "assert release_threads() in (True, False)\n"
        "assert (network.predict(X, 60)[0] == before[0]).all()\n"
        "stay_alone()\n"
        "assert (network.predict(X, 60)[0] == before[0]).all()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    assert openmp.release_threads() in (True, False)
