"""Matrices whose arrays lie: refused wherever a matrix enters, before anything follows them."""

import numpy as np
import pytest
from scipy import sparse

from slide import Dense, Network, Sampled, metrics
from slide.data import load_xmc, save_xmc
from slide.hashing import FAMILIES
from slide.rows import SparseRows, as_sparse_rows

N_ROWS, N_COLUMNS = 12, 30
FORMATS = ("csr", "csc", "coo", "bsr", "lil", "dok", "dia")
HUGE = (-1, -7, 30, 10**8, 2**31 - 1, 2**31, -(2**31) - 1, 2**40, -(2**63))


def matrix(storage, kind="matrix", blocks=(2, 3)):
    """Ones, one a column, so that every door takes it."""
    rng = np.random.default_rng(0)
    X = np.zeros((N_ROWS, N_COLUMNS), np.float32)
    X[rng.integers(0, N_ROWS, N_COLUMNS), np.arange(N_COLUMNS)] = 1
    X = (sparse.csr_matrix if kind == "matrix" else sparse.csr_array)(X)
    return X.tobsr(blocks) if storage == "bsr" else X.asformat(storage)


def network():
    return Network(N_COLUMNS, [Dense(8), Sampled(N_COLUMNS, active=10, K=2, L=3)], threads=1, batch_size=4)


DOORS = {
    "as_sparse_rows": lambda X, tmp: as_sparse_rows(X),
    "fit": lambda X, tmp: network().fit(X, np.eye(N_ROWS, N_COLUMNS)),
    "fit, labels": lambda X, tmp: network().fit(np.eye(N_ROWS, N_COLUMNS), X),
    "partial_fit": lambda X, tmp: network().partial_fit(X, np.eye(N_ROWS, N_COLUMNS)),
    "predict": lambda X, tmp: network().predict(X),
    "evaluate": lambda X, tmp: network().evaluate(np.eye(N_ROWS, N_COLUMNS), X),
    "codes": lambda X, tmp: FAMILIES["simhash"](N_COLUMNS, 3, 4).codes(X),
    "query_codes": lambda X, tmp: FAMILIES["mips"](N_COLUMNS, 3, 4).query_codes(X),
    "dense": lambda X, tmp: FAMILIES["dwta"](N_COLUMNS, 1, 4).dense(X),
    "metrics": lambda X, tmp: metrics.precision_at_k(X, np.zeros((N_ROWS, 1), int), 1),
    "propensities": lambda X, tmp: metrics.propensities(X),
    "popularity": lambda X, tmp: metrics.popularity_baseline(X, X),
    "save_xmc, X": lambda X, tmp: save_xmc(tmp / "x.txt", X, np.eye(N_ROWS, 20)),
    "save_xmc, Y": lambda X, tmp: save_xmc(tmp / "x.txt", np.eye(N_ROWS, 20), X),
}


def changed(array, place, value):
    array[place] = value
    return array


def beyond(offsets):
    """Offsets that fall by so much that their differences, in their own dtype, are all positive."""
    most = np.iinfo(offsets.dtype)
    return np.array([0, most.max, most.min, -1, *offsets[4:]], offsets.dtype)


def corruptions(storage):
    """(what, change) of a matrix of that format: what would be followed out of bounds, or is no array at all."""
    indices = {"coo": ("row", "col"), "csr": ("indices",), "csc": ("indices",), "bsr": ("indices",)}.get(storage, ())

    def put(name, place, value):
        return replace(name, lambda array: changed(np.array(array, np.int64), place, value))

    def replace(name, value):
        def change(X):
            if name in ("row", "col"):  # whose setters are more careful
                X.coords = tuple(value(ids) if name == axis else ids for axis, ids in (("row", X.row), ("col", X.col)))
            else:
                setattr(X, name, value(getattr(X, name)))

        return change

    for name in indices:
        for value in (v for v in HUGE if v != 30 or storage == "csr"):
            yield f"{name} {value}", put(name, 3, value)
        yield f"{name} too short", replace(name, lambda array: array[:-3])
        yield f"{name} of floats", replace(name, lambda array: array.astype(float))
        yield f"{name} of NaN", replace(name, lambda array: np.full(len(array), np.nan))
        yield f"{name} two-dimensional", replace(name, lambda array: array[:, None])
        yield f"{name} None", replace(name, lambda array: None)
        yield f"{name} huge and unsigned", replace(name, lambda array: np.full(len(array), 2**64 - 1, np.uint64))
    if storage in ("csr", "csc", "bsr"):
        for place, value in [(2, 2**30), (-1, 2**30), (-1, 10**6), (0, 1), (2, -1), (2, 2**62), (0, -5)]:
            yield f"indptr[{place}] = {value}", put("indptr", place, value)
        yield "indptr too short", replace("indptr", lambda array: array[:-1])
        yield "indptr empty", replace("indptr", lambda array: array[:0])
        yield "indptr too long", replace("indptr", lambda array: np.append(array, array[-1]))
        yield "indptr falls beyond its dtype", replace("indptr", beyond)
        yield "indptr falls", replace("indptr", lambda array: array[::-1].copy())
    if storage in ("csr", "csc", "coo"):
        yield "data too short", replace("data", lambda array: array[:-3])
        yield "data of objects", replace("data", lambda array: array.astype(object))
        yield "data of text", replace("data", lambda array: array.astype("U3"))
    if storage == "bsr":
        yield "blocks that do not divide", replace("data", lambda array: np.ones((len(array), 5, 7)))
        yield "blocks of nothing", replace("data", lambda array: np.ones((len(array), 0, 3)))
        yield "data flat", replace("data", lambda array: array.ravel())
    if storage == "lil":
        for value in (*HUGE, 2**70, 1.5, None, "a"):
            yield f"column {value}", lambda X, value=value: X.rows.__setitem__(0, [value] * len(X.data[0]) or [value])
        yield "longer columns", lambda X: X.rows.__setitem__(0, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
        yield "no list", lambda X: X.rows.__setitem__(0, None)
        yield "fewer lists", replace("rows", lambda array: array[:-1])
        yield "values of text", lambda X: X.data.__setitem__(0, ["a"] * len(X.data[0]))
    if storage == "dok":
        keys = [(v, 0) for v in HUGE if v != 30] + [(0, v) for v in HUGE]
        for key in (*keys, (0, 2**70), (0, 1.5), (0, "a"), (0,), 5):
            yield f"key {key}", lambda X, key=key: X._dict.__setitem__(key, 1.0)
        yield "a value of text", lambda X: X._dict.__setitem__((0, 0), "a")
    if storage == "dia":
        for value in HUGE[2:]:
            yield f"offset {value}", put("offsets", 0, value)
        yield "fewer offsets", replace("offsets", lambda array: array[:-1])
        yield "offsets twice", put("offsets", slice(None), 2)
        yield "offsets None", replace("offsets", lambda array: None)
        yield "data flat", replace("data", lambda array: array.ravel())


LIES = [(f"{storage}: {what}", storage, change) for storage in FORMATS for what, change in corruptions(storage)]


@pytest.mark.parametrize(("storage", "change"), [pytest.param(*rest, id=name) for name, *rest in LIES])
def test_a_matrix_that_lies_is_refused_at_every_door(storage, change, tmp_path):
    for kind in ("matrix", "array"):
        X = matrix(storage, kind)
        try:
            change(X)
        except Exception:  # SciPy itself refuses it
            continue
        for name, door in DOORS.items():
            try:
                door(X, tmp_path)
            except ValueError as error:
                assert str(error).partition(":")[0] in ("X", "Y", "rows", "Y_true", "Y_train", "Y_test"), (name, error)
            else:
                raise AssertionError(f"{name}: took a matrix that lies")
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("storage", FORMATS)
def test_every_format_gives_the_same_at_every_door(storage, kind, tmp_path):
    X, wide = (matrix(storage, kind, blocks=(1, 1)) for _ in range(2))
    for name in ("indptr", "indices", "offsets"):
        if hasattr(wide, name):
            setattr(wide, name, getattr(wide, name).astype(np.int64))
    for given in (X, wide):
        expected = X.toarray()
        np.testing.assert_array_equal(as_sparse_rows(given).to_scipy().toarray(), expected)
        family = FAMILIES["simhash"](N_COLUMNS, 3, 4)
        np.testing.assert_array_equal(family.codes(given), family.codes(expected))
        save_xmc(tmp_path / "x.txt", given, given)
        for read in load_xmc(tmp_path / "x.txt"):
            np.testing.assert_array_equal(read.toarray(), expected)
        for door in DOORS.values():
            door(given, tmp_path)


@pytest.mark.parametrize("storage", FORMATS)
def test_the_matrix_may_change_once_it_was_taken(storage):
    X = matrix(storage)
    rows = as_sparse_rows(X)
    before = rows.to_scipy().toarray()
    for name in ("indptr", "indices", "data", "offsets", "row", "col"):
        array = getattr(X, name, None)
        if isinstance(array, np.ndarray) and array.dtype != object:
            array[...] = 99
    np.testing.assert_array_equal(rows.to_scipy().toarray(), before)


def test_duplicates_add_up_in_any_format_and_type():
    places = (np.array([0, 0, 0, 1]), np.array([2, 2, 2, 0]))
    for dtype in (bool, np.int8, np.uint8, np.float32, np.float64):
        X = sparse.coo_array((np.full(4, 100 if dtype is not bool else 1, dtype), places), shape=(2, 3))
        one = 1 if dtype is bool else 100
        assert as_sparse_rows(X).to_scipy().toarray().tolist() == [[0, 0, 3 * one], [one, 0, 0]]


def test_other_shapes_and_kinds_are_refused():
    for X in (sparse.coo_array(np.ones(3)), sparse.csr_array(np.ones((2, 2)) * 1j)):
        with pytest.raises(ValueError, match="X: found"):
            as_sparse_rows(X)
    with pytest.raises(ValueError, match="X: found a masked array"):
        as_sparse_rows(np.ma.masked_equal(np.eye(3), 0))
    with pytest.raises(ValueError, match="columns, expected at most"):
        as_sparse_rows(sparse.csr_array((2, 2**31)))


@pytest.mark.parametrize(
    ("indptr", "ids", "values"),
    [
        ([0, 2**40], [0], [1]), ([0, 1], [7], [1]), ([0, 1], [-1], [1]), ([1, 1], [0], [1]), ([0, 2], [0], [1]),
        ([0, 1, 1], [0], [1]), ([], [0], [1]), ([0, 1], [0], [1, 2]), ([0, 1], [0], [np.nan]), ([2, 1], [0], [1]),
        ([0, 2**63 - 1, -(2**63), -1, 1], [0], [1]),
    ],
)  # fmt: skip
def test_rows_that_anyone_constructed_are_checked(indptr, ids, values):
    shape = (4 if len(indptr) == 5 else 1, 7)
    rows = SparseRows(np.array(indptr, np.int64), np.array(ids, np.int32), np.array(values, np.float32), shape)
    with pytest.raises(ValueError, match="X: found"):
        as_sparse_rows(rows)
    for part in ("indptr", "ids", "values"):
        wrong = {**vars(rows), part: vars(rows)[part].astype(np.float64)}
        with pytest.raises(ValueError, match="X: found"):
            as_sparse_rows(SparseRows(**wrong))
