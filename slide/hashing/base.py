"""What a hash family is: the contract that the index, and outsiders' own families, rely on."""

import numpy as np
import scipy.sparse

from slide import reference
from slide.checks import check_integer
from slide.threads import check_threads

LANES = 16
MAX_CODE_BITS = 31
MAX_DIM = 2**30


def aligned(threads, length, dtype):
    """(threads, length) scratch of a 4-byte dtype whose rows start at multiples of 64 bytes."""
    length = -(-length // LANES) * LANES
    raw = np.empty(threads * length + LANES, dtype)
    start = -raw.ctypes.data % 64 // raw.itemsize
    return raw[start : start + threads * length].reshape(threads, length)


def check_csr(rows):
    """ValueError where the arrays of a SciPy CSR matrix would lead outside themselves."""
    starts, ids = rows.indptr, rows.indices
    if starts[0] != 0 or (np.diff(starts) < 0).any() or starts[-1] > min(len(ids), len(rows.data)):
        raise ValueError(f"rows: found indptr {starts}, expected it to rise from 0 to the number of values")
    ids = ids[: starts[-1]]
    if len(ids) and not 0 <= ids.min() <= ids.max() < rows.shape[1]:
        found = ids[(ids < 0) | (ids >= rows.shape[1])][0]
        raise ValueError(f"rows: found column {found}, expected columns from 0 to {rows.shape[1] - 1}")


class HashFamily:
    """L codes of K hashes each for a row of `dim` float32 coordinates; similar rows share more codes.

    dim, K, L : int
        Width of a row; hashes in a code; codes (tables) a row. All at least 1.
    seed : int
        0..2**64-1. Everything random follows from it: two families of equal `config()` give equal codes.

    `bits_per_hash` bits hold one hash, so a code is below 2**(K * bits_per_hash), and the first of its K
    hashes is in the highest bits. Raises ValueError where K * bits_per_hash is above 31.

    `threads` (None: every CPU) is how many threads `codes` may use; the codes do not depend on it.

    A family implements `_codes_dense`, `_codes_sparse`, `codes_reference`, `similarity` and
    `collision_probability`, and names its own options in `options`. Pickling keeps `config()` alone.
    """

    name = ""
    bits_per_hash = 1
    options = ()
    # CSR rows at least this full are hashed as dense ones: the same codes, and sixteen rows at a time.
    dense_from = 1 / 32

    def __init__(self, dim, K, L, seed=0):
        self.dim = check_integer("dim", dim, 1, MAX_DIM)
        self.K = check_integer("K", K, 1, MAX_CODE_BITS)
        self.L = check_integer("L", L, 1, 2**24)
        self.seed = check_integer("seed", seed, 0, 2**64 - 1)
        self.threads = None
        if self.code_bits > MAX_CODE_BITS:
            raise ValueError(
                f"K: found {K} hashes of {self.bits_per_hash} bits, {self.code_bits} bits a code, "
                f"expected at most {MAX_CODE_BITS}"
            )

    def config(self):
        """The constructor's keywords that make this family again."""
        return {name: getattr(self, name) for name in ("dim", "K", "L", "seed", *self.options)}

    def __getstate__(self):
        return self.config()

    def __setstate__(self, state):
        self.__init__(**state)

    def __repr__(self):
        options = ", ".join(f"{key}={value!r}" for key, value in self.config().items())
        return f"{type(self).__name__}({options})"

    @property
    def code_bits(self):
        """Bits of a code: a table has 2**code_bits buckets."""
        return self.K * self.bits_per_hash

    def codes(self, rows, out=None):
        """(n, L) uint32 codes of rows (n, dim): a dense array or SciPy CSR, read as float32.

        out: the array to write them to and return, of any strides; None for a new one.

        NaN gives some defined code. Raises ValueError where rows are not two-dimensional or not `dim` wide, and
        where out is not a writable uint32 array (n, L).
        """
        rows = self._check_rows(rows)
        codes = self._check_out(out, rows.shape[0])
        if not len(codes):
            return codes
        threads = self._threads_for(len(codes))
        if not scipy.sparse.issparse(rows):
            self._codes_dense(rows, codes, threads)
        elif not rows.nnz:
            codes[:] = self.codes(np.zeros((1, self.dim), np.float32))
        elif rows.nnz < self.dense_from * len(codes) * self.dim:
            ids = rows.indices.astype(np.int32, copy=False)
            packed = np.empty(codes.shape, np.uint32)
            self._codes_sparse(rows.indptr.astype(np.int64), ids, rows.data, packed, threads)
            if out is None:
                return packed
            codes[...] = packed
        else:
            step = max(LANES, 2**22 // self.dim)
            for first in range(0, len(codes), step):
                part = slice(first, first + step)
                self._codes_dense(rows[part].toarray(), codes[part], threads)
        return codes

    def codes_taken(self, rows, ids, out=None):
        """The codes of rows[ids]: dense rows (n, dim), ids int32 (m,). Built-in families make no copy of the rows.

        out: as for `codes`. Raises ValueError as `codes`, and where ids are not integers in 0..n-1.
        """
        rows, ids = self._check_rows(rows), np.ascontiguousarray(ids)
        if ids.ndim != 1 or (len(ids) and (ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= len(rows))):
            raise ValueError(f"ids: found {ids}, expected integers from 0 to {len(rows) - 1}")
        codes = self._check_out(out, len(ids))
        if len(ids):
            self._codes_taken(rows, ids.astype(np.int32, copy=False), codes, self._threads_for(len(ids)))
        return codes

    def codes_reference(self, rows):
        """What `codes` returns, computed by `slide.reference`: plain NumPy, slow, the tests' oracle."""
        rows = self._check_rows(rows)
        return self._codes_reference(rows.toarray() if scipy.sparse.issparse(rows) else rows)

    def _check_rows(self, rows):
        """rows as C-contiguous float32, or as CSR in canonical form with float32 values."""
        sparse = scipy.sparse.issparse(rows)
        rows = rows.tocsr() if sparse else np.asarray(rows)
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise ValueError(f"rows: found shape {rows.shape}, expected (n, {self.dim})")
        if not sparse:
            return np.ascontiguousarray(rows, np.float32)
        check_csr(rows)
        if not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()
        return rows.astype(np.float32, copy=False)

    def _check_out(self, out, n):
        if out is None:
            return np.empty((n, self.L), np.uint32)
        if out.shape != (n, self.L) or out.dtype != np.uint32 or not out.flags.writeable:
            raise ValueError(f"out: found {out.dtype} {out.shape}, expected writable uint32 {(n, self.L)}")
        return out

    def _threads_for(self, n):
        return min(check_threads(self.threads), -(-n // LANES))

    def _random(self, stream, index, n):
        """(len(index), n) random uint64, a row a function of (family, seed, stream, index)."""
        tag = int.from_bytes(self.name.encode()[:6], "little") << 8 | stream
        return reference.draw(reference.key(self.seed, tag, np.asarray(index))[:, None], np.arange(n))

    def _permutations(self, n):
        """Yields (first, orders): n random permutations (., dim) of the coordinates, some at a time."""
        step = max(1, 2**20 // self.dim)
        for first in range(0, n, step):
            index = np.arange(first, min(first + step, n))
            yield first, np.argsort(self._random(0, index, self.dim), axis=1, kind="stable")

    def _codes_dense(self, rows, codes, threads):
        """Fills codes, which may have any strides."""
        raise NotImplementedError

    def _codes_taken(self, rows, ids, codes, threads):
        self._codes_dense(rows[ids], codes, threads)

    def _codes_sparse(self, indptr, ids, values, codes, threads):
        raise NotImplementedError

    def _codes_reference(self, rows):
        raise NotImplementedError

    def similarity(self, x, y):
        """The similarity, 0..1 or -1..1, of two vectors (dim,) that this family's codes follow."""
        raise NotImplementedError

    def collision_probability(self, similarity):
        """The probability that one hash (K=1) agrees on two rows of that similarity; elementwise."""
        raise NotImplementedError

    def bucket_probability(self, similarity):
        """p**K: the probability that two rows share a bucket in one table."""
        return self.collision_probability(similarity) ** self.K

    def retrieval_probability(self, similarity):
        """1 - (1 - p**K)**L: that they share one in any of the L tables (MLSys 2020, section 2)."""
        return 1 - (1 - self.bucket_probability(similarity)) ** self.L
