"""What networks compute beside their best labels: hidden rows, logits of chosen labels, normalisers of the softmax.

Whoever calls these for a network, `hidden` aside, holds its turn: see `beside`.
"""

import numpy as np

from slide._kernels import full as _full
from slide.bfloat16 import BLOCK_ROWS, widen
from slide.layers import panels
from slide.layers.base import BLOCK_NEURONS, as_dense
from slide.layers.few import FEW_ROWS, few_log_normalisers
from slide.layers.lane_block import LaneBlock
from slide.rows import ActiveSet

NORMALISER_ROWS = 256  # samples, and blocks of labels, whose logits are held at once: about 6 MB
NORMALISER_BLOCKS = 64


def alone(networks, what: str, do, *args):
    """do(*args) while nobody else uses any of these networks, which are different ones."""
    if not networks:
        return do(*args)
    first, *rest = sorted(networks, key=id)  # in one order, so that two callers never wait for each other
    first.context.exchange.refuse(what)
    return first._alone(what, alone, rest, what, do, *args)


def beside(networks, what: str, do, *args):
    """do(*args) beside others who read these networks, which are different ones, and while nobody changes them."""
    if not networks:
        return do(*args)
    first, *rest = sorted(networks, key=id)
    first.context.exchange.refuse(what)
    return first._beside(what, beside, rest, what, do, *args)


def row_blocks(networks, n: int, most: int = 1 << 30) -> list[slice]:
    """0..n-1 in slices of as many rows as each of the networks predicts at once, and at most `most`."""
    step = min(most, *(network._rows_at_once() for network in networks))
    return [slice(low, min(low + step, n)) for low in range(0, n, step)]


def last_hidden(network, rows) -> np.ndarray:
    """float32 (n, width): what the last layer of the network reads, of validated SparseRows, exact."""
    x = rows
    for layer in network.layers[:-1]:
        x = layer.exact(x)
    return np.ascontiguousarray(as_dense(x))


def hidden(network, X) -> np.ndarray:
    """float32 (n, width): the activations of the last hidden layer, every neuron of every layer computed.

    X (n, n_features), CSR or dense, is scaled to rows of unit norm where the network does so.

    Raises ValueError where the network has no hidden layer, or X is not as `Network.predict` wants it.
    """
    if len(network.layers) < 2:
        raise ValueError(f"network: found {len(network.layers)} layer, expected a hidden one before the last")
    return beside([network], "hidden", _hidden, network, network._as_rows(X))


def _hidden(network, rows):
    out = np.empty((len(rows), network.layers[-1].n_inputs), np.float32)
    for part in row_blocks([network], len(rows)):
        out[part] = last_hidden(network, rows.take(part))
    return out


def chosen_logits(output, x: np.ndarray, chosen: ActiveSet) -> np.ndarray:
    """float32 (entries,): logits of the output layer for x float32 (n, width), of the labels chosen for each row."""
    logits = np.empty((len(chosen.ids), 1), np.float32)
    if len(chosen.ids):
        threads = output.context.threads
        output.parameters.forward(chosen, LaneBlock.from_dense(x, 1, output.scratch, threads), False, logits, threads)
    return logits[:, 0]


def log_normalisers(output, x: np.ndarray) -> np.ndarray:
    """float64 (n,): the logarithm of the sum of exp(logit) over all labels, for x float32 (n, width).

    Logits are held for 256 rows and 6,144 labels at a time.
    """
    if 0 < len(x) <= FEW_ROWS:
        return few_log_normalisers(output.parameters, x, output.scratch, output.context.threads)
    parts = [_log_normalisers(output, x[low : low + NORMALISER_ROWS]) for low in range(0, len(x), NORMALISER_ROWS)]
    return np.concatenate(parts) if parts else np.zeros(0)


def all_logits(output, x: np.ndarray) -> np.ndarray:
    """float32 (n, n_labels): every logit, for x float32 (n, width)."""
    return logits_of(output, x, range(output.n_neurons))


def logits_of(output, x: np.ndarray, labels) -> np.ndarray:
    """float32 (n, m): the logits of m labels, a range from 0 or an array of integers, for every row of x."""
    z = np.empty((len(x), len(labels)), np.float32)
    for low in range(0, len(labels), BLOCK_ROWS):
        some = labels[low : low + BLOCK_ROWS]
        rows = slice(some.start, some.stop) if isinstance(some, range) else some
        w = widen(output.parameters.w[rows], output.context.threads)
        z[:, low : low + BLOCK_ROWS] = x @ w.T + output.bias[rows]
    return z


def _log_normalisers(output, x):
    n, threads, scratch = len(x), output.context.threads, output.scratch
    samples = panels.pack(x.T)
    columns = samples.shape[0] * samples.shape[2]
    z = scratch.get("normaliser", (NORMALISER_BLOCKS, BLOCK_NEURONS, panels.stride(columns)))
    top, total = (scratch.get(name, (NORMALISER_BLOCKS, columns)) for name in ("normaliser_top", "normaliser_total"))
    running = np.full(n, -np.inf)
    span = NORMALISER_BLOCKS * BLOCK_NEURONS
    for low in range(0, output.n_neurons, span):
        w, bias = widen(output.parameters.w[low : low + span], threads), output.bias[low : low + span]
        used = -(-len(w) // BLOCK_NEURONS)
        _full.exponentials_rows(samples, w, bias, z[:used], top[:used], total[:used], threads)
        sums = top[:used, :n].astype(np.float64) + np.log(total[:used, :n], dtype=np.float64)
        running = np.logaddexp(running, np.logaddexp.reduce(sums, axis=0))
    return running
