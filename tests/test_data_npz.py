"""Matrices in .npz archives: SciPy's and our own, and what lies, bursts or unpickles."""

import io
import random
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp

from slide.data import Vocabulary, read, save
from slide.data.npz import PARTS

X = sp.csr_matrix(np.float32([[1, 0, 0.5], [0, 2, 0]]))
Y = sp.csr_matrix(np.float32([[1, 1], [0, 1]]))
WORDS = Vocabulary(("a", "B", "c++"), np.array([1.0, 1.5, 2.0]), ("pet", "ÜBER"))


def put(folder, matrix, name="X.npz", **changed):
    """A matrix as SciPy writes it, some arrays changed (None: left out)."""
    arrays = {part: getattr(matrix, part) for part in PARTS if part != "format"} | {"format": b"csr"}
    arrays = {name: array for name, array in (arrays | changed).items() if array is not None}
    np.savez(folder / name, **arrays)
    return str(folder / name)


def refused(path, **options):
    with pytest.raises(ValueError) as caught:
        read(path, **options)
    assert str(caught.value).startswith(str(path[0] if isinstance(path, tuple) else path))
    assert ": found " in str(caught.value) and ", expected " in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csr_array, sp.csc_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, bool])
def test_pairs_that_scipy_wrote_are_read(tmp_path, form, dtype):
    a, b = tmp_path / "X.trn.npz", tmp_path / "Y.trn.npz"
    sp.save_npz(a, form(X.astype(dtype)), compressed=False)
    sp.save_npz(b, form(Y.astype(dtype)))
    for path in ((a, b), f"{a},{b}", a):
        data = read(path)
        assert (data.X != X.astype(dtype)).nnz == 0 and (data.Y != Y).nnz == 0
        assert data.X.dtype == data.Y.dtype == np.float32 and data.kind == "features (.npz) and labels (.npz)"
    assert read(a, need_labels=False).Y is None


def test_one_file_keeps_the_vocabulary(tmp_path):
    path = str(tmp_path / "set.npz")
    save(path, X, Y, WORDS)
    data = read(path)
    assert (data.X != X).nnz == 0 and (data.Y != Y).nnz == 0 and data.vocabulary == WORDS
    save(path, X, Y)
    assert read(path).vocabulary is None
    with pytest.raises(ValueError, match="vocabulary: found one for .*txt, expected None"):
        save(tmp_path / "set.txt", X, Y, WORDS)
    other = Vocabulary(("a", "b", "c"), WORDS.idf, WORDS.labels)
    save(path, X, Y, other)
    with pytest.raises(ValueError, match="found another vocabulary than in .*train.npz, expected the same"):
        save(tmp_path / "train.npz", X, Y, WORDS)
        read(path, like=tmp_path / "train.npz")


def test_archives_of_something_else_are_refused(tmp_path):
    np.savez(tmp_path / "set.npz", a=np.ones(3))
    assert "found arrays a, expected data, indices, indptr, shape, format" in refused(str(tmp_path / "set.npz"))
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("train.txt", "1 2 3\n")
    assert "found arrays train.txt, expected" in refused(str(tmp_path / "set.zip"))
    save(tmp_path / "both.npz", X, Y)
    sp.save_npz(tmp_path / "Y.npz", Y)
    both = str(tmp_path / "both.npz")
    assert "found features and labels, expected one matrix" in refused((both, tmp_path / "Y.npz"))
    assert "one_based: found it for" in str(pytest.raises(ValueError, read, both, one_based=True).value)
    (tmp_path / "text.txt").write_text("1 2 3\n0 0:1\n")
    assert "found a broken archive (File is not a zip file)" in refused(str(tmp_path / "text.txt"), format="npz")


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"indptr": np.int32([0, 9, 3])}, "a corrupt indptr"),
        ({"indptr": np.int32([0, 2, 2**30])}, "indptr from 0 to 1073741824, expected 0 to at most 3"),
        ({"indptr": np.int32([0, -5, 3])}, "a corrupt indptr"),
        ({"indptr": np.int32([0, 3])}, "indptr of shape (2,), expected (3,)"),
        ({"indptr": np.float64([0, 2, 3])}, "expected a CSR matrix"),
        ({"indices": np.int32([0, -7, 1])}, "index -7, expected 0 to 2"),
        ({"indices": np.int64([0, 10**12, 1])}, "index 1000000000000, expected 0 to 2"),
        ({"indices": np.int32([2, 2, 1])}, "an entry that occurs twice in a row"),
        ({"indices": np.int32([0, 2])}, "expected a CSR matrix"),
        ({"indices": np.uint8([0, 2, 1])}, "expected a CSR matrix"),
        ({"data": np.float32([[1, 2, 3]])}, "expected a CSR matrix"),
        ({"data": np.complex64([1, 2, 3])}, "expected a CSR matrix"),
        ({"data": np.array(["1", "2", "3"])}, "expected a CSR matrix"),
        ({"data": np.float64([1, np.nan, 3])}, "found nan, expected values that are finite"),
        ({"data": np.float64([1, 1e300, 3])}, "found inf, expected values that are finite"),
        ({"data": np.array([1, 2, {}], dtype=object)}, "expected plain numbers"),
        ({"shape": np.int64([10**12, 3])}, "indptr of shape (3,), expected (1000000000001,)"),
        ({"shape": np.int64([2, 10**12])}, "expected at most 2147483647 rows and columns"),
        ({"shape": np.int64([-2, 3])}, "shape (-2, 3)"),
        ({"shape": np.int64([2, 3, 1])}, "expected a CSR matrix"),
        ({"shape": np.float32([2, 3])}, "expected a CSR matrix"),
        ({"format": b"coo"}, "format 'coo'"),
        ({"format": b"csrcsr"}, "format 'csrcsr'"),
        ({"format": 3}, "expected a CSR matrix"),
        ({"format": None}, "found arrays"),
    ],
)
def test_arrays_that_contradict_each_other_are_refused(tmp_path, changed, said):
    sp.save_npz(tmp_path / "Y.npz", Y)
    assert said in refused(put(tmp_path, X, **changed))


def test_labels_are_0_or_1(tmp_path):
    a = put(tmp_path, X)
    for value in (2, -1, 0.5):
        put(tmp_path, Y, "Y.npz", data=np.float64([1, value, 1]))
        with pytest.raises(ValueError, match=f"Y.npz: found the entry {float(value)}, expected .* 0 or 1"):
            read(a)
    put(tmp_path, Y, "Y.npz", data=np.float64([1, 0, 1]))
    assert read(a).Y.toarray().tolist() == [[1, 0], [0, 1]]


def member(shape, dtype, size):
    """A .npy file that claims a shape and has `size` bytes of zeros."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": dtype, "fortran_order": False, "shape": shape})
    return head.getvalue() + bytes(size)


@pytest.mark.parametrize(
    "data, said",
    [
        (member((10**12,), "<f4", 40), "data of float32, (1000000000000,) in 40 bytes, expected plain numbers of"),
        (member((3,), "|O", 40), "expected plain numbers"),
        (member((2**62, 2**62), "<f4", 40), "expected plain numbers of that size"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "data with a broken header"),
        (b"\x93NUMPY\x03\x00\x10\x00\x00\x00{", "data with a broken header ((3, 0)), expected"),
        (b"no array", "data with a broken header"),
        (b"", "data with a broken header"),
    ],
)
def test_arrays_that_claim_more_than_they_have_are_refused(tmp_path, data, said):
    path = put(tmp_path, X, data=None)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", data)
    assert said in refused(path, need_labels=False)


def test_sizes_in_the_directory_are_not_believed(tmp_path):
    """A directory that claims 2**31 bytes for an array of three numbers."""
    path = put(tmp_path, X, data=None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("data.npy", member((2**29,), "<f4", 12))
        archive.filelist[-1].file_size = archive.filelist[-1].compress_size + 2**31 - 12
    assert "bytes packed in 140, expected more of them" in refused(path, need_labels=False)


def test_other_compression_is_refused(tmp_path):
    path = put(tmp_path, X, data=None)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_LZMA) as archive:
        archive.writestr("data.npy", member((3,), "<f4", 12))
    assert "compressed by method 14, expected deflate or none" in refused(path, need_labels=False)


@pytest.mark.parametrize(
    "arrays, said",
    [
        ({"words": WORDS.arrays()["words"]}, "found words, expected all of words, idf, labels"),
        (WORDS.arrays() | {"labels": np.zeros(0, np.uint8)}, "(3, 0) words and labels, expected (3, 2)"),
        (WORDS.arrays() | {"words": np.frombuffer(b"a\na\nb", np.uint8)}, "words of which some occur twice"),
        (WORDS.arrays() | {"words": np.frombuffer(b"a\n\xff\nb", np.uint8)}, "words that are no UTF-8"),
        (WORDS.arrays() | {"labels": np.ones(3)}, "labels of float64, (3,), expected bytes of UTF-8"),
        (WORDS.arrays() | {"idf": np.ones(4)}, "a positive float64 for each of 3 words"),
        (WORDS.arrays() | {"idf": np.array([1, np.nan, 1])}, "a positive float64 for each of 3 words"),
    ],
)
def test_vocabularies_that_do_not_fit_are_refused(tmp_path, arrays, said):
    path = str(tmp_path / "set.npz")
    save(path, X, Y)
    with np.load(path) as archive:
        np.savez(path, **archive, **arrays)
    assert said in refused(path)


def test_damage_is_found_or_changes_nothing(tmp_path):
    path = str(tmp_path / "set.npz")
    save(path, X, Y, WORDS)
    whole, chance = (tmp_path / "set.npz").read_bytes(), random.Random(5)
    for size in range(4, len(whole), 61):
        (tmp_path / "set.npz").write_bytes(whole[:size])
        refused(path)
    for _ in range(150):
        spoilt = bytearray(whole)
        for _ in range(chance.choice([1, 1, 3])):
            spoilt[chance.randrange(len(whole))] = chance.randrange(256)
        (tmp_path / "set.npz").write_bytes(spoilt)
        try:
            data = read(path)
        except ValueError as error:
            assert str(error).startswith(path) and ", expected " in str(error)
        else:
            assert (data.X != X).nnz == 0 and (data.Y != Y).nnz == 0
