"""The addresses that a training step of SLIDE reads and writes, of a network of one hidden layer, as one thread would.

They are those of its real arrays and of what a real batch had active: rows of weights and moments, buckets of the
tables. What is small and always at hand is left out: the hidden rows of the batch, hash functions, scratch.
"""

import numpy as np

from experiments.paper.huge_pages.tlb import LINE


def of_batch(network, rows) -> dict:
    """{stage: int64 addresses, one for each line of 64 bytes, in order} of the last batch, `rows` its SparseRows."""
    first, last = network.layers
    inputs, neurons = first.parameters, last.parameters
    active = last._pass.active
    features, touched = np.unique(rows.ids), np.unique(active.ids)
    return {
        "input": lines([inputs.w], rows.ids),
        "sample": buckets(last.index, first.exact(rows)),
        "forward": lines([neurons.w], active.ids),
        "update": lines([neurons.w, neurons.m, neurons.v], touched),
        "input_update": lines([inputs.w, inputs.m, inputs.v], features),
    }


def lines(matrices, ids) -> np.ndarray:
    """Of each of the rows `ids`, in this order, the lines of each of the matrices."""
    ids = np.asarray(ids, np.int64)[:, None]
    within = np.arange(0, matrices[0].strides[0], LINE)
    return np.stack([of(matrix) + ids * matrix.strides[0] + within for matrix in matrices], axis=1).ravel()


def buckets(index, hidden) -> np.ndarray:
    """Of each sample and table, where its bucket is looked up, and the lines of the bucket's ids."""
    tables = index.tables
    located = tables.locate(index.codes(hidden)).astype(np.int64).T
    table = np.arange(located.shape[1])
    looked_up = of(tables.buckets) + table * tables.buckets.strides[0] + located * tables.buckets.strides[1]
    start, count = np.moveaxis(tables.buckets[table, located].astype(np.int64), 2, 0)
    begin = of(tables.items) + table * tables.items.strides[0] + start * tables.items.itemsize
    end = begin + count * tables.items.itemsize
    n_lines = np.where(count > 0, (end - 1) // LINE - begin // LINE + 1, 0).ravel()
    places = np.concatenate([[0], np.cumsum(1 + n_lines)])
    out = np.empty(places[-1], np.int64)
    out[places[:-1]] = looked_up.ravel()
    numbers = np.arange(n_lines.sum()) - np.repeat(np.cumsum(n_lines) - n_lines, n_lines)
    follows = np.ones(len(out), bool)
    follows[places[:-1]] = False
    out[follows] = np.repeat(begin.ravel() // LINE * LINE, n_lines) + numbers * LINE
    return out


def of(array) -> int:
    """The address of an array's first element."""
    return array.__array_interface__["data"][0]
