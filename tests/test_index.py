"""An index follows the weights on its schedule, and renews its hash functions when that says so."""

import math

import numpy as np
import pytest

from slide.hashing import FAMILIES
from slide.index import LSHIndex, RehashSchedule
from tests.conftest import THREADS, assert_equal_arrays


def index(weights, schedule=None, hash_="simhash", threads=2, policy="fifo"):
    def make_family(seed):
        return FAMILIES[hash_](weights.shape[1], 4, 6, seed=seed)

    made = LSHIndex(make_family, len(weights), schedule or RehashSchedule(), 5, 16, policy, threads)
    made.build(weights)
    return made


def members(made, codes):
    """[{ids} of each table] for one row of codes."""
    found = made.tables.query(codes)
    return [set(found[t].tolist()) for t in range(made.tables.L)]


@pytest.fixture
def weights(rng):
    return rng.standard_normal((60, 24)).astype(np.float32)


def test_intervals_grow_exponentially():
    schedule = RehashSchedule(N0=50, growth=0.1)
    assert [schedule.interval(t) for t in range(4)] == [50, 55, 61, 67]  # 50, 55.26, 61.07, 67.49
    assert {RehashSchedule(N0=7, growth=0).interval(t) for t in range(100)} == {7}
    assert RehashSchedule(N0=1, growth=1.0).interval(10**6) > 10**15  # no overflow
    assert [RehashSchedule(N0=7, growth=0).count(steps) for steps in (6, 7, 13, 14)] == [0, 1, 1, 2]


def test_rehashes_come_when_the_schedule_says(weights):
    """After 10, 13, 18, 25, 33 and 45 batches more."""
    made = index(weights, RehashSchedule(N0=10, growth=0.3))
    assert [step for step in range(1, 200) if made.maintain(step, weights)] == [10, 23, 41, 66, 99, 144]


def test_a_rehash_follows_the_weights_and_other_steps_do_not(weights, rng):
    made = index(weights, RehashSchedule(N0=5))
    before = made.tables.located.copy()
    moved = rng.standard_normal(weights.shape).astype(np.float32)
    assert not any(made.maintain(step, moved) for step in range(1, 5))
    np.testing.assert_array_equal(made.tables.located, before)
    assert made.maintain(5, moved)
    np.testing.assert_array_equal(made.tables.located, index(moved).tables.located)
    assert (made.tables.located != before).any()


def test_functions_are_renewed_at_every_so_many_rehashes(weights):
    made = index(weights, RehashSchedule(N0=1, growth=0, renew_every=3))
    seeds = []
    for step in range(1, 10):
        made.maintain(step, weights)
        seeds.append(made.family.seed)
    assert [a != b for a, b in zip(seeds[:-1], seeds[1:], strict=True)] == [s % 3 == 2 for s in range(1, 9)]
    assert seeds[0] == index(weights).family.seed
    assert len(set(seeds)) == 4


@pytest.mark.parametrize("hash_", sorted(set(FAMILIES) - {"mips", "ranged"}))  # their codes do see lengths
@pytest.mark.parametrize("policy", ["fifo", "reservoir"])
def test_reinserting_moves_a_neuron_to_its_new_buckets(weights, rng, hash_, policy):
    made = index(weights, hash_=hash_, policy=policy)
    old = made.codes(weights[[17]])
    changed = weights.copy()
    changed[17] = np.abs(rng.standard_normal(24)) * -3 * weights[17]
    changed[3] *= 2  # these codes do not see lengths: neuron 3 stays
    made.reinsert(np.array([17, 3], np.int32), changed)
    new = made.codes(changed[[17]])
    assert (old != new).any()
    for before, after, was, now in zip(
        members(made, old), members(made, new), made.tables.locate(old)[:, 0], made.tables.locate(new)[:, 0],
        strict=True,
    ):  # fmt: skip
        assert was == now or 17 not in before
        assert policy == "reservoir" or 17 in after
    np.testing.assert_array_equal(made.tables.located, index(changed, hash_=hash_).tables.located)


def test_reinserting_nothing_changes_nothing(weights):
    made = index(weights)
    before = {k: v.copy() for k, v in made.state().items()}
    made.reinsert(np.zeros(0, np.int32), weights)
    assert_equal_arrays(made.state(), before)


def test_threads_do_not_matter(weights, rng):
    moved = rng.standard_normal(weights.shape).astype(np.float32)
    states = []
    for threads in THREADS:
        made = index(weights, threads=threads, policy="reservoir")
        made.reinsert(np.array([9, 4, 30], np.int32), moved)
        states.append(made.state())
    for state in states[1:]:
        assert_equal_arrays(state, states[0])


def test_a_saved_index_goes_on_where_it_was(weights, rng):
    schedule = RehashSchedule(N0=3, growth=0.2, renew_every=2)
    made, other = index(weights, schedule, policy="reservoir"), index(weights, schedule, policy="reservoir")
    for step in range(1, 12):
        made.maintain(step, weights)
    other.load_state({k: v.copy() for k, v in made.state().items()})
    assert other.family.config() == made.family.config()
    moved = rng.standard_normal(weights.shape).astype(np.float32)
    for step in range(12, 30):
        for each in (made, other):
            if not each.maintain(step, moved):
                each.reinsert(np.array([step, 1], np.int32), moved)
    assert_equal_arrays(made.state(), other.state())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("N0", v) for v in (0, -1, 1.5, "1", None, True)],
        *[("growth", v) for v in (-0.1, math.inf, math.nan, "1", None)],
        *[("renew_every", v) for v in (-1, 0.5, "1", None)],
    ],
)
def test_settings_of_a_schedule_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        RehashSchedule(**{name: value})
