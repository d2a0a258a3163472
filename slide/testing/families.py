"""Whether a hash family keeps its contract (slide.hashing.HashFamily)."""

import pickle
import warnings
from typing import Any

import numpy as np
import scipy.sparse

from slide.hashing import ABSENT, HashFamily
from slide.settings.checks import check_integer
from slide.testing.statistics import check_collisions

METHODS = ("codes", "query_codes")


def check_hash_family(cls: type[HashFamily], dim: int = 48, K: int = 2, L: int = 5, **options: Any) -> None:
    """Raises AssertionError where a hash family breaks its contract, saying what is wrong and why it matters.

    Checked are: shape, dtype and range of the codes; that they follow from the seed and the row alone, however it
    comes (alone or in a batch, dense or sparse, on any number of threads), and are the same from a family made again
    from its `config()`; rows of zeros, no rows, NaN, input that is read-only; `codes_reference` where there is one;
    that similar rows collide more often; and the formula, where there are `similarity` and `collision_probability`.
    `query_codes` is held to the same. All draws are fixed: a family that passes once passes always.

    Parameters
    ----------
    cls : type
        A subclass of `slide.hashing.HashFamily`.
    dim, K, L : int
        What it is constructed with, besides seeds. K and L are small to be quick; the collisions are measured with K =
        1.
    **options
        Other keywords of its constructor.

    Raises
    ------
    AssertionError
        Where the contract is broken.
    """
    _check_class(cls)
    family = _construct(cls, dim, K, L, 0, options)
    rows = example_rows(dim)
    family.fit(rows)
    for method in METHODS if overrides(cls, "query_codes") else METHODS[:1]:
        hashed = Hashed(cls.__name__, family, method)
        expected = _check_codes(hashed, rows)
        _check_batches(hashed, rows, expected)
        _check_forms(hashed, rows, expected)
        _check_threads(hashed, rows, expected)
        _check_edges(hashed, rows, expected)
        _check_again(hashed, rows, expected)
        _check_seed(hashed, rows, expected, lambda: _construct(cls, dim, K, L, 1, options))
    if hasattr(cls, "codes_reference"):
        _check_reference(cls.__name__, family, rows)
    check_collisions(lambda tables, seed: _construct(cls, dim, 1, tables, seed, options), dim)


def overrides(cls, method):
    return getattr(cls, method) is not getattr(HashFamily, method)


def example_rows(dim):
    """float32 rows: dense, of a ReLU, with ties, mostly zero, all zero."""
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((40, dim))
    sparse = np.where(rng.random((20, dim)) < 0.1, rng.standard_normal((20, dim)), 0)
    ties = rng.integers(-2, 3, (20, dim))
    return np.concatenate([normal, np.maximum(normal[:10], 0), ties, sparse, np.zeros((2, dim))]).astype(np.float32)


class Hashed:
    """One of a family's two ways to hash, its name for messages, and what must hold of any result."""

    def __init__(self, name, family, method):
        self.family, self.what, self.method = family, f"{name}.{method}", method

    def __call__(self, rows, family=None):
        return getattr(family or self.family, self.method)(rows)

    def equal(self, found, expected, why):
        unequal = np.argwhere(found != expected)
        if len(unequal):
            row, table = unequal[0]
            raise AssertionError(
                f"{self.what}: {why}: row {row} has code {found[row, table]} in table {table}, "
                f"expected {expected[row, table]} ({len(unequal)} of {found.size} codes differ)"
            )

    def well_formed(self, found, n):
        family, what = self.family, self.what
        if not isinstance(found, np.ndarray):
            raise AssertionError(f"{what}: found {type(found).__name__}, expected a NumPy array")
        expected = (n, family.L)
        if found.shape != expected:
            raise AssertionError(f"{what}: found shape {found.shape} for {n} rows, expected (n, L) = {expected}")
        if found.dtype != np.uint32:
            raise AssertionError(f"{what}: found dtype {found.dtype}, expected uint32")
        bits = family.K * family.bits_per_hash
        most = int(found[found != ABSENT].max(initial=0))
        if most >= 2**bits:
            raise AssertionError(
                f"{what}: found code {most}, expected codes below 2**(K * bits_per_hash) = {2**bits}: "
                "buckets beyond that do not exist"
            )


def _check_class(cls):
    if not (isinstance(cls, type) and issubclass(cls, HashFamily)):
        raise AssertionError(
            f"found {cls!r}, expected a subclass of slide.hashing.HashFamily (the class, not an instance)"
        )


def _construct(cls, dim, K, L, seed, options):
    family, name = cls(dim, K, L, seed=seed, **options), cls.__name__
    for key, value in (("dim", dim), ("K", K), ("L", L), ("seed", seed)):
        found = getattr(family, key, None)
        if found != value:
            raise AssertionError(
                f"{name}: found {key} = {found!r} after {name}({dim}, {K}, {L}, seed={seed}), expected {value}: "
                "the constructor must call super().__init__(dim, K, L, seed)"
            )
    try:
        check_integer("bits_per_hash", family.bits_per_hash, 1, 31)
    except ValueError as error:
        raise AssertionError(f"{name}: {error}") from None
    return family


def _check_codes(hashed, rows):
    """Codes of `rows`, sound in form and the same at the second call; the input is left as it was."""
    before = rows.copy()
    rows.setflags(write=False)
    try:
        found = hashed(rows)
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise AssertionError(f"{hashed.what}: wrote to read-only rows: work on a copy ({error})") from error
    hashed.well_formed(found, len(rows))
    writable = before.copy()
    again = hashed(writable)
    if not np.array_equal(writable, before):
        raise AssertionError(f"{hashed.what}: changed the rows that it was given: work on a copy")
    hashed.equal(again, found, "two calls with the same rows differ (randomness must come from the seed alone)")
    return found


def _check_batches(hashed, rows, expected):
    why = "the code of a row depends on the rows beside it"
    alone = np.concatenate([hashed(rows[i : i + 1]) for i in range(len(rows))])
    hashed.equal(alone, expected, f"{why} (one row at a time, and all at once)")
    hashed.equal(hashed(rows[::-1])[::-1], expected, f"{why} (in reverse order)")


def _check_forms(hashed, rows, expected):
    csr = scipy.sparse.csr_matrix(rows)
    wide = scipy.sparse.csr_matrix(rows)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    sparsest = csr[-12:]
    for form in (csr, wide, scipy.sparse.csr_array(rows)):
        found = _survives(hashed, form, "sparse rows (begin with rows = self.dense(rows))")
        hashed.well_formed(found, len(rows))
        hashed.equal(found, expected, "dense and sparse rows disagree (begin with rows = self.dense(rows))")
    hashed.equal(hashed(sparsest), expected[-12:], "dense and sparse rows disagree")
    padded = np.zeros((2 * len(rows), 2 * rows.shape[1]), np.float32)
    padded[::2, ::2] = rows
    for form in (rows.astype(np.float64), np.asfortranarray(rows), padded[::2, ::2]):
        hashed.equal(hashed(form), expected, "the dtype or memory layout of the rows changes their codes")


def _check_threads(hashed, rows, expected):
    before = hashed.family.threads
    for hashed.family.threads in (1, 2, 8):
        hashed.equal(hashed(rows), expected, f"the codes depend on threads (here {hashed.family.threads})")
    hashed.family.threads = before


def _check_edges(hashed, rows, expected):
    """No rows, rows of zeros alone, and values that are not finite."""
    empty = np.zeros((0, rows.shape[1]), np.float32)
    for form in (empty, scipy.sparse.csr_matrix(empty)):
        hashed.well_formed(_survives(hashed, form, "no rows"), 0)
    zeros = scipy.sparse.csr_matrix((3, rows.shape[1]), dtype=np.float32)
    found = _survives(hashed, zeros, "sparse rows without values")
    hashed.equal(found, np.repeat(expected[-1:], 3, axis=0), "dense and sparse rows of zeros disagree")
    special = rows.copy()
    special[::4, ::3] = np.array([np.nan, np.inf, -np.inf], np.float32)[np.arange(len(special[::4])) % 3, None]
    special[4] = np.nan
    found = _survives(hashed, special, "rows with NaN and infinities")
    hashed.well_formed(found, len(rows))
    finite = np.isfinite(special).all(axis=1)
    hashed.equal(found[finite], expected[finite], "NaN in some rows changes the codes of others")


def _survives(hashed, rows, what):
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return hashed(rows)
    except Exception as error:
        raise AssertionError(f"{hashed.what}: fails on {what}: {type(error).__name__}: {error}") from error


def _check_again(hashed, rows, expected):
    """Made again from its settings and what it was fitted to, as loading a network does."""
    family = hashed.family
    copies = {"cls(**config())": lambda: type(family)(**family.config()), "pickling": lambda: _pickled(family)}
    for how, make in copies.items():
        try:
            twin = make()
            twin.load_state(family.state())
            found = hashed(rows, twin)
        except Exception as error:
            raise AssertionError(
                f"{hashed.what}: {how} fails: {type(error).__name__}: {error} (name the constructor's own arguments in "
                "`options`, keep them as attributes of these names, and what fit() learns in state())"
            ) from error
        why = "gives other codes (are all arguments in `options`, and what fit() learns in state()?)"
        hashed.equal(found, expected, f"{how} {why}")


def _pickled(family):
    try:
        return pickle.loads(pickle.dumps(family))
    except (pickle.PicklingError, AttributeError):  # a class within a function
        return type(family)(**family.config())


def _check_seed(hashed, rows, expected, make_other):
    other = make_other()
    other.fit(rows)
    if not (hashed(rows, other) != expected).any():
        raise AssertionError(
            f"{hashed.what}: seeds 0 and 1 give the same codes: the seed is ignored, so that "
            "new hash functions would be the old ones"
        )


def _check_reference(name, family, rows):
    hashed = Hashed(name, family, "codes")
    found = np.asarray(family.codes_reference(rows))
    if found.shape != (len(rows), family.L):
        raise AssertionError(f"{name}.codes_reference: found shape {found.shape}, expected (n, L)")
    hashed.equal(hashed(rows), found, "codes and codes_reference disagree")
