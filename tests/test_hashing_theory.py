"""Two rows collide as often as their family's own formula says, over many independent hashes."""

import itertools

import numpy as np
import pytest

from slide.hashing import DWTA, FAMILIES, WTA, MinHash, SimHash
from tests.test_hashing import COMPILED

N_HASHES = 20_000


def pair(dim, blend, density=1.0, seed=0, relu=False):
    """Two vectors with correlation near `blend`."""
    rng = np.random.default_rng(seed)
    x, noise = rng.standard_normal((2, dim))
    y = blend * x + np.sqrt(1 - blend**2) * noise
    x, y = (np.where(rng.random(dim) < density, v, 0) for v in (x, y))
    rows = np.array([x, y], np.float32)
    return np.maximum(rows, 0) if relu else rows


def frequency(family, rows):
    codes = family.codes(rows)
    return (codes[0] == codes[1]).mean()


def close(measured, p, n=N_HASHES, slack=0.0):
    """Within 4 standard errors of a binomial share (and `slack`)."""
    return abs(measured - p) <= 4 * np.sqrt(max(p * (1 - p), 1 / n) / n) + slack


@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.parametrize("blend", [-0.5, 0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("relu", [False, True])
def test_dense_rows_collide_by_the_formula(name, blend, relu):
    rows = pair(128, blend, relu=relu)
    family = FAMILIES[name](128, 1, N_HASHES, seed=7)
    p = family.collision_probability(family.similarity(*rows))
    # Ternary projections follow the cosine law only approximately at 43 terms.
    assert close(frequency(family, rows), p, slack=0.005 if name == "simhash" else 0.0)


@pytest.mark.parametrize(
    "family", [DWTA(2000, 1, N_HASHES, bin_size=16), MinHash(2000, 1, N_HASHES, top_k=100)], ids=repr
)
@pytest.mark.parametrize("density", [0.03, 0.1, 0.5])
@pytest.mark.parametrize("blend", [0.5, 0.95])
def test_sparse_rows_collide_by_the_formula(family, density, blend):
    x = pair(2000, blend, seed=1)
    rows = np.where(np.random.default_rng(2).random(2000) < density, x, 0)
    rows[1, :200] *= np.random.default_rng(3).random(200) < 0.5
    p = family.collision_probability(family.similarity(*rows))
    # Borrowed codes repeat the donor bin's, so hashes are not quite independent.
    assert close(frequency(family, rows), p, slack=0.005)


@pytest.mark.parametrize("family", [DWTA, MinHash])
def test_no_seed_has_all_empty_bins_borrow_from_the_same(family):
    """Rows with 100 of 10,000 coordinates and 30 of them in common: the tables of no seed find most of them."""
    rng, rows = np.random.default_rng(0), np.zeros((2, 100, 10_000), np.float32)
    for x, y in zip(*rows, strict=True):
        ids = rng.permutation(10_000)[:170]
        x[ids[:100]], y[ids[70:]] = rng.uniform(0.1, 1, (2, 100))
        y[ids[70:100]] = x[ids[70:100]]
    for seed in range(14):
        x, y = (family(10_000, 5, 50, seed=seed).codes(side) for side in rows)
        assert (x == y).any(axis=1).mean() < 0.4, seed


@pytest.mark.parametrize("K, L", [(2, 5), (4, 3)])
@pytest.mark.parametrize("name", COMPILED)
def test_buckets_and_tables_follow_from_single_hashes(name, K, L):
    rows = pair(128, 0.9)
    n_families = 1500
    family = FAMILIES[name](128, K, L * n_families, seed=3)
    codes = family.codes(rows)
    equal = (codes[0] == codes[1]).reshape(n_families, L)
    similarity = family.similarity(*rows)
    assert close(equal.mean(), family.bucket_probability(similarity), equal.size, slack=0.005)
    family.L = L
    assert close(equal.any(axis=1).mean(), family.retrieval_probability(similarity), n_families, slack=0.01)


@pytest.mark.parametrize(
    "family", [WTA(7, 1, 1, bin_size=3), DWTA(7, 1, 1, bin_size=3), WTA(2, 1, 1, bin_size=8)], ids=repr
)
def test_wta_similarity_counts_ordered_bins(family):
    """Against a count of every ordered bin, ties included."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        x, y = rng.integers(1, 4, (2, family.dim)).astype(np.float32)
        bins = [list(bin_) for bin_ in itertools.permutations(range(family.dim), family.width)]
        share = np.mean([x[bin_].argmax() == y[bin_].argmax() for bin_ in bins])
        assert family.similarity(x, y) == pytest.approx(share)


@pytest.mark.parametrize("name", COMPILED)
def test_equal_rows_always_collide_and_curves_rise(name):
    family = FAMILIES[name](64, 1, 1)
    x, zero = pair(64, 0.0)[0], np.zeros(64)
    assert family.similarity(x, x) == pytest.approx(1)
    assert family.similarity(zero, zero) == pytest.approx(1)
    assert family.collision_probability(1.0) == pytest.approx(1)
    curve = family.collision_probability(np.linspace(0, 1, 11))
    assert curve.shape == (11,) and (np.diff(curve) > 0).all()


def test_each_projection_takes_a_third_of_the_coordinates():
    for dim, taken in ((1, 1), (2, 1), (128, 43), (300, 100)):
        family = SimHash(dim, 3, 20)
        assert family._indices.shape == (60, taken)
        assert (np.diff(family._indices, axis=1) > 0).all()
    assert 0.45 < (family._signs > 0).mean() < 0.55


def test_permutations_use_every_coordinate_once():
    family = WTA(128, 6, 8)
    for permutation in family._bins.reshape(3, 128):
        assert sorted(permutation) == list(range(128))
