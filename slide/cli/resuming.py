"""Training that goes on: what a model file keeps of its run, which settings may change, and where training ends."""

import zlib
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from slide.cli.arguments import FIELDS, given_classes
from slide.cli.output import finite
from slide.defaults import recommended, settings_of
from slide.distributed import launch
from slide.network import DRAWN, Network
from slide.optim import Schedule
from slide.prediction.loading import load_whole
from slide.prediction.mixing import Mixed, Mixing
from slide.prediction.unfinished import Unfinished
from slide.settings.checks import Plugin, check_integer, check_number
from slide.settings.fields import options
from slide.settings.network import NetworkSettings
from slide.state.storage import read_run

FALLING = ("schedule", "warmup", "hold", "final")  # the options that make a Schedule


@dataclass
class Run:
    """What is kept with a model of its training.

    settings  those that were chosen or asked for, by the names of the command line
    data      see `summary`
    epochs, steps  passes, or batches, that it is to have in all
    grow      the factor of --grow, or None; grow_at: after which share of the batches
    grown     the numbers of the networks whose active sets have grown already
    networks  how many are trained, one after the other
    ended     how many of them need no more: with held-out rows one may end early, and as it was at its best
    mixings   how neighbours count, {"hidden": settings of a Mixing, "input": ...}
    scores    of held-out rows that chose the settings, or None
    seconds   of training
    """

    settings: dict = field(default_factory=dict)
    data: dict = field(default_factory=dict)
    epochs: int | None = None
    steps: int | None = None
    grow: float | None = None
    grow_at: float = 1 / 3
    grown: list = field(default_factory=list)
    networks: int = 1
    ended: int = 0
    mixings: dict = field(default_factory=dict)
    scores: dict | None = None
    seconds: float = 0.0

    def record(self) -> dict:
        """As JSON values."""
        return finite({f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def read(cls, path) -> "Run":
        """Of a model file; of one that was not saved by a run all is empty. Raises ValueError where it is none."""
        found = read_run(path)
        try:
            run = cls(**found)
            check_number("seconds", run.seconds, "[0, inf)")
            check_number("grow_at", run.grow_at, "[0, 1]")
            for name in ("epochs", "steps", "networks"):
                check_integer(name, getattr(run, name) or 1)
            check_integer("ended", run.ended, 0, run.networks)
            [check_integer("grown", number, 0) for number in run.grown]
            [Mixing(**mixing) for mixing in run.mixings.values()]
            if run.grow is not None:
                check_number("grow", run.grow, "(0, inf)")
            for name in ("settings", "data", "mixings"):
                if not isinstance(getattr(run, name), dict):
                    raise ValueError(f"{name}: found {getattr(run, name)!r}, expected a dictionary")
            if run.scores is not None:
                [check_number(name, run.scores[name], "[0, 1]") for name in ("P@1", "P@3", "P@5")]
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise ValueError(f"{path}: found a broken record of its run ({error})") from error
        return run


def summary(X, Y) -> dict:
    """What tells training data from other data: numbers of rows, and a checksum of X and Y."""
    checksum = 0
    for matrix in (X, Y):
        for array in (matrix.indptr.astype(np.int64), matrix.indices, matrix.data):
            checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
    return {"rows": X.shape[0], "checksum": checksum}


def resume(parsed, given: dict, X, Y) -> tuple[list[Network], Run, int, list[str]]:
    """(networks, run, the batch that the training of each ends after, what to say about it) of --resume.

    parsed: the options of the command line; given: those of them that are settings.

    Raises ValueError where the networks are not for this data, cannot have the settings that are given, or have been
    trained for as long as is asked.
    """
    path, given = parsed.resume, dict(given)
    threads = {"threads": given.pop("threads")} if "threads" in given else {}
    world, run = launch.world(), Run.read(path)
    how = {**threads, **given_classes(parsed)}
    model = load_whole(path, **how) if world.size == 1 else Network.load(path, **how, comm=world)
    trained: Any = model.model if isinstance(model, Mixed) else model
    networks = [trained] if isinstance(trained, Network) else trained.networks
    shape = networks[0].n_features, networks[0].n_labels
    if shape != (X.shape[1], Y.shape[1]):
        raise ValueError(
            f"{path}: found a network {shape[0]} -> {shape[1]}, expected {X.shape[1]} -> {Y.shape[1]} as in "
            f"{parsed.train}"
        )
    if any(network.frozen for network in networks):
        raise ValueError(f"{path}: found a frozen network, which only predicts, expected one that may be trained")
    run.networks = _more_networks(parsed.networks, run, networks, path)
    said = _compare(path, run, parsed.train, summary(X, Y))
    run.data = summary(X, Y)
    _grow(parsed, run, path)
    changes = [_change(network, run, given, path) for network in networks]
    run.settings = {**run.settings, **given}
    length = run.epochs, run.steps
    end = _end(parsed, given, networks, run, X.shape[0])
    same = (run.epochs, run.steps) == length
    if isinstance(model, Unfinished) and parsed.validation is not None:
        _go_on_watching(model, end, same)
    if not same or run.ended == run.networks:
        run.ended = 0
    for number, network in enumerate(networks):
        if number >= run.ended:  # one that has ended is as it was at its best
            changes[number] += _reschedule(network, given, end)
    return networks, run, end, said + changes[-1]


def _go_on_watching(model, end, same):
    """Lets the network that was being trained go on with its held-out rows; where training has another length than
    before (not `same`), a rate that falls already falls until its end."""
    progress = dict(model.progress)
    if progress["end"] is not None and not same:
        progress["end"] = end
    model.networks[model.number]._interrupted = progress, model.best


def _more_networks(asked, run, networks, path):
    if asked is not None and asked < len(networks):
        raise ValueError(f"--networks: found {asked} with --resume, expected at least the {len(networks)} of {path}")
    return asked or max(run.networks, len(networks))


def _compare(path, run, train, now):
    if not run.data or run.data == now:
        return []
    before = run.data.get("rows")
    how = f"{before:,} rows" if isinstance(before, int) and before != now["rows"] else "other rows"
    return [f"{path} was trained on {how}, and goes on with the {now['rows']:,} of {train}"]


def _grow(parsed, run, path):
    for name, asked in (("grow", parsed.grow), ("grow_at", parsed.grow_at)):
        its = getattr(run, name)
        if asked is not None and asked != its:
            if run.grown:
                raise ValueError(f"{name}: found {asked} with --resume, expected {its}, by which {path} has grown")
            setattr(run, name, asked)


def _change(network, run, given, path) -> list[str]:
    """Assigns the settings that are given and differ from those that were asked for before."""
    its = settings_of(network)
    asked = {**its, **run.settings}
    wanted = {name: value for name, value in given.items() if name not in ("epochs", *FALLING)}
    changes = {name: value for name, value in wanted.items() if not _same(name, value, asked.get(name))}
    optimizer = {name: f.name for name, f in options(type(network.optimizer)).items()}
    plain = {name: f.name for name, f in options(NetworkSettings).items() if f.name not in DRAWN}
    for name, value in changes.items():
        if name not in its:
            raise ValueError(f"{name}: found {value!r} with --resume, where {path} has no such setting")
        if name not in {*optimizer, *plain, "label_smoothing"}:
            raise ValueError(
                f"{name}: found {value!r} with --resume, expected {asked[name]!r} as {path} has it: "
                "with other weights or hash tables it would be another network"
            )
    own = {optimizer[name]: value for name, value in changes.items() if name in optimizer}
    if own:
        network.optimizer = replace(network.optimizer, **own)
    for name, value in changes.items():
        if name not in optimizer:
            setattr(network, plain.get(name, name), value)
    return [f"{name}: {its[name]!r} -> {value!r}" for name, value in changes.items()]


def _same(name, one, other):
    """Whether two values of a setting are the same; of a class it is enough that it is the same class."""
    kind = FIELDS[name].metadata["kind"] if name in FIELDS else None
    return kind.class_of(name, one) == kind.class_of(name, other) if isinstance(kind, Plugin) else one == other


def _end(parsed, given, networks, run, n_rows) -> int:
    """The number of the batch that training ends after; epochs and steps count over the whole."""
    network = networks[-1]
    epochs, steps = given.get("epochs"), parsed.steps
    if not epochs and not steps:
        epochs, steps = run.epochs, run.steps or network.schedule.steps
        if not epochs and not steps:
            epochs = recommended(n_rows, network.n_labels)["epochs"]
    run.epochs, run.steps = (None, steps) if steps and not epochs else (epochs, None)
    end = run.steps or _last_batch(network, run.epochs, n_rows)
    if end <= min(x.step for x in networks) and len(networks) == run.networks:
        has = f"{network.step} batches" if run.steps else f"{network.samples / n_rows:.4g} epochs"
        name = "steps" if run.steps else "epochs"
        raise ValueError(
            f"{name}: found {run.steps or run.epochs} with --resume, expected more than the {has} that {parsed.resume} "
            f"was trained for: --{name} counts over the whole"
        )
    return end


def _last_batch(network, epochs, n_rows):
    size = network.batch_size
    per_epoch = -(-n_rows // size)
    whole, rest = divmod(network.step, per_epoch)
    if network.samples == whole * n_rows + rest * size:
        return epochs * per_epoch
    left = max(0, epochs * n_rows - network.samples)  # other rows or batches than before
    return network.step + -(-left // size)


def _reschedule(network, given, end) -> list[str]:
    """Gives the network a schedule that ends with its training; what that means for the rate is said."""
    old, step, given = network.schedule, network.step, dict(given)
    falls_until = network._interrupted[0]["end"] if network._interrupted else None
    if falls_until is not None:
        end = falls_until
        if given.get("schedule") == "plateau":  # and that is over
            del given["schedule"]
    found = {"kind": given.get("schedule", old.kind), "warmup": given.get("warmup", old.warmup)}
    if found["kind"] in ("linear", "cosine"):
        found |= {"steps": end, "final": given.get("final", old.final), "hold": given.get("hold", old.hold)}
    else:
        found |= {name: given[name] for name in ("final", "hold") if name in given}
    new = Schedule(**found)
    if new == old:
        return []
    network.schedule = new
    how = "changed"
    if replace(old, steps=new.steps) == new if old.steps and new.steps else False:
        how = "extended" if new.steps > old.steps else "shortened"
    lr = network.optimizer.lr
    return [f"schedule {how}: {old!r} -> {new!r}; the learning rate was {lr * old.rate(max(step, 1)):.3g}, and is "
            f"{lr * new.rate(step + 1):.3g} now"]  # fmt: skip
