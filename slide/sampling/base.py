"""The contract of samplers, and what training adds to what they retrieve."""

import threading

import numpy as np

from slide._kernels.sampling import Fill, GroupSets, IdLists, bound_rows, compact_rows, complete_rows
from slide.machine.threads import check_threads
from slide.matrices import falls
from slide.rows import ActiveSet, offsets
from slide.settings.checks import check_integer, check_number
from slide.tables import HashTables
from slide.typing import Numbers

MOST = 2**31 - 1  # ids are int32

_held = threading.local()
ROOM = 1 << 22  # ids that a batch may have room for uncounted


class Sampler:
    """Chooses the active neurons of a batch, one set for each group of consecutive samples.

    A sampler's attributes are its constructor's settings and nothing else: `type(s)(**vars(s))` is the same
    sampler. `active`, where it has one, is also what a layer fills small sets up to.

    **A sampler of your own** is a subclass that implements `sample`; `ActiveSet.of` makes the result from a
    list of arrays, and `group_rng` the random numbers of a group. Settings are plain JSON values, since saved
    networks hold them. `slide.testing.check_sampler` says what is broken. `probability` may be added.

    Parameters
    ----------
    active : int or None
        The number of neurons per group (beta in the paper), at least 1; None is no limit.

    Raises
    ------
    ValueError
        Where active is out of range.
    """

    needs_tables = True
    """Whether `sample` reads hash tables and codes."""

    draws_uniformly = False
    """Whether what it retrieves is a uniform draw, of `active` neurons, rather than what tables hold for the input."""

    dense = False
    """Whether every neuron is always active, so that a layer may do without an active set."""

    def __init__(self, active: int | None = None):
        self.active = None if active is None else check_integer("active", active)

    def sample(
        self, tables: HashTables, codes: np.ndarray, n_rows: int, group_size: int, n_neurons: int,
        seed: int, step: int, threads: int | None = None,
    ) -> ActiveSet:  # fmt: skip
        """The active set of each of the ceil(n_rows / group_size) groups; ids are unique within a group.

        Parameters
        ----------
        tables : HashTables or None
            Tables of `slide.tables` over the n_neurons neurons, built; None where not `needs_tables`.
        codes : ndarray of shape (n_rows, L), uint32, or None
            The codes of the samples; None where not `needs_tables`.
        n_rows : int
            Samples of the batch.
        group_size : int
            Samples per group, at least 1; the last group may be smaller. 1 is the paper's.
        n_neurons : int
            Neurons of the layer.
        seed, step : int
            0 to 2**64 - 1: they decide every random choice, together with the group's number. Step 0 is prediction: all
            groups make the same draws, so that a row's set depends on no other row.
        threads : int or None
            None for every CPU; the result is the same for any number.

        Returns
        -------
        ActiveSet
            Of `slide.rows`: int32 ids, a run per group.

        Raises
        ------
        ValueError
            Where an argument is not as said.
        """
        raise NotImplementedError

    def probability(
        self, p: Numbers, L: int | None = None, n_neurons: int | None = None, observed: np.ndarray | None = None,
    ) -> Numbers:  # fmt: skip
        """The probability that a neuron is in the active set of a single sample (group_size=1).

        The probability is over the draw of the hash functions, as if those of different tables were
        independent (nearly so: WTA's, DWTA's and MinHash's bins may come from one permutation) and no bucket
        overflowed. Its inverse is the weight that makes a sum over the retrieved neurons unbiased for the sum
        over all of them. Labels and the fill of `complete` are not counted.

        Parameters
        ----------
        p : float or ndarray
            The probability that the neuron is in the sample's bucket of one table, p**K in the papers' notation:
            `HashFamily.bucket_probability` of the similarity of its weights and the input. Taken elementwise.
        L : int or None
            The number of tables, where the sampler needs it.
        n_neurons : int or None
            How many neurons there are, where the sampler needs it.
        observed : ndarray or None
            What `observe` found for the sample; None: as if `active` had been no limit.

        Returns
        -------
        float or ndarray
            From 0 to 1.

        Raises
        ------
        NotImplementedError
            Where a sampler has no formula.
        """
        raise NotImplementedError(f"{type(self).__name__}: found no probability()")

    def observe(
        self, tables: HashTables, codes: np.ndarray, n_neurons: int, seed: int, step: int,
    ) -> np.ndarray | None:  # fmt: skip
        """What `probability` needs to know of each row; in Python and slow, for analysis.

        Parameters
        ----------
        tables, codes, n_neurons, seed, step
            As for `sample`, with group_size=1.

        Returns
        -------
        ndarray of shape (n,), int64, or None
            None where it needs nothing.
        """
        return None

    def config(self) -> dict:
        """The constructor's keywords that make this sampler again.

        Returns
        -------
        dict
            {name: value}, of plain JSON values.
        """
        return dict(vars(self))

    def __eq__(self, other) -> bool:
        return type(self) is type(other) and self.config() == other.config()

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.config().items())
        return f"{type(self).__name__}({settings})"


def complete(
    retrieved: ActiveSet, labels_indptr: np.ndarray | None, labels_ids: np.ndarray | None, group_size: int,
    minimum: int, n_neurons: int, seed: int, step: int, threads: int | None = None, pool: np.ndarray | None = None,
    pool_share: float = 1.0,
) -> tuple[ActiveSet, np.ndarray, np.ndarray]:  # fmt: skip
    """The active sets of training: labels, then what was retrieved, then draws.

    A group's set is the union of its samples' labels in their order, then what was retrieved and is not yet
    in, then other neurons, drawn until there are min(minimum, n_neurons).

    Differs from the paper, which leaves open whether true labels are active: here they always are, as in the
    released code, which also fills small sets with random neurons.

    Parameters
    ----------
    retrieved : ActiveSet
        Of the batch's groups.
    labels_indptr, labels_ids : ndarray or None
        The labels of each sample, int64 (n + 1,) and int32 (labels,), repeats allowed; both None where there are none
        (inference).
    group_size : int
        As for `Sampler.sample`.
    minimum : int
        At least 0.
    n_neurons, seed, step, threads
        As for `Sampler.sample`.
    pool : ndarray of shape (any,), int32, or None
        Ids, which may repeat, that are drawn from; None: all draws are uniform.
    pool_share : float
        The share, 0 to 1, of the draws that are from the pool, as far as four draws for each neuron find new ones; the
        others are uniform.

    Returns
    -------
    active : ActiveSet
        The sets.
    label_slots : ndarray of shape (labels,), int32
        Entry k of the label CSR stands at place label_slots[k] of its group's set.
    parts : ndarray of shape (groups, 4), int64
        The size of each set after the labels, after what was retrieved and after the draws from the pool, and the
        number of those draws, vain ones included.

    Raises
    ------
    ValueError
        Where sizes do not fit together or an id is not in 0..n_neurons-1.
    """
    threads = check_threads(threads)
    if not isinstance(retrieved, ActiveSet):
        raise ValueError(f"retrieved: found {type(retrieved).__name__}, expected an ActiveSet")
    check_draws(len(retrieved), group_size, n_neurons, seed, step)
    minimum = min(check_integer("minimum", minimum, 0), n_neurons)
    n_groups = len(retrieved)
    if labels_indptr is None:
        labels_indptr, labels_ids = np.zeros(n_groups * group_size + 1, np.int64), np.zeros(0, np.int32)
    labels_indptr = _check_vector("labels_indptr", labels_indptr, np.int64)
    labels_ids = _check_vector("labels_ids", labels_ids, np.int32)
    _check_vector("retrieved.indptr", retrieved.indptr, np.int64)
    _check_vector("retrieved.ids", retrieved.ids, np.int32)
    if len(labels_indptr) < 1 or group_count(len(labels_indptr) - 1, group_size) != n_groups:
        raise ValueError(
            f"labels_indptr: found {len(labels_indptr) - 1} rows, "
            f"expected {n_groups} groups of {group_size} (the last may be smaller)"
        )
    _check_offsets("labels_indptr", labels_indptr, labels_ids)
    _check_offsets("retrieved", retrieved.indptr, retrieved.ids)
    _check_ids("retrieved", retrieved.ids, n_neurons)
    _check_ids("labels_ids", labels_ids, n_neurons)
    pool = np.zeros(0, np.int32) if pool is None else pool
    _check_vector("pool", pool, np.int32)
    _check_ids("pool", pool, n_neurons)
    pool_share = check_number("pool_share", pool_share, "[0, 1]")
    ends = np.minimum(np.arange(n_groups + 1) * group_size, len(labels_indptr) - 1)
    bounds = np.diff(labels_indptr[ends]) + np.diff(retrieved.indptr)
    where = offsets(np.clip(bounds, minimum, n_neurons))
    label_slots = np.empty(len(labels_ids), dtype=np.int32)
    parts = np.empty((n_groups, 4), dtype=np.int64)
    seen, places = seen_scratch(threads, n_neurons), scratch("places", threads, n_neurons, np.int32)
    active = collect(
        where,
        lambda sets: complete_rows(
            IdLists(retrieved.indptr, retrieved.ids), IdLists(labels_indptr, labels_ids),
            Fill(pool, pool_share, minimum, n_neurons, seed, step), group_size, seen, places, label_slots, parts, sets,
            threads,
        ),
    )  # fmt: skip
    return active, label_slots, parts


def check_draws(n_rows, group_size, n_neurons, seed, step) -> None:
    """Raises ValueError where one of these arguments of `Sampler.sample` is no integer of its range."""
    check_integer("n_rows", n_rows, 0, MOST)
    check_integer("group_size", group_size)
    check_integer("n_neurons", n_neurons, 1, MOST)
    check_integer("seed", seed, 0, 2**64 - 1)
    check_integer("step", step, 0, 2**64 - 1)


def locate(tables, codes, n_rows, n_neurons, threads):
    """The samples' buckets, uint32 (L, n_rows).

    Raises ValueError where tables, codes and n_neurons do not fit together.
    """
    if tables is None or codes is None:
        raise ValueError(
            f"{'tables' if tables is None else 'codes'}: found None, expected what the sampler probes"
        )
    if tables.n_items != n_neurons:
        raise ValueError(f"tables: found {tables.n_items} items, expected n_neurons = {n_neurons}")
    located = tables.locate(codes, threads)
    if located.shape[1] != n_rows:
        raise ValueError(f"codes: found {located.shape[1]} rows, expected n_rows = {n_rows}")
    return located


def room(tables, located, group_size, most, threads) -> np.ndarray:
    """int64 (groups + 1,): offsets that leave each group room for what its buckets hold, `most` ids at most.

    Buckets are counted only where that saves much memory, since they are far apart in it.
    """
    n_groups = group_count(located.shape[1], group_size)
    if n_groups * most <= ROOM:
        return np.arange(n_groups + 1) * most
    bounds = np.empty(n_groups, dtype=np.int64)
    bound_rows(located, tables.buckets, group_size, bounds, threads)
    return offsets(np.minimum(bounds, most))


def collect(where, kernel) -> ActiveSet:
    """Runs kernel(GroupSets with room for the ids of group g at where[g]:where[g + 1]), and packs them."""
    sizes = np.empty(len(where) - 1, dtype=np.int64)
    sets = GroupSets(where, scratch("ids", 1, int(where[-1]), np.int32)[0], sizes)
    kernel(sets)
    indptr = offsets(sizes)
    packed = np.empty(indptr[-1], dtype=np.int32)
    compact_rows(sets, indptr, packed)
    return ActiveSet(indptr, packed)


def scratch(name, rows, columns, dtype):
    """An array of at least (rows, columns), zero when new and otherwise as the last kernel left it.

    Held for the calling thread, so that a batch allocates nothing of the size of a layer.
    """
    array = getattr(_held, name, None)
    if array is None or array.shape[0] < rows or array.shape[1] < columns:
        shape = (rows, columns) if array is None else np.maximum(array.shape, (rows, columns))
        array = np.zeros(shape, dtype=dtype)
        setattr(_held, name, array)
    return array


def seen_scratch(threads, n_neurons):
    """One bit per neuron for each thread, all zero."""
    return scratch("seen", threads, (n_neurons + 63) // 64, np.uint64)


def group_count(n_rows, group_size):
    return -(-n_rows // group_size)


def group_rng(seed: int, step: int, group: int) -> np.random.Generator:
    """Random numbers of a group, for samplers in Python; at step 0, prediction, all groups have the same.

    Parameters
    ----------
    seed, step : int
        As for `Sampler.sample`.
    group : int
        Its number in the batch, from 0.

    Returns
    -------
    Generator
        Of `numpy.random`.
    """
    return np.random.default_rng((seed, step, group if step else 0))


def _check_vector(name, array, dtype) -> np.ndarray:
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype != dtype or not array.flags.c_contiguous:
        found = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{name}: found {found}, expected contiguous {np.dtype(dtype)} (n,)")
    return array


def _check_offsets(name, indptr, ids):
    if indptr[0] != 0 or indptr[-1] != len(ids) or falls(indptr):
        raise ValueError(f"{name}: found {indptr}, expected offsets from 0 to {len(ids)}")


def _check_ids(name, ids, n):
    if len(ids) and ids.view(np.uint32).max() >= n:  # as an unsigned number a negative one is large
        raise ValueError(f"{name}: found ids {ids.min()} to {ids.max()}, expected 0 to {n - 1}")
