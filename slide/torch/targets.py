"""Targets as PyTorch users have them: class numbers, padded class numbers, indicators, lists."""

import numpy as np
import torch
from scipy import sparse

from slide.rows import SparseRows, as_label_rows, offsets


def as_labels(target, shape, n_classes, ignore_index):
    """(labels, kept): SparseRows of the targets of hidden states `shape`, (..., in_features), flattened, and the
    numbers of the rows that have any, int64, or None where all have.

    target   integers of shape `shape[:-1]`; integers of shape (*shape[:-1], m), of which ignore_index is no class;
             an indicator, booleans or floats or sparse, (n, n_classes); a SciPy matrix; or a list of n lists
    """
    n = int(np.prod(shape[:-1], dtype=np.int64))
    if isinstance(target, torch.Tensor):
        rows = _of_tensor(target.detach().cpu(), shape, n, n_classes, ignore_index)
    elif isinstance(target, list | tuple) or sparse.issparse(target):
        rows = as_label_rows(target, n, n_classes, "target")
    else:
        raise TypeError(f"target: found {type(target).__name__}, expected a tensor, a SciPy matrix or lists of classes")
    sizes = np.diff(rows.indptr)
    if sizes.all():
        return rows, None
    kept = np.flatnonzero(sizes)
    return rows.take(kept), kept


def _of_tensor(target, shape, n, n_classes, ignore_index):
    if target.layout in (torch.sparse_csr, torch.sparse_coo):
        target = target.to_sparse_csr()
        parts = target.values().numpy(), target.col_indices().numpy(), target.crow_indices().numpy()
        return as_label_rows(sparse.csr_array(parts, shape=tuple(target.shape)), n, n_classes, "target")
    if target.dtype == torch.bool or target.is_floating_point():
        if tuple(target.shape) != (*shape[:-1], n_classes):
            raise ValueError(
                f"target: found {target.dtype} of shape {tuple(target.shape)}, expected classes, integers, or an "
                f"indicator of shape {(*shape[:-1], n_classes)}"
            )
        return as_label_rows(target.reshape(n, n_classes).numpy(), n, n_classes, "target")
    several = target.dim() == len(shape) and tuple(target.shape[:-1]) == tuple(shape[:-1])
    if not several and tuple(target.shape) != tuple(shape[:-1]):
        raise ValueError(
            f"target: found shape {tuple(target.shape)} for hidden states {tuple(shape)}, expected {tuple(shape[:-1])} "
            "or, for several classes, one dimension more"
        )
    classes = target.reshape(n, -1).numpy() if n else np.zeros((0, 1), np.int64)
    if n and not several and 0 <= classes.min() and classes.max() < n_classes and not 0 <= ignore_index < n_classes:
        return _one_each(classes[:, 0], n_classes)
    real = classes != ignore_index
    wrong = real & ((classes < 0) | (classes >= n_classes))
    if wrong.any():
        raise ValueError(
            f"target: found {classes[wrong][0]}, expected classes from 0 to {n_classes - 1}, or ignore_index="
            f"{ignore_index}"
        )
    indptr, ids = offsets(real.sum(axis=1)), classes[real].astype(np.int32)
    if several:
        return as_label_rows(sparse.csr_array((np.ones(len(ids), bool), ids, indptr), shape=(n, n_classes)))
    return SparseRows(indptr, ids, np.ones(len(ids), np.float32), (n, n_classes))


def _one_each(classes, n_classes):
    """SparseRows of one valid class of each row."""
    n = len(classes)
    indptr, ones = np.arange(n + 1, dtype=np.int64), np.ones(n, np.float32)
    return SparseRows(indptr, classes.astype(np.int32), ones, (n, n_classes))
