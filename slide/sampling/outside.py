"""Samplers that are not the package's: what they retrieve is checked before a kernel follows it."""

import numpy as np

from slide.matrices import falls
from slide.rows import ActiveSet
from slide.sampling.base import Sampler, group_count
from slide.tables import HashTables

PACKAGE = __name__.partition(".")[0]


def retrieve(
    sampler: Sampler, tables: HashTables, codes: np.ndarray, n_rows: int, group_size: int, n_neurons: int,
    seed: int, step: int, threads: int | None,
) -> ActiveSet:  # fmt: skip
    """The active sets that a sampler gives; of a sampler that is not the package's a copy, checked.

    Parameters
    ----------
    sampler : Sampler
        Whose `sample` is called.
    tables, codes, n_rows, group_size, n_neurons, seed, step, threads
        As for `Sampler.sample`.

    Returns
    -------
    ActiveSet
        Of ceil(n_rows / group_size) groups.

    Raises
    ------
    ValueError
        Naming the class, where the result is no ActiveSet of so many groups of unique ids from 0 to n_neurons - 1.
    """
    found = sampler.sample(tables, codes, n_rows, group_size, n_neurons, seed, step, threads)
    if type(sampler).__module__.partition(".")[0] == PACKAGE:
        return found
    return check_active_set(f"{type(sampler).__name__}.sample", found, group_count(n_rows, group_size), n_neurons)


def check_active_set(name: str, found, n_groups: int, n_neurons: int) -> ActiveSet:
    """A copy of what `name` returned, which may keep and change its own arrays; ValueError as for `retrieve`."""
    if not isinstance(found, ActiveSet):
        raise ValueError(f"{name}: found {type(found).__name__}, expected a slide.rows.ActiveSet")
    indptr, ids = _copy(name, "indptr", found.indptr, np.int64), _copy(name, "ids", found.ids, np.int32)
    if len(indptr) != n_groups + 1:
        raise ValueError(f"{name}: found {len(indptr) - 1} groups, expected {n_groups}")
    sizes = np.diff(indptr)
    if indptr[0] != 0 or indptr[-1] != len(ids) or falls(indptr):
        raise ValueError(f"{name}: found indptr {indptr}, expected offsets that rise from 0 to {len(ids)}")
    if len(ids) and not (ids.min() >= 0 and ids.max() < n_neurons):
        raise ValueError(f"{name}: found ids {ids.min()} to {ids.max()}, expected 0 to {n_neurons - 1}")
    places = np.sort(np.repeat(np.arange(n_groups, dtype=np.int64), sizes) * n_neurons + ids)
    if (places[1:] == places[:-1]).any():
        group, neuron = divmod(int(places[1:][places[1:] == places[:-1]][0]), n_neurons)
        raise ValueError(f"{name}: found id {neuron} twice in group {group}, expected unique ids")
    return ActiveSet(indptr, ids)


def _copy(name, what, array, dtype):
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 1:
        kind = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(
            f"{name}: found {what} of {kind}, expected {np.dtype(dtype)} (n,) (ActiveSet.of makes one from lists)"
        )
    return np.array(array)
