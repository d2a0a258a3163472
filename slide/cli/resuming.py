"""Training that goes on: what a model file keeps of its run, which settings may change, and where training ends."""

import zlib
from dataclasses import dataclass, field, fields, replace

import numpy as np

from slide.cli.arguments import FIELDS, given_classes
from slide.cli.output import finite
from slide.defaults import recommended, settings_of
from slide.network import DRAWN, Network
from slide.optim import Schedule
from slide.settings.checks import Plugin, check_integer, check_number
from slide.settings.fields import options
from slide.settings.network import NetworkSettings
from slide.state.storage import read_run

FALLING = ("schedule", "warmup", "final")  # the options that make a Schedule


@dataclass
class Run:
    """What is kept with a model of its training.

    settings  those that were chosen or asked for, by the names of the command line
    data      see `summary`; test: of the data that it is scored on
    epochs, steps  passes, or batches, that it is to have in all
    grow      the factor of --grow, or None; grown: whether active sets have grown already
    seconds   of training
    best      the record of the best evaluation, or None
    """

    settings: dict = field(default_factory=dict)
    data: dict = field(default_factory=dict)
    test: dict = field(default_factory=dict)
    epochs: int | None = None
    steps: int | None = None
    grow: float | None = None
    grown: bool = False
    seconds: float = 0.0
    best: dict | None = None

    def scored_on(self, X, Y) -> None:
        """Forgets the best evaluation where it was one on other data."""
        now = summary(X, Y)
        self.best, self.test = self.best if self.test == now else None, now

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
            for name in ("epochs", "steps"):
                check_integer(name, getattr(run, name) or 1)
            if run.grow is not None:
                check_number("grow", run.grow, "(0, inf)")
            for name in ("settings", "data", "test"):
                if not isinstance(getattr(run, name), dict):
                    raise ValueError(f"{name}: found {getattr(run, name)!r}, expected a dictionary")
            if run.best is not None:
                [check_number(name, run.best[name], "[0, inf)") for name in ("P@1", "P@3", "P@5", "epoch")]
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"{path}: found a broken record of its run ({error})") from error
        return run


def summary(X, Y) -> dict:
    """What tells training data from other data: numbers of rows, and a checksum of X and Y."""
    checksum = 0
    for matrix in (X, Y):
        for array in (matrix.indptr.astype(np.int64), matrix.indices, matrix.data):
            checksum = zlib.crc32(np.ascontiguousarray(array), checksum)
    return {"rows": X.shape[0], "checksum": checksum}


def resume(parsed, given: dict, X, Y) -> tuple[Network, Run, int, list[str]]:
    """(network, run, the batch that training ends after, what to say about it) of --resume.

    parsed: the options of the command line; given: those of them that are settings.

    Raises ValueError where the network is not for this data, cannot have the settings that are given, or has been
    trained for as long as is asked.
    """
    path, given = parsed.resume, dict(given)
    threads = {"threads": given.pop("threads")} if "threads" in given else {}
    network, run = Network.load(path, **threads, **given_classes(parsed)), Run.read(path)
    if (network.n_features, network.n_labels) != (X.shape[1], Y.shape[1]):
        raise ValueError(
            f"{path}: found a network {network.n_features} -> {network.n_labels}, expected {X.shape[1]} -> "
            f"{Y.shape[1]} as in {parsed.train}"
        )
    now = summary(X, Y)
    said = _compare(path, run, parsed.train, now)
    run.data = now
    _grow(parsed.grow, run, path)
    said += _change(network, run, given, path)
    end = _end(parsed, given, network, run, X.shape[0])
    return network, run, end, said + _reschedule(network, given, end)


def _compare(path, run, train, now):
    if not run.data or run.data == now:
        return []
    before = run.data.get("rows")
    how = f"{before:,} rows" if isinstance(before, int) and before != now["rows"] else "other rows"
    return [f"{path} was trained on {how}, and goes on with the {now['rows']:,} of {train}"]


def _grow(asked, run, path):
    if asked is not None and asked != run.grow:
        if run.grown:
            raise ValueError(f"grow: found {asked} with --resume, expected {run.grow}, by which {path} has grown")
        run.grow = asked


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
    run.settings = {**run.settings, **given}
    return [f"{name}: {its[name]!r} -> {value!r}" for name, value in changes.items()]


def _same(name, one, other):
    """Whether two values of a setting are the same; of a class it is enough that it is the same class."""
    kind = FIELDS[name].metadata["kind"] if name in FIELDS else None
    return kind.class_of(name, one) == kind.class_of(name, other) if isinstance(kind, Plugin) else one == other


def _end(parsed, given, network, run, n_rows) -> int:
    """The number of the batch that training ends after; epochs and steps count over the whole."""
    epochs, steps = given.get("epochs"), parsed.steps
    if not epochs and not steps:
        epochs, steps = run.epochs, run.steps or network.schedule.steps
        if not epochs and not steps:
            epochs = recommended(n_rows, network.n_labels)["epochs"]
    run.epochs, run.steps = (None, steps) if steps and not epochs else (epochs, None)
    end = run.steps or _last_batch(network, run.epochs, n_rows)
    if end <= network.step:
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
    old, step = network.schedule, network.step
    found = {"kind": given.get("schedule", old.kind), "warmup": given.get("warmup", old.warmup)}
    if found["kind"] != "constant":
        found |= {"steps": end, "final": given.get("final", old.final)}
    elif "final" in given:
        found["final"] = given["final"]
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
