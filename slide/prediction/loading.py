"""Models from files: whichever a file holds, a Network, an Ensemble or a Mixed, with the checks of `Network.load`."""

import numpy as np

from slide.hashing import FAMILIES, HashFamily
from slide.machine.threads import check_threads
from slide.network import Network
from slide.plugins import restore
from slide.prediction.ensemble import Ensemble
from slide.prediction.mixing import Mixed
from slide.prediction.unfinished import Unfinished
from slide.sampling import Sampler
from slide.settings.checks import check_integer
from slide.state import storage
from slide.typing import FilePath, Own
from slide.validation import check_progress

MEMORY = {
    "settings": np.uint8, "rows.indptr": np.int64, "rows.ids": np.int32, "rows.values": np.float32,
    "labels.indptr": np.int64, "labels.ids": np.int32,
}  # fmt: skip
OPTIONS = {"family", "candidates", "bucket_size"}


def load(
    path: FilePath, threads: int | None = None, hash: Own[HashFamily] = None, sampler: Own[Sampler] = None,
) -> Network | Ensemble | Mixed:  # fmt: skip
    """The model that `save` of a Network, an Ensemble or a Mixed wrote; of a checkpoint of training on held-out rows it
    has the best network so far.

    Parameters
    ----------
    path : str or path-like
        Of the file.
    threads : int or None
        Threads of the kernels; None: all CPUs.
    hash, sampler : type, dict or None
        As for `Network.load`; a hash family of a Mixed's memory that is not slide's own is `hash`, too.

    Returns
    -------
    Network, Ensemble or Mixed
        As it was saved.

    Raises
    ------
    ValueError
        Where the file is no model, or names a class that is not found.
    """
    model = load_whole(path, threads, hash, sampler)
    return model.chosen() if isinstance(model, Unfinished) else model


def load_whole(path, threads=None, hash=None, sampler=None) -> Network | Ensemble | Mixed | Unfinished:
    """As `load`, and all that a checkpoint has."""
    return storage.read(path, _load, check_threads(threads), {"hash": hash, "sampler": sampler})


def file_bytes(model) -> int:
    """About the size of the file of a model."""
    networks = [model] if isinstance(model, Network) else list(model.networks)
    if isinstance(model, Unfinished) and model.best is not None:
        networks.append(model.best)
    memory = model.state() if isinstance(model, Mixed) else {}
    return sum(map(storage.n_bytes, networks)) + sum(array.nbytes + storage.OVERHEAD for array in memory.values())


def _load(archive, threads, given):
    used = set()
    model = _model(archive, threads, given, used)
    storage.check_used(given, used)
    return model


def _model(archive, threads, given, used):
    header = storage.parse_header(archive)
    kind = header.get("kind", "network")
    if not isinstance(kind, str) or kind not in READERS:
        raise ValueError(f"a model of kind {kind!r}, not one of {', '.join(READERS)}")
    return READERS[kind](archive, header, threads, given, used)


def _network(archive, header, threads, given, used):
    return storage.load_network(archive, Network, threads, given, used)


def _ensemble(archive, header, threads, given, used):
    storage.check_keys("header", header, ("format", "kind", "networks", "run"))
    return Ensemble(_networks(archive, header, threads, given, used))


def _networks(archive, header, threads, given, used, beside=()):
    n = check_integer("networks", header["networks"], 1, len(archive.entries))
    prefixes = [f"networks.{i}." for i in range(n)]
    _refuse_unknown(archive, [*prefixes, *beside])
    return [_network(archive.part(prefix), None, threads, given, used) for prefix in prefixes]


def _unfinished(archive, header, threads, given, used):
    storage.check_keys("header", header, ("format", "kind", "networks", "number", "progress", "run"))
    networks = _networks(archive, header, threads, given, used, beside=["best."])
    number = check_integer("number", header["number"], 0, len(networks) - 1)
    best, part = None, archive.part("best.")
    if part.entries:
        best = _network(part, None, threads, given, used)
    shapes = {(each.n_features, each.n_labels) for each in (*networks, best) if each is not None}
    if len(shapes) > 1:
        raise ValueError(f"networks of (features, labels) {sorted(shapes)}, not all the same")
    return Unfinished(networks, number, check_progress(header["progress"]), best)


def _mixed(archive, header, threads, given, used):
    storage.check_keys("header", header, ("format", "kind", "options", "run"))
    options = header["options"]
    if not isinstance(options, dict) or not options.keys() <= OPTIONS:
        raise ValueError(f"options {options!r}, not some of {sorted(OPTIONS)}")
    for name in options.keys() - {"family"}:
        check_integer(name, options[name])
    _refuse_unknown(archive, ("model.", "memory.", "family."))
    memory = archive.part("memory.")
    _check_memory(memory)
    inner = archive.part("model.")
    within = storage.parse_header(inner).get("kind", "network")
    if within not in ("network", "ensemble"):
        raise ValueError(f"a model of kind {within!r} within a mixed one")
    model = _model(inner, threads, given, used)
    if options.get("family") is not None:
        options = options | {"family": _family(options["family"], archive, given, used)}
    elif archive.part("family.").entries:
        raise ValueError("arrays of a hash family, but no family")
    return Mixed.restore(model, memory, threads=threads, **options)


def _family(described, archive, given, used):
    """The hash family of a memory; made only where it is of a size that the file may have."""
    storage.check_described("family", described)
    if "config" not in described:
        raise ValueError(f"family {described!r}, not a class and its config")
    sizes = {name: value for name, value in described["config"].items() if name != "seed" and isinstance(value, int)}
    for name, value in sizes.items():
        check_integer(f"family {name}", value, 0)
    if 8 * np.prod([float(sizes.get(name, 1)) for name in ("K", "L", "dim")]) > storage.FREE + 16 * archive.size:
        raise ValueError(f"hash functions of {sizes} in a file that is smaller")
    family, took = restore("hash", described, FAMILIES, HashFamily, given["hash"])
    used |= {"hash"} if took else set()
    part, own = archive.part("family."), family.state()
    for name, entry in part.entries.items():
        if name not in own or (entry.dtype, entry.shape) != (own[name].dtype, own[name].shape):
            raise ValueError(f"the array family.{name} of {entry.dtype} {entry.shape}, which its family has not")
    if own.keys() != part.entries.keys():
        raise ValueError(f"arrays {sorted(part.entries)} of a family that has {sorted(own)}")
    if own:
        family.load_state({name: part[name] for name in own})
    return family


def _check_memory(memory):
    if memory.entries.keys() != MEMORY.keys():
        raise ValueError(f"arrays {sorted(memory.entries)} of a memory, not {sorted(MEMORY)}")
    for name, dtype in MEMORY.items():
        entry = memory.entries[name]
        if entry.dtype != dtype or len(entry.shape) != 1:
            raise ValueError(f"the array memory.{name} of {entry.dtype} {entry.shape}, not {np.dtype(dtype)} (n,)")
    if memory.entries["settings"].shape[0] > storage.MOST_HEADER:
        raise ValueError("memory.settings, which is too long")


def _refuse_unknown(archive, prefixes):
    for name in archive:
        if name != "header" and not name.startswith(tuple(prefixes)):
            raise ValueError(f"an unknown array {name!r}")


READERS = {"network": _network, "ensemble": _ensemble, "mixed": _mixed, "unfinished": _unfinished}
