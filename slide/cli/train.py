"""Train a network on a data file and score it on another, epoch by epoch."""

import argparse
import json
import signal
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tqdm import tqdm

from slide import metrics
from slide.cli import files as data_files
from slide.cli.arguments import FIELDS, add_setting, given_classes, given_settings, of_kind, positive_int
from slide.defaults import ALWAYS, BY_SIZE, make_network, recommended, refuse_unused, settings_of
from slide.machine.info import build_info
from slide.network import Network
from slide.optim import OPTIMIZERS
from slide.settings.checks import Choice, Number, Plugin
from slide.state.storage import settings as network_settings

OTHERS = ("hidden", "optimizer", "epochs")  # settings of a training that are no fields
CHOSEN = "what is not given is chosen by the size of the data, and printed"
ROW = "{:>6} {:>8} {:>10} {:>9} {:>8} {:>7} {:>7} {:>7} {:>9}"


def add_arguments(parser):
    files = parser.add_argument_group("files")
    files.add_argument("--train", required=True, metavar="FILE", help=f"training data: {data_files.DATA}")
    files.add_argument("--test", required=True, metavar="FILE", help="test data, evaluated whole")
    files.add_argument("--save", metavar="MODEL", help="where the network goes at the end and at Ctrl-C (.npz)")
    files.add_argument("--resume", metavar="MODEL", help="go on training this network; its settings stay")
    files.add_argument("--log", metavar="RUN.jsonl", help="JSON lines: settings, evaluations, result")
    data_files.add_reading_arguments(files)
    hidden = parser.add_argument_group("hidden layers", CHOSEN)
    _add(hidden, "hidden", positive_int, "widths", ALWAYS["hidden"][0], nargs="+", metavar="N")
    titles = dict.fromkeys(f.metadata["group"] for f in FIELDS.values())
    whole = ("training", "optimizer")
    groups = {x: parser.add_argument_group(x if x in whole else f"output layer: {x}") for x in titles}
    optimizers = Choice(tuple(OPTIMIZERS))
    _add(groups["optimizer"], "optimizer", of_kind(optimizers), f"{optimizers}", ALWAYS["optimizer"], metavar="NAME")
    for name, f in FIELDS.items():
        add_setting(groups[f.metadata["group"]], name)
    training = groups["training"]
    length = training.add_mutually_exclusive_group()
    _add(length, "epochs", positive_int, "passes over the training data", BY_SIZE["epochs"], metavar="N")
    length.add_argument("--steps", type=positive_int, metavar="N", help="end after N batches, in place of epochs")
    training.add_argument("--evaluate-every", type=positive_int, metavar="N", help="batches (default an epoch)")
    data_files.add_psp_arguments(training)
    training.add_argument("--grow", type=of_kind(Number("(0, inf)")), metavar="FACTOR",
                          help="from a third of the batches on, active sets so many times as large, shared by as many "
                               "times more samples (default 1)")  # fmt: skip


def _add(group, name, kind, text, default, **how):
    group.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS, help=f"{text} (default {default})", **how)


def run(options) -> int:
    for path in (options.save, options.log):
        if path is not None and not Path(path).parent.is_dir():
            raise ValueError(f"{path}: found no folder {Path(path).parent}, expected one to write to")
    train = data_files.read_file(options.train, options)
    test = data_files.read_file(options.test, options, like=train)
    print(data_files.describe(train, test))
    X, Y = train.X, train.Y
    if X.shape[0] == 0:
        raise ValueError(f"{options.train}: found no rows, expected at least one")
    network, steps, chosen = _network(options, X.shape, Y)
    if options.grow and network.specs[-1].dense:
        raise ValueError(f"grow: found {options.grow} with {network.specs[-1]!r}, where it has no effect; it belongs "
                         "with a sampler that leaves neurons out")  # fmt: skip
    log = open(options.log, "w") if options.log else nullcontext()
    with log as file, _interruptible() as interrupted:
        training = Training(network, (X, Y), (test.X, test.Y), file, interrupted)
        if (options.psp_a, options.psp_b) != (None, None):
            training.propensities = data_files.propensities(options, Y)
        training.grow, training.grow_at = options.grow, max(1, (network.schedule.steps or network.step + steps) // 3)
        training.start(options, chosen)
        training.go(steps, options.evaluate_every)
        if options.save:
            network.save(options.save)
            print(f"saved {options.save}")
        data_files.print_psp(training.evaluations[-1])
    return 130 if interrupted else 0


def _network(options, shape, Y):
    """(network, batches to train, settings) from the options and the size of the data."""
    n_rows, n_labels = shape[0], Y.shape[1]
    given = given_settings(options, (*FIELDS, *OTHERS))
    if options.resume:
        network = _resumed(options, given, shape, n_labels)
        epochs = given.get("epochs", recommended(n_rows, n_labels)["epochs"])
        steps = options.steps or epochs * -(-n_rows // network.batch_size)
        return network, _remaining(options, given, network, steps), network_settings(network)
    chosen = {**recommended(n_rows, n_labels, given, Y.nnz / max(n_rows, 1)), **given}
    refuse_unused(given, chosen)
    steps = options.steps or chosen["epochs"] * -(-n_rows // chosen["batch_size"])
    return make_network(shape[1], n_labels, steps, chosen), steps, chosen


def _resumed(options, given, shape, n_labels):
    """The network of --resume; ValueError where it is not for this data, or has not the settings that are given."""
    threads = {"threads": given.pop("threads")} if "threads" in given else {}
    network = Network.load(options.resume, **threads, **given_classes(options))
    if (network.n_features, network.n_labels) != (shape[1], n_labels):
        raise ValueError(
            f"{options.resume}: found a network {network.n_features} -> {network.n_labels}, "
            f"expected {shape[1]} -> {n_labels} as in {options.train}"
        )
    its = settings_of(network)
    for name in given.keys() - {"epochs"}:
        if name not in its or not _same(name, given[name], its[name]):
            raise ValueError(
                f"{name}: found {given[name]!r} with --resume, expected {its.get(name)!r} as {options.resume} has it: "
                "the settings of a network that goes on stay"
            )
    return network


def _same(name, one, other):
    """Whether two values of a setting are the same; of a class it is enough that it is the same class."""
    kind = FIELDS[name].metadata["kind"] if name in FIELDS else None
    return kind.class_of(name, one) == kind.class_of(name, other) if isinstance(kind, Plugin) else one == other


def _remaining(options, given, network, steps):
    """Batches that a resumed network still has to train: what was asked for, or the rest of its schedule."""
    end = network.schedule.steps
    if end is not None and network.step >= end:
        raise ValueError(
            f"{options.resume}: found step {network.step} of a schedule of {end}, expected one that has not ended"
        )
    return steps if end is None or options.steps or "epochs" in given else end - network.step


class Training:
    """Training with evaluations in between, a table of them, and their log."""

    def __init__(self, network, train, test, log, interrupted):
        self.network, self.train, self.test = network, train, test
        self.log, self.interrupted = log, interrupted
        self.grow, self.grow_at = None, 0
        self.seconds = 0.0
        self.per_epoch = -(-train[0].shape[0] // network.batch_size)
        self.propensities = None
        self.evaluations = []

    def write(self, **record):
        if self.log:
            self.log.write(json.dumps(record) + "\n")
            self.log.flush()

    def start(self, options, chosen):
        X, Y = self.train
        print(
            f"{options.train}: {X.shape[0]:,} rows, {X.shape[1]:,} features, {Y.shape[1]:,} labels; "
            f"{options.test}: {self.test[0].shape[0]:,} rows"
        )
        print("settings: " + ", ".join(f"{name}={value}" for name, value in chosen.items()))
        popular = metrics.popularity_baseline(self.train[1], self.test[1])
        print("popularity baseline: " + ", ".join(f"{name} {value:.4f}" for name, value in popular.items()))
        print(ROW.format("epoch", "step", "samples", "train s", "loss", "P@1", "P@3", "P@5", "active"), flush=True)
        self.write(event="start", train=options.train, test=options.test, settings=chosen, popularity=popular,
                   build=build_info())  # fmt: skip

    def go(self, steps, every=None):
        every = every or self.per_epoch
        end = self.network.step + steps
        with tqdm(total=steps, unit="batch", leave=False, disable=None) as bar:
            while self.network.step < end and not self.interrupted:
                self._train(min(every - self.network.step % every, end - self.network.step), bar)
                self._evaluate()
        best = max(self.evaluations, key=lambda record: record["P@1"])
        last = self.evaluations[-1]
        print(
            f"best P@1 {best['P@1']:.4f} P@3 {best['P@3']:.4f} P@5 {best['P@5']:.4f} at epoch {best['epoch']:.4g}; "
            f"last P@1 {last['P@1']:.4f}; {self.seconds:.1f} s of training on {self.network.threads} threads, "
            f"{100 * last['active'] / self.network.n_labels:.3g} % of the labels active"
        )
        self.write(event="end", best=best, last=last, interrupted=bool(self.interrupted))

    def _train(self, steps, bar):
        network, losses, active = self.network, [], []

        def after_batch(network, loss):
            losses.append(loss)
            active.append(network.active)
            bar.update()
            if self.grow and network.step == self.grow_at:
                network.grow(self.grow)
            return bool(self.interrupted)

        network.context.clock.reset()
        start = time.perf_counter()
        network.fit(*self.train, steps=steps, callback=after_batch)
        self.seconds += time.perf_counter() - start
        self.loss, self.active = sum(losses) / len(losses), sum(active) / len(active)
        self.stage_ms = {name: 1e3 * value / len(losses) for name, value in network.context.clock.seconds.items()}

    def _evaluate(self):
        network = self.network
        scores = network.evaluate(*self.test, propensities=self.propensities).scores
        record = {
            "event": "evaluation", "epoch": round(network.step / self.per_epoch, 3), "step": network.step,
            "samples": network.samples, "train_seconds": self.seconds, "loss": self.loss, **scores,
            "active": self.active, "stage_ms": self.stage_ms,
        }  # fmt: skip
        self.evaluations.append(record)
        self.write(**record)
        line = ROW.format(
            f"{record['epoch']:.4g}", network.step, network.samples, f"{self.seconds:.2f}", f"{self.loss:.4f}",
            *(f"{scores[name]:.4f}" for name in ("P@1", "P@3", "P@5")), f"{self.active:.1f}",
        )  # fmt: skip
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()


@contextmanager
def _interruptible():
    """A list that is empty until Ctrl-C: training then ends after the batch that it is at."""
    interrupted = []

    def handle(number, frame):
        if interrupted:
            raise KeyboardInterrupt
        interrupted.append(number)
        print("\nCtrl-C: ending after this batch", file=sys.stderr)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
