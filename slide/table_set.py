"""The arrays of hash tables: what there are, and whether they can be followed."""

from dataclasses import dataclass

import numpy as np

from slide._kernels.tables import Tables
from slide.machine import memory


@dataclass
class TableSet:
    """The arrays of L tables.

    located   uint32 (L, n_items), the bucket of each item; that after the last, of what is in none
    buckets   uint32 (L, buckets + 1, 2), of each its first slot, and how many ids it holds
    items     int32 (L, slots), the ids
    arrivals  uint32 (L, buckets), how many ids ever came; of a reservoir only
    tables    the same as kernels take them
    step      the number of builds and updates, for their draws
    built     whether they hold anything
    """

    located: np.ndarray
    buckets: np.ndarray
    items: np.ndarray
    arrivals: np.ndarray
    tables: Tables
    step: int = 0
    built: bool = False


def table_types(n_items: int, L: int, range_bits: int, bucket_size: int, reservoir: bool) -> dict:
    """{name: (dtype, shape)} of the arrays of tables of these settings."""
    n_buckets = 2**range_bits
    slots = min(n_buckets * bucket_size, n_items + n_items // 4 + n_buckets)
    return {
        "located": (np.uint32, (L, n_items)),
        "buckets": (np.uint32, (L, n_buckets + 1, 2)),
        "items": (np.int32, (L, slots)),
        "arrivals": (np.uint32, (L, n_buckets if reservoir else 0)),
    }


def allocate(n_items, L, range_bits, bucket_size, reservoir, seed, huge_pages) -> TableSet:
    types = table_types(n_items, L, range_bits, bucket_size, reservoir)
    arrays = {name: memory.zeros(shape, dtype, huge_pages) for name, (dtype, shape) in types.items()}
    return table_set(arrays, bucket_size, reservoir, seed)


def table_set(arrays, bucket_size, reservoir, seed, step=0, built=False) -> TableSet:
    """Of the arrays that `table_types` names."""
    located, buckets, items, arrivals = (arrays[name] for name in ("located", "buckets", "items", "arrivals"))
    tables = Tables(located, buckets, items, arrivals, bucket_size, reservoir, seed)
    return TableSet(located, buckets, items, arrivals, tables, step, built)


def check_layout(located, buckets, items, progress, n_items, **_):
    """Raises ValueError where following the arrays of a state would lead outside of them."""
    starts, sizes, n_buckets = buckets[:, :, 0].astype(np.int64), buckets[:, :, 1], buckets.shape[1] - 1
    room = np.diff(starts, axis=1)
    if progress[0] >= 2**62 or progress[1] > 1:
        raise ValueError(f"state['progress']: found {progress}, expected a step, and 0 or 1")
    if located.max(initial=0) > n_buckets:
        raise ValueError(f"state['located']: found bucket {located.max()}, expected at most {n_buckets}")
    if items.size and not (0 <= items.min() and items.max() < n_items):
        raise ValueError(f"state['items']: found an id out of range, expected 0 to {n_items - 1}")
    sound = (
        (room >= int(progress[1])).all()
        and starts.max() <= items.shape[1]
        and (sizes[:, :-1] <= room).all()
        and not sizes[:, -1].any()
    )
    if not sound:
        raise ValueError("state['buckets']: found offsets and sizes that overlap, expected a layout by build")
