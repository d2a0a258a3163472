"""Neighbours: a memory of training rows that finds those of largest cosine to a query, and what labels they have."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from slide._kernels import topk as _topk
from slide.hashing import HashFamily
from slide.layers.base import exact_topk
from slide.layers.lane_block import LaneBlock
from slide.layers.weights import Weights
from slide.machine.memory import Scratch
from slide.machine.threads import check_threads, one_blas_thread
from slide.optim import SGD
from slide.rows import ActiveSet, Labels, Matrix, SparseRows, as_label_rows, as_sparse_rows, offsets
from slide.sampling import TopK
from slide.settings.checks import check_integer, check_number
from slide.tables import HashTables

QUERIES = 1024  # rows searched for at a time
HELD = 1 << 22  # entries of a product of sparse rows that are held at once: 32 MB
LEAST = 1e-6  # a cosine up to this is rounding, and no similarity


class Neighbours:
    """A memory of training rows and their labels.

    Exactly found, dense rows cost n x width multiplications per query, and CSR rows as many as they share non-zeros
    with it.

    Parameters
    ----------
    rows : ndarray of shape (n, width), float32, or SciPy CSR matrix
        Such as the hidden rows of a network, or its input: at least one. They are kept scaled to unit norm.
    Y : (n, n_labels) indicator matrix
        Their labels.
    family : HashFamily or None
        None: the nearest rows are found exactly, by products in blocks. A family for dense rows of that width: they are
        looked for in hash tables, among the `candidates` rows that share the most of its L codes with the query, and
        these are compared exactly. Rows are hashed less their mean, as all activations of a ReLU lie in one corner of
        the space.
    candidates : int
        Rows that the tables retrieve for a query, at most.
    bucket_size : int
        Rows that a bucket keeps, at most.
    threads : int or None
        None: all CPUs; what is found does not depend on it.

    Raises
    ------
    ValueError
        Naming the argument, what was found and what was expected.
    """

    def __init__(
        self, rows: Matrix, Y: Labels, family: HashFamily | None = None, candidates: int = 1000, bucket_size: int = 128,
        threads: int | None = None,
    ):  # fmt: skip
        self.threads = check_threads(threads)
        self._rows = (_Sparse if sparse.issparse(rows) or isinstance(rows, SparseRows) else _Dense)(rows, self.threads)
        self.n, self.width = self._rows.shape
        self.labels = as_label_rows(Y, self.n)
        self.candidates = check_integer("candidates", candidates)
        self.family, self.tables = family, None
        if family is not None:
            self._build(check_integer("bucket_size", bucket_size))

    def _build(self, bucket_size):
        family = self.family
        if isinstance(self._rows, _Sparse):
            raise ValueError("family: found one for CSR rows, expected None: they are always found exactly")
        if not isinstance(family, HashFamily) or family.dim != self.width:
            raise ValueError(f"family: found {family!r}, expected None or a HashFamily of dim={self.width}")
        family.threads = self.threads
        self.tables = HashTables(self.n, family.L, family.code_bits, bucket_size, seed=family.seed,
                                 threads=self.threads)  # fmt: skip
        codes = self.tables.code_buffer()
        for part in parts(self.n, QUERIES):
            codes[part] = family.codes(self._rows.centred(self._rows.rows[part]))
        self.tables.build(codes)

    @property
    def n_labels(self) -> int:
        """Labels of the rows: columns of Y."""
        return self.labels.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the rows, their labels and the tables."""
        labels = self.labels.indptr.nbytes + self.labels.ids.nbytes + self.labels.values.nbytes
        return self._rows.nbytes + labels + (self.tables.nbytes if self.tables else 0)

    def find(self, queries: Matrix, k: int = 50) -> tuple[np.ndarray, np.ndarray]:
        """The k rows of largest cosine, best first; ties go to the smaller id.

        Parameters
        ----------
        queries : (n, width) matrix
            Dense or CSR, as the rows are; of any norm.
        k : int
            How many.

        Returns
        -------
        ids : ndarray of shape (n, k), int32
            Numbers of rows. Where fewer have a cosine above 0, or tables retrieved fewer, -1.
        cosines : ndarray of shape (n, k), float32
            Their cosines; of -1 it is 0.

        Raises
        ------
        ValueError
            Where queries are not as said.
        """
        k = check_integer("k", k, 1, 2**31 - 1)
        queries = self._rows.check("queries", queries, self.width)
        n, most = queries.shape[0], min(k, self.n)
        ids, cosines = np.full((n, k), -1, np.int32), np.zeros((n, k), np.float32)
        with one_blas_thread():
            for part in parts(n, QUERIES):
                found = (self._retrieve if self.tables else self._rows.nearest)(self._rows.cut(queries, part), most)
                none = found[0] <= LEAST
                cosines[part, :most], ids[part, :most] = np.where(none, 0, found[0]), np.where(none, -1, found[1])
        return ids, cosines

    def _retrieve(self, queries, k):
        n = queries.shape[0]
        codes = self.family.query_codes(self._rows.centred(queries))
        sampler = TopK(min(self.candidates, self.n))
        found = sampler.sample(self.tables, codes, n, 1, self.n, self.family.seed, 0, self.threads)
        return _best(found, self._rows.cosines(queries, found), k, self.threads)

    def shares(
        self, ids: np.ndarray, cosines: np.ndarray, power: float = 1.0, k: int | None = None,
    ) -> sparse.csr_array:  # fmt: skip
        """The share of each label among the neighbours that `find` gave.

        Parameters
        ----------
        ids, cosines : ndarray of shape (n, m)
            Of `find`.
        power : float
            The weight of a neighbour is cosine**power.
        k : int or None
            Of the first k neighbours alone.

        Returns
        -------
        csr_array of shape (n, n_labels), float32
            Shares; of a row without neighbours all are 0.
        """
        check_number("power", power, "[0, inf)")
        ids, cosines = ids[:, :k], cosines[:, :k].astype(np.float64)
        # Relative to the largest, so that no power of a small cosine is lost.
        top = np.maximum(cosines.max(axis=1, keepdims=True, initial=0), LEAST)
        weights = np.where(ids >= 0, (cosines / top) ** power, 0)
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), LEAST)
        kept = ids >= 0
        votes = sparse.csr_array(
            (weights[kept].astype(np.float32), ids[kept], offsets(kept.sum(axis=1))), shape=(len(ids), self.n)
        )
        shares = (votes @ self.labels.to_scipy()).tocsr()
        shares.sort_indices()
        return shares


class _Dense:
    """Dense rows of unit norm."""

    def __init__(self, rows, threads):
        rows = self.check("rows", rows, None)
        if 0 in rows.shape:
            raise ValueError(f"rows: found shape {rows.shape}, expected at least one row and one column")
        self._weights = Weights(*rows.shape, SGD(), 0.0, None)
        self.rows = self._weights.w
        self.rows[...] = unit_rows(rows)
        self.threads, self.shape, self._scratch = threads, rows.shape, Scratch()
        self.mean = self.rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.nbytes = self.rows.nbytes + self._weights.bias.nbytes

    def check(self, name, rows, width):
        rows = np.asarray(rows)
        if rows.ndim != 2 or rows.dtype.kind not in "biuf" or (width is not None and rows.shape[1] != width):
            expected = f"real numbers (n, {'width' if width is None else width})"
            raise ValueError(f"{name}: found {rows.dtype} of shape {rows.shape}, expected {expected}")
        if not np.isfinite(rows).all():
            raise ValueError(f"{name}: found {rows[~np.isfinite(rows)][0]}, expected finite numbers")
        return np.ascontiguousarray(rows, np.float32)

    def cut(self, queries, part):
        return unit_rows(queries[part])

    def centred(self, rows):
        return rows - self.mean

    def nearest(self, queries, k):
        return exact_topk(queries, self.rows, self._weights.bias[0], k, self._scratch, self.threads)

    def cosines(self, queries, found):
        out = np.empty((len(found.ids), 1), np.float32)
        if len(found.ids):
            block = LaneBlock.from_dense(queries, 1, self._scratch, self.threads)
            self._weights.forward(found, block, False, out, self.threads)
        return out


class _Sparse:
    """CSR rows of unit norm."""

    def __init__(self, rows, threads):
        self.rows = as_sparse_rows(rows, "rows").normalized()
        if 0 in self.rows.shape:
            raise ValueError(f"rows: found shape {self.rows.shape}, expected at least one row and one column")
        self.threads, self.shape = threads, self.rows.shape
        by_feature = self.rows.to_scipy().T.tocsr()
        self._by_feature, self._holders = by_feature, np.diff(by_feature.indptr)
        self.nbytes = sum(a.nbytes for r in (self.rows.to_scipy(), by_feature) for a in (r.indptr, r.indices, r.data))

    def check(self, name, rows, width):
        return as_sparse_rows(rows, name, width)

    def cut(self, queries, part):
        return queries.take(part).normalized()

    def nearest(self, queries, k):
        """By products with the rows that share a feature: of so many queries at once that no more than HELD fit."""
        ends = np.cumsum(np.concatenate([[0], self._holders[queries.ids]]))[queries.indptr]
        values, ids = np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int32)
        for part in parts_below(np.minimum(np.diff(ends), self.shape[0]), HELD):
            product = queries.take(part).to_scipy() @ self._by_feature
            found = ActiveSet(product.indptr.astype(np.int64), product.indices.astype(np.int32, copy=False))
            values[part], ids[part] = _best(found, product.data.reshape(-1, 1), k, self.threads)
        return values, ids


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """float32 rows scaled to unit Euclidean norm; rows of zeros stay as they are."""
    norms = np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1, keepdims=True))
    return (rows / np.where(norms > 0, norms, 1)).astype(np.float32)


def _best(found: ActiveSet, values, k, threads):
    """(values, ids), (n, k): the largest of each row's values (entries, 1); -inf and -1 where they are fewer."""
    best, ids = np.full((len(found), k), -np.inf, np.float32), np.full((len(found), k), -1, np.int32)
    if len(found):
        _topk.topk_active(found.indptr, found.ids, values, best, ids, threads)
    return best, ids


def parts(n: int, step: int) -> list[slice]:
    return [slice(low, min(low + step, n)) for low in range(0, n, step)]


def parts_below(sizes, most: int):
    """Slices of consecutive rows whose sizes sum up to at most `most`, or of one row."""
    ends, low = np.cumsum(sizes), 0
    while low < len(sizes):
        high = max(low + 1, int(np.searchsorted(ends, most + (ends[low - 1] if low else 0), side="right")))
        yield slice(low, high)
        low = high
