"""Networks in files: an .npz archive with the settings as JSON and every array that training goes on from."""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from slide.bfloat16 import narrow
from slide.distributed.exchange import ALONE
from slide.hashing import FAMILIES, HashFamily
from slide.index import RehashSchedule
from slide.layers import array_types
from slide.layers.frozen import frozen_state, frozen_types
from slide.layers.settings import Dense, Sampled
from slide.machine.threads import check_threads
from slide.matrices import MOST
from slide.optim import OPTIMIZERS, Schedule
from slide.plugins import NotImported, describe, restore
from slide.sampling import SAMPLERS, Sampler
from slide.settings.checks import check_integer
from slide.settings.network import NetworkSettings, check_layers
from slide.state.archive import Archive, write
from slide.state.files import replacing
from slide.state.part import Part, prefixed

FORMAT = 2
MOST_STEPS = 2**31 - 2  # the kernels count steps in int32
INDEX = "index."  # what the names of arrays of the index that predicts begin with
MOST_HEADER = 1 << 20  # bytes
OVERHEAD = 512  # bytes of a file for each array, its name and its dtype among them
FREE = 64 << 20  # bytes that hash functions may take, whatever the size of the file
SPECS = {"dense": Dense, "sampled": Sampled}
CLASSES: dict[str, tuple[dict[str, Any], type]] = {"hash": (FAMILIES, HashFamily), "sampler": (SAMPLERS, Sampler)}
OBJECTS = ("optimizer", "schedule")  # settings that are objects with settings of their own
PLAIN = tuple(f.name for f in fields(NetworkSettings) if f.name not in OBJECTS)


def settings(network) -> dict:
    """The settings of a network as plain JSON values."""
    names = {cls: name for name, cls in SPECS.items()}
    return {
        "n_features": network.n_features,
        **{name: getattr(network, name) for name in PLAIN},
        "layers": [{"kind": names[type(spec)], **_spec_settings(spec)} for spec in network.specs],
        "optimizer": {"name": network.optimizer.name, **asdict(network.optimizer)},
        "schedule": asdict(network.schedule),
    }


def _spec_settings(spec) -> dict:
    given = {f.name: getattr(spec, f.name) for f in fields(spec)}
    for name, (known, _) in CLASSES.items():
        if name in given:
            given[name] = describe(given[name], known)
            check_json(name, given[name])
    return given | ({"rehash": asdict(spec.rehash)} if "rehash" in given else {})


def check_json(name, described):
    try:
        json.dumps(described, default=int)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: found {described!r}, expected settings of plain JSON values ({error})") from error


def make_header(**content) -> np.ndarray:
    """The array of JSON that says what a file holds."""
    text = json.dumps({"format": FORMAT, **content}, default=int, allow_nan=False).encode()
    if len(text) > MOST_HEADER:
        raise ValueError(f"settings: found {len(text):,} bytes of them, expected at most {MOST_HEADER:,}")
    return np.frombuffer(text, dtype=np.uint8)


def parse_header(archive) -> dict:
    """What `make_header` was given; ValueError where it is not that. `kind` is there for all but networks."""
    entry = archive.entries.get("header")
    if entry is None or entry.dtype != np.uint8 or len(entry.shape) != 1 or entry.shape[0] > MOST_HEADER:
        raise ValueError("no header of slide's")
    header = json.loads(bytes(archive["header"]), parse_constant=_refuse_constant, object_pairs_hook=_unique)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"format {header.get('format') if isinstance(header, dict) else header!r}, not {FORMAT}")
    if not isinstance(header.setdefault("run", None), dict | None):
        raise ValueError(f"run {header['run']!r}, not a dictionary")
    return header


def read_header(archive) -> dict:
    """The header of a network, of the keys that `content` wrote; ValueError where it is not that."""
    header = parse_header(archive)
    if "kind" in header:
        raise ValueError(f"a model of kind {header['kind']!r}, which slide.load reads")
    frozen = ("seeds",) if "seeds" in header else ()
    check_keys("header", header, ("format", "step", "samples", "settings", "run", *frozen))
    found = header["settings"]
    check_keys("settings", found, ("n_features", *PLAIN, "layers", *OBJECTS))
    if not isinstance(found["layers"], list):
        raise ValueError(f"layers {found['layers']!r}, not a list")
    for spec in found["layers"]:
        kind = SPECS[_name("kind", spec, SPECS)]
        check_keys("layer", spec, ("kind", *(f.name for f in fields(kind))))
        if kind is Sampled:
            check_keys("rehash", spec["rehash"], [f.name for f in fields(RehashSchedule)])
            for name in CLASSES:
                check_described(name, spec[name])
    optimizer = OPTIMIZERS[_name("name", found["optimizer"], OPTIMIZERS)]
    check_keys("optimizer", found["optimizer"], ("name", *(f.name for f in fields(optimizer))))
    check_keys("schedule", found["schedule"], [f.name for f in fields(Schedule)])
    return header


def _refuse_constant(name):
    raise ValueError(f"the number {name} in its header")


def _unique(pairs):
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"a key twice among {keys} in its header")
    return dict(pairs)


def check_keys(what, found, expected):
    if not isinstance(found, dict) or found.keys() != set(expected):
        keys = sorted(found) if isinstance(found, dict) else found
        raise ValueError(f"{what} {keys!r}, not one of {sorted(expected)}")


def _name(key, found, known):
    name = found.get(key) if isinstance(found, dict) else None
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"{key} {name!r}, not one of {sorted(known)}")
    return name


def check_described(name, described):
    """Raises ValueError where what describes a class is not what `plugins.describe` gives."""
    parts = {"class": described} if isinstance(described, str) else described
    sound = isinstance(parts, dict) and isinstance(parts.get("class"), str) and parts.keys() <= {"class", "config"}
    if not sound or not isinstance(parts.get("config", {}), dict):
        raise ValueError(f"{name} {described!r}, not a class and its config")


def check_families(config: dict, archive) -> None:
    """Raises ValueError where a hash family, which is made before its arrays are looked at, would be of another size
    than the file: the file's own arrays say how many tables there are, and functions take about as much as weights."""
    width, most = config["n_features"], FREE + 16 * archive.size
    for i, spec in enumerate(config["layers"]):
        tables = archive.entries.get(f"layers.{i}.index.tables.located")
        if spec["kind"] == "sampled" and (tables or "config" in spec["hash"]):
            settings = {"dim": width, "K": spec["K"], "L": spec["L"]}
            if "config" in spec["hash"]:
                settings |= {k: v for k, v in spec["hash"]["config"].items() if k != "seed" and isinstance(v, int)}
            for name, value in settings.items():
                check_integer(f"hash {name}", value, 0)
            K, L = settings.pop("K"), settings.pop("L")
            if tables and tables.shape[:1] != (L,):
                raise ValueError(f"{L} hash tables, but arrays of shape {tables.shape}")
            if 8 * K * L * max(settings.values()) > most:
                raise ValueError(f"{K} x {L} hash functions of {max(settings.values())} in a file that is smaller")
        width = spec["n_neurons"]


def check_types(archive, expected: dict) -> None:
    """Raises ValueError where the file has other arrays than `expected` (see `slide.layers.array_types`)."""
    expected = {"header": (np.uint8, archive.entries["header"].shape), **expected}
    free = tuple(name[:-1] for name in expected if name.endswith("*"))
    for name, what in expected.items():
        if what is None:
            continue
        entry, (dtype, shape) = archive.entries.get(name), what
        if entry is None:
            raise ValueError(f"no array {name!r}")
        if (entry.dtype, entry.shape) != (np.dtype(dtype), shape):
            raise ValueError(f"the array {name!r} of {entry.dtype} {entry.shape}, not {np.dtype(dtype)} {shape}")
    for name in archive:
        if name not in expected and not name.startswith(free):
            raise ValueError(f"an unknown array {name!r}")


def restore_classes(config: dict, given: dict, used: set) -> dict:
    """The settings with their hash families and samplers; `given` has classes that no file may import (see `load`), and
    the names of those that are needed are added to `used`."""
    layers = [dict(spec) for spec in config["layers"]]
    for name, (known, base) in CLASSES.items():
        for spec in layers:
            if name in spec:
                spec[name], took = restore(name, spec[name], known, base, given.get(name))
                used |= {name} if took else set()
    return {**config, "layers": layers}


def check_used(given: dict, used: set) -> None:
    """Raises NotImported where a class was given that nothing in the file needs."""
    for name, value in given.items():
        if value is not None and name not in used:
            raise NotImported(f"{name}: found {value!r}, expected None: the file names no {name} but slide's own")


def from_settings(config: dict):
    """(n_features, specs, keywords of Network) from what `settings` gave, classes restored."""
    specs = []
    for spec in config["layers"]:
        spec = dict(spec)
        kind = SPECS[spec.pop("kind")]
        if "rehash" in spec:
            spec["rehash"] = RehashSchedule(**spec["rehash"])
        specs.append(kind(**spec))
    given = dict(config["optimizer"])
    optimizer = OPTIMIZERS[given.pop("name")](**given)
    objects = {"optimizer": optimizer, "schedule": Schedule(**config["schedule"])}
    return config["n_features"], specs, {**{name: config[name] for name in PLAIN}, **objects}


def state(network) -> dict[str, np.ndarray]:
    """Every array that training goes on from; views, and copies of some."""
    layers = [prefixed(f"layers.{i}.", layer.state()) for i, layer in enumerate(network.layers)]
    return {name: array for layer in layers for name, array in layer.items()}


def n_bytes(network) -> int:
    """About the size of its file."""
    return network.context.exchange.total(sum(array.nbytes + OVERHEAD for array in state(network).values()))


def load_state(network, arrays) -> None:
    for i, layer in enumerate(network.layers):
        layer.load_state(Part(arrays, f"layers.{i}."))


def content(network, run=None, inference=False, narrowed=False) -> dict[str, np.ndarray]:
    """All arrays of the file of a network, or those that prediction reads, its output weights `narrowed` to bfloat16.

    Raises FloatingPointError where one is not finite.
    """
    inference = inference or getattr(network, "frozen", False)
    seeds = {"seeds": layer_seeds(network)} if inference else {}
    described = settings(network)
    if narrowed:
        described["layers"][-1]["weight_type"] = "bfloat16"
    header = make_header(step=network.step, samples=network.samples, settings=described, run=run, **seeds)
    for i, layer in enumerate(network.layers):
        try:
            layer.check_finite()
        except FloatingPointError as error:
            raise FloatingPointError(f"layers.{i}.{error}") from None
    arrays = frozen_state(state(network)) if inference else state(network)
    if narrowed:
        name = f"layers.{len(network.layers) - 1}.neurons.w"
        arrays[name] = narrow(arrays[name], network.threads)
    index = network._index_state(narrowed)
    return {"header": header, **arrays, **{INDEX + name: array for name, array in index.items()}}


def layer_seeds(network) -> list:
    """What each sampled layer drew when it was made; None of others."""
    return [getattr(layer, "seed", None) for layer in network.layers]


def save(path, make_content, *args, exchange=ALONE, types=None) -> None:
    """Writes the file that holds the arrays of make_content(*args).

    exchange, types   of a network that is shared out, all ranks of which call this, and `array_types` of the whole
    """
    arrays = error = None
    try:
        arrays = make_content(*args)
    except FloatingPointError as found:
        error = str(found)
    error = next(filter(None, exchange.all(error)), None)
    if error:
        raise FloatingPointError(f"{error}, which would be saved; {path} was left as it was")
    exchange.write(arrays, types, lambda whole: _replace(path, whole))


def _replace(path, arrays):
    with replacing(path) as file:
        write(file, **arrays)


def read_run(path) -> dict:
    """What a model was saved with as `run`, {} where that was nothing; raises as `load` does."""
    return read(path, lambda archive: parse_header(archive)["run"] or {})


def load(cls, path, threads=None, hash=None, sampler=None, exchange=ALONE):
    threads = exchange.settings({"threads": threads})["threads"]
    return read(path, _load, cls, check_threads(threads), {"hash": hash, "sampler": sampler}, exchange)


def _load(archive, cls, threads, given, exchange):
    used = set()
    network = load_network(archive, cls, threads, given, used, exchange)
    check_used(given, used)
    return network


def read(path, load, *args):
    """load(archive, *args) of a model file; errors name the file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such model file")
    with open(path, "rb") as file:
        try:
            with Archive(file) as archive:
                return load(archive, *args)
        except NotImported as error:
            raise NotImported(f"{path}: {error}") from None
        except MemoryError as error:
            raise MemoryError(f"{path}: {error or 'found too little memory for this model'}") from error
        except Exception as error:  # what is not a model may fail anywhere: in zipfile, zlib, NumPy
            raise ValueError(f"{path}: found {error}, expected a model that slide saved") from error


def load_network(archive, cls, threads, given, used, exchange=ALONE):
    """A network whose file, or part of a file, this is; `given` and `used` as for `restore_classes`."""
    header = read_header(archive)
    described = header["settings"] | {"threads": threads}
    check_families(described, archive)
    n_features, specs, keywords = from_settings(restore_classes(described, given, used))
    n_features = check_integer("n_features", n_features, 1, MOST)
    types = array_types(n_features, check_layers(specs), keywords["optimizer"])
    types = {**types, INDEX + "*": None}
    check_types(archive, frozen_types(types) if "seeds" in header else types)
    if "seeds" in header:
        if exchange.size > 1:
            raise ValueError("a frozen network, which predicts in one process")
        arrays = {name: archive.mapped(name) for name in archive if name != "header"}
        network = cls._of_frozen(n_features, specs, keywords, check_seeds(header["seeds"], len(specs)), arrays)
    else:
        shared = {"comm": exchange} if exchange.size > 1 else {}
        network = cls(n_features, specs, **shared, **keywords)
        load_state(network, exchange.part(archive, network))
    network._step = check_integer("step", header["step"], 0, MOST_STEPS)
    network._samples = check_integer("samples", header["samples"], 0)
    read_array = archive.mapped if "seeds" in header else archive.__getitem__
    network._load_index({name: read_array(INDEX + name) for name in Part(archive, INDEX)})
    return network


def check_seeds(seeds, n: int) -> list:
    if not isinstance(seeds, list) or len(seeds) != n:
        raise ValueError(f"seeds {seeds!r}, not one for each of {n} layers")
    return [None if seed is None else check_integer("seed", seed, 0, 2**62) for seed in seeds]
