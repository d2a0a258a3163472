"""Clusters of neurons whose logits go together: k-means of the rows of weights, as inputs see them.

Two rows are near where their logits are, in the mean over inputs: |w - v|**2 is measured in the basis that makes the
inputs' second moments 1, with the bias as one more coordinate. Directions in which inputs do not vary count little.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.sparse import csr_array

from slide.bfloat16 import widen

BLOCK = 1 << 13  # rows at a time
PER_CLUSTER = 20  # rows of each cluster that k-means is made from, in the mean
ROUNDS = 4  # of k-means
LEAST = 1e-4  # of the mean second moment: what a direction counts at least


def whitening(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(of inputs, of rows), float32 (d, d) both: x @ of_inputs has second moments of about 1 over inputs (n, d), and
    (x @ of_inputs) . (w @ of_rows) is x . w."""
    x = inputs.astype(np.float64)
    moments, basis = np.linalg.eigh(x.T @ x / max(len(x), 1))
    least = max(LEAST * moments.mean(), np.finfo(np.float32).tiny)
    roots = np.sqrt(np.maximum(moments[::-1], least))
    basis = basis[:, ::-1]
    return (basis / roots).astype(np.float32), (basis * roots).astype(np.float32)


def in_blocks(do, n: int, threads: int) -> list:
    """[do(slice)] of all blocks of 0..n-1, by so many threads."""
    slices = [slice(low, min(low + BLOCK, n)) for low in range(0, n, BLOCK)]
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(pool.map(do, slices))


def coordinates(w, bias, of_rows) -> np.ndarray:
    """float32 (n, d + 1): where rows lie, float32 or the bits of bfloat16."""
    out = np.empty((len(w), of_rows.shape[1] + 1), np.float32)
    np.matmul(widen(w, 1), of_rows, out=out[:, :-1])
    out[:, -1] = bias
    return out


def assign(points: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(int32 (n,), float32 (n,)): the nearest center of each point, the first of equals, and the square of its
    distance."""
    scores = points @ centers.T
    scores -= 0.5 * np.square(centers).sum(axis=1)
    of = scores.argmax(axis=1)
    nearest = np.take_along_axis(scores, of[:, None], 1)[:, 0]
    return of.astype(np.int32), np.square(points).sum(axis=1) - 2 * nearest


def cluster(w, bias, of_rows, n_clusters: int, seed: int, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """(int32 (n,), float32 (n,)): the cluster of each row of weights, numbered from 0 on without a gap, and the square
    of its distance from the center that it was found by."""
    rng = np.random.default_rng(seed)
    taken = np.sort(rng.permutation(len(w))[: PER_CLUSTER * n_clusters])
    points = coordinates(w[taken], bias[taken], of_rows)
    centers = points[np.sort(rng.permutation(len(points))[:n_clusters])]
    for _ in range(ROUNDS):
        of = np.concatenate(in_blocks(lambda part, at=centers: assign(points[part], at)[0], len(points), threads))
        sums, counts = sums_of(points, of, len(centers))
        centers = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centers)
    found = in_blocks(lambda part: assign(coordinates(w[part], bias[part], of_rows), centers), len(w), threads)
    of, away = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return np.unique(of, return_inverse=True)[1].astype(np.int32).reshape(-1), away


def sums_of(rows, of, n_clusters) -> tuple[np.ndarray, np.ndarray]:
    """(float32 (clusters, d), float32 (clusters,)): the sum of the rows of each cluster, and their number."""
    one = csr_array((np.ones(len(of), np.float32), of, np.arange(len(of) + 1)), shape=(len(of), n_clusters))
    return one.T @ rows, np.bincount(of, minlength=n_clusters).astype(np.float32)


def means(w, bias, of, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """(float32 (clusters, d), float32 (clusters,)): the mean row of weights and the mean bias of each cluster."""
    n_clusters = int(of.max()) + 1
    parts = in_blocks(lambda part: sums_of(widen(w[part], 1), of[part], n_clusters)[0], len(w), threads)
    counts = np.bincount(of, minlength=n_clusters)
    centers = np.sum(parts, axis=0, dtype=np.float64) / counts[:, None]
    return centers.astype(np.float32), (np.bincount(of, weights=bias) / counts).astype(np.float32)
