"""TopIndex: which few neurons of a wide layer may have the largest logits for an input."""

from collections.abc import Mapping

import numpy as np

from slide._kernels import bounded as _bounded
from slide._kernels import screen as _screen
from slide.bfloat16 import widen
from slide.layers import panels
from slide.machine.memory import Scratch
from slide.matrices import falls
from slide.search.bounds import LARGEST, as_bound, limits_of, norms, rounding, slack_of
from slide.search.clusters import BLOCK, cluster, coordinates, in_blocks, means, whitening
from slide.search.codes import decode_rows, encode_rows, padded, side_by_side
from slide.search.recall import Found
from slide.settings.checks import check_array

ARRAYS = ("of_inputs", "centers", "center_bias", "first", "codes", "scale", "shift", "ids", "residual", "length",
          "edges", "slack", "inputs", "best", "stamp")  # fmt: skip
NO_BIAS = np.zeros(0, np.float32)
FIRST = 8  # one in so many of the chosen clusters, the best, is screened first


class TopIndex:
    """Rows of weights in about sqrt(2 n) clusters (k-means), with 4 bits a weight.

    The clusters whose centers have the largest logits are screened: integer products give each of their neurons a
    score, which is its logit within a few percent of the spread of the logits in its cluster. Those of largest score
    are the candidates, among which the layer's own weights then decide.

    Arrays, of n neurons, d inputs, D of them with a fill to whole groups, and c clusters:
    of_inputs (d, D)             inputs are screened as x @ of_inputs
    centers (c, d), center_bias (c,)
    first (c + 1,), codes, scale, shift, ids   the blocks of rows: see `Blocks` of slide/_kernels/screen.pyx
    residual, length, edges      how far logits may be from scores: see slide/_kernels/bounded.pyx
    slack (3,)                   and what is rounded: see `slide.search.bounds.slack_of`
    inputs (m, d), best (m, k)   inputs that recall is measured on, and the labels of their k largest logits, exact
    stamp (2,)                   int64: of the weights that it was made from
    """

    of_inputs: np.ndarray
    centers: np.ndarray
    center_bias: np.ndarray
    first: np.ndarray
    codes: np.ndarray
    scale: np.ndarray
    shift: np.ndarray
    ids: np.ndarray
    residual: np.ndarray
    length: np.ndarray
    edges: np.ndarray
    slack: np.ndarray
    inputs: np.ndarray
    best: np.ndarray
    stamp: np.ndarray

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        for name in ARRAYS:
            setattr(self, name, arrays[name])
        self.found: Mapping[tuple[int, float], Found] = {}  # by (k, recall); replaced, never changed
        self._blocks = _screen.Blocks(self.first, self.codes, self.scale, self.shift, self.ids)
        self._center_panels = panels.pack(self.centers.T)
        self._basis_panels = panels.pack(self.of_inputs)
        self._sizes = np.diff(self.first)
        self._scratch = Scratch()

    @classmethod
    def build(cls, w, bias, inputs, best, stamp, seed: int, threads: int) -> "TopIndex":
        """Of weights (n, d), float32 or the bits of bfloat16, and biases (n,), for inputs like the given (m, d), whose
        labels of largest logit are best (m, k). It does not depend on the number of threads."""
        of_inputs, of_rows = whitening(inputs)
        of, away = cluster(w, bias, of_rows, max(1, round((2 * len(w)) ** 0.5)), seed, threads)
        centers, center_bias = means(w, bias, of, threads)
        first, ids = placed(of, away, len(centers))
        arrays = {"of_inputs": of_inputs, "centers": centers, "center_bias": center_bias, "first": first, "ids": ids,
                  "inputs": inputs, "best": best, "stamp": stamp}  # fmt: skip
        coded = encode(w, bias, of, centers, center_bias, of_inputs, of_rows, ids.reshape(-1), threads)
        arrays["of_inputs"] = np.ascontiguousarray(np.pad(of_inputs, ((0, 0), (0, padded(w.shape[1]) - w.shape[1]))))
        return cls(arrays | coded)

    @property
    def n_clusters(self) -> int:
        return len(self.centers)

    @property
    def n_bytes(self) -> int:
        return sum(getattr(self, name).nbytes for name in ARRAYS) + self._center_panels.nbytes

    def scores(self, x: np.ndarray, threads: int) -> np.ndarray:
        """float32 (n, clusters at least): the logits of the centers, of x float32 (n, d)."""
        return self._products("scores", x, self._center_panels, self.center_bias, threads)

    def _products(self, name, x, packed, bias, threads):
        out = self._scratch.get(name, (len(x), packed.shape[0] * packed.shape[2]))
        _screen.products_rows(x, packed, bias, out, threads)
        return out

    def _coded(self, x, threads):
        """(scores of centers, coordinates, codes, factors) of x."""
        n, width, get = len(x), self.of_inputs.shape[1], self._scratch.get
        scores = self.scores(x, threads)
        rotated = self._products("rotated", x, self._basis_panels, NO_BIAS, threads)
        codes, factors = get("codes", (n, width), np.int8), get("factors", (n, 2))
        _screen.encode_rows(rotated, codes, factors, threads)
        return scores, rotated[:, :width], codes, factors

    def candidates(self, x: np.ndarray, probes: int, kept: int, threads: int) -> tuple[np.ndarray, float]:
        """(ids int32 (n, kept), neurons screened per input): the neurons of largest score in `probes` clusters, for x
        float32 (n, d), C-contiguous; -1 where they are fewer. Those of a row do not depend on other rows."""
        n, get, n_clusters = len(x), self._scratch.get, self.n_clusters
        scores, _, codes, factors = self._coded(x, threads)
        few, chosen = -(-probes // FIRST), get("chosen", (n, probes), np.int32)
        _screen.choose_rows(scores, n_clusters, few, get("work", (threads, n_clusters)), chosen, threads)
        ids = get("ids", (threads, n, kept), np.int32)
        blocks = _screen.search_rows(
            self._blocks, codes, factors, scores, chosen, few, get("cluster_ptr", (n_clusters + 1,), np.int64),
            get("inputs", (n * probes,), np.int32), get("part_ptr", (threads + 1,), np.int64), get("floors", (n,)),
            get("values", (threads, n, kept)), ids, threads,
        )  # fmt: skip
        return ids[0].copy(), _screen.ROWS * blocks / max(n, 1)

    def bounded(self, x: np.ndarray, floors: np.ndarray, room: int, threads: int):
        """(ids int32 (n, room), counts int64 (n,), neurons screened int64 (n,)): every neuron whose logit may be
        floors (n,) or more for x (n, d), and few others; where counts are more than room, not all. Valid until the
        next call of this thread."""
        n, get = len(x), self._scratch.get
        scores, rotated, codes, factors = self._coded(x, threads)
        limits = limits_of(self.slack, x, rotated, codes, factors, floors)
        ids, counts = get("bounded", (n, room), np.int32), np.empty((n, 2), np.int64)
        _bounded.bounded_rows(
            self._blocks, self.residual, self.length, self.edges, codes, factors, scores, limits, ids, counts, threads
        )
        return ids, counts[:, 0], _screen.ROWS * counts[:, 1]

    def ranks(self, threads: int) -> np.ndarray:
        """int (m, k): for each of `best`, how many clusters come before its own."""
        scores = self.scores(self.inputs, threads)[:, : self.n_clusters]
        order = np.empty_like(scores, dtype=np.int32)
        np.put_along_axis(order, np.argsort(-scores, axis=1, kind="stable"), np.arange(self.n_clusters)[None], 1)
        of = np.zeros(self.ids.max(initial=0) + 1, np.int32)
        there = self.ids >= 0
        of[self.ids[there]] = np.broadcast_to(np.repeat(np.arange(self.n_clusters), self._sizes)[:, None],
                                              self.ids.shape)[there]  # fmt: skip
        return np.take_along_axis(order, of[self.best], 1)

    def state(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name) for name in ARRAYS}

    @classmethod
    def load(cls, state, n_neurons: int, width: int) -> "TopIndex":
        """Of a `state`, whose arrays it works with; ValueError where one is not what an index of so many neurons and
        inputs can have."""
        arrays = {name: state.get(name) for name in ARRAYS}
        check_state(arrays, n_neurons, width)
        return cls({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def placed(of: np.ndarray, away: np.ndarray, n_clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """(first (clusters + 1,), ids (blocks, ROWS)): the neurons of each cluster in whole blocks, those that are farthest
    from its center first, then -1."""
    counts = np.bincount(of, minlength=n_clusters)
    first = np.concatenate([[0], np.cumsum(-(-counts // _screen.ROWS))]).astype(np.int64)
    order = np.lexsort((-away, of))
    within = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
    ids = np.full((first[-1], _screen.ROWS), -1, np.int32)
    ids.reshape(-1)[_screen.ROWS * first[:-1][of[order]] + within] = order
    return first, ids


def encode(w, bias, of, centers, center_bias, of_inputs, of_rows, ids, threads) -> dict:
    """Codes and bounds of the rows in the order of ids (places,); -1 is no row, whose scores are least."""
    places, d, width = len(ids), w.shape[1], padded(w.shape[1])
    codes, norm = np.empty((places, width // 2), np.uint8), np.empty(places)
    scale, shift, radius, residual, length = np.empty((5, places), np.float32)
    rotated_centers, center_norm = coordinates(centers, center_bias, of_rows), norms(centers)
    u = rounding(d) * np.linalg.norm(of_rows)

    def encode_block(part):
        there, rows = ids[part] >= 0, np.maximum(ids[part], 0)
        away = coordinates(w[rows], bias[rows], of_rows) - rotated_centers[of[rows]]
        codes[part], scale[part] = encode_rows(np.pad(away[:, :-1], ((0, 0), (0, width - d))))
        shift[part] = np.where(there, away[:, -1], np.float32(-LARGEST))
        away, coded = away[:, :-1], decode_rows(codes[part], scale[part])[:, :d]
        norm[part] = norms(widen(w[rows], 1))
        rounded = u * (norm[part] + center_norm[of[rows]])
        radius[part] = as_bound((norms(away) + rounded) * there)
        residual[part] = as_bound((norms(away - coded) + rounded) * there)
        length[part] = as_bound(norms(coded) * there)

    in_blocks(encode_block, places, threads)
    arrays = {"scale": scale, "shift": shift, "residual": residual, "length": length}
    arrays = {name: array.reshape(-1, _screen.ROWS) for name, array in arrays.items()}
    edges = [array.reshape(-1, _screen.ROWS).max(axis=1) for array in (radius, shift, residual, length)]
    largest_bias = max(np.abs(bias).max(), np.abs(center_bias).max())
    slack = slack_of(of_inputs, of_rows, norm.max(), center_norm.max(), largest_bias)
    return {"codes": side_by_side(codes), "edges": np.stack(edges, axis=1), "slack": slack, **arrays}


def check_state(arrays, n_neurons, width):
    first, ids, best = (np.asarray(arrays[name]) for name in ("first", "ids", "best"))
    n_clusters, blocks, wide = max(first.size - 1, 0), len(ids) if ids.ndim else 0, padded(width)
    m, k = best.shape if best.ndim == 2 else (0, 0)
    shapes = {
        "of_inputs": (np.float32, (width, wide)), "centers": (np.float32, (n_clusters, width)),
        "center_bias": (np.float32, (n_clusters,)), "first": (np.int64, (n_clusters + 1,)),
        "codes": (np.uint8, (blocks, wide // 8, 4 * _screen.ROWS)), "scale": (np.float32, (blocks, _screen.ROWS)),
        "shift": (np.float32, (blocks, _screen.ROWS)), "residual": (np.float32, (blocks, _screen.ROWS)),
        "length": (np.float32, (blocks, _screen.ROWS)), "edges": (np.float32, (blocks, 4)), "slack": (np.float32, (3,)),
        "ids": (np.int32, (blocks, _screen.ROWS)),
        "inputs": (np.float32, (m, width)), "best": (np.int32, (m, k)), "stamp": (np.int64, (2,)),
    }  # fmt: skip
    for name, (dtype, shape) in shapes.items():
        array = check_array(name, arrays[name], np.broadcast_to(np.zeros((), dtype), shape))
        if dtype == np.float32 and not all(np.isfinite(array[low : low + BLOCK]).all()
                                           for low in range(0, len(array), BLOCK)):  # fmt: skip
            raise ValueError(f"{name}: found numbers that are not finite")
    if first[0] != 0 or falls(first) or first[-1] != blocks:
        raise ValueError(f"first: found other than rising numbers from 0 to {blocks}, the blocks of each cluster")
    if n_clusters < 1 or m < 1 or not 1 <= k <= n_neurons:
        raise ValueError(f"best: found shape {best.shape} with {n_clusters} clusters, expected some of both")
    if not np.array_equal(np.sort(ids[ids >= 0]), np.arange(n_neurons)) or ids.min() < -1:
        raise ValueError(f"ids: found other than each of {n_neurons} neurons once, and -1")
    if best.min() < 0 or best.max() >= n_neurons:
        raise ValueError(f"best: found {best.min()} to {best.max()}, expected 0 to {n_neurons - 1}")
