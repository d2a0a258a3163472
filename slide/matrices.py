"""SciPy's sparse matrices, believed in nothing: every format becomes CSR arrays of one's own, checked first.

Their index arrays are attributes that anyone may set, and SciPy's conversions read and write where these say. So each
array is copied, the copy is checked, and only then anything follows it; what the caller does to the matrix meanwhile,
in another thread too, reaches nothing.
"""

from itertools import chain

import numpy as np
from scipy import sparse

MOST = np.iinfo(np.int32).max


def checked_csr(X, name: str):
    """A sparse matrix of any format as (indptr, columns, values), CSR arrays of its rows that nobody else has.

    indptr : int64 (rows + 1,); columns : int32 (nnz,), in the order that X has, which need not rise and may repeat;
    values : (nnz,) of X's dtype, or float64 where X is no CSR and has no floats.

    Raises ValueError, naming `name`, where X is not 2-D, is more than 2**31 - 1 columns wide, holds no real numbers,
    or where its arrays do not fit together or lead outside of it.
    """
    if X.format not in FORMATS:
        raise ValueError(f"{name}: found format {X.format!r}, expected one of {', '.join(FORMATS)}")
    try:
        if X.ndim != 2:
            raise ValueError(f"{name}: found {X.ndim} dimensions of shape {X.shape}, expected 2")
        if max(X.shape) > MOST:
            raise ValueError(f"{name}: found shape {X.shape}, expected at most {MOST} rows and columns")
        return FORMATS[X.format](X, name)
    except (AttributeError, TypeError, LookupError, OverflowError) as error:  # what is no array, no number
        raise ValueError(f"{name}: found a corrupt {X.format} matrix ({error})") from error


def _from_csr(X, name):
    return _compressed(X, name, X.shape[0], X.shape[1])


def _from_csc(X, name):
    indptr, rows, values = _compressed(X, name, X.shape[1], X.shape[0])
    return _converted(sparse.csc_array((_floats(values), rows, indptr), shape=X.shape))


def _from_bsr(X, name):
    data = _values(X.data, name, 3)
    height, width = data.shape[1:]
    if not height or not width or X.shape[0] % height or X.shape[1] % width:
        raise ValueError(f"{name}: found blocks {height} x {width}, expected ones that divide the shape {X.shape}")
    indptr, columns, blocks = _compressed(X, name, X.shape[0] // height, X.shape[1] // width, data)
    return _converted(sparse.bsr_array((_floats(blocks), columns, indptr), shape=X.shape))


def _from_coo(X, name):
    rows, columns = (_integers(ids, name, axis) for ids, axis in ((X.row, "row"), (X.col, "column")))
    return _from_entries(rows, columns, _values(X.data, name), X.shape, name)


def _from_dok(X, name):
    entries = list(X.items())
    rows, columns = (_listed([place[axis] for place, _ in entries], name, "index") for axis in (0, 1))
    values = _values(_listed([value for _, value in entries], name, "value"), name)
    return _from_entries(_integers(rows, name, "row"), _integers(columns, name, "column"), values, X.shape, name)


def _from_lil(X, name):
    ids, values = list(X.rows), list(X.data)
    if len(ids) != X.shape[0] or [len(row) for row in ids] != [len(row) for row in values]:
        raise ValueError(f"{name}: found lists of columns and values that differ, expected {X.shape[0]} pairs of them")
    rows = np.repeat(np.arange(len(ids)), [len(row) for row in ids])
    columns = _integers(_listed(list(chain.from_iterable(ids)), name, "column"), name, "column")
    values = _values(_listed(list(chain.from_iterable(values)), name, "value"), name)
    return _from_entries(rows, columns, values, X.shape, name)


def _from_dia(X, name):
    data, diagonals = _values(X.data, name, 2), _integers(X.offsets, name, "diagonal")
    if len(diagonals) != len(data) or len(np.unique(diagonals)) != len(diagonals):
        raise ValueError(f"{name}: found offsets {diagonals} of {len(data)} diagonals, expected one for each")
    _check_range(diagonals, 1 - X.shape[0], X.shape[1], name, "diagonal")
    columns = np.arange(min(data.shape[1], X.shape[1]))
    rows = columns - diagonals[:, None]
    data, columns = data[:, : len(columns)], np.broadcast_to(columns, rows.shape)
    stored = (rows >= 0) & (rows < X.shape[0]) & (data != 0)
    return _from_entries(rows[stored], columns[stored], data[stored], X.shape, name)


FORMATS = {
    "csr": _from_csr, "csc": _from_csc, "coo": _from_coo, "bsr": _from_bsr, "lil": _from_lil, "dok": _from_dok,
    "dia": _from_dia,
}  # fmt: skip


def _compressed(X, name, n_major, n_minor, values=None):
    """(indptr, indices, values) of X, cut to what indptr spans; n_minor is what the indices are below."""
    values = _values(X.data, name) if values is None else values
    indptr, indices = _integers(X.indptr, name, "indptr"), _integers(X.indices, name, "index")
    n = min(len(indices), len(values))
    if len(indptr) != n_major + 1 or indptr[0] != 0 or indptr[-1] > n or falls(indptr):
        raise ValueError(f"{name}: found a corrupt indptr, expected {n_major + 1} ascending offsets from 0 to {n}")
    indices = indices[: indptr[-1]]
    _check_range(indices, 0, n_minor, name, "index")
    return indptr.astype(np.int64, copy=False), indices.astype(np.int32, copy=False), values[: indptr[-1]]


def falls(indptr) -> bool:
    """Whether an offset is below the one before it: compared, since a difference may be beyond what the dtype holds."""
    return bool((indptr[1:] < indptr[:-1]).any())


def _from_entries(rows, columns, values, shape, name):
    """From the row, column and value of each entry."""
    if not len(rows) == len(columns) == len(values):
        lengths = f"{len(rows)} rows, {len(columns)} columns and {len(values)} values"
        raise ValueError(f"{name}: found {lengths}, expected one of each for every entry")
    _check_range(rows, 0, shape[0], name, "index")
    _check_range(columns, 0, shape[1], name, "index")
    return _converted(sparse.coo_array((_floats(values), (rows, columns)), shape=shape))


def _converted(X):
    """The arrays of a checked matrix of one's own, turned into CSR."""
    X = X.tocsr()
    return X.indptr.astype(np.int64), X.indices.astype(np.int32), X.data


def _floats(values):
    """Values of which several may be added up."""
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def _integers(ids, name, what):
    """A copy of an index array, int32 or int64."""
    ids = np.array(ids)
    if ids.ndim != 1 or (ids.dtype.kind not in "iu" and len(ids)):
        raise ValueError(f"{name}: found {what} array of {ids.dtype} {ids.shape}, expected integers (n,)")
    if ids.dtype != np.int32:
        if len(ids) and ids.dtype == np.uint64 and ids.max() > np.iinfo(np.int64).max:
            raise ValueError(f"{name}: found {what} {ids.max()}, expected at most {MOST}")
        ids = ids.astype(np.int64)
    return ids


def _listed(items, name, what):
    """An array of a list of numbers, or of pairs of them."""
    try:
        return np.array(items) if items else np.zeros(0, np.int64)
    except ValueError as error:
        raise ValueError(f"{name}: found {what} of different lengths, expected numbers") from error


def _values(values, name, ndim=1):
    """A copy of the values."""
    values = np.array(values)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name}: found values of dtype {values.dtype}, expected real numbers")
    if values.ndim != ndim:
        raise ValueError(f"{name}: found values of shape {values.shape}, expected {ndim} dimensions")
    return values


def _check_range(ids, low, high, name, what):
    if len(ids) and not (low <= ids.min() and ids.max() < high):
        bad = ids.min() if ids.min() < low else ids.max()
        raise ValueError(f"{name}: found {what} {bad}, expected {low} to {high - 1}")
