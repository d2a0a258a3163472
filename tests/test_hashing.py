"""Hash families: compiled codes are those of plain NumPy, bit for bit, and depend on the row and the settings alone.

Codes of tiny rows by hand are in test_by_hand_active_sets.py, the contract for outsiders' families in
test_testing_families.py.
"""

import pickle

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from slide import reference
from slide.hashing import DWTA, FAMILIES, WTA, HashFamily, MinHash, SimHash

COMPILED = ("dwta", "minhash", "simhash", "wta")  # the others are made of these, or held to the contract alone
ALL = pytest.mark.parametrize("name", COMPILED)
KINDS = ("normal", "ties", "relu", "empty", "special")


def make_rows(n, dim, density, kind, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, dim)).astype(np.float32)
    if kind == "ties":
        rows = rng.integers(-2, 3, (n, dim)).astype(np.float32)
    elif kind == "relu":
        rows = np.maximum(rows, 0)
    elif kind == "empty":
        rows[:] = 0
    elif kind == "special":
        values = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-42, 3e38, -3e38], np.float32)
        rows = np.where(rng.random((n, dim)) < 0.3, rng.choice(values, (n, dim)), rows)
    return np.where(rng.random((n, dim)) < density, rows, 0).astype(np.float32)


def make_csr(rows):
    return scipy.sparse.csr_matrix(rows)


@ALL
@given(
    n=st.integers(0, 40), dim=st.integers(1, 150), K=st.integers(1, 7), L=st.integers(1, 9),
    density=st.sampled_from([0.03, 0.3, 1.0]), kind=st.sampled_from(KINDS), seed=st.integers(0, 2**64 - 1),
)  # fmt: skip
def test_compiled_codes_are_those_of_numpy(name, n, dim, K, L, density, kind, seed):
    family = FAMILIES[name](dim, K, L, seed=seed)
    rows = make_rows(n, dim, density, kind, seed)
    expected = reference.codes(family, rows)
    assert expected.dtype == np.uint32 and expected.shape == (n, L)
    np.testing.assert_array_equal(family.codes(rows), expected)
    for family.dense_from in (0, 2):  # as dense rows, and over the non-zeros alone
        np.testing.assert_array_equal(family.codes(make_csr(rows)), expected)
    if n:
        assert expected.max() < 2 ** (K * family.bits_per_hash)


@pytest.mark.parametrize(
    "family",
    [
        DWTA(100, 2, 40, bin_size=3), DWTA(5, 2, 40, bin_size=64), WTA(64, 3, 5, bin_size=1),
        WTA(2000, 2, 3, bin_size=999), MinHash(300, 4, 20, top_k=300, bits=1),
        MinHash(300, 3, 20, top_k=1, bits=8), MinHash(3, 2, 50, top_k=1000), SimHash(1, 31, 2),
        DWTA(9, 10, 300),
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("density", [0.02, 0.5, 1.0])
def test_options_of_every_size_give_the_codes_of_numpy(family, density):
    rows = make_rows(50, family.dim, density, "ties")
    expected = reference.codes(family, rows)
    np.testing.assert_array_equal(family.codes(rows), expected)
    family.dense_from = 2
    np.testing.assert_array_equal(family.codes(make_csr(rows)), expected)
    assert expected.max() < 2**family.code_bits


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["cross-polytope", "ranged"])
def test_families_that_are_fitted_give_the_codes_of_numpy(name, kind, simd):
    for n, dim, K, L in [(1, 1, 1, 1), (15, 7, 3, 2), (33, 30, 5, 12), (50, 128, 4, 9)]:
        family = FAMILIES[name](dim, K, L, seed=n)
        rows = make_rows(n, dim, 0.8, kind, dim)
        family.fit(rows)
        np.testing.assert_array_equal(family.codes(rows), reference.codes(family, rows))


@ALL
def test_threads_do_not_change_codes(name):
    family = FAMILIES[name](64, 4, 10)
    rows = make_rows(333, 64, 0.4, "normal")
    expected = reference.codes(family, rows)
    for family.threads in (1, 2, 8, None):
        np.testing.assert_array_equal(family.codes(rows), expected)
        for family.dense_from in (0, 2):
            np.testing.assert_array_equal(family.codes(make_csr(rows)), expected)


@ALL
@pytest.mark.parametrize("kind", KINDS)
def test_every_instruction_set_gives_the_bits_of_numpy(name, kind, simd):
    for n, dim, K, L in [(1, 1, 1, 1), (15, 7, 3, 2), (16, 8, 2, 5), (33, 30, 7, 3), (50, 128, 5, 9), (3, 515, 4, 4)]:
        family = FAMILIES[name](dim, K, L, seed=n)
        for density in (0.2, 1.0):
            rows = make_rows(n, dim, density, kind, dim)
            expected = reference.codes(family, rows)
            np.testing.assert_array_equal(family.codes(rows), expected)
            for family.dense_from in (0, 2):
                np.testing.assert_array_equal(family.codes(make_csr(rows)), expected)


@ALL
@pytest.mark.parametrize("n", [0, 1, 16, 45])
def test_codes_go_to_any_array(name, n):
    family = FAMILIES[name](40, 4, 7)
    rows = make_rows(n, 40, 0.3, "normal")
    expected = family.codes(rows)
    spaced = np.zeros((2 * n, 21), np.uint32)[::2, ::3]
    for out in (np.empty((n, 7), np.uint32), np.empty((7, n), np.uint32).T, spaced):
        for form in (rows, make_csr(rows)):
            for family.dense_from in (0, 2):
                out[...] = 2**32 - 1
                family.codes_into(form, out)
                np.testing.assert_array_equal(out, expected)


@ALL
@pytest.mark.parametrize("threads", [1, 2, 8])
def test_codes_of_some_rows_are_those_rows_codes(name, threads):
    family = FAMILIES[name](40, 4, 7)
    family.threads = threads
    rows = make_rows(60, 40, 0.5, "normal")
    rows.setflags(write=False)
    expected = family.codes(rows)
    for ids in ([], [59], np.arange(60)[::-1], [3, 3, 0] * 30):
        ids = np.array(ids, np.int64)
        np.testing.assert_array_equal(family.codes_taken(rows, ids), expected[ids])
        np.testing.assert_array_equal(HashFamily.codes_taken(Copying(family), rows, ids), expected[ids])
        out = np.empty((7, len(ids)), np.uint32).T
        assert family.codes_taken(rows, ids, out=out) is out
        np.testing.assert_array_equal(out, expected[ids])


class Copying(HashFamily):
    """An outsider's family, which knows dense rows alone."""

    def __init__(self, family):
        self.bits_per_hash = family.bits_per_hash
        super().__init__(family.dim, family.K, family.L)
        self.family = family

    def _codes_dense(self, rows, codes, threads):
        codes[...] = self.family.codes(rows)


def test_places_for_codes_and_ids_that_do_not_fit_are_refused():
    family, rows = SimHash(8, 2, 3), np.zeros((4, 8), np.float32)
    frozen = np.zeros((4, 3), np.uint32)
    frozen.setflags(write=False)
    for out in (np.zeros((4, 2), np.uint32), np.zeros((3, 3), np.uint32), np.zeros((4, 3), np.int32), frozen):
        with pytest.raises(ValueError, match="out: found"):
            family.codes_into(rows, out)
    for ids in ([4], [-1], [0.5], [[0]], [[0], [1, 2]]):
        with pytest.raises(ValueError, match="ids: found"):
            family.codes_taken(rows, ids)


@ALL
def test_layout_and_dtype_of_the_rows_do_not_matter(name):
    family = FAMILIES[name](30, 3, 6)
    rows = make_rows(20, 30, 0.7, "normal")
    expected = family.codes(rows)
    frozen = rows.copy()
    frozen.setflags(write=False)
    frozen_csr = make_csr(rows)
    for part in (frozen_csr.data, frozen_csr.indices, frozen_csr.indptr):
        part.setflags(write=False)
    long_csr = make_csr(rows)
    long_csr.indices, long_csr.indptr = long_csr.indices.astype(np.int64), long_csr.indptr.astype(np.int64)
    padded = np.zeros((40, 60), np.float32)
    padded[::2, ::2] = rows
    forms = (
        frozen, frozen_csr, long_csr, rows.astype(np.float64), make_csr(rows).astype(np.float64),
        np.asfortranarray(rows), padded[::2, ::2],
        scipy.sparse.csr_array(rows), scipy.sparse.csc_matrix(rows), rows.tolist(),
    )  # fmt: skip
    for form in forms:
        np.testing.assert_array_equal(family.codes(form), expected)


@ALL
def test_repeated_and_unsorted_entries_are_summed(name):
    family = FAMILIES[name](6, 2, 8)
    ids, values = np.array([4, 1, 4, 0, 5, 5]), np.array([1, 2, 3, -1, 1, -1], np.float32)
    messy = scipy.sparse.csr_matrix((values, ids, np.array([0, 4, 6])), shape=(2, 6))
    np.testing.assert_array_equal(family.codes(messy), family.codes(messy.toarray()))
    assert messy.nnz == 6, "the caller's matrix is left alone"


@ALL
def test_a_row_has_one_code_alone_or_among_others(name):
    family = FAMILIES[name](40, 4, 5)
    rows = make_rows(19, 40, 1.0, "relu")
    together = family.codes(np.concatenate([rows, rows]))
    np.testing.assert_array_equal(together[:19], together[19:])
    for row, code in zip(rows, together, strict=False):
        np.testing.assert_array_equal(family.codes(row[None])[0], code)


@ALL
def test_zero_rows_have_code_zero(name):
    assert not FAMILIES[name](40, 4, 5).codes(np.zeros((3, 40))).any()


@ALL
def test_hashes_do_not_overlap_in_a_code(name):
    """The K hashes of a code are those of the same functions, one to a code."""
    packed, single = FAMILIES[name](50, 5, 8, seed=4), FAMILIES[name](50, 1, 40, seed=4)
    rows = make_rows(60, 50, 1.0, "normal")
    bits = packed.bits_per_hash
    shifts = np.arange(4, -1, -1, dtype=np.uint32) * np.uint32(bits)
    hashes = (packed.codes(rows)[:, :, None] >> shifts) & np.uint32(2**bits - 1)
    np.testing.assert_array_equal(hashes.reshape(60, 40), single.codes(rows))
    assert len(np.unique(hashes)) == 2**bits


@ALL
def test_the_seed_decides_the_codes(name):
    rows = make_rows(50, 128, 1.0, "normal")
    codes = [FAMILIES[name](128, 3, 10, seed=seed).codes(rows) for seed in (0, 1, 0, 2**64 - 1)]
    np.testing.assert_array_equal(codes[0], codes[2])
    assert (codes[0] != codes[1]).mean() > 0.5 and (codes[0] != codes[3]).mean() > 0.5


@ALL
def test_settings_and_pickles_make_the_family_again(name):
    family = FAMILIES[name](33, 3, 4, seed=9)
    rows = make_rows(30, 33, 0.5, "normal")
    for again in (FAMILIES[name](**family.config()), pickle.loads(pickle.dumps(family))):
        assert again.config() == family.config() and repr(again) == repr(family)
        np.testing.assert_array_equal(again.codes(rows), family.codes(rows))
    assert len(pickle.dumps(family)) < 400


def test_options_are_among_the_settings():
    assert DWTA(64, 2, 3, bin_size=16).config()["bin_size"] == 16
    assert MinHash(64, 2, 3).config() == dict(dim=64, K=2, L=3, seed=0, top_k=16, bits=3)


@ALL
@pytest.mark.parametrize(
    "keywords, message",
    [
        (dict(dim=0), "dim: found 0"), (dict(K=0), "K: found 0"), (dict(L=0), "L: found 0"),
        (dict(L=2.5), "L: found 2.5"),
        (dict(seed=-1), "seed: found -1"), (dict(dim=True), "dim: found True"),
        (dict(K=32), "K: found 32"),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(name, keywords, message):
    with pytest.raises(ValueError, match=message):
        FAMILIES[name](**(dict(dim=8, K=2, L=2) | keywords))


def test_code_bits_are_limited():
    assert DWTA(8, 10, 1).code_bits == 30 and SimHash(8, 31, 1).code_bits == 31
    with pytest.raises(ValueError, match="K: found 11 hashes of 3 bits, 33 bits per code, expected at most 31"):
        DWTA(8, 11, 1)


@ALL
@pytest.mark.parametrize("shape", [(3, 7), (3, 9), (8,), (2, 2, 8)])
def test_rows_of_another_shape_are_refused(name, shape):
    with pytest.raises(ValueError, match="rows: found shape"):
        FAMILIES[name](8, 2, 2).codes(np.ones(shape))


@ALL
def test_corrupt_sparse_rows_are_refused(name):
    family = FAMILIES[name](8, 2, 2)
    with pytest.raises(ValueError, match="rows: found shape"):
        family.codes(scipy.sparse.csr_matrix((3, 9), dtype=np.float32))
    rows = scipy.sparse.csr_matrix(np.eye(3, 8, dtype=np.float32))
    rows.indptr[1] = 1000
    with pytest.raises(ValueError, match="rows: found a corrupt indptr"):
        family.codes(rows)
    rows.indptr[1], rows.indices[1] = 1, 1000
    with pytest.raises(ValueError, match="rows: found index 1000, expected 0 to 7"):
        family.codes(rows)


def test_dense_rows_without_zeros_code_alike_in_wta_and_dwta():
    rows = make_rows(40, 128, 1.0, "normal")
    wta, dwta = WTA(128, 3, 8), DWTA(128, 3, 8)
    dwta._bins = wta._bins
    np.testing.assert_array_equal(wta.codes(rows), dwta.codes(rows))


def test_scale_does_not_matter_where_only_order_or_sign_does():
    rows = make_rows(40, 128, 1.0, "relu")
    for family in (SimHash(128, 4, 9), WTA(128, 4, 9), DWTA(128, 4, 9), MinHash(128, 4, 9)):
        np.testing.assert_array_equal(family.codes(rows), family.codes(4 * rows))
        assert isinstance(family, HashFamily)
