"""Matrices on their way to a file and from one: checked, in one form."""

import numpy as np
from scipy import sparse

from slide.data.samples import MOST
from slide.matrices import checked_csr


def features(name: str, matrix) -> sparse.csr_matrix:
    """CSR of float32 with sorted ids, zeros kept; the argument stays as it is.

    Raises ValueError, naming `name`, where the matrix is not 2-D, not of real numbers or not finite in float32, its
    index arrays are corrupt, or an entry occurs twice in a row.
    """
    matrix = _canonical(name, matrix)
    with np.errstate(over="ignore"):
        values = matrix.data.astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: found {values[~np.isfinite(values)][0]}, expected values that are finite in float32")
    return _made(values, matrix.indices, matrix.indptr, matrix.shape)


def labels(name: str, matrix) -> sparse.csr_matrix:
    """As `features`, of ones: entries that are 0 are left out. Raises ValueError too where one is neither 0 nor 1."""
    matrix = _canonical(name, matrix)
    wrong = (matrix.data != 1) & (matrix.data != 0)
    if wrong.any():
        raise ValueError(f"{name}: found the entry {matrix.data[wrong][0]}, expected every entry to be 0 or 1")
    if not matrix.data.all():
        matrix = _made(matrix.data, matrix.indices.copy(), matrix.indptr.copy(), matrix.shape)
        matrix.eliminate_zeros()
    return _made(np.ones(matrix.nnz, np.float32), matrix.indices, matrix.indptr, matrix.shape)


def check_pair(X, Y):
    """Raises ValueError where X and Y differ in rows."""
    if X.shape[0] != Y.shape[0]:
        raise ValueError(f"Y: found {Y.shape[0]} rows, expected {X.shape[0]}, as X has")


def _canonical(name, matrix):
    if sparse.issparse(matrix):
        indptr, columns, values = checked_csr(matrix, name)
        matrix = sparse.csr_matrix((values, columns, indptr), shape=matrix.shape)
    elif isinstance(matrix, np.ma.MaskedArray):
        raise ValueError(f"{name}: found a masked array, expected an array whose every number counts")
    else:
        matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
        found = f"{matrix.ndim} dimensions of {matrix.dtype}"
        raise ValueError(f"{name}: found {found}, expected a 2-D matrix of real numbers")
    if max(matrix.shape) > MOST:
        raise ValueError(f"{name}: found the shape {matrix.shape}, expected at most {MOST} rows and columns")
    matrix = sparse.csr_matrix(matrix)
    n = matrix.indptr[-1]
    matrix = _made(matrix.data[:n], matrix.indices[:n], matrix.indptr, matrix.shape)  # anew: its flags may be wrong
    if not matrix.has_sorted_indices:
        matrix = matrix.sorted_indices()
    if not matrix.has_canonical_format:
        raise ValueError(f"{name}: found an entry that occurs twice in a row, expected each at most once")
    return matrix


def _made(values, ids, ptr, shape):
    return sparse.csr_matrix((values, ids.astype(np.int32, copy=False), ptr), shape=shape)
