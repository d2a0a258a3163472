"""Files of the XMC repository: what is saved comes back bit for bit, and what is malformed names its line."""

import gzip
import locale
import lzma
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import example, given
from hypothesis import strategies as st

from slide.data import blocks, load_xmc, read_header, save_xmc, writing
from tests.conftest import times

SHARED = Path(__file__).parents[2] / "shared" / "data"


def write(folder, text, name="set.txt"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def random_pair(seed, n, n_features, n_labels, density=0.3):
    rng = np.random.default_rng(seed)
    X = sp.random(n, n_features, density, format="csr", random_state=rng, dtype=np.float32)
    Y = sp.random(n, n_labels, density, format="csr", random_state=rng, dtype=np.float32)
    bits = rng.integers(0, 2**32, X.nnz, dtype=np.uint32).view(np.float32)
    any_float = np.where(np.isfinite(bits), bits, np.float32(0))
    X.data = np.where(rng.random(X.nnz) < 0.5, X.data, any_float)
    Y.data[:] = 1
    for matrix in (X, Y):
        matrix.sort_indices()
    return X, Y


def same(a, b):
    return a.shape == b.shape and all(
        np.array_equal(getattr(a, field).view(np.int32), getattr(b, field).view(np.int32))
        for field in ("indptr", "indices", "data")
    )


@given(
    st.integers(0, 2**32), st.integers(0, 12), st.integers(1, 30), st.integers(1, 30),
    st.sampled_from([0.0, 0.05, 0.5]), st.sampled_from(["a.txt", "a.txt.gz", "a.txt.xz"]),
)  # fmt: skip
@example(0, 1, 1, 1, 0.0, "a.txt")
def test_what_is_saved_comes_back_bit_for_bit(tmp_path, seed, n, n_features, n_labels, density, name):
    X, Y = random_pair(seed, n, n_features, n_labels, density)
    save_xmc(tmp_path / name, X, Y)
    X2, Y2 = load_xmc(tmp_path / name)
    assert same(X, X2) and same(Y, Y2)
    assert X2.dtype == Y2.dtype == np.float32 and X2.indices.dtype == X2.indptr.dtype == np.int32
    assert read_header(tmp_path / name) == (n, n_features, n_labels)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("block", [7, 64, 1000])
def test_lines_across_blocks_are_read_whole(tmp_path, monkeypatch, block):
    X, Y = random_pair(1, 50, 40, 30)
    monkeypatch.setattr(blocks, "BLOCK", block if block > 60 else 4 << 20)
    save_xmc(tmp_path / "a.txt", X, Y)
    path = write(tmp_path, "50 40 30\n" + (tmp_path / "a.txt").read_text().partition("\n")[2].rstrip("\n"))
    if block < 60:
        path = write(tmp_path, b"3 4 5\n0 0:1\n" + b"1" + b" " * 30 + b"3:2\r\n \n")
        monkeypatch.setattr(blocks, "BLOCK", block)
        assert load_xmc(path)[0].toarray().tolist() == [[1, 0, 0, 0], [0, 0, 0, 2], [0, 0, 0, 0]]
    else:
        X2, Y2 = load_xmc(path)
        assert same(X, X2) and same(Y, Y2)


def test_every_form_of_a_line_is_read(tmp_path):
    text = "7 5 4\r\n3,1 4:1 0:-0.5\r\n 1:1e-3 2:+.5  \n2\n2 \n \t\r\n \n0\t3:0"
    X, Y = load_xmc(write(tmp_path, text))
    assert X.toarray().tolist() == [
        [-0.5, 0, 0, 0, 1], [0, np.float32(1e-3), 0.5, 0, 0], [0] * 5, [0] * 5, [0] * 5, [0] * 5, [0] * 5,
    ]  # fmt: skip
    assert [row.indices.tolist() for row in Y] == [[1, 3], [], [2], [2], [], [], [0]]
    assert X.nnz == 5 and X.has_sorted_indices and Y.has_sorted_indices


def test_blank_lines_after_the_last_sample_are_nothing(tmp_path):
    assert load_xmc(write(tmp_path, "1 2 2\n0 0:1\n\n  \n"))[0].shape == (1, 2)
    assert load_xmc(write(tmp_path, "0 2 2\n"))[1].shape == (0, 2)
    assert load_xmc(write(tmp_path, "0 0 0"))[1].shape == (0, 0)


def test_numbers_are_read_alike_in_every_locale(tmp_path):
    path = write(tmp_path, "1 1 1\n0 0:1.00000005960464477539062500000000000001\n")
    before = locale.setlocale(locale.LC_NUMERIC)
    try:
        for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "C"):
            try:
                locale.setlocale(locale.LC_NUMERIC, name)
            except locale.Error:
                continue
            assert load_xmc(path)[0][0, 0] == np.nextafter(np.float32(1), np.float32(2))
    finally:
        locale.setlocale(locale.LC_NUMERIC, before)


HEADER = "three whole numbers"
MALFORMED = [
    ("", 1, "an empty file", HEADER),
    ("\n0 0:1\n", 1, "nothing", HEADER),
    ("2 3\n", 1, "'2 3'", HEADER),
    ("2 3 -4\n", 1, "'2 3 -4'", HEADER),
    ("2 3 4 5\n", 1, "'2 3 4 5'", HEADER),
    ("0,1 1:2\n", 1, "'0,1 1:2'", HEADER),
    ("1 2 99999999999999999999\n 0:1\n", 1, "'99999999999999999999'", "at most 2147483647"),
    ("1 2 " + "9" * 900 + "\n 0:1\n", 1, "'" + "9" * 40 + "'...", "at most 2147483647"),
    ("1 2 2147483648\n 0:1\n", 1, "'2147483648'", "at most 2147483647"),
    (b"\xff\xfe1 2 3\n", 1, r"\xff", HEADER),
    ("2147483647 2147483647 2147483647\n 0:1\n", 3, "after 1 samples", "2147483647 samples"),
    ("2 3 4\n0 0:1\n", 3, "the end of the file after 1 samples", "2 samples"),
    ("1 3 4\n0 0:1\n\n1 1:1\n", 4, "'1'", "1 samples"),
    ("2 3 4\n0 0:1\n4 0:1\n", 3, "'4'", "a label from 0 to 3"),
    ("2 3 4\n0 0:1\n0,-1 0:1\n", 3, "'-1'", "a label from 0 to 3"),
    ("1 3 4\n0, 0:1\n", 2, "'0:1'", "a label from 0 to 3"),
    ("1 3 4\n0, \n", 2, "nothing", "a label from 0 to 3"),
    ("1 3 4\n0 ,1 0:1\n", 2, "',1'", "feature:value"),
    ("2 3 4\n0 0:1\n\n1 1:1\n", 3, "a blank line", "a sample (one without labels and features is a line of one space)"),
    ("3 3 4\n0 0:1\r\n\r\n1 1:1\n", 3, "a blank line", "a sample"),
    ("2 3 4\n\n0 0:1\n1 1:1\n", 2, "a blank line", "a sample"),
    ("2 3 4\n0 0:1\n \n1 1:1\n", 4, "sample that begins with '1' (line 3 is blank and counts as one)", "2 samples"),
    ("3 3 4\n0 0:1\n\n\n", 3, "the end of the file after 1 samples", "3 samples"),
    ("2 3 4\n1 1:1\n4 2:1\n", 3, "'4'", "a label from 0 to 3; if ids count from 1, say --one-based (one_based=True)"),
    ("2 3 4\n1 1:1\n2 3:1\n", 3, "'3:1'", "a feature from 0 to 2; if ids count from 1, say --one-based"),
    ("1 3 4\nx 0:1\n", 2, "'x'", "a label from 0 to 3"),
    ("1 3 4\n0:1 1:1\n", 2, "'0:1'", "a label from 0 to 3"),
    ("1 3 0\n0 0:1\n", 2, "'0'", "no label"),
    ("1 0 4\n0 0:1\n", 2, "'0:1'", "no feature"),
    ("1 3 4\n0 3:1\n", 2, "'3:1'", "a feature from 0 to 2"),
    ("1 3 4\n0 -1:1\n", 2, "'-1:1'", "feature:value with a feature from 0 to 2"),
    ("1 3 4\n0 99999999999999999999999:1\n", 2, "'9999", "a feature from 0 to 2"),
    ("1 3 4\n0 1\n", 2, "'1'", "feature:value"),
    ("1 3 4\n 1,2 1:1\n", 2, "'1,2'", "feature:value"),
    ("1 3 4\n0 1:\n", 2, "'1:'", "a finite decimal number"),
    ("1 3 4\n0 1:abc\n", 2, "'1:abc'", "a finite decimal number"),
    ("1 3 4\n0 1:nan\n", 2, "'1:nan'", "a finite decimal number"),
    ("1 3 4\n0 1:-inf\n", 2, "'1:-inf'", "a finite decimal number"),
    ("1 3 4\n0 1:1,5\n", 2, "'1:1,5'", "a finite decimal number"),
    ("2 3 4\n0 0:1 1:1\n0 1:1e39\n", 3, "'1e39'", "finite in float32"),
    ("1 3 4\n0 1:" + "7" * 400 + "\n", 2, "'" + "7" * 40 + "'...", "finite in float32"),
    ("2 3 4\n0 0:1\n0 1:1 2:1 1:2\n", 3, "the feature 1 twice", "each feature at most once in a row"),
    ("2 3 4\n0 0:1\n1,3,1 1:1\n", 3, "the label 1 twice", "each label at most once in a row"),
    (b"2 3 4\n0 0:1\n0 1:\x00\n", 2, "a zero byte", "text"),
    (b"1 3 4\n0 1:\xff\xfe\n", 2, r"'1:\xff\xfe'", "a finite decimal number"),
]


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
@pytest.mark.parametrize("text, line, found, expected", MALFORMED)
def test_a_malformed_file_names_its_line_and_what_was_found(tmp_path, text, line, found, expected, suffix):
    text = text if isinstance(text, bytes) else text.encode()
    packed = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[suffix](text)
    path = write(tmp_path, packed, "bad.txt" + suffix)
    with pytest.raises(ValueError) as caught:
        load_xmc(path)
    message = str(caught.value)
    where = f"{path}, line {line}: found "
    assert message.startswith(where.replace("line 2:", "line 1:") if "zero byte" in found else where)
    assert found in message.split(", expected ")[0] and expected in message.split(", expected ")[1]
    assert len(message) < len(str(path)) + 200


@pytest.mark.parametrize("suffix, pack", [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_a_broken_archive_names_its_line(tmp_path, suffix, pack):
    packed = pack("".join(["2000 3 4\n"] + [f"{i % 4} 1:{i}\n" for i in range(2000)]).encode())
    half, spoilt = packed[: len(packed) // 2], packed[:200] + b"?" * 40 + packed[240:]
    for text in (half, packed[:-3], spoilt):
        path = write(tmp_path, text, "bad.txt" + suffix)
        message = re.escape(str(path)) + ", line .*: found compressed data .*, expected"
        with pytest.raises(ValueError, match=message):
            load_xmc(path)
    with pytest.raises(ValueError, match="line 1: found an empty file"):
        load_xmc(write(tmp_path, pack(b""), "bad.txt" + suffix))


def test_a_missing_file_stays_missing(tmp_path):
    for name in ("none.txt", "none.gz", "none.xz"):
        with pytest.raises(FileNotFoundError, match="none"):
            load_xmc(tmp_path / name)


@times(5)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text("0123456789 ,:.-e\n\r\t", max_size=200).map(str.encode),
        st.text("0123 ,:.-e\n\r", max_size=60).map(lambda text: b"3 4 4\n" + text.encode()),
    ),
    st.sampled_from([".txt", ".gz", ".xz"]),
    st.sampled_from([5, 4 << 20]),
)
def test_any_bytes_are_a_file_or_a_named_fault(tmp_path, text, suffix, block):
    path = write(tmp_path, text, "fuzz" + suffix)
    before, blocks.BLOCK = blocks.BLOCK, block
    try:
        X, Y = load_xmc(path)
    except ValueError as fault:
        assert str(fault).startswith(f"{path}, line ") and ", expected " in str(fault)
    else:
        assert X.shape[0] == Y.shape[0] and np.isfinite(X.data).all()
        X.check_format()
        Y.check_format()
    finally:
        blocks.BLOCK = before


def test_save_refuses_what_would_not_come_back(tmp_path):
    X, Y = sp.csr_matrix(np.eye(3)), sp.csr_matrix(np.eye(3))
    twice = sp.csr_matrix((np.ones(2), [0, 0], [0, 2, 2, 2]), shape=(3, 3))
    for wrong, match in (
        ((X[:2], Y), "Y: found 3 rows, expected 2"),
        ((X * np.nan, Y), "X: found nan"),
        ((X * 1e39, Y), "X: found inf"),
        ((X, Y * 2), "Y: found the entry 2.0, expected every entry to be 0 or 1"),
        ((X, Y * -1), "Y: found the entry -1.0"),
        ((X[:, :0].toarray().astype(str), Y), "X: found 2 dimensions of <U"),
        ((np.ones(3), Y), "X: found 1 dimensions"),
        ((np.ma.masked_greater(np.eye(3), 0), Y), "X: found a masked array"),
        ((twice, Y), "X: found an entry that occurs twice"),
        ((X, twice), "Y: found an entry that occurs twice"),
    ):
        with pytest.raises(ValueError, match=match):
            save_xmc(tmp_path / "a.txt", *wrong)
    assert list(tmp_path.iterdir()) == []


def test_save_takes_what_is_like_a_matrix(tmp_path):
    dense = np.array([[0.5, 0, 2], [0, 0, 0]])
    save_xmc(tmp_path / "a.txt", dense, sp.coo_array(dense > 0))
    assert (tmp_path / "a.txt").read_text() == "2 3 3\n0,2 0:0.5 2:2\n \n"
    unsorted = sp.csr_matrix((np.float32([1, 2]), [2, 0], [0, 2]), shape=(1, 3))
    ones = sp.csr_matrix((np.ones(2), unsorted.indices, unsorted.indptr), shape=(1, 3))
    unsorted.data.flags.writeable = unsorted.indices.flags.writeable = False
    save_xmc(str(tmp_path / "a.txt"), unsorted, ones)
    assert (tmp_path / "a.txt").read_text() == "1 3 3\n0,2 0:2 2:1\n" and unsorted.indices.tolist() == [2, 0]


def test_save_leaves_the_old_file_where_it_fails(tmp_path, monkeypatch):
    path = write(tmp_path, "old")
    monkeypatch.setattr(writing, "_texts", lambda X, Y: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_xmc(path, np.eye(2), np.eye(2))
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


SETS = {
    "bibtex-159": (4880, 2515, 1836, 159, 68.5, 2.4),
    "delicious-983": (12920, 3185, 500, 983, 18.5, 19),
    "citeulike-tags-53k": (20755, 5189, 20000, 52946, 18.9, 11.2),
    "diginetica-43k": (719470, 60858, 43098, 43098, 3.6, 1),
    "wiki-skipgram-218k": (500000, 50000, 218151, 218151, 1, 3.9),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_the_public_sets_are_read_where_they_are_at_hand(name):
    if not (SHARED / name).is_dir():
        pytest.skip(f"{SHARED / name} is not there")
    n_train, n_test, n_features, n_labels, nnz, labels = SETS[name]
    for part, n in (("train", n_train), ("test", n_test)):
        X, Y = load_xmc(SHARED / name / f"{part}.txt.xz")
        assert X.shape == (n, n_features) and Y.shape == (n, n_labels)
        if part == "train":
            assert abs(X.nnz / n - nnz) < 0.06 and abs(Y.nnz / n - labels) < 0.06
