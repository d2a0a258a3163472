"""What a user gives becomes rows: the same rows however a matrix is stored, his own left as it was, clear errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from scipy.stats import chi2

from slide import reference
from slide.rows import ActiveSet, as_label_rows, as_sparse_rows
from tests.conftest import read_only

FORMATS = ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")


def dense(rows):
    return sparse.csr_array((rows.values, rows.ids, rows.indptr), shape=rows.shape).toarray()


def check_invariants(rows):
    assert rows.indptr.dtype == np.int64 and rows.ids.dtype == np.int32 and rows.values.dtype == np.float32
    assert rows.values.all() and len(rows.ids) == len(rows.values) == rows.indptr[-1]
    for r in range(len(rows)):
        assert (np.diff(rows.ids[rows.indptr[r] : rows.indptr[r + 1]]) > 0).all()


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6),
        elements=st.sampled_from([0.0, 0.0, 1.0, -2.5]),
    ),
    st.sampled_from(FORMATS),
)
def test_any_storage_gives_the_same_rows(X, storage):
    expected = as_sparse_rows(X)
    check_invariants(expected)
    np.testing.assert_array_equal(dense(expected), X)
    if X.size:
        rows = as_sparse_rows(sparse.csr_array(X).asformat(storage))
        for name in ("indptr", "ids", "values"):
            np.testing.assert_array_equal(getattr(rows, name), getattr(expected, name))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(-2, 2)), max_size=30))
def test_duplicates_are_summed_and_the_caller_keeps_his_matrix(entries):
    entries = sorted(entries, key=lambda entry: entry[0])
    indptr = np.searchsorted([e[0] for e in entries], np.arange(5)).astype(np.int32)
    columns = np.array([e[1] for e in entries], dtype=np.int32)
    values = np.array([e[2] for e in entries], dtype=np.int8)
    for array in (indptr, columns, values):
        array.flags.writeable = False
    X = sparse.csr_matrix((values, columns, indptr), shape=(4, 5))
    before = dict(vars(X))
    rows = as_sparse_rows(X)
    check_invariants(rows)
    expected = np.zeros((4, 5))
    np.add.at(expected, ([e[0] for e in entries], columns), values.astype(float))
    np.testing.assert_array_equal(dense(rows), expected)
    assert all(vars(X)[name] is value for name, value in before.items()) and vars(X).keys() == before.keys()


@pytest.mark.parametrize("storage", [*FORMATS, "dense", "rows"])
def test_rows_are_a_copy_that_nobody_writes_to(storage):
    X = sparse.random_array(
        (20, 30), density=0.2, format="csr", dtype=np.float32, rng=np.random.default_rng(0)
    )
    rows = as_sparse_rows(X.toarray() if storage == "dense" else X.asformat(storage) if storage != "rows" else X)
    assert not np.shares_memory(rows.ids, X.indices) and not np.shares_memory(rows.values, X.data)
    assert not any(array.flags.writeable for array in (rows.indptr, rows.ids, rows.values))
    assert as_sparse_rows(rows) is rows
    assert as_sparse_rows([[1, 0], [0, 2]]).ids.tolist() == [0, 1]


@pytest.mark.parametrize(
    "X, message",
    [
        (np.zeros(3), "X: found 1 dimensions.*expected 2"),
        (5, "X: found 0 dimensions"),
        (np.zeros((2, 3, 4)), "X: found 3 dimensions"),
        (np.zeros((2, 4)), "X: found 4 columns, expected 3"),
        (sparse.csr_array((2, 4)), "X: found 4 columns, expected 3"),
        ([["a", "b", "c"]], "X: found values of dtype"),
        (np.array([[1, None, 2]]), "X: found values of dtype object"),
        (np.ones((1, 3), dtype=complex), "X: found values of dtype complex"),
        ([[1, 2, 3], [1]], "X: found"),
        (np.array([[np.nan, 0, 0]]), "X: found nan"),
        (sparse.csr_array(np.array([[0, np.inf, 0]])), "X: found inf"),
        (np.array([[0, 1e300, 0]]), "X: found inf"),
    ],
)
def test_what_is_no_matrix_of_real_numbers_is_refused(X, message):
    with pytest.raises(ValueError, match=message):
        as_sparse_rows(X, n_columns=3)


@pytest.mark.parametrize("storage", ["csr", "csc", "coo", "bsr"])
@pytest.mark.parametrize("bad", [-1, 7])
def test_corrupt_indices_are_refused(storage, bad):
    X = sparse.csr_array(np.ones((3, 3))).asformat(storage)
    (X.col if storage == "coo" else X.indices)[0] = bad
    with pytest.raises(ValueError, match=f"mine: found index {bad}, expected 0 to 2|mine: found index"):
        as_sparse_rows(X, name="mine")


@pytest.mark.parametrize("indptr", [[0, 9, 3, 9], [0, 3, 6, 10], [1, 3, 6, 9], [0, 3, 9]])
def test_corrupt_offsets_are_refused(indptr):
    X = sparse.csr_array(np.ones((3, 3)))
    X.indptr = np.array(indptr, dtype=np.int32)
    with pytest.raises(ValueError, match="corrupt indptr"):
        as_sparse_rows(X)


def label_lists(rows):
    check_invariants(rows)
    assert (rows.values == 1).all()
    return [rows.ids[low:high].tolist() for low, high in zip(rows.indptr, rows.indptr[1:], strict=False)]


def objects(values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


@pytest.mark.parametrize(
    ("Y", "expected"),
    [
        # an integer per row
        (np.array([3, 0, 1]), [[3], [0], [1]]),
        ([3, 0, 1], [[3], [0], [1]]),
        ((np.int64(3), np.uint8(0)), [[3], [0]]),
        (np.array([3.0, 0.0]), [[3], [0]]),
        ([3.0, 0], [[3], [0]]),
        (objects([3, 0]), [[3], [0]]),
        (np.array([], int), []),
        # lists of integers, whatever is in them
        ([[3, 1], [], [2]], [[1, 3], [], [2]]),
        ([[1, 0], [0, 1]], [[0, 1], [0, 1]]),
        ([[1, 0, 0, 0], [0, 0, 0, 1]], [[0, 1], [0, 1]]),
        ([[2, 2, 2]], [[2]]),
        (([3], (1, 2), {0}, range(2), np.array([3, 2])), [[3], [1, 2], [0], [0, 1], [2, 3]]),
        ([np.array([3, 1]), np.array([], int)], [[1, 3], []]),
        (objects([[3, 1], [2]]), [[1, 3], [2]]),
        ([[], []], [[], []]),
        ([], []),
        # an indicator
        (np.array([[1, 0, 0, 1], [0, 0, 0, 0]]), [[0, 3], []]),
        (np.array([[True, False, False, True]]), [[0, 3]]),
        (np.array([[0.0, 1.0, 0.0, 0.0]]), [[1]]),
        (np.zeros((0, 4)), []),
        (sparse.csr_array((np.array([1, 0]), np.array([1, 0]), np.array([0, 2])), shape=(1, 4)), [[1]]),
        (sparse.coo_array((np.ones(2, bool), ([0, 0], [1, 1])), shape=(1, 4)), [[1]]),
    ],
)
def test_labels(Y, expected):
    rows = as_label_rows(Y, len(expected), 4)
    assert label_lists(rows) == expected and rows.shape == (len(expected), 4)


@pytest.mark.parametrize("storage", FORMATS)
@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float32, np.float64])
def test_labels_of_any_storage(storage, dtype):
    Y = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], dtype)
    assert label_lists(as_label_rows(sparse.csr_array(Y).asformat(storage), 3, 4)) == [[0, 2], [], [1]]


INTEGERS, KINDS = "expected integers from 0 to 3$", "expected an indicator matrix, an integer per row or lists of int"
NOT_0_1 = "expected an indicator matrix of 0 and 1 or of booleans; where every value above 0 is a label, give Y > 0$"


@pytest.mark.parametrize(
    ("Y", "message"),
    [
        (np.array([[1, -1, -1, 1]]), f"found -1 in row 0, column 1, {NOT_0_1}"),
        (np.array([[1, 0, 0, 0], [0, 0, 0.5, 0]]), f"found 0.5 in row 1, column 2, {NOT_0_1}"),
        (np.array([[0, 3, 0, 0]]), f"found 3 in row 0, column 1, {NOT_0_1}"),
        (sparse.csr_array(np.array([[0, 0, 0, 0], [0, 3, 0, -1]])), f"found 3 in row 1, column 1, {NOT_0_1}"),
        (sparse.csr_array((np.ones(2), np.array([1, 1]), np.array([0, 2])), shape=(1, 4)), f"found 2 in .*{NOT_0_1}"),
        (np.array([[np.nan, 0, 0, 0]]), "found nan"),
        (np.array([0, 1, 4]), f"found label 4 in row 2, {INTEGERS}"),
        (np.array([0, -1]), f"found label -1 in row 1, {INTEGERS}"),
        ([[0], [], [1, 7]], f"found label 7 in row 2, {INTEGERS}"),
        ([2**70], f"found label {2**70} in row 0, {INTEGERS}"),
        (np.array([2**63], np.uint64), f"found label {2**63} in row 0, {INTEGERS}"),
        ([1.5], f"found label 1.5 in row 0, {INTEGERS}"),
        (np.array([0, np.nan]), f"found label nan in row 1, {INTEGERS}"),
        (np.array([np.inf]), f"found label inf in row 0, {INTEGERS}"),
        ([[0], [1.0]], f"found label 1.0 in row 1, {INTEGERS}"),
        ([np.array([0.0, 1.0, 0.0, 0.0])], f"found label 0.0 in row 0, {INTEGERS}"),
        ([0, None], f"found label None in row 1, {INTEGERS}"),
        ([[0], None], "found None in row 1, expected a list of labels as in other rows$"),
        ([0, [1]], "found 0 in row 0, expected a list of labels as in other rows$"),
        (["1", "2"], f"found label '1' in row 0, {INTEGERS}"),
        ([["1"]], f"found label '1' in row 0, {INTEGERS}"),
        (objects(["1", "2"]), f"found label '1' in row 0, {INTEGERS}"),
        ([True, False], f"found label True in row 0, {INTEGERS}"),
        (np.array([True, False]), f"found label True in row 0, {INTEGERS}"),
        ([[True, False]], f"found label True in row 0, {INTEGERS}"),
        ([[[1]]], f"found label list in row 0, {INTEGERS}"),
        ([sparse.csr_array(np.eye(4))], f"found label csr_array in row 0, {INTEGERS}"),
        (None, f"found NoneType .*{KINDS}"),
        ("text", f"found str .*{KINDS}"),
        (3, f"found int .*{KINDS}"),
        (np.int64(3), f"found int64 .*{KINDS}"),
        ({0: 1}, f"found dict .*{KINDS}"),
        (iter([1]), f"found list_iterator .*{KINDS}"),
        (np.array(["1"]), f"found ndarray .*{KINDS}"),
        (np.array([["1"] * 4]), f"found ndarray .*{KINDS}"),
        (np.array([[None] * 4]), f"found ndarray .*{KINDS}"),
        (np.array([1j]), f"found ndarray .*{KINDS}"),
        (np.ones((1, 4, 1)), f"found ndarray .*{KINDS}"),
        (np.ones((3, 1)), "found 1 column, expected 4, or one label per row as a 1-D array"),
        (np.ones((3, 5)), "found 5 columns, expected 4"),
    ],
)
def test_what_is_no_label_is_refused(Y, message):
    with pytest.raises(ValueError, match=f"^Y: {message}"):
        as_label_rows(Y, n_labels=4)


def test_as_many_labels_as_rows():
    for Y in ([0, 1], [[0], [1]], np.eye(2, 3)):
        assert len(as_label_rows(Y, 2, 3)) == 2
        with pytest.raises(ValueError, match="^Y: found 2 rows, expected 5$"):
            as_label_rows(Y, 5, 3)
    for Y in ([0, 1], [[0], [1]]):
        with pytest.raises(ValueError, match="^mine: found labels without the number of all labels"):
            as_label_rows(Y, 2, name="mine")


def test_the_caller_keeps_his_labels():
    Y = [[3, 1], [2, 2]]
    ids, indicator = np.array([3, 1]), np.array([[1, 0, 0, 1]], bool)
    read_only(ids, indicator)
    for given_ in (Y, ids, indicator):
        as_label_rows(given_, None, 4)
    assert Y == [[3, 1], [2, 2]]


@given(st.lists(st.integers(0, 5), max_size=9), st.slices(6))
def test_rows_are_taken_by_number_or_slice(numbers, part):
    X = np.random.default_rng(1).integers(0, 2, (6, 4)).astype(np.float32)
    X[2] = 0
    rows = as_sparse_rows(X)
    for chosen in (np.array(numbers, dtype=np.int64), part):
        taken = rows.take(chosen)
        check_invariants(taken)
        np.testing.assert_array_equal(dense(taken), X[chosen])


@given(st.lists(st.integers(0, 5), max_size=9))
def test_the_kernel_that_takes_rows_agrees_with_numpy(numbers):
    X = np.random.default_rng(1).integers(0, 2, (6, 4)).astype(np.float32)
    X[2] = 0
    rows, chosen = as_sparse_rows(X), np.array(numbers, np.int64)
    read_only(rows.ids, rows.values)
    taken = rows.take(chosen)
    ids, values = reference.take_rows(rows.indptr[chosen], taken.indptr, rows.ids, rows.values)
    np.testing.assert_array_equal(taken.ids, ids)
    np.testing.assert_array_equal(taken.values, values)


def test_of_rows_with_more_entries_some_are_drawn_uniformly():
    rows = as_sparse_rows(sparse.random(200, 30, 0.1, "csr", np.float32, 3))
    few = rows.sampled(2, np.random.default_rng(0))
    assert np.diff(few.indptr).tolist() == np.minimum(np.diff(rows.indptr), 2).tolist()
    all_of_them, some = rows.to_scipy().toarray(), few.to_scipy().toarray()
    assert np.array_equal(some[some != 0], all_of_them[some != 0])
    assert not np.array_equal(few.ids, rows.sampled(2, np.random.default_rng(1)).ids)
    runs, row = 300, int(np.argmax(np.diff(rows.indptr)))
    counts = sum(rows.sampled(1, np.random.default_rng(seed)).to_scipy() for seed in range(runs)).toarray()
    held = all_of_them[row] != 0
    expected = runs / held.sum()
    found = counts[row][held] / all_of_them[row][held]
    assert ((found - expected) ** 2 / expected).sum() < chi2.ppf(0.999, held.sum() - 1)


def test_numbers_of_rows_and_groups_out_of_range_are_refused():
    with pytest.raises(IndexError, match="rows: found 0 to 2, expected 0 to 1"):
        as_sparse_rows(np.eye(2)).take([0, 2])
    active = ActiveSet(np.array([0, 2, 2]), np.array([4, 1], dtype=np.int32))
    assert len(active) == 2 and active[0].tolist() == [4, 1] and active[1].tolist() == []
    with pytest.raises(IndexError, match="group: found 2"):
        active[2]


@pytest.mark.parametrize("sizes", [{"n_labels": 2**63}, {"n_labels": 2**31}, {"n_rows": 2**31}, {"n_labels": -1}])
def test_sizes_beyond_an_index_are_refused_by_name(sizes):
    (name,) = sizes
    with pytest.raises(ValueError, match=f"{name}: found"):
        as_label_rows([[2], [0]], **{"n_labels": 3, **sizes})
