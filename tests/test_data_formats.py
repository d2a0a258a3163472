"""load, read and save: every format is told, read, refused where it is broken, and comes back as it was written."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import assume, given
from hypothesis import strategies as st

from slide.data import Data, blocks, load, read, save, save_xmc
from tests.conftest import times

X = np.float32([[1, 0, 0.5, 0, 0], [0, 2, 0, 0, 0], [0, 0, 0, 0, 0.25]])
Y = np.float32([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
XMC = "3 5 4\n0,1 0:1.0 2:0.5\n2 1:2\n3 4:0.25\n"
LIBSVM = XMC.partition("\n")[2]


@pytest.fixture
def put(tmp_path):
    def put(text, name="set.txt"):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(tmp_path / name)

    return put


def is_the_set(pair):
    return all(m.dtype == np.float32 and not (m != n).any() for m, n in zip(pair, (X, Y), strict=True))


def refused(path, **options):
    with pytest.raises(ValueError) as caught:
        read(path, **options)
    assert ", expected " in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "text, kind",
    [
        (XMC, "XMC text"),
        (LIBSVM, "LibSVM text without a header"),
        (XMC.replace(",", ", "), "XMC text"),
        (LIBSVM.replace(",", ",\t "), "LibSVM text without a header"),
        (b"\xef\xbb\xbf" + XMC.encode(), "XMC text"),
        (b"\xef\xbb\xbf" + LIBSVM.replace("\n", "\r\n").encode(), "LibSVM text without a header"),
        (XMC + "\n \n\r\n", "XMC text"),
        (LIBSVM + "\n \t\n\r\n", "LibSVM text without a header"),
        (LIBSVM[:-1], "LibSVM text without a header"),
    ],
)
@pytest.mark.parametrize("block", [1, 7, 4 << 20])
def test_a_text_is_told_by_its_first_line(put, monkeypatch, text, kind, block):
    monkeypatch.setattr(blocks, "BLOCK", block)
    path = put(text)
    data = read(path)
    assert is_the_set((data.X, data.Y)) and (data.path, data.kind, data.notes) == (path, kind, ())
    assert is_the_set(load(path))


MALFORMED = [
    ("", 1, "an empty file", "XMC text"),
    ("\n0 0:1\n", 1, "nothing", "LibSVM text"),
    ("3\n0 0:1\n", 1, "'3'", "or to be told the format"),
    ("0,1\n0 0:1\n", 1, "'0,1'", "or to be told the format"),
    ("1 2 3 4\n0 0:1\n", 1, "'1 2 3 4'", "XMC text"),
    ("0:1 1:1\n", 1, "'0:1 1:1'", "XMC text"),
    ("+1 1:1\n-1 2:1\n", 1, "'+1 1:1'", "XMC text"),
    ("0.5 1:1\n", 1, "'0.5 1:1'", "XMC text"),
    ("label,feature\n", 1, "'label,feature'", "XMC text"),
    (b"\x00\x01\x02", 1, "a zero byte", "text"),
    (b"\xff\xfe3\x00 \x005\x00", 1, "a zero byte", "text"),
    ("0 1:1\n\n1 2:1\n", 2, "a blank line", "blank lines at the end of the file alone"),
    ("0 1:1\n \t\n1 2:1\n", 2, "a blank line", "blank lines at the end of the file alone"),
    ("0 1:1\n0.5 2:1\n", 2, "'0.5'", "a label from 0 to 2147483646"),
    ("0 1:1\n-1 2:1\n", 2, "'-1'", "a label from 0"),
    ("0 1:1\n1 2147483647:1\n", 2, "'2147483647:1'", "a feature from 0 to 2147483646"),
    ("0 1:1\n1 2:1 2:1\n", 2, "the feature 2 twice", "each feature at most once"),
    ("0 1:1\n3 5 4\n", 2, "'5'", "feature:value"),
    ("0 1:1 # one\n", 1, "'#'", "feature:value"),
    ("1 qid:3 1:1\n", 1, "'1 qid:3 1:1'", "XMC text"),
    ("3 5 4\n\n0 1:1\n", 2, "a blank line", "a sample"),
]


@pytest.mark.parametrize("text, line, found, expected", MALFORMED)
def test_a_malformed_text_names_its_line(put, text, line, found, expected):
    path = put(text)
    message = refused(path)
    assert message.startswith(f"{path}, line {line}: found ")
    assert found in message.partition(", expected ")[0] and expected in message.partition(", expected ")[2]


def test_what_is_ambiguous_is_read_as_told(put):
    path = put("0,1\n2 0:1\n")
    found, labels = load(path, format="libsvm")
    assert found.shape == (2, 1) and labels.shape == (2, 3)
    assert "line 1: found '0,1', expected a header" in refused(path, format="xmc")
    assert "line 2: found '5', expected feature:value" in refused(put("0 1:1\n3 5 4\n"), format="libsvm")
    with pytest.raises(ValueError, match="format: found 'csv', expected one of xmc, libsvm, npz, fasttext"):
        load(path, format="csv")


def test_widths_come_from_the_largest_ids_or_from_training(put):
    assert [m.shape for m in load(put(LIBSVM))] == [(3, 5), (3, 4)]
    assert [m.shape for m in load(put(LIBSVM), n_features=9, n_labels=7)] == [(3, 9), (3, 7)]
    training, test = put("3 4:1\n0 0:1\n", "train.txt"), put("1 2:1\n", "test.txt")
    for like in (training, read(training)):
        assert [m.shape for m in load(test, like=like)] == [(1, 5), (1, 4)]
    beyond = put("0 2:1\n1 9:1\n")
    assert "line 2: found '9:1', expected a feature from 0 to 4" in refused(beyond, like=training)
    assert "line 1: found '4', expected a label from 0 to 3" in refused(put("4 2:1\n"), like=training)
    assert "line 1: found '5:1', expected a feature from 0 to 4; if ids count from 1" in refused(
        put("1 5:1\n"), n_features=5, n_labels=4
    )
    with pytest.raises(ValueError, match="n_features, n_labels: found numbers beside like"):
        load(test, like=training, n_features=5)


def test_a_header_must_agree_with_training(put):
    training, other = put(XMC, "train.txt"), put("1 7 4\n0 6:1\n", "other.txt")
    assert refused(other, like=training) == f"{other}: found 7 features, expected 5 as in {training}"
    assert refused(training, n_labels=3) == f"{training}: found 4 labels, expected 3 as given"


def test_ids_count_from_one_where_that_is_said(put):
    text = "3 5 4\n1,2 1:1.0 3:0.5\n3 2:2\n4 5:0.25\n"
    assert "line 4: found '4', expected a label from 0 to 3; if ids count from 1, say --one-based" in refused(put(text))
    assert is_the_set(load(put(text), one_based=True))
    assert is_the_set(load(put(text.partition("\n")[2]), one_based=True))
    features_only = "0,1 1:1.0 3:0.5\n2 2:2\n3 5:0.25\n"
    assert is_the_set(load(put(features_only), one_based="features"))
    labels_only = "1,2 0:1.0 2:0.5\n3 1:2\n4 4:0.25\n"
    assert is_the_set(load(put(labels_only), one_based="labels"))
    assert "line 2: found '0', expected a label from 1 to 4" in refused(put(XMC), one_based=True)
    assert "line 1: found '0:1.0', expected a feature from 1" in refused(put(labels_only), one_based=True)
    assert "line 2: found the label 2 twice" in refused(put("1 2 4\n2,2 1:1\n"), one_based=True)
    with pytest.raises(ValueError, match="one_based: found 1.5, expected True, False, 'features' or 'labels'"):
        load(put(XMC), one_based=1.5)


def test_ids_from_one_are_noticed_where_the_header_has_room(put):
    path = put("3 6 5\n1,2 1:1.0 3:0.5\n3 2:2\n4 5:0.25\n", "room.txt")
    with pytest.warns(UserWarning, match=r"feature 0 never .* 5,.*label 0 never .*--one-based \(one_based=True\)"):
        load(path)
    assert "--one-based-features (one_based='features')" in read(put("0,1 1:1.0 3:0.5\n2 2:2\n3 5:0.25\n")).notes[0]
    assert "--one-based-labels (one_based='labels')" in read(put("2 1 4\n1,2 0:1\n3 0:1\n")).notes[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(path, one_based=True)
        load(put("2 90 90\n5 7:1\n89 89:1\n"))  # by chance


def test_one_row_and_two_are_sets(put):
    assert load(put("1 5 4\n0,1 0:1.0 2:0.5\n"))[0].shape == (1, 5)
    assert load(put("2 5 4\n0,1 0:1.0 2:0.5\n2 1:2\n"))[1].shape == (2, 4)
    assert load(put("0 0:1"))[0].shape == (1, 1)


PAIR = "3 5\n0:1.0 2:0.5\n1:2\n4:0.25\n", "3 4\n0:1 1:1.0\n2:1\n3:1\n"


def test_features_and_labels_may_be_in_two_files(put):
    a, b = put(PAIR[0], "trn_X_Xf.txt"), put(PAIR[1], "trn_X_Y.txt")
    for path in ((a, b), [a, b], f"{a},{b}", a):
        data = read(path)
        assert is_the_set((data.X, data.Y)) and data.path == f"{a}, {b}"
    assert data.kind == "features (XMC text) and labels (XMC text)"
    alone = read(a, need_labels=False)
    assert alone.Y is None and not (alone.X != X).any()
    shifted = put("3 5\n1:1.0 3:0.5\n2:2\n5:0.25\n", "f.txt"), put("3 4\n1:1 2:1\n3:1\n4:1\n", "l.txt")
    assert is_the_set(load(shifted, one_based=True))
    assert "line 4: found '5:0.25', expected a feature from 0 to 4; if ids count from 1" in refused(shifted)
    assert "l.txt, line 4: found '4:1', expected a label from 0 to 3; if ids" in refused((a, shifted[1]))


def test_empty_lines_are_rows_of_files_of_one_matrix(put):
    a, b = put("3 5\n\n1:2\n\n", "f.txt"), put("3 4\n0:1\r\n\r\n3:1\n\n\n", "l.txt")
    features, labels = load((a, b))
    assert np.diff(features.indptr).tolist() == [0, 1, 0] and np.diff(labels.indptr).tolist() == [1, 0, 1]
    assert "line 3: found the end of the file after 1 samples, expected 3" in refused((put("3 5\n\n", "g.txt"), b))
    wrong = put("2 4\n0:1\n\n1:1\n", "l.txt")
    assert "line 4: found a further sample that begins with '1:1' (line 3 is blank and" in refused((a, wrong))


def test_files_that_do_not_make_a_pair_are_refused(put, tmp_path):
    a, b = put(PAIR[0], "trn_X_Xf.txt"), put(PAIR[1], "trn_X_Y.txt")
    assert "found the labels first by their names" in refused((b, a))
    assert "found the entry 0.5, expected every entry to be 0 or 1" in refused((a, a))
    fewer = put("2 4\n0:1\n1:1\n", "l.txt")
    assert refused((a, fewer)) == f"{fewer}: found 2 rows, expected 3 as in {a}"
    assert "l.txt, line 2: found '0', expected label:value" in refused((a, put("3 4\n0 1:1\n", "l.txt")))
    assert "line 1: found '3 5 4', expected a header of two whole numbers" in refused((a, put(XMC)))
    assert "found one matrix, expected labels too" in refused(put(PAIR[0], "features.txt"))
    assert "found one matrix, expected labels too" in refused(b)
    assert "expected a file, or two" in refused((a, b, a)) and "expected a file, or two" in refused(f"{a},{b},")
    assert "format: found 'xmc' for two files, expected None" in refused((a, b), format="xmc")
    (tmp_path / "trn_X_Y.txt").unlink()
    assert "found one matrix, expected labels too" in refused(a)


def test_a_name_may_have_a_comma(put):
    assert is_the_set(load(put(XMC, "a,b.txt")))


@pytest.mark.parametrize(
    "end", [".txt", ".TXT.GZ", ".txt.xz", ".txt.bz2", ".libsvm", ".svm.gz", ".npz", "X.txt,Y.txt", "X.npz,Y.npz"]
)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.sampled_from([0.0, 0.2, 0.8]))
def test_what_is_saved_comes_back_bit_for_bit(tmp_path, end, seed, n, width, density):
    rng = np.random.default_rng(seed)
    pair = [sp.random(n, width, density, format="csr", random_state=rng, dtype=np.float32) for _ in "XY"]
    pair[0].data[rng.random(pair[0].nnz) < 0.1] = 0  # kept
    pair[1].data[:] = 1
    path = ",".join(str(tmp_path / (name if "," in end else f"set{name}")) for name in end.split(","))
    libsvm = "svm" in end
    if libsvm:
        assume(np.diff(pair[0].indptr + pair[1].indptr).all())
    save(path, *pair)
    told = {"format": "libsvm", "n_features": width, "n_labels": width} if libsvm else {}
    data = read(path, **told)
    for found, given_ in zip((data.X, data.Y), pair, strict=True):
        assert found.shape == given_.shape and found.has_canonical_format
        for field in ("indptr", "indices", "data"):
            np.testing.assert_array_equal(getattr(found, field), getattr(given_, field))


def test_files_of_one_matrix_are_written_as_the_repository_does(tmp_path):
    a, b = tmp_path / "trn_X_Xf.txt", tmp_path / "trn_X_Y.txt"
    save((a, b), np.float32([[0, 0.5], [0, 0]]), np.float32([[1, 1], [1, 0]]))
    assert (a.read_text(), b.read_text()) == ("2 2\n1:0.5\n\n", "2 2\n0:1 1:1\n0:1\n")


def test_save_refuses_what_would_not_come_back(tmp_path):
    for path, match in (
        ("set.csv", "set.csv: found no known end of a file name, expected .txt, .libsvm, .svm, .svmlight, .npz"),
        ("set.npz.gz", "found no known end"),
        ("a.txt,b.npz", "found npz and xmc, expected xmc or npz for both files"),
        ("a.svm,b.svm", "found libsvm, expected xmc or npz for both files"),
    ):
        with pytest.raises(ValueError, match=match):
            save(path, X, Y)
    with pytest.raises(ValueError, match="row 1 without features and labels, which LibSVM text cannot hold"):
        save(tmp_path / "set.svm", np.eye(2) * [1, 0], np.eye(2) * [1, 0])
    with pytest.raises(ValueError, match="no rows, which LibSVM text cannot hold"):
        save(tmp_path / "set.svm", np.zeros((0, 2)), np.zeros((0, 2)))
    with pytest.raises(ValueError, match="Y: found 2 rows, expected 3"):
        save(tmp_path / "set.npz", X, Y[:2])
    save(tmp_path / "set.data", X, Y, format="libsvm")
    assert [file.name for file in tmp_path.iterdir()] == ["set.data"]


def corrupt(field, at, value):
    matrix = sp.csr_matrix(np.eye(20, 30, dtype=np.float32))
    array = getattr(matrix, field).copy()
    array[at] = value
    setattr(matrix, field, array)
    return matrix


@pytest.mark.parametrize("end", ["set.txt", "set.svm", "set.npz", "X.txt,Y.txt", "X.npz,Y.npz"])
@pytest.mark.parametrize(
    "field, at, value", [("indptr", 5, 2**30), ("indptr", 5, -3), ("indices", 3, -7), ("indices", 3, 10**8)]
)
def test_save_refuses_corrupt_matrices(tmp_path, monkeypatch, end, field, at, value):
    monkeypatch.chdir(tmp_path)
    whole, wrong = sp.csr_matrix(np.eye(20, 30, dtype=np.float32)), corrupt(field, at, value)
    for form in (wrong, wrong.copy()):
        with pytest.raises(ValueError, match="X: found"):
            save(end, form, whole)
        with pytest.raises(ValueError, match="Y: found"):
            save(end, whole, form)
    with pytest.raises(ValueError, match="Y: found"):
        save_xmc("set.txt", whole, wrong)
    assert not list(tmp_path.iterdir())


@times(5)
@given(
    st.one_of(
        st.binary(max_size=120),
        st.text("0123,:. \n\r\t", max_size=120).map(str.encode),
        st.text("012,: .\n", max_size=50).map(lambda text: b"0 1:1\n" + text.encode()),
        st.text("012: .\n", max_size=50).map(lambda text: b"2 3\n" + text.encode()),
    ),
    st.sampled_from([3, 4 << 20]),
    st.sampled_from([None, "xmc", "libsvm", "npz"]),
    st.sampled_from([False, True]),
)
def test_any_bytes_are_data_or_a_named_fault(tmp_path, text, block, format, one_based):
    path = tmp_path / "set"
    path.write_bytes(text)
    before, blocks.BLOCK = blocks.BLOCK, block
    try:
        data = read(path, format=format, one_based=one_based, need_labels=False)
    except ValueError as error:
        assert ", expected " in str(error)
    else:
        assert isinstance(data, Data) and np.isfinite(data.X.data).all()
        for matrix in (data.X, data.Y) if data.Y is not None else (data.X,):
            matrix.check_format()
    finally:
        blocks.BLOCK = before
