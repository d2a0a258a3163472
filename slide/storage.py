"""Networks in files: an .npz archive with the settings as JSON and every array that training goes on from."""

import json
import os
import secrets
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from slide.checks import check_integer
from slide.index import RehashSchedule
from slide.layers.specs import Dense, Sampled
from slide.optim import OPTIMIZERS, Schedule
from slide.threads import check_threads

FORMAT = 1
SPECS = {"dense": Dense, "sampled": Sampled}
SETTINGS = (
    "n_features", "batch_size", "group_size", "update", "dropout", "label_smoothing", "normalize", "seed", "threads",
    "huge_pages",
)  # fmt: skip


def settings(network) -> dict:
    """The settings of a network as plain JSON values."""
    names = {cls: name for name, cls in SPECS.items()}
    return {
        **{name: getattr(network, name) for name in SETTINGS},
        "layers": [{"kind": names[type(spec)], **asdict(spec)} for spec in network.specs],
        "optimizer": {"name": network.optimizer.name, **asdict(network.optimizer)},
        "schedule": asdict(network.schedule),
    }


def from_settings(cls, config: dict):
    """A new network from what `settings` gave."""
    layers = []
    for spec in config["layers"]:
        spec = dict(spec)
        kind = SPECS[spec.pop("kind")]
        if "rehash" in spec:
            spec["rehash"] = RehashSchedule(**spec["rehash"])
        layers.append(kind(**spec))
    given = dict(config["optimizer"])
    optimizer = OPTIMIZERS[given.pop("name")](**given)
    rest = {name: config[name] for name in SETTINGS if name != "n_features"}
    return cls(
        config["n_features"], layers, optimizer=optimizer, schedule=Schedule(**config["schedule"]), **rest
    )


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


def load(cls, path, threads=None):
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
            config = header["settings"]
            config["threads"] = threads
            network = from_settings(cls, config)
            network.step = check_integer("step", header["step"], 0)
            network.samples = check_integer("samples", header["samples"], 0)
            for i, layer in enumerate(network.layers):
                prefix = f"layers.{i}."
                layer.load_state({n.removeprefix(prefix): archive[n] for n in archive.files if n.startswith(prefix)})
    except Exception as error:  # what is not a model may fail anywhere: zlib, JSON, memory, a missing name
        raise ValueError(f"{path}: found {error}, expected a model that slide saved") from error
    return network
