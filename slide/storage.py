"""Networks in files: an .npz archive with the settings as JSON and every array that training goes on from."""

import json
import os
import secrets
import zipfile
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from slide.checks import check_integer
from slide.hashing import FAMILIES, HashFamily
from slide.index import RehashSchedule
from slide.layers.settings import Dense, Sampled
from slide.optim import OPTIMIZERS, Schedule
from slide.plugins import NotImported, describe, restore
from slide.sampling import SAMPLERS, Sampler
from slide.settings import NetworkSettings
from slide.threads import check_threads

FORMAT = 2
SPECS = {"dense": Dense, "sampled": Sampled}
CLASSES = {"hash": (FAMILIES, HashFamily), "sampler": (SAMPLERS, Sampler)}
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
            _check_json(name, given[name])
    return given | ({"rehash": asdict(spec.rehash)} if "rehash" in given else {})


def _check_json(name, described):
    try:
        json.dumps(described, default=int)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: found {described!r}, expected settings of plain JSON values ({error})") from error


def restore_classes(config: dict, given: dict) -> dict:
    """The settings with their hash families and samplers; `given` has classes that no file may import (see `load`)."""
    used = {name: False for name, value in given.items() if value is not None}
    layers = [dict(spec) for spec in config["layers"]]
    for name, (known, base) in CLASSES.items():
        for spec in layers:
            if name in spec:
                spec[name], took = restore(name, spec[name], known, base, given.get(name))
                used[name] = used.get(name, False) or took
    for name, value in given.items():
        if value is not None and not used[name]:
            raise NotImported(f"{name}: found {value!r}, expected None: the file names no {name} but slide's own")
    return {**config, "layers": layers}


def from_settings(cls, config: dict):
    """A new network from what `settings` gave, classes restored."""
    layers = []
    for spec in config["layers"]:
        spec = dict(spec)
        kind = SPECS[spec.pop("kind")]
        if "rehash" in spec:
            spec["rehash"] = RehashSchedule(**spec["rehash"])
        layers.append(kind(**spec))
    given = dict(config["optimizer"])
    optimizer = OPTIMIZERS[given.pop("name")](**given)
    plain = {name: config[name] for name in PLAIN}
    return cls(config["n_features"], layers, optimizer=optimizer, schedule=Schedule(**config["schedule"]), **plain)


def save(network, path) -> None:
    path = Path(path)
    header = {"format": FORMAT, "step": network.step, "samples": network.samples, "settings": settings(network)}
    arrays = {"header": np.frombuffer(json.dumps(header, default=int).encode(), dtype=np.uint8)}
    for i, layer in enumerate(network.layers):
        arrays.update({f"layers.{i}.{name}": array for name, array in layer.state().items()})
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(temporary, "xb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load(cls, path, threads=None, hash=None, sampler=None):
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such model file")
    threads = check_threads(threads)
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: found no .npz archive or one cut short, expected a model that slide saved")
    try:
        with np.load(path, allow_pickle=False) as archive:
            header = json.loads(bytes(archive["header"]))
            if header["format"] != FORMAT:
                raise ValueError(f"found format {header['format']!r}, expected {FORMAT}")
            config = restore_classes(header["settings"], {"hash": hash, "sampler": sampler})
            config["threads"] = threads
            network = from_settings(cls, config)
            network._step = check_integer("step", header["step"], 0)
            network._samples = check_integer("samples", header["samples"], 0)
            for i, layer in enumerate(network.layers):
                prefix = f"layers.{i}."
                layer.load_state({n.removeprefix(prefix): archive[n] for n in archive.files if n.startswith(prefix)})
    except NotImported as error:
        raise NotImported(f"{path}: {error}") from None
    except Exception as error:  # what is not a model may fail anywhere: zlib, JSON, memory, a missing name
        raise ValueError(f"{path}: found {error}, expected a model that slide saved") from error
    return network
