"""Ranged hashing: tables hold the neurons whose logits may be large, under codes of fewer hashes the fewer they hold.

The bounds on logits come from the mean and the variance of the inputs, which the index watches in training.
"""

import functools

import numpy as np
import pytest
import scipy.sparse

from slide import Dense, Network, RehashSchedule, Sampled, reference
from slide._kernels.hashing import ranged as kernel
from slide.hashing import ABSENT, DWTA, FAMILIES, Ranged
from slide.hashing.ranged import dropped, least_of
from slide.index import InputStatistics, LSHIndex
from slide.testing import check_hash_family
from tests.conftest import THREADS, assert_equal_arrays, read_only


def fitted(rng, n=300, dim=24, K=3, L=20, **options):
    """(family, rows) of which a few are much longer than the others; inputs are like those of a ReLU."""
    rows = rng.standard_normal((n, dim)).astype(np.float32) * rng.lognormal(0, 1, (n, 1)).astype(np.float32)
    family = Ranged(dim, K, L, seed=3, **options)
    inputs = np.maximum(rng.standard_normal((500, dim)), 0)
    family.inputs = inputs.mean(axis=0).astype(np.float32), inputs.var(axis=0).astype(np.float32)
    family.fit(rows)
    return family, rows


@pytest.mark.parametrize("K, L, dim", [(1, 6, 40), (2, 5, 48), (4, 24, 33), (5, 50, 128)])
def test_the_contract_of_families_holds(K, L, dim):
    check_hash_family(Ranged, dim=dim, K=K, L=L)


@pytest.mark.parametrize("n, dim", [(0, 8), (1, 1), (5, 7), (40, 24), (33, 129)])
@pytest.mark.parametrize("threads", THREADS)
def test_bounds_are_those_of_the_formula(simd, rng, n, dim, threads):
    """Sums of eighths are exact in any order; the root, its factor and the sum are rounded."""
    rows = rng.integers(-9, 10, (n, dim)).astype(np.float32)
    rows[n // 2 :: 3] = 0
    mean, variance = (rng.integers(0, 9, (2, dim)) / 8).astype(np.float32)
    read_only(rows, mean, variance)
    bounds = np.empty(n, np.float32)
    if n:
        kernel.bound_rows(rows, None, mean, variance, 2.5, bounds, threads)
    expected = reference.bound_rows(*(a.astype(np.float64) for a in (rows, mean, variance)), 2.5)
    np.testing.assert_allclose(bounds, expected, rtol=0, atol=3e-7 * np.abs(expected).max(initial=1))
    if not n:
        return
    ids = rng.integers(0, n, 11).astype(np.int32)
    some = np.empty(11, np.float32)
    kernel.bound_rows(rows, ids, mean, variance, 2.5, some, threads)
    np.testing.assert_array_equal(some, bounds[ids])


@pytest.mark.parametrize("n", [1, 2, 40, 333])
@pytest.mark.parametrize("threads", THREADS)
def test_codes_go_to_the_tables_that_hold_their_row(rng, n, threads):
    rows = rng.standard_normal((n, 7)).astype(np.float32)
    mean, variance = rng.random((2, 7), dtype=np.float32)
    bounds = reference.bound_rows(rows, mean, variance, 2.5).astype(np.float32)
    bits = np.array([3, 3, 6, 9, 9], np.int32)
    for quantiles in ([-0.1, 0.2, 0.5, 0.9, 1.1], [0.4, 0.4, 0.4, 0.4, 0.4]):  # -0.1: all rows; 1.1: none
        span = np.ptp(bounds) + 1
        least = np.array([bounds.min() + (q - 1e-3) * span for q in quantiles], np.float32)
        codes = rng.integers(0, 2**9, (n, 5), dtype=np.uint32)
        places = np.flatnonzero(bounds >= least[0]).astype(np.int32)
        held = np.ascontiguousarray(codes[places].T)
        want = reference.range_rows(rows, mean, variance, 2.5, least, bits, codes)
        for out in (np.empty((n, 5), np.uint32), np.empty((5, n), np.uint32).T):
            kernel.range_rows(places, bounds[places], held, least, bits, out, threads)
            np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("zeros", [False, True])
def test_a_part_of_the_tables_is_that_of_all(rng, zeros):
    """DWTA of the first tables, where bins borrow from those of all tables."""
    family, rows = DWTA(24, 3, 20, seed=3), rng.standard_normal((50, 24)).astype(np.float32)
    if zeros:
        rows[rng.random(rows.shape) < 0.8] = 0
    for ids in (None, rng.integers(0, 50, 21).astype(np.int32)):
        want = family.codes(rows if ids is None else rows[ids])
        for L in (1, 5, 20):
            out = np.empty((len(want), L), np.uint32)
            family._codes_taken(rows, ids, out, 2)
            np.testing.assert_array_equal(out, want[:, :L])


def test_tables_drop_from_none_to_all_hashes():
    for K in range(1, 9):
        for L in (1, 2, 3, 5, 20, 50, 100):
            found = dropped(K, L)
            assert found.shape == (L,) and found.min() >= 0 and found.max() <= K and (np.diff(found) >= 0).all()
            assert found[0] == 0
    assert np.bincount(dropped(5, 50)).tolist() == [5, 38, 4, 1, 1, 1]


def test_tables_hold_their_share_of_the_largest_bounds(rng):
    family, rows = fitted(rng, share=0.25)
    bounds = reference.bound_rows(rows, *family.inputs, family.errors)
    order = np.argsort(-bounds)
    plain, codes = DWTA(24, 3, 20, seed=3).codes(rows), family.codes(rows)
    for table, d in enumerate(family.dropped):
        held = order[: max(1, round(0.25**d * len(rows)))]
        others = np.setdiff1d(order, held)
        np.testing.assert_array_equal(codes[held, table], plain[held, table] >> 3 * d << 3 * d)
        np.testing.assert_array_equal(codes[others, table], ABSENT)
        assert not (family.query_codes(rows)[:, table] == ABSENT).any()


def test_the_least_bound_of_a_share_is_halfway_to_the_next():
    bounds = np.array([5, 1, 4, 2, 3], np.float32)
    assert least_of(bounds, [0.0, 0.2, 0.4, 0.8, 1.0]).tolist() == [4.5, 4.5, 3.5, 1.5, -np.inf]
    assert least_of(bounds[:0], [0.5]).tolist() == [-np.inf]


def test_rows_without_a_bound_are_in_no_table_that_is_not_of_all(rng):
    family, rows = fitted(rng)
    rows[::2] = np.nan
    rows[1] = np.inf
    family.fit(rows)
    assert np.isfinite(family._least[family.dropped > 0]).all()
    assert (family.codes(rows)[::2, family.dropped > 0] == ABSENT).all()


def test_what_was_fitted_is_kept(rng):
    family, rows = fitted(rng)
    twin = Ranged(**family.config())
    assert (twin.codes(rows) != family.codes(rows)).any()
    twin.load_state(family.state())
    np.testing.assert_array_equal(twin.codes(rows), family.codes(rows))
    assert twin == family and family.reseeded(1).state()["least"].max() == -np.inf


@pytest.mark.parametrize("options", [{"share": 0.0}, {"share": 1.0}, {"errors": -1.0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}: found"):
        Ranged(8, 2, 5, **options)


def test_more_of_the_true_top_in_fewer_neurons(rng):
    """Against DWTA, of lengths that differ as those of trained neurons do."""
    n, dim = 4000, 32
    lengths = rng.lognormal(0, 0.7, (n, 1))
    weights = (rng.standard_normal((n, dim)) * lengths).astype(np.float32)
    inputs = np.maximum(rng.standard_normal((100, dim)), 0).astype(np.float32)
    top = np.argsort(-(inputs @ weights.T), axis=1)[:, :10]
    found, sizes = {}, {}
    for name, K in (("dwta", 3), ("ranged", 4)):
        cls = functools.partial(FAMILIES[name], dim, K, 50)
        index = LSHIndex(cls, n, RehashSchedule(), 1, 128, "fifo", 2)
        index.codes(inputs, watch=True)
        index.build(weights)
        held = index.tables.query(index.codes(inputs))
        ids = [np.unique(held.ids[held.indptr[i * 50] : held.indptr[i * 50 + 50]]) for i in range(100)]
        found[name] = np.mean([np.isin(top[i], ids[i]).mean() for i in range(100)])
        sizes[name] = np.mean([len(x) for x in ids])
    assert found["ranged"] > found["dwta"] + 0.1 and sizes["ranged"] < 0.7 * sizes["dwta"]


def test_the_last_batches_count_most_in_the_statistics(rng):
    batches = rng.standard_normal((3, 10, 4)).astype(np.float32) + np.array([0, 5, -2], np.float32)[:, None, None]
    statistics = InputStatistics(4, keep=0.5)
    assert statistics.mean_and_variance() is None
    for batch in batches:
        statistics.add(scipy.sparse.csr_matrix(batch) if batch is batches[1] else batch)
    statistics.add(batches[0][:0])
    weights = np.repeat([0.25, 0.5, 1.0], 10)
    rows = batches.reshape(30, 4)
    mean = np.average(rows, axis=0, weights=weights)
    found = statistics.mean_and_variance()
    np.testing.assert_allclose(found[0], mean, rtol=1e-6)
    np.testing.assert_allclose(found[1], np.average((rows - mean) ** 2, axis=0, weights=weights), rtol=1e-5)
    other = InputStatistics(4, keep=0.5)
    other.load_state(statistics.state())
    statistics.add(batches[0])
    other.add(batches[0])
    np.testing.assert_array_equal(other.mean_and_variance(), statistics.mean_and_variance())


def test_inputs_of_training_alone_are_watched(rng):
    index = LSHIndex(lambda seed: Ranged(12, 3, 4, seed), 50, RehashSchedule(N0=1, renew_every=1), 1, 16, "fifo", 1)
    weights, inputs = rng.standard_normal((2, 50, 12)).astype(np.float32)
    index.codes(inputs)
    index.build(weights)
    assert index.family.inputs is None
    index.codes(inputs, watch=True)
    first = index.family
    index.maintain(1, weights)
    assert index.family is not first
    np.testing.assert_allclose(index.family.inputs[0], inputs.mean(axis=0, dtype=np.float64), rtol=1e-6)
    assert LSHIndex(lambda seed: DWTA(12, 3, 4, seed), 50, RehashSchedule(), 1, 16, "fifo", 1).inputs is None


def make_network(threads=1, **layer):
    layer = {"hash": "ranged", "K": 3, "L": 12, "active": 20, "rehash": RehashSchedule(N0=3)} | layer
    return Network(40, [Dense(16), Sampled(90, **layer)], batch_size=16, seed=4, threads=threads)


def data(rng):
    X = scipy.sparse.random(160, 40, 0.2, "csr", np.float32, random_state=1)
    return X, scipy.sparse.csr_matrix((np.ones(160), (np.arange(160), rng.integers(0, 90, 160))), shape=(160, 90))


@pytest.mark.parametrize("layer", [{}, {"reinsert": True}, {"rehash": RehashSchedule(N0=2, renew_every=2)},
                                   {"weight_type": "bfloat16"}])  # fmt: skip
def test_training_goes_on_as_if_never_saved(rng, tmp_path, layer):
    X, Y = data(rng)
    whole = make_network(**layer).fit(X, Y, steps=17)
    part = make_network(threads=2, **layer).fit(X, Y, steps=8)
    part.predict(X[:20], sampled=True)  # changes nothing
    part.save(tmp_path / "n.npz")
    resumed = Network.load(tmp_path / "n.npz").fit(X, Y, steps=9)
    for a, b in zip(whole.layers, resumed.layers, strict=True):
        assert_equal_arrays(a.state(), b.state())
