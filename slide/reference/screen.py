"""Clusters, codes and candidates of `slide.search`, in plain NumPy."""

import numpy as np


def products_rows(x, basis, bias=0.0):
    return x @ basis + bias


def choose_rows(scores, few, probes):
    """(n, probes): the `few` best and then the others of the best columns, both rising; ties to the smaller."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :probes]
    return np.concatenate([np.sort(order[:, :few], axis=1), np.sort(order[:, few:], axis=1)], axis=1)


def encode_rows(x):
    """(int8 (n, width), (n, 2)): codes, and of each row step, with x = step * code, nearly, and step * 7.5 * (sum of
    codes)."""
    step = np.abs(x).max(axis=1, initial=0) / np.float32(127)
    codes = np.rint(x * np.divide(1, step, where=step > 0, out=np.zeros_like(step))[:, None]).astype(np.int8)
    return codes, np.stack([step, step * 7.5 * codes.sum(axis=1, dtype=np.int64)], axis=1)


def decode_blocks(codes, scale):
    """(blocks * ROWS, width): the rows that stand side by side in blocks, without clusters' centers."""
    n_blocks, groups, _ = codes.shape
    rows = codes.reshape(n_blocks, groups, -1, 4).swapaxes(1, 2)
    halves = np.stack([rows & 15, rows >> 4], axis=3)
    return (halves.reshape(-1, groups * 8) - 7.5) * scale.reshape(-1, 1)


def search_rows(first, codes, scale, shift, ids, inputs, scores, chosen, kept):
    """(values, ids), (n, kept): of each input, decoded, the neurons of largest score in the clusters it chose."""
    rows, places = decode_blocks(codes, scale), np.repeat(np.arange(len(first) - 1), np.diff(first) * ids.shape[1])
    flat, out = ids.reshape(-1), (np.full((len(inputs), kept), -np.inf), np.full((len(inputs), kept), -1))
    for i, x in enumerate(inputs):
        mine = np.isin(places, chosen[i]) & (flat >= 0)
        z, found = rows[mine] @ x + shift.reshape(-1)[mine] + scores[i, places[mine]], flat[mine]
        order = np.lexsort((found, -z))[:kept]
        out[0][i, : len(order)], out[1][i, : len(order)] = z[order], found[order]
    return out
