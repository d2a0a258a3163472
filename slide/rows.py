"""The two currencies of the package, both CSR: rows of values and sets of active neurons.

User input is validated here, once; everything behind takes these arrays as they are.
"""


from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from slide._kernels.rows import take_rows
from slide.matrices import MOST, checked_csr, falls
from slide.settings.checks import check_integer

INT32_MAX = np.iinfo(np.int32).max


@dataclass(frozen=True)
class ActiveSet:
    """The neurons of each group of samples, unique within a group, in the order in which they were retrieved.

    indptr : int64 (groups + 1,); group g has ids[indptr[g]:indptr[g + 1]].
    ids : int32 (indptr[-1],).
    """

    indptr: np.ndarray
    ids: np.ndarray

    @classmethod
    def of(cls, groups: Iterable[ArrayLike]) -> ActiveSet:
        """From the ids of each group, an iterable of sequences."""
        sets = [np.asarray(ids, dtype=np.int32) for ids in groups]
        ids = np.concatenate(sets) if sets else np.zeros(0, np.int32)
        return cls(offsets([len(group) for group in sets]), ids)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, group: int) -> np.ndarray:
        """The ids of one group, a view."""
        if not 0 <= group < len(self):
            raise IndexError(f"group: found {group}, expected 0 to {len(self) - 1}")
        return self.ids[self.indptr[group] : self.indptr[group + 1]]


@dataclass(frozen=True)
class SparseRows:
    """A sparse matrix by rows; ids ascend within a row and no stored value is zero.

    indptr : int64 (rows + 1,); ids : int32 (nnz,), the columns; values : float32 (nnz,); shape : (rows,
        columns).
    """

    indptr: np.ndarray
    ids: np.ndarray
    values: np.ndarray
    shape: tuple[int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def to_scipy(self) -> sparse.csr_array:
        """The same matrix for SciPy, sharing the arrays."""
        return sparse.csr_array((self.values, self.ids, self.indptr), shape=self.shape)

    def normalized(self) -> SparseRows:
        """The same rows scaled to unit Euclidean norm; rows without values stay as they are."""
        starts, sizes = self.indptr[:-1], self.indptr[1:] - self.indptr[:-1]
        filled = sizes > 0
        if not filled.all():
            starts, sizes = starts[filled], sizes[filled]
        if not len(starts):
            return self
        norms = np.sqrt(np.add.reduceat(np.square(self.values, dtype=np.float64), starts))
        values = (self.values / (norms if len(norms) == 1 else np.repeat(norms, sizes))).astype(np.float32)
        return SparseRows(self.indptr, self.ids, values, self.shape)

    def take(self, rows: slice | ArrayLike) -> SparseRows:
        """The given rows in the given order: a slice of step 1 (views of ids and values) or an array of row
        numbers.

        Raises IndexError where a number is not in 0..len(self) - 1.
        """
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                stop = max(start, stop)
                a, b = self.indptr[start], self.indptr[stop]
                indptr = self.indptr[start : stop + 1] - a
                return SparseRows(indptr, self.ids[a:b], self.values[a:b], (stop - start, self.shape[1]))
            rows = np.arange(start, stop, step)
        rows = np.asarray(rows, dtype=np.int64).reshape(-1)
        if len(rows) and rows.view(np.uint64).max() >= len(self):  # as an unsigned number a negative one is large
            raise IndexError(f"rows: found {rows.min()} to {rows.max()}, expected 0 to {len(self) - 1}")
        starts = self.indptr[rows]
        indptr = offsets(self.indptr[rows + 1] - starts)
        ids, values = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
        take_rows(starts, indptr, self.ids, self.values, ids, values)
        return SparseRows(indptr, ids, values, (len(rows), self.shape[1]))

    def sampled(self, most: int, rng: np.random.Generator) -> SparseRows:
        """`most` random entries of each row that has more, the same rows otherwise."""
        sizes = np.diff(self.indptr)
        row = np.repeat(np.arange(len(sizes)), sizes)
        order = np.lexsort((rng.random(len(row)), row))
        kept = np.sort(order[np.arange(len(row)) - self.indptr[row] < most])
        return SparseRows(offsets(np.minimum(sizes, most)), self.ids[kept], self.values[kept], self.shape)


Matrix: TypeAlias = ArrayLike | sparse.sparray | sparse.spmatrix | SparseRows  # what `as_sparse_rows` takes
Labels: TypeAlias = Matrix | Sequence[Collection[int]]  # what `as_label_rows` takes


def gather_slices(starts, sizes):
    """(indptr, where), int64: the positions of the slices [starts[i], starts[i] + sizes[i]), side by side."""
    indptr = offsets(sizes)
    where = np.arange(indptr[-1]) + np.repeat(np.asarray(starts, np.int64) - indptr[:-1], sizes)
    return indptr, where


def offsets(sizes: Sequence[int] | np.ndarray) -> np.ndarray:
    """int64 (n + 1,): 0 and the running sums of `sizes` (n,)."""
    indptr = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=indptr[1:])
    return indptr


def as_sparse_rows(X: Matrix, name: str = "X", n_columns: int | None = None) -> SparseRows:
    """Validated rows of a scipy sparse matrix or of anything that NumPy reads as a 2-D array of real numbers.

    Duplicate entries are summed and zeros dropped, so a matrix gives the same rows however it is stored. The
    caller's object is never modified, and always copied, to arrays that are read-only: what happens to it later does
    not reach these rows. SparseRows are checked and taken as they are.

    Raises ValueError, naming `name`, where X is not 2-D, not real numbers, not finite in float32, masked, or of a
    width other than `n_columns` (None: any width up to 2**31 - 1), or where its indices are corrupt.
    """
    if isinstance(X, SparseRows):
        _check_rows(X, name)
        _check_width(X.shape[1], name, n_columns)
        return X
    matrix: Any = X if sparse.issparse(X) else _dense(X, name)
    if matrix.ndim != 2:
        raise ValueError(f"{name}: found {matrix.ndim} dimensions of shape {matrix.shape}, expected 2")
    if matrix.dtype.kind not in "biuf":
        raise ValueError(f"{name}: found values of dtype {matrix.dtype}, expected real numbers")
    _check_width(matrix.shape[1], name, n_columns)
    shape = int(matrix.shape[0]), int(matrix.shape[1])
    if not sparse.issparse(matrix):
        rows, columns = np.nonzero(matrix)
        indptr, values = offsets(np.bincount(rows, minlength=shape[0])), matrix[rows, columns]
    else:
        indptr, columns, values = checked_csr(matrix, name)
        indptr, columns, values = _canonical(indptr, columns, values, shape)
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(values, dtype=np.float32)
    _check_finite(values, name)
    if not values.all():
        indptr, columns, values = _without_zeros(indptr, columns, values)
    arrays = np.ascontiguousarray(indptr, dtype=np.int64), np.ascontiguousarray(columns, dtype=np.int32), values
    for array in arrays:
        array.setflags(write=False)
    return SparseRows(*arrays, shape)


def as_label_rows(Y: Labels, n_rows: int | None = None, n_labels: int | None = None, name: str = "Y") -> SparseRows:
    """The labels of each row, as rows of an indicator matrix whose values are 1. Y is one of

    - an indicator matrix (n_rows, n_labels): SciPy sparse of any format, or a 2-D array; booleans, or 0 and 1;
    - one label per row: a 1-D array, list or tuple of n_rows integers, or of floats that are whole;
    - label lists: a list, tuple or 1-D array of objects that holds n_rows lists, tuples, sets or 1-D arrays of
      integers. They may be empty and of any length, and a repeated label counts once.

    A nested list is label lists, whatever is in it: [[1, 0], [0, 1]] gives both rows the labels 0 and 1. For an
    indicator it must be an array, np.array([[1, 0], [0, 1]]).

    n_rows, n_labels: what Y must have (None: any number). Labels that are not an indicator need n_labels.

    Raises ValueError, naming `name`, where Y is none of these, has other than n_rows rows or n_labels columns, or a
    label that is not in 0..n_labels-1; of an indicator as `as_sparse_rows`, and where a value is neither 0 nor 1.
    """
    _check_sizes(n_rows=n_rows, n_labels=n_labels)
    if not isinstance(Y, list | tuple | SparseRows) and not sparse.issparse(Y):
        Y = _label_array(Y, name)
    if isinstance(Y, list | tuple):
        rows = _from_lists(Y, n_labels, name)
    elif isinstance(Y, np.ndarray) and Y.ndim == 1:
        rows = _from_ids(Y, np.arange(len(Y) + 1), n_labels, name)
    else:
        rows = _from_indicator(Y, n_labels, name)
    if n_rows is not None and len(rows) != n_rows:
        raise ValueError(f"{name}: found {len(rows)} rows, expected {n_rows}")
    return rows


def _check_sizes(**sizes):
    for name, size in sizes.items():
        if size is not None:
            check_integer(name, size, 0, MOST)


def _label_array(Y, name):
    """Y as an array of numbers, of one or two dimensions, or as a list of the objects of a 1-D array."""
    array = _dense(Y, name)
    if array.dtype.kind == "O" and array.ndim == 1:
        return list(array)
    if array.dtype.kind not in "biuf" or array.ndim not in (1, 2):
        raise ValueError(
            f"{name}: found {type(Y).__name__} (dtype {array.dtype}, shape {array.shape}), expected an indicator "
            "matrix, an integer per row or lists of integers"
        )
    return array


def _from_indicator(Y, n_labels, name):
    if isinstance(Y, np.ndarray) and Y.shape[1] == 1 != n_labels is not None:
        raise ValueError(f"{name}: found 1 column, expected {n_labels}, or one label per row as a 1-D array")
    rows = as_sparse_rows(Y, name, n_labels)
    wrong = np.flatnonzero(rows.values != 1)
    if not len(wrong):
        return rows
    if isinstance(Y, SparseRows) or Y.dtype.kind != "b":  # booleans that are there twice were summed
        row = np.searchsorted(rows.indptr, wrong[0], side="right") - 1
        raise ValueError(
            f"{name}: found {rows.values[wrong[0]]:g} in row {row}, column {rows.ids[wrong[0]]}, expected an indicator "
            f"matrix of 0 and 1 or of booleans; where every value above 0 is a label, give {name} > 0"
        )
    return SparseRows(rows.indptr, rows.ids, np.ones_like(rows.values), rows.shape)


def _from_lists(Y, n_labels, name):
    nested = [isinstance(x, list | tuple | set | frozenset | range) or getattr(x, "ndim", None) == 1 for x in Y]
    if all(nested):
        ids = [label for labels in Y for label in labels]
        return _from_ids(ids, offsets([len(labels) for labels in Y]), n_labels, name)
    if any(nested):
        row = nested.index(False)
        raise ValueError(f"{name}: found {Y[row]!r} in row {row}, expected a list of labels as in other rows")
    numbers = all(isinstance(x, Real) and not isinstance(x, bool) for x in Y)
    return _from_ids(np.asarray(Y) if numbers else Y, np.arange(len(Y) + 1), n_labels, name)


def _from_ids(ids, indptr, n_labels, name):
    """From the labels of all rows, one after the other: an array, or a list of whatever the caller had."""
    if n_labels is None:
        raise ValueError(f"{name}: found labels without the number of all labels, expected an indicator matrix")
    good = _are_labels(ids, n_labels)
    if not good.all():
        at = int(np.argmin(good))
        found = ids[at].item() if isinstance(ids[at], np.generic) else ids[at]
        found = repr(found) if isinstance(found, str | bytes | Real | None) else type(found).__name__
        row = np.searchsorted(indptr, at, side="right") - 1
        raise ValueError(f"{name}: found label {found} in row {row}, expected integers from 0 to {n_labels - 1}")
    columns = np.asarray(ids, dtype=np.int32)
    ones = np.ones(len(columns), np.float32)
    rows = as_sparse_rows(sparse.csr_array((ones, columns, indptr), shape=(len(indptr) - 1, n_labels)), name)
    return SparseRows(rows.indptr, rows.ids, np.ones_like(rows.values), rows.shape)


def _are_labels(ids, n_labels):
    """bool (n,): which of them are integers from 0 to n_labels - 1; in an array of floats also whole ones."""
    if isinstance(ids, np.ndarray) and ids.dtype.kind in "iuf":
        return (ids >= 0) & (ids < n_labels) & (ids == np.floor(ids))
    return np.fromiter((isinstance(x, Integral) and not isinstance(x, bool) and 0 <= x < n_labels for x in ids), bool)


def _check_width(width, name, n_columns):
    if n_columns is not None and width != n_columns:
        raise ValueError(f"{name}: found {width} columns, expected {n_columns}")
    if width > INT32_MAX:
        raise ValueError(f"{name}: found {width} columns, expected at most {INT32_MAX}")


def _dense(X, name):
    if isinstance(X, np.ma.MaskedArray):
        raise ValueError(f"{name}: found a masked array, expected an array whose every number counts")
    try:
        return np.asarray(X)
    except ValueError as error:
        raise ValueError(f"{name}: found {type(X).__name__}, expected a 2-D array of real numbers") from error


def _canonical(indptr, columns, values, shape):
    """(indptr, columns, values) of CSR arrays of one's own, columns ascending and unique in a row."""
    ascends, ends = columns[1:] > columns[:-1], indptr[1:-1]
    if len(ends):
        ascends[ends[(ends > 0) & (ends < len(columns))] - 1] = True
    if ascends.all():
        return indptr, columns, values
    values = values.astype(np.float64 if values.dtype.kind != "f" else values.dtype, copy=False)
    own = sparse.csr_array((values, columns, indptr), shape=shape)
    own.sum_duplicates()
    return own.indptr, own.indices, own.data


def _check_finite(values, name):
    if not np.isfinite(values).all():
        bad = values[~np.isfinite(values)][0]
        raise ValueError(f"{name}: found {bad} (as float32), expected finite numbers")


def _check_rows(rows, name):
    """Raises ValueError where SparseRows are not what they say: anyone may construct them."""
    indptr, ids, values = rows.indptr, rows.ids, rows.values
    for array, dtype in ((indptr, np.int64), (ids, np.int32), (values, np.float32)):
        if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 1:
            raise ValueError(f"{name}: found SparseRows of {type(array).__name__}, expected arrays as documented")
    if len(indptr) != len(rows) + 1 or indptr[0] or not indptr[-1] == len(ids) == len(values) or falls(indptr):
        raise ValueError(f"{name}: found a corrupt indptr, expected offsets of {len(rows)} rows from 0 to {len(ids)}")
    if len(ids) and ids.view(np.uint32).max() >= rows.shape[1]:  # as an unsigned number a negative one is large
        raise ValueError(f"{name}: found index {ids.min()} to {ids.max()}, expected 0 to {rows.shape[1] - 1}")
    _check_finite(values, name)


def _without_zeros(indptr, columns, values):
    kept = values != 0
    return offsets(kept)[indptr], columns[kept], values[kept]
