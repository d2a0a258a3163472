"""The experiment on updates without locks: its counts against brute force, its networks, its data, its verdict."""

import numpy as np
import pytest
from scipy import sparse

from experiments.frame import claims, problems
from experiments.frame.mnist import mnist
from experiments.paper import asynchronous
from experiments.paper.asynchronous import conflicts, networks, results, workers
from slide.layers.weights import Weights
from slide.rows import ActiveSet, as_sparse_rows

SETTINGS = {**asynchronous.SETTINGS["smoke"], "n_train": 64}
BATCH = 16


def batch(seed, n=13, n_rows=17, n_columns=11, rows=4, columns=3):
    """(ActiveSet, columns of n samples), random; some samples have none."""
    rng = np.random.default_rng(seed)
    active = ActiveSet.of([rng.permutation(n_rows)[: rng.integers(0, rows + 1)] for _ in range(n)])
    ones = [rng.permutation(n_columns)[: rng.integers(0, columns + 1)] for _ in range(n)]
    dense = np.zeros((n, n_columns), np.float32)
    for sample, ids in enumerate(ones):
        dense[sample, ids] = 1
    return active, sparse.csr_array(dense)


def shared_twin(active, columns, threads, window):
    additions = [(i // window, i % window % threads, r, c) for i in range(len(active)) for r in active[i]
                 for c in columns[[i]].indices]  # fmt: skip
    others = {(w, r, c): {t for v, t, s, d in additions if (v, s, d) == (w, r, c)} for w, _, r, c in additions}
    return sum(len(others[w, r, c]) > 1 for w, _, r, c in additions) / max(len(additions), 1)


@pytest.mark.parametrize(("threads", "window"), [(1, 1), (2, 2), (3, 3), (2, 13), (4, 8), (1, 13), (20, 20)])
def test_shared_additions_are_those_of_the_brute_force(threads, window):
    for seed in range(5):
        active, columns = batch(seed)
        expected = shared_twin(active, columns, threads, window)
        assert conflicts.shared(active, columns, threads, window) == pytest.approx(expected)


def test_sets_that_are_empty_share_nothing():
    active = ActiveSet.of([[], []])
    assert conflicts.shared(active, sparse.csr_array((2, 3), dtype=np.float32), 2, 2) == 0


@pytest.mark.parametrize(("threads", "mode"), [(1, "hogwild"), (1, "rows"), (8, "rows")])
def test_nothing_is_lost_on_one_thread_or_with_one_owner_a_row(threads, mode):
    active, columns = batch(3)
    found = conflicts.lost(active, columns, 17, threads, mode, repeats=3)
    additions = sum(len(active[i]) * columns[[i]].nnz for i in range(len(active)))
    assert found["additions"] == 3 * additions and found["lost"] == found["hit_rows"] == 0 < found["rows"]


def test_threads_without_locks_lose_no_more_than_was_added():
    everything = ActiveSet.of([range(50)] * 200)
    found = conflicts.lost(everything, sparse.csr_array(np.ones((200, 40), np.float32)), 50, 8)
    assert found["additions"] == 200 * 50 * 40 and 0 <= found["lost"] < found["additions"]
    assert 0 <= found["hit_rows"] <= found["rows"] == 50


def test_each_lost_addition_is_counted(monkeypatch):
    active, columns = batch(1)
    update = Weights.update

    def lossy(self, *arguments):
        touched = update(self, *arguments)
        written = np.argwhere(self.w < 0)
        self.w[tuple(written[0])] += 1
        self.w[tuple(written[-1])] += 1
        return touched

    monkeypatch.setattr(Weights, "update", lossy)
    found = conflicts.lost(active, columns, 17, 1, repeats=2)
    assert found["lost"] == 4 and found["hit_rows"] == 4


def test_a_batch_adds_where_its_rows_and_inputs_are():
    found = mnist(0, 64)
    network = networks.network("sampled", SETTINGS, found, 1e-3, 9, 1, 0, batch=BATCH)
    rows = as_sparse_rows(found.train[0][:16], "X", found.n_features).normalized()
    (first, pixels), *later = conflicts.rows_and_columns(network, rows)
    assert (pixels.toarray() == (found.train[0][:16].toarray() != 0)).all()
    assert len(later) == networks.LAYERS - 1 and (np.diff(first.indptr) == SETTINGS["active"]).all()
    for active, columns in later:
        before = np.zeros((16, SETTINGS["width"]))
        for sample in range(16):
            before[sample, first[sample]] = 1
        assert (columns.toarray() == before).all()
        first = active


def test_the_dense_network_with_active_sets_takes_the_steps_of_matrix_products():
    found = mnist(0, 64)
    sets, matrix = (
        networks.network(name, SETTINGS, found, 1e-3, 9, 1, 0, batch=BATCH) for name in ("dense", "matrix")
    )
    for one, other in zip(sets.layers, matrix.layers, strict=True):
        one.weights[...] = other.weights
    X, Y = found.train
    for _ in range(4):
        assert sets.partial_fit(X, Y) == pytest.approx(matrix.partial_fit(X, Y), rel=1e-4)
    assert [layer.active for layer in sets.layers] == [SETTINGS["width"]] * networks.LAYERS + [10]


def test_the_sampler_of_every_neuron_keeps_the_contract():
    from slide.testing import check_sampler

    sampler = networks.every_neuron()
    check_sampler(type(sampler))
    assert sampler.sample(None, None, 3, 1, 5, 0, 1).ids.tolist() == [*range(5)] * 3


def test_without_mnist_images_of_its_shape_are_made(tmp_path, monkeypatch):
    monkeypatch.setattr(problems, "folders", lambda: [tmp_path])
    found, again = mnist(3, 200), mnist(3, 200)
    assert "made" in found.title and found.train[0].shape == (200, 784) and found.test[1].shape[1] == 10
    assert 0.12 < found.train[0].nnz / (200 * 784) < 0.25 and found.train[0].max() <= 1
    assert (found.train[0] != again.train[0]).nnz == 0 and 0.05 < found.popularity < 0.2


def trained_late(n_workers, delays, seed=0, steps=12):
    """(a network of small sampled layers after training by so many workers, how late each gradient was)."""
    found = mnist(0, 64)
    network = networks.network("sampled", SETTINGS, found, 3e-3, steps, 1, seed, "rows", 8)
    return network, workers.train_late(network, found, 8, steps, n_workers, delays, seed)


def test_one_worker_trains_as_the_network_alone():
    network, late = trained_late(1, [1.0], steps=8)
    found = mnist(0, 64)
    alone = networks.network("sampled", SETTINGS, found, 3e-3, 8, 1, 0, "rows", 8)
    order = np.random.default_rng(0).permutation(64)
    for low in range(0, 64, 8):
        alone.partial_fit(*(part[order[low : low + 8]] for part in found.train))
    assert late == [0] * 8
    for one, other in zip(network.layers, alone.layers, strict=True):
        assert (one.weights == other.weights).all() and (one.bias == other.bias).all()


def test_gradients_come_as_late_as_was_drawn_and_all_of_them_come():
    _, late = trained_late(4, [1.0], steps=20)
    assert len(late) == 20 and set(late[4:-4]) == {3} and max(late) <= 3
    first, _ = trained_late(4, [0.5, 1.5])
    again, _ = trained_late(4, [0.5, 1.5])
    other, _ = trained_late(1, [1.0])
    assert (first.layers[1].weights == again.layers[1].weights).all()
    assert (first.layers[1].weights != other.layers[1].weights).any()


def test_a_worker_waits_with_its_gradient_while_others_change_the_weights():
    found = mnist(0, 64)
    network = networks.network("sampled", SETTINGS, found, 3e-3, 9, 1, 0, "rows", 8)
    given = workers.batches(network, found, 8, 0)
    pair, before = [workers.Worker(network) for _ in range(2)], network.layers[1].weights.copy()
    commits = [worker.gradient(*next(given), 1, 1.0)[1] for worker in pair]
    assert (network.layers[1].weights == before).all()
    for commit in commits:
        commit.run()
        assert (network.layers[1].weights != before).any()
        before = network.layers[1].weights.copy()


def test_real_threads_delay_each_other_by_their_number():
    found = mnist(0, 64)
    network = networks.network("sampled", SETTINGS, found, 3e-3, 40, 1, 0, "rows", 8)
    assert workers.measured_delays(network, found, 8, 1, 10) == [0] * 10
    late = workers.measured_delays(network, found, 8, 3, 40)
    assert len(late) == 40 and 0 <= min(late) and 0.5 < np.mean(late[3:]) < 4


def test_what_fails_in_a_thread_fails(monkeypatch):
    def fail(*_):
        raise MemoryError("none left")

    found = mnist(0, 64)
    network = networks.network("sampled", SETTINGS, found, 3e-3, 9, 1, 0, "rows", 8)
    monkeypatch.setattr(workers.Worker, "gradient", fail)
    with pytest.raises(MemoryError, match="none left"):
        workers.measured_delays(network, found, 8, 2, 10)


def lines(p1, seconds, lost=0, cpus=2, late=0.9):
    """Records of a run of two seeds: p1 and seconds by system, on one, two and four threads; late: of 64 workers."""
    about = {"system": "matrix", "threads": 1, "seed": 0}
    out = [{"record": "evaluation", "seconds": 1.0, "p1": 0.9, "epoch": 1.0, **about}]
    for system in results.SYSTEMS:
        for at, n in enumerate((1, 2, 4)):
            for seed in (0, 1):
                common = {"system": system, "threads": n, "seed": seed}
                out.append({"record": "evaluation", "epoch": 1.0, "p1": p1[system][at] - seed / 10,
                            "seconds": seconds[at], **common})  # fmt: skip
                ms = {"update": 2.0 if at else 3.0, "sample": 1.0}
                out.append({"record": "stages", "ms": ms, "cpus": cpus, **common})
                meet = 0.1 if system == "sampled" else 1.0
                met = dict.fromkeys(("rows_in_work", "rows_in_batch", "weights_in_work", "weights_in_batch"), meet)
                gone = lost if system == "sampled" else 1
                counted = {"additions": 100, "lost": gone, "rows": 10, "hit_rows": gone}
                out.append({"record": "conflicts", **counted, **met, **common})
        for n, value in ((1, 0.9), (64, late)):
            out += [{"record": "late", "system": system, "workers": n, "seed": seed, "p1": value - seed / 10,
                     "mean": n - 1, "most": 3 * n} for seed in (0, 1)]  # fmt: skip
    out += [{"record": "delays", "threads": n, "late": [n - 1] * 5} for n in (2, 4)]
    return [{"record": "header"}, *out]


EVEN = 0.9, 0.9, 0.9


@pytest.mark.parametrize(
    ("p1", "seconds", "lost", "late", "conflicts", "speed"),
    [
        (0.900, (4.0, 2.2, 2.2), 0, 0.9, claims.HOLDS, claims.HOLDS),
        (0.910, (4.0, 2.2, 2.2), 0, 0.92, claims.HOLDS, claims.HOLDS),
        (0.880, (4.0, 2.2, 2.2), 0, 0.9, claims.IN_PART, claims.HOLDS),
        (0.900, (4.0, 2.2, 2.2), 0, 0.88, claims.IN_PART, claims.HOLDS),
        (0.900, (4.0, 3.9, 1.0), 0, 0.9, claims.HOLDS, claims.FAILS),
        (0.880, (4.0, 3.9, 1.0), 9, 0.88, claims.FAILS, claims.FAILS),
    ],
)
def test_the_verdict_follows_its_criterion(p1, seconds, lost, late, conflicts, speed):
    found = lines({"sampled": (0.9, 0.9, p1), "dense": EVEN}, seconds, lost, late=late)
    verdicts = asynchronous.verdicts(found)
    assert {name: verdict.word for name, verdict in verdicts.items()} == {"conflicts": conflicts, "asynchronous": speed}
    assert "on 2 threads" in verdicts["asynchronous"].why and "up to 4" in asynchronous.finding(found)


def test_the_reason_names_the_stages_that_lose_most():
    found = lines({"sampled": EVEN, "dense": EVEN}, (4.0, 3.0, 3.0))
    assert results.stages(found, "sampled", 1) == {"update": 3.0, "sample": 1.0}
    # of 1 ms that is missing both lose a half
    assert results.reason(found, 2).startswith("100 % of what is missing is lost in two stages, update 1.50 times (3.0")


def test_gaps_are_of_a_seed_and_delays_relative_to_the_others():
    found = lines({"sampled": (0.9, 0.9, 0.88), "dense": EVEN}, (4.0, 3.0, 3.0))
    assert results.gaps(found, "sampled")[4] == pytest.approx((-0.02, 0))
    assert results.noise(found, "sampled") == pytest.approx(0.1 / 2**0.5)
    assert results.relative_delays(found) == [1.0] * 5


def test_one_thread_has_nothing_to_compare():
    found = lines({"sampled": EVEN, "dense": EVEN}, (1, 1, 1))
    found = [line for line in found if line.get("threads", 1) == 1]
    assert "nothing to compare" in asynchronous.finding(found)
    assert {verdict.word for verdict in asynchronous.verdicts(found).values()} == {claims.UNMEASURED}
