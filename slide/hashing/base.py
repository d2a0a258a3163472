"""What a hash family is: the contract that the index, and outsiders' own families, rely on."""


from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike
from scipy.sparse import csr_matrix

from slide import counter_rng
from slide._kernels.hashing.row_hasher import RowHasher
from slide.hashing.outside import check_codes, check_state, is_outside
from slide.hashing.run import LANES, run_hasher, run_hasher_csr
from slide.machine.threads import check_threads
from slide.matrices import checked_csr
from slide.rows import Matrix
from slide.settings.checks import as_array, check_integer
from slide.typing import Numbers

MAX_CODE_BITS = 31
MAX_DIM = 2**30
OWN_ROWS = 1 << 15  # hashed at once by a `codes` of one's own: in NumPy it holds some copies of so many rows


class HashFamily:
    """L codes of K hashes each for a row of `dim` float32 coordinates; similar rows share more codes.

    `bits_per_hash` bits hold one hash, so a code is below 2**(K * bits_per_hash), and the first of its K
    hashes is in the highest bits (see `pack`).

    `threads` (None: every CPU) is how many threads `codes` may use; the codes do not depend on it.

    **A family of your own** is a subclass with `bits_per_hash`, a constructor (dim, K, L, seed=0, options)
    that calls this one, and either

    * `codes(rows)`, in Python: begin with `rows = self.dense(rows)`, or with `self.as_rows(rows)` where
      sparse rows are to stay sparse, and end with `return self.pack(hashes)` (the index calls it for some
      rows at a time); or
    * `hasher`, set by the constructor to a compiled `slide.hashing.RowHasher`, which does the same in Cython
      without the GIL, rows shared among threads.

    A row that a table is not to hold has the code `slide.hashing.ABSENT` (2**32 - 1) there.

    The code of a row depends on that row and on `config()` alone: not on the rows beside it, the number of
    threads, or whether the row came dense or sparse. Options besides dim, K, L and seed are named in
    `options`, kept as attributes of these names, and are plain JSON values: saved networks and pickles hold
    `config()` and build the family again from it. `slide.testing.check_hash_family` says what is broken.

    What may be added, each with a default that does nothing:

    * `query_codes(rows)`, where inputs are hashed unlike the weights that are indexed: `codes` is for the
      indexed rows, `query_codes` for the inputs that look them up. By default both are the same.
    * `fit(rows)`, called with all rows about to be indexed before they are hashed; `state()` and
      `load_state(state)` keep what it learnt, in arrays of numbers whose names, dtypes and shapes never change.
      `codes` then depends on that, too.
    * `watches = True`, where `fit` wants to know the inputs of the layer, too: in training the index then keeps the
      mean and the variance of those that it saw last, and puts them in `inputs` before it calls `fit`: float32
      (dim,) each, or None before there were any.
    * `drops`, how many of the K hashes most tables leave out of their codes: the recommended K makes up for it.
    * `codes_reference(rows)`, the same codes from plain NumPy, which tests compare.
    * `similarity(x, y)` and `collision_probability(similarity)`, the theory, which tests compare; where
      there is a `query_codes`, x is an indexed row and y a query.

    Parameters
    ----------
    dim, K, L : int
        Width of a row; hashes in a code; codes (tables) per row. All at least 1.
    seed : int
        0..2**64-1. Everything random follows from it: two families of equal `config()` give equal codes.

    Raises
    ------
    ValueError
        Where K * bits_per_hash is above 31, or an argument is out of range.
    """

    name = ""
    bits_per_hash = 1
    options: tuple[str, ...] = ()
    watches = False
    inputs: tuple[np.ndarray, np.ndarray] | None = None
    drops = 0
    # CSR rows at least this full are hashed as dense ones: the same codes, and sixteen rows at a time.
    dense_from = 1 / 32
    hasher: RowHasher | None = None

    def __init__(self, dim: int, K: int, L: int, seed: int = 0):
        self.dim = check_integer("dim", dim, 1, MAX_DIM)
        self.K = check_integer("K", K, 1, MAX_CODE_BITS)
        self.L = check_integer("L", L, 1, 2**24)
        self.seed = check_integer("seed", seed, 0, 2**64 - 1)
        self.threads: int | None = None
        check_integer(f"{type(self).__name__}.bits_per_hash", self.bits_per_hash, 0)
        if self.code_bits > MAX_CODE_BITS:
            raise ValueError(
                f"K: found {K} hashes of {self.bits_per_hash} bits, {self.code_bits} bits per code, "
                f"expected at most {MAX_CODE_BITS}"
            )

    def config(self) -> dict[str, Any]:
        """The constructor's keywords that make this family again.

        Returns
        -------
        dict
            {name: value}, of plain JSON values.
        """
        return {name: getattr(self, name) for name in ("dim", "K", "L", "seed", *self.options)}

    def reseeded(self, seed: int) -> Self:
        """A new family of the same settings, but of this seed, that nothing was fitted to.

        Parameters
        ----------
        seed : int
            Of the new family.

        Returns
        -------
        HashFamily
            Of the same class.
        """
        return type(self)(**(self.config() | {"seed": seed}))

    def copy(self) -> Self:
        """The same family, with what it was fitted to, that may be fitted anew without changing this one.

        Returns
        -------
        HashFamily
            Of the same class.
        """
        if not is_outside(type(self)):  # `fit` of the package's own replaces arrays, and changes none
            twin = object.__new__(type(self))
            vars(twin).update(vars(self))
            return twin
        twin = type(self)(**self.config())
        twin.load_state(check_state(self, like=self))
        twin.threads, twin.inputs = self.threads, self.inputs
        return twin

    def __getstate__(self):
        fitted = check_state(self)
        return self.config() | ({"_fitted": fitted} if fitted else {})

    def __setstate__(self, state):
        state = dict(state)
        fitted = state.pop("_fitted", {})
        self.__init__(**state)
        self.load_state(fitted)

    def __eq__(self, other):
        """Whether both are of one class and give equal codes until something is fitted."""
        return type(self) is type(other) and self.config() == other.config()

    def __hash__(self):
        return hash(repr(self))

    def __repr__(self):
        options = ", ".join(f"{key}={value!r}" for key, value in self.config().items())
        return f"{type(self).__name__}({options})"

    @property
    def code_bits(self) -> int:
        """Bits of a code: a table has 2**code_bits buckets."""
        return self.K * self.bits_per_hash

    def codes(self, rows: Matrix) -> np.ndarray:
        """The codes of rows.

        Parameters
        ----------
        rows : (n, dim) array or SciPy CSR matrix
            Read as float32. NaN gives some defined code.

        Returns
        -------
        ndarray of shape (n, L), uint32
            A code for each table.

        Raises
        ------
        ValueError
            Where rows are not two-dimensional or not `dim` wide.
        """
        rows = self.as_rows(rows)
        codes = np.empty((rows.shape[0], self.L), np.uint32)
        self._write_codes(rows, codes)
        return codes

    def query_codes(self, rows: Matrix) -> np.ndarray:
        """The codes of the inputs that look up what was indexed: `codes`, unless a family says otherwise.

        Parameters
        ----------
        rows : (n, dim) array or SciPy CSR matrix
            As for `codes`.

        Returns
        -------
        ndarray of shape (n, L), uint32
            A code for each table.
        """
        return self.codes(rows)

    def codes_into(self, rows: Matrix, out: np.ndarray) -> None:
        """Writes the codes of rows to an array, as the index asks for them.

        Parameters
        ----------
        rows : (n, dim) array or SciPy CSR matrix
            As for `codes`.
        out : ndarray of shape (n, L), uint32
            Of any strides.

        Raises
        ------
        ValueError
            As `codes`, and where out is not a writable uint32 array (n, L).
        """
        rows = self.as_rows(rows)
        out = self._check_out(out, rows.shape[0])
        if self._has_own_codes():
            self._fill_by_own(lambda part: rows[part], out)
        else:
            self._write_codes(rows, out)
            check_codes(self, "hasher", out, len(out))

    def codes_taken(self, rows: Matrix, ids: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
        """The codes of rows[ids]; built-in families make no copy of the rows.

        Parameters
        ----------
        rows : (n, dim) array
            As for `codes`.
        ids : ndarray of shape (m,), int32
            Which of them.
        out : ndarray of shape (m, L), uint32, or None
            The array to write them to and return, of any strides; None for a new one.

        Returns
        -------
        ndarray of shape (m, L), uint32
            A code for each table.

        Raises
        ------
        ValueError
            As `codes`, and where ids are not integers in 0..n-1.
        """
        rows, ids = self.dense(rows), np.ascontiguousarray(as_array("ids", ids))
        if ids.ndim != 1 or (len(ids) and (ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= len(rows))):
            raise ValueError(f"ids: found {ids}, expected integers from 0 to {len(rows) - 1}")
        codes = self._check_out(out, len(ids))
        if self._has_own_codes():
            self._fill_by_own(lambda part: rows[ids[part]], codes)
        elif len(ids):
            self._codes_taken(rows, ids.astype(np.int32, copy=False), codes, self._threads_for(len(ids)))
            check_codes(self, "hasher", codes, len(ids))
        return codes

    def fit(self, rows: Matrix) -> None:
        """Takes note of all rows about to be indexed, before they are hashed; nothing by default.

        Parameters
        ----------
        rows : ndarray of shape (n, dim), float32
            The weights of all neurons.
        """

    def state(self) -> dict[str, np.ndarray]:
        """What `fit` learnt; nothing by default.

        Returns
        -------
        dict
            {name: array}, always of the same dtypes and shapes.
        """
        return {}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Takes over what `state` gave; the arrays may be kept.

        Parameters
        ----------
        state : dict
            {name: array}.
        """

    def pack(self, hashes: ArrayLike) -> np.ndarray:
        """The codes of given hashes: table t's are those from t * K on.

        Parameters
        ----------
        hashes : ndarray of shape (n, L * K), integers
            Each of `bits_per_hash` bits; higher bits are dropped.

        Returns
        -------
        ndarray of shape (n, L), uint32
            The codes.

        Raises
        ------
        ValueError
            Where hashes are not integers of that shape.
        """
        hashes = as_array("hashes", hashes)
        if hashes.ndim != 2 or hashes.shape[1] != self.L * self.K or hashes.dtype.kind not in "biu":
            found = f"{hashes.dtype} of shape {hashes.shape}"
            raise ValueError(f"hashes: found {found}, expected integers (n, {self.L * self.K})")
        hashes = hashes.astype(np.int64, copy=False) & (2**self.bits_per_hash - 1)
        codes = np.zeros((len(hashes), self.L), np.uint32)
        for k in range(self.K):
            codes = codes << np.uint32(self.bits_per_hash) | hashes[:, k :: self.K].astype(np.uint32)
        return codes

    def dense(self, rows: Matrix) -> np.ndarray:
        """The rows as a C-contiguous float32 array.

        Parameters
        ----------
        rows : (n, dim) array or SciPy sparse matrix
            As for `codes`.

        Returns
        -------
        ndarray of shape (n, dim), float32
            The same rows.

        Raises
        ------
        ValueError
            As `codes`.
        """
        rows = self.as_rows(rows)
        return rows if isinstance(rows, np.ndarray) else rows.toarray()

    def as_rows(self, rows: Matrix) -> np.ndarray | csr_matrix:
        """The rows as C-contiguous float32, or as SciPy CSR in canonical form with float32 values, which is a copy.

        Parameters
        ----------
        rows : (n, dim) array or SciPy sparse matrix
            As for `codes`.

        Returns
        -------
        ndarray or csr_array of shape (n, dim), float32
            The same rows.

        Raises
        ------
        ValueError
            As `codes`.
        """
        sparse = scipy.sparse.issparse(rows)
        found: Any = rows if sparse else as_array("rows", rows)
        if found.ndim != 2 or found.shape[1] != self.dim:
            raise ValueError(f"rows: found shape {found.shape}, expected (n, {self.dim})")
        if not sparse:
            return np.ascontiguousarray(found, np.float32)
        indptr, columns, values = checked_csr(found, "rows")
        kind = scipy.sparse.csr_matrix if scipy.sparse.isspmatrix(found) else scipy.sparse.csr_array
        own = kind((values, columns, indptr), shape=found.shape)
        own.sum_duplicates()
        return own.astype(np.float32, copy=False)

    def _write_codes(self, rows, codes):
        """codes (n, L), of any strides, of `as_rows`."""
        if not len(codes):
            return
        threads = self._threads_for(len(codes))
        if not scipy.sparse.issparse(rows):
            self._codes_dense(rows, codes, threads)
        elif not rows.nnz:
            codes[:] = self.codes(np.zeros((1, self.dim), np.float32))
        elif rows.nnz < self.dense_from * len(codes) * self.dim:
            ids = rows.indices.astype(np.int32, copy=False)
            packed = codes if codes.flags.c_contiguous else np.empty(codes.shape, np.uint32)
            self._codes_sparse(rows.indptr.astype(np.int64), ids, rows.data, packed, threads)
            if packed is not codes:
                codes[...] = packed
        else:
            step = max(LANES, 2**22 // self.dim)
            for first in range(0, len(codes), step):
                part = slice(first, first + step)
                self._codes_dense(rows[part].toarray(), codes[part], threads)

    def _has_own_codes(self):
        """Whether a subclass has a `codes` of its own."""
        return type(self).codes is not HashFamily.codes

    def _fill_by_own(self, take, out):
        """out (n, L) by that `codes`, some rows at a time: take(part) are the rows of a slice of 0..n-1."""
        for first in range(0, len(out), OWN_ROWS):
            part = slice(first, first + OWN_ROWS)
            out[part] = check_codes(self, "codes", self.codes(take(part)), len(out[part]))

    def _check_out(self, out, n):
        if out is None:
            return np.empty((n, self.L), np.uint32)
        if out.shape != (n, self.L) or out.dtype != np.uint32 or not out.flags.writeable:
            raise ValueError(f"out: found {out.dtype} {out.shape}, expected writable uint32 {(n, self.L)}")
        return out

    def _threads_for(self, n):
        return min(check_threads(self.threads), -(-n // LANES))

    def _random(self, stream, index, n):
        """(len(index), n) random uint64, each row a function of (family, seed, stream, index)."""
        tag = int.from_bytes(self.name.encode()[:6], "little") << 8 | stream
        return counter_rng.draw(counter_rng.key(self.seed, tag, np.asarray(index))[:, None], np.arange(n))

    def _permutations(self, n):
        """Yields (first, orders): n random permutations (., dim) of the coordinates, some at a time."""
        step = max(1, 2**20 // self.dim)
        for first in range(0, n, step):
            index = np.arange(first, min(first + step, n))
            yield first, np.argsort(self._random(0, index, self.dim), axis=1, kind="stable")

    def _codes_dense(self, rows, codes, threads):
        """Fills codes, which may have any strides."""
        run_hasher(self._checked_hasher(), rows, codes, threads)

    def _codes_taken(self, rows, ids, codes, threads):
        self._codes_dense(rows[ids], codes, threads)

    def _codes_sparse(self, indptr, ids, values, codes, threads):
        run_hasher_csr(self._checked_hasher(), indptr, ids, values, codes, threads)

    def _checked_hasher(self):
        """`hasher`, which must be made for rows and codes of this family: it reads and writes unchecked."""
        hasher = self.hasher
        if hasher is None:
            raise NotImplementedError(f"{type(self).__name__}: found neither codes() nor a hasher")
        if not isinstance(hasher, RowHasher) or (hasher.dim, hasher.L) != (self.dim, self.L):
            raise ValueError(f"hasher: found {hasher!r}, expected a RowHasher(dim={self.dim}, L={self.L})")
        return hasher

    def similarity(self, x: ArrayLike, y: ArrayLike) -> float:
        """The similarity of two rows that this family's codes follow.

        Parameters
        ----------
        x, y : ndarray of shape (dim,)
            Two rows; where queries are hashed unlike indexed rows, x is an indexed row and y a query.

        Returns
        -------
        float
            0..1 or -1..1.

        Raises
        ------
        NotImplementedError
            Where a family has no formula.
        """
        raise NotImplementedError(f"{type(self).__name__}: found no similarity()")

    def collision_probability(self, similarity: Numbers) -> Numbers:
        """The probability that one hash (K=1) agrees on two rows of that similarity.

        Parameters
        ----------
        similarity : float or ndarray
            As `similarity` gives it; taken elementwise.

        Returns
        -------
        float or ndarray
            p, from 0 to 1.

        Raises
        ------
        NotImplementedError
            Where a family has no formula.
        """
        raise NotImplementedError(f"{type(self).__name__}: found no collision_probability()")

    def bucket_probability(self, similarity: Numbers) -> Numbers:
        """The probability that two rows share a bucket in one table, p**K.

        Parameters
        ----------
        similarity : float or ndarray
            As for `collision_probability`.

        Returns
        -------
        float or ndarray
            From 0 to 1.
        """
        return self.collision_probability(similarity) ** self.K

    def retrieval_probability(self, similarity: Numbers) -> Numbers:
        """The probability that two rows share a bucket in any table, 1 - (1 - p**K)**L (MLSys 2020, section 2).

        Parameters
        ----------
        similarity : float or ndarray
            As for `collision_probability`.

        Returns
        -------
        float or ndarray
            From 0 to 1.
        """
        return 1 - (1 - self.bucket_probability(similarity)) ** self.L
