"""check_hash_family: sound families pass, and every way to break one is named."""

import numpy as np
import pytest
import scipy.sparse

from slide.hashing import DWTA, FAMILIES, HashFamily, MinHash, SimHash
from slide.testing import check_hash_family


class Pairs(HashFamily):
    """Which of two random coordinates is the larger: sound, and short enough to break."""

    def __init__(self, dim, K, L, seed=0):
        super().__init__(dim, K, L, seed)
        self.left, self.right = np.random.default_rng(seed).integers(0, dim, (2, K * L))

    def codes(self, rows):
        return self.hashed(self.dense(rows))

    def hashed(self, rows):
        return self.pack(rows[:, self.left] > rows[:, self.right])


@pytest.mark.parametrize("family", [*FAMILIES.values(), Pairs], ids=lambda f: f.__name__)
def test_sound_families_pass(family):
    check_hash_family(family)


@pytest.mark.parametrize(
    "family, settings",
    [
        (DWTA, dict(bin_size=4)), (DWTA, dict(dim=131, K=5, L=20)), (MinHash, dict(dim=64, bits=1, top_k=5)),
        (SimHash, dict(K=9, L=50, dim=128)), (Pairs, dict(dim=20, K=8, L=3)),
    ],
)  # fmt: skip
def test_sound_families_pass_with_other_options_and_shapes(family, settings):
    check_hash_family(family, **settings)


class Int64(Pairs):
    def codes(self, rows):
        return super().codes(rows).astype(np.int64)


class NotAnArray(Pairs):
    def codes(self, rows):
        return super().codes(rows).tolist()


class Transposed(Pairs):
    def codes(self, rows):
        return super().codes(rows).T


class OutOfRange(Pairs):
    def codes(self, rows):
        return super().codes(rows) << np.uint32(3)


class NoSuper(Pairs):
    def __init__(self, dim, K, L, seed=0):
        self.left, self.right = np.random.default_rng(seed).integers(0, dim, (2, K * L))


class SeedIgnored(Pairs):
    def __init__(self, dim, K, L, seed=0):
        super().__init__(dim, K, L, 0)
        self.seed = seed


class TrulyRandom(Pairs):
    def codes(self, rows):
        noise = np.random.default_rng().standard_normal((rows.shape[0], self.dim))
        return self.hashed(self.dense(rows) + noise.astype(np.float32))


class Centred(Pairs):
    """Subtracts the mean of the batch."""

    def hashed(self, rows):
        return super().hashed(rows - rows.mean(axis=0) if len(rows) else rows)


class Ordered(Pairs):
    """The last row of a batch is hashed otherwise, whatever it is, unless it is alone."""

    def hashed(self, rows):
        codes = super().hashed(rows)
        codes[1:-1:2] ^= 1
        return codes


class InPlace(Pairs):
    def hashed(self, rows):
        rows -= 1
        return super().hashed(rows)


class InPlaceIfItMay(Pairs):
    def hashed(self, rows):
        if rows.flags.writeable:
            rows += 1
        return super().hashed(rows)


class DenseOnly(Pairs):
    def codes(self, rows):
        return self.hashed(np.asarray(rows, np.float32).reshape(-1, self.dim))


class SparseOtherwise(Pairs):
    def codes(self, rows):
        sparse = scipy.sparse.issparse(rows)
        return self.hashed(abs(self.dense(rows)) if sparse else self.dense(rows))


class DoubleOtherwise(Pairs):
    def codes(self, rows):
        if not scipy.sparse.issparse(rows) and rows.dtype == np.float64:
            rows = -rows
        return super().codes(rows)


class ByThreads(Pairs):
    def hashed(self, rows):
        return super().hashed(rows if (self.threads or 1) < 8 else -rows)


class FailsOnNothing(Pairs):
    def hashed(self, rows):
        return super().hashed(rows if rows.max() > 0 else 2 * rows)


class FailsOnNaN(Pairs):
    def hashed(self, rows):
        if np.isnan(rows).any():
            raise ValueError("NaN")
        return super().hashed(rows)


class SpreadsNaN(Pairs):
    def hashed(self, rows):
        return super().hashed(np.where(np.isnan(rows.sum()), 0, rows))


class ForgetsOptions(Pairs):
    def __init__(self, dim, K, L, seed=0, shift=0):
        super().__init__(dim, K, L, seed)
        self.left = (self.left + shift) % dim


class Required(Pairs):
    def __init__(self, dim, K, L, seed=0, *, shift):
        super().__init__(dim, K, L, seed)


class ForgetsFit(Pairs):
    mean = 0

    def fit(self, rows):
        self.mean = rows.mean(axis=0)

    def hashed(self, rows):
        return super().hashed(rows - self.mean)


class OtherReference(Pairs):
    def codes_reference(self, rows):
        return self.codes(rows) ^ 1


class Dissimilar(Pairs):
    """Codes of the coordinates' last bits: as good as random."""

    def hashed(self, rows):
        bits = np.ascontiguousarray(rows).view(np.uint32)
        return self.pack((bits[:, self.left] * np.uint32(2654435761) >> np.uint32(30)) & 1)


class Reversed(Pairs):
    """Queries are turned round: the more alike, the less they collide."""

    def query_codes(self, rows):
        return self.hashed(-self.dense(rows))


class BadQueries(Pairs):
    def query_codes(self, rows):
        return self.codes(rows)[:, :1]


class WrongTheory(SimHash):
    def collision_probability(self, similarity):
        return super().collision_probability(similarity) ** 2


class NoProbability(SimHash):
    def collision_probability(self, similarity):
        return 1 + np.asarray(similarity)


class WideHash(Pairs):
    bits_per_hash = 0


BROKEN = [
    (Int64, {}, "codes: found dtype int64, expected uint32"),
    (NotAnArray, {}, "codes: found list, expected a NumPy array"),
    (Transposed, {}, r"codes: found shape \(5, \d+\) for \d+ rows, expected \(n, L\)"),
    (OutOfRange, {}, r"codes: found code \d+, expected codes below 2\*\*\(K \* bits_per_hash\) = 4"),
    (NoSuper, {}, r"NoSuper: found dim = None .* must call super\(\).__init__\(dim, K, L, seed\)"),
    (SeedIgnored, {}, "codes: seeds 0 and 1 give the same codes: the seed is ignored"),
    (TrulyRandom, {}, "codes: two calls with the same rows differ"),
    (Centred, {}, r"codes: the code of a row depends on the rows beside it \(one row"),
    (Ordered, {}, "codes: the code of a row depends on the rows beside it"),
    (InPlace, {}, "codes: wrote to read-only rows: work on a copy"),
    (InPlaceIfItMay, {}, "codes: changed the rows that it was given"),
    (DenseOnly, {}, "codes: fails on sparse rows .*self.dense"),
    (SparseOtherwise, {}, "codes: dense and sparse rows disagree"),
    (DoubleOtherwise, {}, "codes: the dtype or memory layout of the rows changes their codes"),
    (ByThreads, {}, r"codes: the codes depend on threads \(here 8\)"),
    (FailsOnNothing, {}, "codes: fails on no rows: ValueError"),
    (FailsOnNaN, {}, "codes: fails on rows with NaN and infinities: ValueError: NaN"),
    (SpreadsNaN, {}, "codes: NaN in some rows changes the codes of others"),
    (ForgetsOptions, {"shift": 3}, r"codes: cls\(\*\*config\(\)\) gives other codes \(are all arguments in `options`"),
    (Required, {"shift": 3}, r"codes: cls\(\*\*config\(\)\) fails: TypeError.*`options`"),
    (ForgetsFit, {}, r"codes: cls\(\*\*config\(\)\) gives other codes .*what fit\(\) learns in state\(\)"),
    (OtherReference, {}, "codes and codes_reference disagree"),
    (Dissimilar, {}, "Dissimilar: similar rows do not collide more often"),
    (Reversed, {}, "Reversed: similar rows do not collide more often"),
    (BadQueries, {}, r"query_codes: found shape \(\d+, 1\)"),
    (WrongTheory, {}, "WrongTheory: collision_probability and the codes disagree"),
    (NoProbability, {}, "NoProbability.collision_probability: found .* expected 0 to 1"),
    (WideHash, {}, "WideHash: bits_per_hash: found 0"),
]


@pytest.mark.parametrize("family, options, message", BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_broken_families_are_told_why(family, options, message):
    with pytest.raises(AssertionError, match=message):
        check_hash_family(family, **options)


@pytest.mark.parametrize("thing", [SimHash(8, 1, 1), dict, "simhash", None])
def test_what_is_no_family_is_refused(thing):
    with pytest.raises(AssertionError, match="expected a subclass of slide.hashing.HashFamily"):
        check_hash_family(thing)


def test_fitted_families_that_keep_their_state_pass():
    class Fitted(ForgetsFit):
        def state(self):
            return {"mean": np.asarray(self.mean)}

        def load_state(self, state):
            self.mean = state["mean"]

    check_hash_family(Fitted)
