"""How often the hashes of a family agree: more often on more similar rows, and as often as its formula says."""

import numpy as np

from slide.hashing import HashFamily

TABLES, PAIRS, SEEDS = 128, 24, 3
CORRELATIONS = (0.0, 0.5, 0.9)


def check_collisions(make, dim) -> None:
    """make(L, seed) is a family of K = 1. Raises AssertionError; draws are fixed."""
    shares = np.array([_shares(make(TABLES, seed), dim) for seed in range(SEEDS)])  # (seeds, correlations, pairs)
    name = type(make(1, 0)).__name__
    _check_rising(name, shares.mean(axis=0))
    _check_theory(name, make(TABLES, 0), dim, shares)


def pairs(dim, correlation):
    """(PAIRS, dim) rows and their partners, standard normal with that correlation."""
    rng = np.random.default_rng(int(1000 * correlation) + 1)
    x, noise = rng.standard_normal((2, PAIRS, dim))
    return x.astype(np.float32), (correlation * x + np.sqrt(1 - correlation**2) * noise).astype(np.float32)


def _shares(family, dim):
    """(correlations, PAIRS): the share of tables in which a row and its partner, as a query, agree."""
    family.fit(np.concatenate([pairs(dim, correlation)[0] for correlation in CORRELATIONS]))
    shares = []
    for correlation in CORRELATIONS:
        x, y = pairs(dim, correlation)
        shares.append((family.codes(x) == family.query_codes(y)).mean(axis=1))
    return shares


def _check_rising(name, shares):
    """The means over pairs, apart by four standard errors of their differences over pairs, and by 1 %."""
    means = shares.mean(axis=1)
    found = ", ".join(f"{mean:.3f} at {c}" for mean, c in zip(means, CORRELATIONS, strict=True))
    errors = shares.std(axis=1) / np.sqrt(PAIRS)
    for low, high in ((0, 1), (1, 2), (0, 2)):
        apart = 4 * np.hypot(errors[low], errors[high]) + 0.01
        # The first step is small for sharp families: there it is enough not to fall.
        needed = -apart if (low, high) == (0, 1) else apart
        if not means[high] - means[low] > needed:
            raise AssertionError(
                f"{name}: similar rows do not collide more often: pairs of rows agree in a share of tables (K=1) of "
                f"{found} (their correlation): the tables would find neurons at random"
            )


def _check_theory(name, family, dim, shares):
    cls = type(family)
    if any(getattr(cls, m) is getattr(HashFamily, m) for m in ("similarity", "collision_probability")):
        return
    family.fit(np.concatenate([pairs(dim, correlation)[0] for correlation in CORRELATIONS]))
    for i, correlation in enumerate(CORRELATIONS):
        expected = np.array([
            float(family.collision_probability(family.similarity(x, y)))
            for x, y in zip(*pairs(dim, correlation), strict=True)
        ])  # fmt: skip
        if not ((expected >= 0) & (expected <= 1)).all():
            raise AssertionError(
                f"{name}.collision_probability: found {expected.min():.4g} to {expected.max():.4g}, expected 0 to 1"
            )
        measured = shares[:, i].mean()
        # Hashes of one family may depend on each other a little: a hundredth is allowed beyond chance.
        apart = 5 * np.sqrt(expected.mean() * (1 - expected.mean()) / shares[:, i].size / TABLES) + 0.01
        if not abs(measured - expected.mean()) <= apart:
            raise AssertionError(
                f"{name}: collision_probability and the codes disagree: pairs of correlation {correlation} agree in a "
                f"share of {measured:.4f} of {shares[:, i].size * TABLES} hashes, "
                f"expected {expected.mean():.4f} within {apart:.4f}"
            )
