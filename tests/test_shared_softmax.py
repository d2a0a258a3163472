"""Softmaxes over active sets whose rows are shared out: each owner's part, put together, is the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slide import Sampled, reference
from slide._kernels import softmax
from slide.distributed.exchange import ALONE
from slide.distributed.ranks import merge
from slide.distributed.shares import interleaved
from slide.layers.weights import groups_of
from slide.rows import ActiveSet, offsets
from slide.sampling import TopK
from tests.conftest import THREADS
from tests.kernel_problems import SHAPES, problem, sixteenths
from tests.test_sampled_kernels import rows_of


def owned(active, weights, label_ptr, slots, group_size, owner, n_owners):
    """(active set, weights, label_ptr, slots, the places of its entries) of one owner: every n-th place of a group."""
    place = np.arange(len(active.ids)) - np.repeat(active.indptr[:-1], np.diff(active.indptr))
    mine = place % n_owners == owner
    indptr = np.concatenate([[0], np.cumsum(mine)])[active.indptr].astype(np.int64)
    of_samples = np.split(slots, label_ptr[1:-1])
    kept = [each[each % n_owners == owner] // n_owners for each in of_samples]
    own_slots = np.concatenate([*kept, slots[:0]]).astype(np.int32)
    return (
        ActiveSet(indptr, active.ids[mine]), weights[mine[: len(weights)]], offsets([len(each) for each in kept]),
        own_slots, np.flatnonzero(mine),
    )  # fmt: skip


def stages(rows, active, block, targets, threads):
    """What `open_rows` and `close_rows` take, of arrays full of NaN."""
    groups, n, lanes = groups_of(active, block), block.n, block.values.shape[1]
    delta, dx = np.full((len(active.ids), lanes), np.nan, np.float32), np.full_like(block.values, np.nan)
    work = np.full(softmax.work_size(groups, True, threads), np.nan, np.float32)
    loss, room = np.full(n, np.nan, np.float32), np.empty((threads, 0), np.float32)
    return rows, groups, targets, delta, dx, loss, work, room, threads


def check(shape, n_owners, weighted, threads):
    W, bias, active, block, label_ptr, slots = problem(*shape, False, sixteenths)
    rng = np.random.default_rng(shape[0])
    weights = rng.choice([1.0, 7.5], len(active.ids) * weighted).astype(np.float32)
    counts, n = np.diff(label_ptr), len(label_ptr) - 1
    scale = rng.choice([0.5, 1.0, 2.0], n).astype(np.float32)
    held, inputs = (block.group_size, scale, 0.2), (block.indptr, block.ids, block.values)
    want = reference.softmax_rows(W, bias, active.indptr, active.ids, *inputs, weights, label_ptr, slots, *held)
    parts = [owned(active, weights, label_ptr, slots, block.group_size, i, n_owners) for i in range(n_owners)]
    opened, given = [], []
    for own, own_weights, own_ptr, own_slots, _ in parts:
        targets = softmax.Targets(own_ptr, own_slots, counts, own_weights, *held)
        arguments = stages(rows_of(W, bias), own, block, targets, threads)
        sums, mass = np.full((3, n), np.nan, np.float32), np.full(len(active), np.nan, np.float32)
        softmax.open_rows(*arguments, sums, mass)
        place = W, bias, own.indptr, own.ids, *inputs, own_weights, own_ptr, own_slots, block.group_size
        for got, twin in zip((sums, mass), reference.open_rows(*place), strict=True):
            np.testing.assert_allclose(got, twin, rtol=1e-5, atol=1e-5)
        given.append((arguments, place))
        opened.append(np.concatenate([*sums, mass]))
    *sums, mass = merge(np.stack(opened), n, [n, len(active)])
    delta, dx = np.zeros_like(want[0]), np.zeros_like(want[1])
    for (arguments, place), (*_, where) in zip(given, parts, strict=True):
        softmax.close_rows(*arguments, np.stack(sums), mass)
        own_delta, own_dx, loss = arguments[3:6]
        twin = reference.close_rows(*place, counts, scale, 0.2, np.stack(sums), mass)
        for got, expected in zip((own_delta, own_dx, loss), twin, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
        delta[where], dx = own_delta, dx + own_dx
        np.testing.assert_allclose(loss, want[2], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(delta, want[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dx, want[1], rtol=1e-5, atol=1e-5)


@given(SHAPES, st.sampled_from([1, 2, 5]), st.booleans(), st.sampled_from(THREADS))
def test_owners_of_rows_put_together_are_the_whole(shape, n_owners, weighted, threads):
    check(shape, n_owners, weighted, threads)


def test_every_instruction_set(simd):
    for group_size in (1, 16, 32):
        check((3, 70, 24, 500, group_size), 3, True, 2)


def test_shares_of_active_sets_add_up():
    spec = Sampled(1003, active=101, min_active=407)
    shares = [spec.shared(lambda n, rank=rank: (n - rank + 6) // 7) for rank in range(7)]
    for name, whole in (("n_neurons", 1003), ("active", 101), ("min_active", 407)):
        assert sum(getattr(share, name) for share in shares) == whole
    assert Sampled(9, sampler=TopK(active=4), min_active=0).shared(lambda n: n // 2).sampler == TopK(active=2)
    assert Sampled(9, active=1).shared(lambda n: n // 2).active == 1


@pytest.mark.parametrize("n", [1, 2, 7, 12])
def test_rows_of_ranks_are_interleaved(n):
    whole = np.arange(2 * n).reshape(n, 2)
    for size in range(1, n + 1):
        np.testing.assert_array_equal(interleaved([whole[rank::size] for rank in range(size)]), whole)


def test_a_world_of_one_changes_nothing():
    x = np.arange(3, dtype=np.float32)
    assert ALONE.sum(x) is None and x.tolist() == [0, 1, 2]
    assert ALONE.own(x) is x and ALONE.once(x) is x and ALONE.normalise(x, x, x) == (x, x, x)
    assert (ALONE.count(5), ALONE.total(5), ALONE.seed(5), ALONE.any([]), ALONE.same(5)) == (5, 5, 5, False, 5)
