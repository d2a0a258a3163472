"""What an index asks of a hash family: codes of queries and of weights, written where they belong, of some rows or all.

Families of a user's own do as the compiled ones do.
"""

import numpy as np
import pytest

from slide import RehashSchedule
from slide.hashing import MIPS, CrossPolytope, SimHash
from slide.index import LSHIndex
from slide.testing import check_hash_family
from tests.test_testing_families import Pairs


def make_index(cls, threads=1):
    return LSHIndex(lambda seed: cls(12, 3, 4, seed), 50, RehashSchedule(), 1, 16, "fifo", threads)


def test_queries_and_weights_may_be_hashed_differently():
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((50, 12)).astype(np.float32)
    index = make_index(MIPS)
    index.build(weights)
    family = index.family
    assert family.bound == pytest.approx(np.linalg.norm(weights, axis=1).max())
    np.testing.assert_array_equal(index.codes(weights), family.query_codes(weights))
    np.testing.assert_array_equal(index.tables.located, index.tables.locate(family.codes(weights)))
    other = make_index(MIPS)
    other.load_state(index.state())
    assert other.family.bound == family.bound


class Flipped(SimHash):
    """A built-in family with a `codes` of its own."""

    def codes(self, rows):
        return super().codes(rows) ^ 1


@pytest.mark.parametrize("cls", [Pairs, Flipped, SimHash, CrossPolytope, MIPS])
@pytest.mark.parametrize("at_once", [7, 1 << 15])
def test_codes_go_where_the_index_wants_them(cls, at_once, monkeypatch):
    monkeypatch.setattr("slide.hashing.base.OWN_ROWS", at_once)
    rng = np.random.default_rng(0)
    weights, changed = rng.standard_normal((2, 50, 12)).astype(np.float32)
    ids = rng.permutation(50)[:19].astype(np.int32)
    index = make_index(cls, threads=2)
    index.build(weights)
    expected = index.family.codes(weights)
    np.testing.assert_array_equal(index.tables.located, index.tables.locate(expected))
    for out in (np.zeros((4, 50), np.uint32).T, np.zeros((100, 12), np.uint32)[::2, ::3]):
        index.family.codes_into(weights, out)
        np.testing.assert_array_equal(out, expected)
        assert index.family.codes_taken(weights, ids, out=out[:19]).base is out.base
        np.testing.assert_array_equal(out[:19], expected[ids])
    expected[ids] = index.family.codes(changed)[ids]
    index.reinsert(ids, changed)
    np.testing.assert_array_equal(index.tables.located, index.tables.locate(expected))
    assert index.family.codes_taken(weights, ids[:0]).shape == (0, 4)


def test_codes_of_a_wrong_form_are_refused(monkeypatch):
    for codes in (np.zeros((50, 1), np.uint32), np.zeros((50, 4)), np.zeros((1, 4), np.uint32)):
        monkeypatch.setattr(Flipped, "codes", lambda self, rows, codes=codes: codes)
        with pytest.raises(ValueError, match=r"Flipped.codes: found .* expected uint32 \(50, 4\)"):
            make_index(Flipped).build(np.ones((50, 12), np.float32))


def test_mips_finds_long_weights_more_often():
    """Of two neurons at one angle to the input, the one of the larger inner product is found more often."""
    rng = np.random.default_rng(3)
    x, noise = rng.standard_normal((2, 64))
    direction = 0.8 * x / np.linalg.norm(x) + 0.6 * noise / np.linalg.norm(noise)
    weights = np.array([direction, 0.3 * direction], np.float32)
    family = MIPS(64, 1, 2000)
    family.fit(weights)
    found = (family.codes(weights) == family.query_codes(x[None].astype(np.float32))).mean(axis=1)
    expected = [family.collision_probability(family.similarity(w, x)) for w in weights]
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert found[0] > found[1] + 0.1


def test_cross_polytope_widths_are_powers_of_two():
    assert CrossPolytope(10, 2, 3, width=32).code_bits == 12
    for width in (0, 1, 3, 2.0):
        with pytest.raises(ValueError, match="width: found"):
            CrossPolytope(10, 2, 3, width=width)
    check_hash_family(CrossPolytope, dim=33, width=4)
