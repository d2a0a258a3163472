"""Samplers: what they take of the tables, for every group of samples, on any number of threads.

vanilla, topk and threshold are held to plain lists, uniform draws to statistics. test_by_hand_active_sets.py has
examples, test_sampling_probability.py the theory, test_completion.py what training adds.
"""

import copy
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slide import reference
from slide.sampling import SAMPLERS, Full, Threshold, TopK, Uniform, Vanilla, base
from slide.tables import HashTables
from tests.conftest import THREADS, assert_sets, read_only

SEEDS = st.integers(0, 2**64 - 1)
STEPS = st.integers(0, 3)


def built(rng, n, L, bits, bucket_size=128):
    """Tables over n items, and what their buckets hold as lists."""
    codes = rng.integers(0, 2**bits, (n, L), dtype=np.uint32)
    tables = HashTables(n, L, bits, bucket_size, threads=1)
    tables.build(codes)
    return tables, reference.build_rows(codes.T, 2**bits, bucket_size, False, 0, 1)[0]


def lists(active):
    return [ids.tolist() for ids in active]


@given(
    n=st.integers(1, 80), L=st.integers(1, 6), bits=st.integers(1, 5), n_rows=st.integers(0, 9),
    group_size=st.integers(1, 5), active=st.none() | st.integers(1, 100), m=st.integers(1, 4),
    threads=st.sampled_from(THREADS), seed=SEEDS, step=STEPS, counted=st.booleans(),
)  # fmt: skip
def test_what_is_retrieved_is_that_of_lists(n, L, bits, n_rows, group_size, active, m, threads, seed, step, counted):
    rng = np.random.default_rng(seed)
    tables, held = built(rng, n, L, bits, bucket_size=9)
    codes = rng.integers(0, 2**bits, (n_rows, L), dtype=np.uint32)
    read_only(codes)
    arguments, limit = (tables, codes, n_rows, group_size, n, seed, step, threads), active or n
    first_found = reference.vanilla_rows(codes.T, held, group_size, limit, seed, step)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "ROOM", 0 if counted else base.ROOM)  # whether buckets are counted first
        assert_sets(Vanilla(active).sample(*arguments), first_found)
        for sampler, least in ((TopK(active), 1), (Threshold(active, m), m)):
            expected = reference.frequent_rows(codes.T, held, group_size, least, limit)
            assert_sets(sampler.sample(*arguments), expected)
        # The scratch that all of them share was left clean.
        assert_sets(Vanilla(active).sample(*arguments), first_found)


def test_counts_end_at_the_largest_that_they_hold():
    """A bucket's count is 16 bits: 70,000 collisions count as 65,535."""
    tables = HashTables(2, 1, 1, threads=1)
    tables.build(np.array([[0], [1]]))
    codes = np.zeros((70_000, 1), dtype=np.uint32)
    codes[:3] = 1
    for m, expected in [(3, [[1, 0]]), (65_535, [[0]]), (65_536, [[]]), (10**12, [[]])]:
        assert_sets(Threshold(None, m).sample(tables, codes, 70_000, 70_000, 2, 0, 0, 1), expected)


def test_vanilla_visits_the_tables_in_every_order():
    L, steps = 3, 3000
    tables = HashTables(3, L, 2, threads=1)
    tables.build(1 - np.eye(3, dtype=np.uint32))  # table t holds item t alone in bucket 0
    codes = np.zeros((2, L), dtype=np.uint32)
    orders = [ids for step in range(steps // 2) for ids in lists(Vanilla().sample(tables, codes, 2, 1, 3, 7, step, 1))]
    counts = np.unique(np.array(orders), axis=0, return_counts=True)[1]
    assert len(counts) == 6
    # Chi-square with 5 degrees of freedom at 0.999.
    assert ((counts - steps / 6) ** 2 / (steps / 6)).sum() < 20.5


@given(
    n=st.integers(1, 60), n_rows=st.integers(0, 7), group_size=st.integers(1, 4), active=st.integers(1, 70),
    threads=st.sampled_from(THREADS), seed=SEEDS, step=STEPS,
)  # fmt: skip
def test_uniform_draws_distinct_neurons_and_full_takes_all(n, n_rows, group_size, active, threads, seed, step):
    n_groups = -(-n_rows // group_size)
    found = Uniform(active).sample(None, None, n_rows, group_size, n, seed, step, threads)
    assert_sets(found, reference.uniform_rows(n_groups, min(active, n), n, seed, step))
    assert all(len(set(ids)) == min(active, n) for ids in lists(found))
    everything = Full().sample(None, None, n_rows, group_size, n, seed, step, threads)
    assert_sets(everything, [list(range(n))] * n_groups)


@pytest.mark.parametrize("active", [3, 8])
def test_uniform_draws_each_neuron_and_each_pair_equally_often(active):
    n, groups = 10, 20_000
    ids = Uniform(active).sample(None, None, groups, 1, n, 1, 1).ids
    expected = groups * active / n
    counts = np.bincount(ids, minlength=n)
    # Draws without replacement: below chi-square with 9 degrees of freedom at 0.999.
    assert ((counts - expected) ** 2 / expected).sum() < 27.9
    pairs = np.zeros((n, n))
    for row in ids.reshape(groups, active)[:4000]:
        pairs[np.ix_(row, row)] += 1
    p = active * (active - 1) / (n * (n - 1))
    # 45 pairs, each within 4 standard errors.
    assert np.abs(pairs[np.triu_indices(n, 1)] / 4000 - p).max() < 4 * np.sqrt(p * (1 - p) / 4000)


def test_threads_of_either_kind_change_nothing():
    rng = np.random.default_rng(0)
    tables, _ = built(rng, 3000, 8, 6)
    codes = rng.integers(0, 64, (100, 8), dtype=np.uint32)
    samplers = [Vanilla(90), TopK(50), Threshold(None, 2), Uniform(1000)]

    def all_sets(threads):
        return [lists(s.sample(tables, codes, 100, 7, 3000, 1, 2, threads)) for s in samplers]

    expected, found = all_sets(1), []
    assert all_sets(2) == expected and all_sets(8) == expected
    workers = [threading.Thread(target=lambda: found.extend(all_sets(2) for _ in range(5))) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 15 and all(sets == expected for sets in found)


def test_a_sampler_is_its_settings():
    assert set(SAMPLERS) == {"vanilla", "topk", "threshold", "uniform", "full"}
    for sampler in (Vanilla(5), TopK(), Threshold(3, m=4), Uniform(6), Full()):
        for twin in (type(sampler)(**vars(sampler)), copy.deepcopy(sampler), pickle.loads(pickle.dumps(sampler))):
            assert vars(twin) == vars(sampler)
    assert repr(Threshold(3)) == "Threshold(active=3, m=2)"
    assert [name for name, s in SAMPLERS.items() if not s.needs_tables] == ["uniform", "full"]
    assert [name for name, s in SAMPLERS.items() if s.dense] == ["full"]


@pytest.mark.parametrize(
    "make", [lambda: Vanilla(0), lambda: TopK(-1), lambda: Uniform(None), lambda: Vanilla(2.5)]
)
def test_settings_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="active: found .*, expected an integer of at least 1"):
        make()
    with pytest.raises(ValueError, match="m: found 0"):
        Threshold(m=0)


def test_tables_and_codes_that_do_not_fit_together_are_refused():
    tables, _ = built(np.random.default_rng(0), 20, 3, 2)
    codes = np.zeros((4, 3), dtype=np.uint32)
    for arguments, message in [
        ((None, codes, 4, 1, 20), "tables: found None"),
        ((tables, None, 4, 1, 20), "codes: found None"),
        ((tables, codes, 5, 1, 20), "codes: found 4 rows, expected n_rows = 5"),
        ((tables, codes, 4, 0, 20), "group_size: found 0"),
        ((tables, codes, 4, 1, 21), "tables: found 20 items"),
        ((tables, codes[:, :2], 4, 1, 20), "codes: found shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            Vanilla().sample(*arguments, 0, 0)
