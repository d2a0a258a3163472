"""Hash tables hold what plain Python lists would hold, on any number of threads.

An item is in one bucket of each table; a full bucket forgets its oldest item, or keeps a uniform sample of all that
came. Examples by hand are in test_by_hand_active_sets.py.
"""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slide import reference
from slide.tables import ABSENT, HashTables, default_range_bits
from tests.conftest import THREADS, assert_equal_arrays, read_only


def contents(tables):
    """The ids of every bucket: contents[t][b], oldest first."""
    found = []
    for t in range(tables.L):
        starts, sizes = tables.buckets[t, :-1].T.tolist()
        slots = zip(starts, sizes, strict=True)
        found.append([tables.items[t, start : start + size].tolist() for start, size in slots])
    return found


def codes_of(rng, n, L, bits, absent=0.0):
    codes = rng.integers(0, 2**bits, (n, L), dtype=np.uint32)
    codes[rng.random((n, L)) < absent] = ABSENT
    return read_only(codes)[0]


@given(
    n=st.integers(1, 100), L=st.integers(1, 5), bits=st.integers(1, 12), fold=st.integers(0, 6),
    bucket_size=st.integers(1, 9), policy=st.sampled_from(["fifo", "reservoir"]), threads=st.sampled_from(THREADS),
    seed=st.integers(0, 2**64 - 1),
)  # fmt: skip
def test_what_is_built_and_updated_is_that_of_lists(n, L, bits, fold, bucket_size, policy, threads, seed):
    rng = np.random.default_rng(seed)
    tables = HashTables(n, L, bits, bucket_size, policy, max(1, bits - fold), seed, threads)
    n_buckets = 2**tables.range_bits
    reservoir = policy == "reservoir"
    for build in range(2):
        codes = codes_of(rng, n, L, bits, absent=0.2)
        tables.build(codes)
        located = reference.locate_rows(codes, tables._folds, tables._shift, n_buckets - 1)
        np.testing.assert_array_equal(tables.located, located)
        lists, counts = reference.build_rows(located, n_buckets, bucket_size, reservoir, seed, tables.step)
        assert contents(tables) == lists
        capacity = reference.capacities(counts, bucket_size)
        np.testing.assert_array_equal(np.diff(tables.buckets[:, :, 0].astype(int), axis=1), capacity)
        for _ in range(1 + build):
            ids = rng.permutation(n)[: rng.integers(0, n + 1)]
            codes = codes_of(rng, len(ids), L, bits, absent=0.2)
            tables.update(ids, codes)
            moved = reference.locate_rows(codes, tables._folds, tables._shift, n_buckets - 1)
            reference.reinsert_rows(ids, moved, located, lists, capacity, counts, reservoir, seed, tables.step)
            assert contents(tables) == lists
            np.testing.assert_array_equal(tables.located, located)
            cleared = reference.clear_rows(tables.buckets, tables.items)
            np.testing.assert_array_equal(tables.state()["items"], cleared)


@pytest.mark.parametrize("policy", ["fifo", "reservoir"])
@pytest.mark.parametrize("range_bits", [3, 9])
def test_codes_in_any_order_of_memory_give_the_same_tables(policy, range_bits):
    rng = np.random.default_rng(0)
    codes, moved = codes_of(rng, 3000, 4, 9, absent=0.2), codes_of(rng, 700, 4, 9, absent=0.2)
    ids = rng.permutation(3000)[:700]
    rows, columns, own, small = (
        HashTables(3000, 4, 9, 5, policy, range_bits, threads=2, huge_pages=i < 3) for i in range(4)
    )
    own.code_buffer()[...] = codes
    column_wise = np.asfortranarray(codes)
    for tables, form in ((rows, codes), (columns, column_wise), (own, own.code_buffer()), (small, codes)):
        tables.build(form)
        tables.update(ids, np.asfortranarray(moved) if tables is columns else moved)
        assert_equal_arrays(tables.state(), rows.state())


def test_fifo_keeps_the_newest_and_updates_move_items():
    tables = HashTables(10, 1, 1, bucket_size=4, threads=1)
    tables.build(np.zeros((10, 1), dtype=np.uint32))
    assert contents(tables) == [[[6, 7, 8, 9], []]]
    tables.update([7, 0], np.ones((2, 1), dtype=np.uint32))
    # The empty bucket was laid out with one slot.
    assert contents(tables) == [[[6, 8, 9], [0]]]
    tables.update([7, 1], np.zeros((2, 1), dtype=np.uint32))
    assert contents(tables) == [[[6, 8, 9, 7], [0]]]


def test_a_reservoir_is_a_uniform_sample_of_all_that_came():
    n, size, runs = 12, 3, 8000
    kept = np.zeros(n)
    for seed in range(runs // 4):
        tables = HashTables(n, 4, 1, bucket_size=size, policy="reservoir", seed=seed, threads=1)
        tables.build(np.zeros((n, 4), dtype=np.uint32))
        kept += np.bincount(tables.items[:, :size].ravel(), minlength=n)
    expected = runs * size / n
    # Ids of one bucket exclude each other, so this is below chi-square of 11 degrees (0.999: 31.3).
    assert ((kept - expected) ** 2 / expected).sum() < 31.3


def test_reservoirs_draw_anew_at_each_build_and_threads_change_nothing():
    codes = codes_of(np.random.default_rng(3), 5000, 12, 3)
    states = []
    for threads in THREADS:
        tables = HashTables(5000, 12, 3, policy="reservoir", seed=5, threads=threads)
        tables.build(codes)
        first = tables.items.copy()
        tables.build(codes)
        assert not np.array_equal(first, tables.items)
        states.append(tables.state())
    for state in states[1:]:
        assert_equal_arrays(state, states[0])


def test_a_query_finds_the_bucket_of_its_code_in_every_table():
    rng = np.random.default_rng(0)
    codes, asked = codes_of(rng, 50, 3, 4), codes_of(rng, 7, 3, 4)
    tables = HashTables(50, 3, 4, bucket_size=3, threads=2)
    assert len(tables.query(asked).ids) == 0  # nothing was built
    tables.build(codes)
    found, lists = tables.query(asked), contents(tables)
    assert [ids.tolist() for ids in found] == [lists[t][asked[r, t]] for r in range(7) for t in range(3)]


def test_occupancy_counts_what_buckets_hold():
    """Of five items the bucket of three forgets one; two of the four buckets are empty."""
    tables = HashTables(5, 1, 2, bucket_size=2, threads=1)
    tables.build(np.array([[0], [0], [0], [3], [3]]))
    assert tables.occupancy() == {"mean": 4 / 4, "max": 2, "empty": 2 / 4, "held": 4 / 5}


@pytest.mark.parametrize("policy", ["fifo", "reservoir"])
def test_saved_tables_go_on_as_if_never_saved(policy):
    rng = np.random.default_rng(1)
    tables, other = (HashTables(200, 4, 9, 4, policy, range_bits=5, seed=2, threads=2) for _ in range(2))
    tables.build(codes_of(rng, 200, 4, 9))
    tables.update(np.arange(50), codes_of(rng, 50, 4, 9))
    file = io.BytesIO()
    np.savez(file, **tables.state())
    file.seek(0)
    other.load_state(dict(np.load(file, allow_pickle=False)))
    for _ in range(2):
        codes = codes_of(rng, 80, 4, 9)
        for each in (tables, other):
            each.update(np.arange(20, 100), codes)
        assert_equal_arrays(tables.state(), other.state())


def test_a_state_that_does_not_fit_is_refused():
    tables = HashTables(20, 2, 4, threads=1)
    tables.build(np.zeros((20, 2), dtype=np.uint32))
    good = {name: array.copy() for name, array in tables.state().items()}
    beyond = good["buckets"].copy()
    beyond[:, -1, 1] = 1  # where what is absent is: always empty
    for name, value, message in [
        ("buckets", beyond, "overlap"),
        ("items", np.full_like(good["items"], 20), "id out of range"),
        ("items", good["items"][:, 1:], "found int32 of shape"),
        ("items", good["items"].astype(float), "found float64 of shape"),
        ("located", np.full_like(good["located"], 17), "found bucket 17"),
        ("buckets", np.full_like(good["buckets"], 9), "overlap"),
        ("settings", good["settings"] + np.uint64(1), "settings"),
    ]:
        with pytest.raises(ValueError, match=message):
            tables.load_state({**good, name: value})
    with pytest.raises(ValueError, match="items.*found none"):
        tables.load_state({name: array for name, array in good.items() if name != "items"})
    tables.load_state(good)


def test_folding_merges_two_codes_as_often_as_chance():
    merged, pairs = 0, 0
    for seed in range(40):
        tables = HashTables(1, 50, 24, range_bits=8, seed=seed, threads=1)
        codes = codes_of(np.random.default_rng(seed), 20, 1, 24).repeat(50, axis=1)
        located = tables.locate(codes)
        same = (located[:, :, None] == located[:, None, :]).sum(axis=(1, 2)) - 20
        merged, pairs = merged + same.sum() / 2, pairs + 50 * 190
    # About 1484 of 380,000 pairs: within 4 standard errors.
    assert merged / pairs == pytest.approx(2**-8, rel=4 / np.sqrt(pairs / 2**8))


@pytest.mark.slow
def test_tables_of_670091_neurons_take_half_a_gigabyte():
    n, L, bits = 670_091, 50, 18
    assert default_range_bits(n, 24) == default_range_bits(n, 18) == bits
    tables = HashTables(n, L, 24, policy="reservoir")
    n_buckets = 2**bits
    codes, slots = 4 * L * n, 4 * L * (n + n // 4 + n_buckets)
    assert tables.nbytes == codes + slots + L * (8 * (n_buckets + 1) + 4 * n_buckets + 16)
    assert tables.nbytes < 0.52e9
    assert HashTables(n, L, 24).nbytes < 0.46e9
    assert HashTables(n, L, 24, range_bits=20).nbytes < 1e9


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"n_items": 0}, "n_items: found 0"),
        ({"n_items": 2.0}, "n_items"),
        ({"L": 0}, "L: found 0"),
        ({"code_bits": 33}, "code_bits: found 33, expected an integer from 1 to 32"),
        ({"bucket_size": 0}, "bucket_size"),
        ({"policy": "lifo"}, "policy: found 'lifo', expected one of fifo, reservoir"),
        ({"range_bits": 9}, "range_bits: found 9"),
        ({"seed": -1}, "seed"),
        ({"threads": 0}, "threads"),
    ],
)
def test_settings_out_of_range_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        HashTables(**{"n_items": 5, "L": 2, "code_bits": 4, **changed})


def test_codes_and_ids_that_do_not_fit_are_refused():
    tables = HashTables(5, 2, 4, threads=1)
    with pytest.raises(ValueError, match="never built"):
        tables.update([0], np.zeros((1, 2), dtype=np.uint32))
    with pytest.raises(ValueError, match=r"codes: found shape \(4, 2\), expected \(5, 2\)"):
        tables.build(np.zeros((4, 2), dtype=np.uint32))
    with pytest.raises(ValueError, match="codes: found dtype float64"):
        tables.build(np.zeros((5, 2)))
    tables.build(np.full((5, 2), 2**32 - 1, dtype=np.uint32))
    for ids, message in [
        ([1, 1], "1 repeated"),
        ([5, 0], "found 0 to 5"),
        ([-1, 0], "found -1"),
        ([[0]], "shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            tables.update(ids, np.zeros((2, 2), dtype=np.uint32))
    with pytest.raises(ValueError, match="codes: found shape"):
        tables.update([0, 1], np.zeros((1, 2), dtype=np.uint32))
    tables.update([], np.zeros((0, 2), dtype=np.uint32))
