"""The labels of a batch, as active sets see them."""

import numpy as np

from slide.rows import SparseRows


def of_others(labels, group_size, n_groups):
    """The label entries that a sample's group has of its other samples, in the mean, float64 (groups,)."""
    if labels is None:
        return np.zeros(n_groups)
    ends = np.minimum(np.arange(n_groups + 1) * group_size, len(labels))
    samples = np.maximum(np.diff(ends), 1)
    return np.diff(labels.indptr[ends]) * (samples - 1) / samples


def labels_found(labels, active, group_size):
    """(label rows, slots) restricted to the labels that sampling itself retrieved."""
    kept, slots, sizes = [], [], []
    for i in range(len(labels)):
        mine = labels.ids[labels.indptr[i] : labels.indptr[i + 1]]
        group = active[i // group_size]
        order = np.argsort(group)
        at = np.minimum(np.searchsorted(group, mine, sorter=order), max(len(group) - 1, 0))
        found = group[order[at]] == mine if len(group) else np.zeros(len(mine), bool)
        kept.append(mine[found])
        slots.append(order[at][found] if len(group) else mine[:0])
        sizes.append(int(found.sum()))
    indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    ids = np.concatenate(kept).astype(np.int32) if kept else labels.ids[:0]
    slots = np.concatenate(slots).astype(np.int32) if slots else ids
    return SparseRows(indptr, ids, np.ones(len(ids), np.float32), labels.shape), slots
