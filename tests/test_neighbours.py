"""Neighbours: the nearest rows by cosine and the labels that they have, as plain NumPy finds them."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from slide.hashing import DWTA, SimHash
from slide.prediction import neighbours
from slide.prediction.neighbours import Neighbours, parts_below

WIDTH, N_LABELS = 30, 12


def rows_and_labels(rng, n=200, signed=False):
    rows = sparse.random_array((n, WIDTH), density=0.2, format="csr", rng=rng, dtype=np.float32)
    if signed:
        rows.data -= np.float32(0.5)
    Y = sparse.csr_array(rng.random((n, N_LABELS)) < 0.2)
    return rows, Y


def cosines(queries, rows):
    def unit(x):
        x = x.toarray().astype(np.float64) if sparse.issparse(x) else x.astype(np.float64)
        norms = np.linalg.norm(x, axis=1, keepdims=True)
        return x / np.where(norms > 0, norms, 1)

    return unit(queries) @ unit(rows).T


def assert_nearest(memory, queries, rows, k):
    ids, values = memory.find(queries, k)
    n, most = len(ids), min(k, rows.shape[0])
    assert ids.shape == values.shape == (n, k) and ids.dtype == np.int32 and values.dtype == np.float32
    exact = cosines(queries, rows)
    expected = np.maximum(-np.sort(-exact, axis=1)[:, :most], 0)
    np.testing.assert_allclose(values[:, :most], expected, atol=1e-5)
    found = ids >= 0
    assert not values[~found].any() and (values[found] > 0).all() and not found[:, most:].any()
    row, column = np.nonzero(found)
    np.testing.assert_allclose(values[found], exact[row, ids[found]], atol=1e-5)
    assert all(len(set(ids[i][found[i]])) == found[i].sum() for i in range(n))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("dense", [False, True])
def test_the_nearest_rows_are_found(dense, signed, rng, simd):
    rows, Y = rows_and_labels(rng, signed=signed)
    queries, _ = rows_and_labels(rng, 70, signed)
    rows, queries = 3 * rows, 5 * queries
    if dense:
        rows, queries = rows.toarray(), queries.toarray()
    for k in (1, 7, 250):
        assert_nearest(Neighbours(rows, Y, threads=2), queries, rows, k)


@pytest.mark.parametrize("dense", [False, True])
def test_rows_of_zeros_are_near_nothing(dense, rng):
    rows, Y = rows_and_labels(rng)
    rows = rows.toarray()
    rows[3] = 0
    queries = np.vstack([np.zeros(WIDTH), rows[3], rows[4]]).astype(np.float32)
    kind = np.asarray if dense else sparse.csr_array
    ids, values = Neighbours(kind(rows), Y).find(kind(queries), 200)
    assert (ids[:2] == -1).all() and not values[:2].any()
    assert ids[2, 0] == 4 and 3 not in ids[2]


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_equals_go_to_the_smaller_row(kind):
    rows = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    ids, values = Neighbours(kind(rows), np.eye(12)).find(kind(2 * rows[[0, 5]]), 3)
    assert ids.tolist() == [[0, 1, 2], [4, 5, 6]] and (values == 1).all()


@pytest.mark.parametrize("dense", [False, True])
def test_what_is_found_depends_on_neither_threads_nor_blocks(dense, rng, monkeypatch):
    rows, Y = rows_and_labels(rng)
    rows = rows.toarray() if dense else rows
    ids, values = Neighbours(rows, Y, threads=1).find(rows, 9)
    monkeypatch.setattr(neighbours, "QUERIES", 7)
    monkeypatch.setattr(neighbours, "HELD", 300)
    again = Neighbours(rows, Y, threads=3).find(rows, 9)
    np.testing.assert_array_equal(again[0], ids)
    np.testing.assert_allclose(again[1], values, rtol=1e-6)


def test_no_queries_have_no_neighbours(rng):
    rows, Y = rows_and_labels(rng)
    for given in (rows, rows.toarray()):
        ids, values = Neighbours(given, Y).find(given[:0], 4)
        assert ids.shape == values.shape == (0, 4)


@pytest.mark.parametrize("family", [SimHash, DWTA])
def test_tables_that_retrieve_everything_find_the_nearest(family, rng):
    rows, Y = rows_and_labels(rng)
    rows = rows.toarray()
    memory = Neighbours(rows, Y, family(WIDTH, K=1, L=60, seed=5), candidates=200, bucket_size=200, threads=2)
    assert_nearest(memory, rows[:40] + 0.1, rows, 6)


def test_tables_find_most_of_the_near_rows_among_few_candidates(rng):
    centres = rng.random((100, WIDTH), dtype=np.float32)
    rows = np.repeat(centres, 20, axis=0) + 0.05 * rng.random((2000, WIDTH), dtype=np.float32)
    Y = sparse.csr_array((2000, N_LABELS), dtype=np.float32)
    exact, _ = Neighbours(rows, Y).find(centres, 20)
    tables = Neighbours(rows, Y, SimHash(WIDTH, K=8, L=30), candidates=50)
    found, values = tables.find(centres, 20)
    assert np.mean([len(set(a) & set(b)) for a, b in zip(found, exact, strict=True)]) > 18
    assert (np.diff(values) <= 0).all()
    assert tables.nbytes > Neighbours(rows, Y).nbytes


def test_tables_that_retrieve_nothing_find_nothing(rng):
    rows = np.eye(WIDTH, dtype=np.float32)
    ids, values = Neighbours(rows, np.eye(WIDTH), SimHash(WIDTH, K=20, L=1)).find(-rows[:3], 4)
    assert (ids == -1).all() and not values.any()


@pytest.mark.parametrize("power", [0.0, 1.0, 32.0])
@pytest.mark.parametrize("k", [None, 2])
def test_shares_are_those_of_loops(power, k, rng):
    rows, Y = rows_and_labels(rng)
    memory = Neighbours(rows, Y)
    ids, values = memory.find(rows[:30], 5)
    ids[4], values[4] = -1, 0
    expected = np.zeros((30, N_LABELS))
    for i in range(30):
        pairs = [(j, c**power) for j, c in list(zip(ids[i], values[i].astype(float), strict=True))[:k] if j >= 0]
        for j, weight in pairs:
            expected[i] += weight * (Y.toarray()[j] != 0) / sum(w for _, w in pairs)
    shares = memory.shares(ids, values, power, k)
    assert shares.dtype == np.float32 and shares.has_sorted_indices
    np.testing.assert_allclose(shares.toarray(), expected, atol=1e-5)


def test_a_high_power_of_small_cosines_is_not_lost():
    rows, Y = np.eye(4, dtype=np.float32), np.eye(4)
    shares = Neighbours(rows, Y).shares(np.array([[2, 1]]), np.array([[1e-3, 5e-4]], np.float32), power=50)
    assert shares.toarray()[0] == pytest.approx([0, 2.0**-50, 1, 0])


def test_the_stated_memory_holds_rows_labels_and_nothing_of_their_square(rng):
    n = 4000
    rows = rng.random((n, WIDTH), dtype=np.float32)
    Y = sparse.csr_array((np.ones(n, np.float32), (np.arange(n), np.zeros(n, int))), shape=(n, 3))
    memory = Neighbours(rows, Y)
    assert 4 * n * WIDTH <= memory.nbytes < 5 * n * WIDTH + 100 * n
    memory.find(rows[:2])
    for given in (memory, Neighbours(sparse.csr_array(rows), Y)):
        queries = rows if given is memory else sparse.csr_array(rows)
        tracemalloc.start()
        given.find(queries, 5)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 80e6  # n x n cosines and their columns would be 128 MB


def test_slices_hold_at_most_so_much_or_one_row():
    assert [(s.start, s.stop) for s in parts_below([3, 1, 9, 2, 2, 0, 5], 4)] == [(0, 2), (2, 3), (3, 6), (6, 7)]
    assert list(parts_below([], 4)) == []


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rows": np.zeros((0, 3))}, "rows: found shape"),
        ({"rows": np.zeros(3)}, "rows: found float64 of shape"),
        ({"rows": np.full((2, 3), np.nan)}, "rows: found nan"),
        ({"rows": np.full((2, 3), "a")}, "rows: found <U1"),
        ({"rows": sparse.csr_array((2, 0))}, "rows: found shape"),
        ({"Y": np.eye(3)}, "Y: found 3 rows, expected 2"),
        ({"candidates": 0}, "candidates: found 0"),
        ({"family": SimHash(4, 2, 2)}, "family: found SimHash"),
        ({"family": "simhash"}, "family: found 'simhash'"),
        ({"family": SimHash(3, 2, 2), "bucket_size": 0}, "bucket_size: found 0"),
        ({"family": SimHash(3, 2, 2), "rows": sparse.csr_array(np.ones((2, 3)))}, "family: found one for CSR rows"),
        ({"threads": 0}, "threads: found 0"),
    ],
)
def test_a_wrong_memory_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Neighbours(**{"rows": np.ones((2, 3)), "Y": np.eye(2), **change})


def test_wrong_queries_are_refused(rng):
    rows, Y = rows_and_labels(rng)
    for given in (rows, rows.toarray()):
        memory = Neighbours(given, Y)
        with pytest.raises(ValueError, match="queries: found"):
            memory.find(given[:, :3])
        with pytest.raises(ValueError, match="k: found 0"):
            memory.find(given, 0)
        with pytest.raises(ValueError, match="power: found -1"):
            memory.shares(*memory.find(given, 2), -1)
    with pytest.raises(ValueError, match="queries: found inf"):
        memory.find(np.full((1, WIDTH), np.inf))
