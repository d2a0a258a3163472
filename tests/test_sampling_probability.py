"""The probability that a sampler retrieves a neuron is that of its formula: frequencies over many draws of codes.

Codes are drawn, as if by hash functions that were independent; `test_a_familys_formula_and_a_samplers_together` draws
real ones.
"""

import numpy as np
import pytest
from scipy.stats import chi2

from slide.hashing import FAMILIES
from slide.sampling import Full, Sampler, Threshold, TopK, Uniform, Vanilla
from slide.tables import HashTables

L, TRIALS = 6, 1500
P = np.array([0.05, 0.2, 0.4, 0.7, 0.95])  # of the watched neurons, numbers 0, 1, ...


def draws(n, fixed, watched=P):
    """Codes (n, L) of TRIALS draws: watched neurons are in bucket 0 with probability P, the others where `fixed` is."""
    rng, always = np.random.default_rng(20), np.full((n, L), 1, np.uint32)
    for neuron, tables in fixed.items():
        always[neuron, tables] = 0
    for _ in range(TRIALS):
        codes = always.copy()
        codes[: len(watched)] = rng.random((len(watched), L)) >= watched[:, None]
        yield codes


def frequencies(sampler, n, fixed, watched=P):
    """(shares (watched,), what was observed in each trial where the first watched neuron was retrieved)."""
    found, observed = np.zeros(len(watched)), []
    query, tables = np.zeros((1, L), np.uint32), HashTables(n, L, code_bits=1, threads=1)
    for step, codes in enumerate(draws(n, fixed, watched), 1):
        tables.build(codes)
        ids = sampler.sample(tables, query, 1, 1, n, 5, step, 1)[0]
        found[ids[ids < len(watched)]] += 1
        if 0 in ids:
            observed.append(sampler.observe(tables, query, n, 5, step)[0])
    return found / TRIALS, observed


def agrees(shares, p, trials=TRIALS):
    """Chi-square over independent neurons, at 0.9999; draws are fixed, so that it does not flake."""
    inside = trials * p * (1 - p) > 3  # with fewer expected, a count is no normal variable
    if np.abs(shares - p)[~inside].max(initial=0) > 0.005:
        return False
    z2 = (shares - p)[inside] ** 2 / (p * (1 - p) / trials)[inside]
    return z2.sum() < chi2.ppf(0.9999, inside.sum())


def test_vanilla_without_a_limit_finds_what_any_table_holds():
    sampler = Vanilla()
    shares, observed = frequencies(sampler, len(P), {})
    assert set(observed) <= {L}
    assert agrees(shares, sampler.probability(P, L))
    np.testing.assert_allclose(sampler.probability(P, L), 1 - (1 - P) ** L)


@pytest.mark.slow
@pytest.mark.parametrize("tau", [1, 2, 4])
def test_vanilla_that_ends_after_tau_tables_finds_what_those_hold(tau):
    """30 neurons of each table, behind the watched ones in its bucket, end the visit in table number tau."""
    n = len(P) + 30 * L
    fixed = {len(P) + 30 * t + i: [t] for t in range(L) for i in range(30)}
    sampler = Vanilla(active=30 * (tau - 1) + 15)
    shares, observed = frequencies(sampler, n, fixed)
    assert set(observed) == {tau}
    assert agrees(shares, sampler.probability(P, L, n, observed=tau))
    assert not agrees(shares, P**tau * (1 - P) ** (L - tau)), "the paper's formula is another one"


@pytest.mark.slow
@pytest.mark.parametrize("m", [1, 2, 4])
def test_threshold_finds_what_collides_often_enough(m):
    sampler = Threshold(None, m)
    shares, observed = frequencies(sampler, len(P), {})
    assert set(observed) <= {m}
    assert agrees(shares, sampler.probability(P, L))


@pytest.mark.slow
@pytest.mark.parametrize("p", P[1:])
@pytest.mark.parametrize("sampler", [TopK(2), Threshold(2, m=2)], ids=repr)
def test_a_neuron_beyond_the_limit_must_beat_those_before_it(sampler, p):
    """One neuron is in three tables and found first, one in all: to be among two, another must be in four."""

    watched = np.array([p])
    n, fixed = 3, {1: [0, 1, 2], 2: list(range(L))}
    found, needed = 0, set()
    query, tables = np.zeros((1, L), np.uint32), HashTables(n, L, code_bits=1, threads=1)
    for step, codes in enumerate(draws(n, fixed, watched), 1):
        tables.build(codes[[1, 2, 0]])
        if 2 in sampler.sample(tables, query, 1, 1, n, 5, step, 1)[0]:
            found += 1
            needed.add(int(sampler.observe(tables, query, n, 5, step)[0]))
    assert needed <= {4}
    assert agrees(np.array([found / TRIALS]), sampler.probability(watched, L, n, observed=4))


def test_topk_without_a_limit_is_vanilla():
    np.testing.assert_allclose(TopK().probability(P, L), Vanilla().probability(P, L))


def test_uniform_and_full_do_not_look_at_the_input():
    assert Full().probability(0.3) == 1 and Uniform(5).probability(0.3, None, 20) == 0.25
    assert Uniform(50).probability(P, None, 20).tolist() == [1.0] * len(P)
    n, sampler = 10, Uniform(3)
    ids = sampler.sample(None, None, 4000, 1, n, 1, 1).ids
    # Draws without replacement vary less than independent ones.
    assert agrees(np.bincount(ids, minlength=n) / 4000, sampler.probability(np.ones(n), None, n), 4000)


def test_the_count_that_was_needed_by_hand():
    tables = HashTables(4, 3, 1, threads=1)
    tables.build(np.array([[0, 0, 1], [0, 0, 0], [1, 0, 1], [0, 1, 1]]))  # counts 2, 3, 1, 1 of codes 0
    query = np.zeros((1, 3), np.uint32)
    for active, needed in ((None, 1), (4, 1), (3, 1), (2, 2), (1, 3)):
        assert TopK(active).observe(tables, query, 4, 0, 0).tolist() == [needed]
    assert Threshold(1, 3).observe(tables, query, 4, 0, 0).tolist() == [3]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(FAMILIES) - {"ranged"}))  # which has no formula
@pytest.mark.parametrize("sampler", [Vanilla(), Threshold(None, 2)], ids=repr)
def test_a_familys_formula_and_a_samplers_together(name, sampler):
    """Weights at one similarity to the input, retrieved as often as the family's formula and the sampler's say."""
    dim, K, n_tables, n_draws = 96, 2, 4, 300
    rng = np.random.default_rng(8)
    weights = rng.standard_normal((1, dim)).astype(np.float32)
    x = (0.8 * weights + 0.6 * rng.standard_normal((1, dim))).astype(np.float32)
    found = 0
    for seed in range(n_draws):
        family = FAMILIES[name](dim, K, n_tables, seed=seed)
        family.fit(weights)
        tables = HashTables(1, n_tables, family.code_bits, range_bits=min(family.code_bits, 12), threads=1)
        tables.build(family.codes(weights))
        found += len(sampler.sample(tables, family.query_codes(x), 1, 1, 1, seed, 1, 1).ids)
    p = sampler.probability(family.bucket_probability(family.similarity(weights[0], x[0])), n_tables)
    assert abs(found / n_draws - p) < 4 * np.sqrt(p * (1 - p) / n_draws) + 0.02


def test_what_has_no_formula_says_so():
    with pytest.raises(NotImplementedError, match="Sampler: found no probability"):
        Sampler().probability(P, L)
    with pytest.raises(ValueError, match="L: found None"):
        Vanilla().probability(P)
