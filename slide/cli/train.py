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
from slide.bfloat16 import TYPES
from slide.cli.arguments import (
    CLASS,
    count,
    given_classes,
    hash_name,
    positive_float,
    positive_int,
    rate,
    sampler_name,
    share,
)
from slide.data import load_xmc
from slide.defaults import make_network, recommended
from slide.hashing import FAMILIES
from slide.info import build_info
from slide.layers.weights import UPDATES
from slide.network import Network
from slide.optim import OPTIMIZERS
from slide.sampling import SAMPLERS
from slide.storage import settings as network_settings

ROW = "{:>6} {:>8} {:>10} {:>9} {:>8} {:>7} {:>7} {:>7} {:>9}"


def add_arguments(parser):
    files = parser.add_argument_group("files")
    files.add_argument("--train", required=True, metavar="FILE", help="training data in XMC text, plain, .gz or .xz")
    files.add_argument("--test", required=True, metavar="FILE", help="test data, evaluated whole")
    files.add_argument("--save", metavar="MODEL", help="where the network goes at the end and at Ctrl-C (.npz)")
    files.add_argument("--resume", metavar="MODEL", help="go on training this network; its settings stay")
    files.add_argument("--log", metavar="RUN.jsonl", help="JSON lines: settings, evaluations, result")
    network = parser.add_argument_group("network (what is not given is chosen by the size of the data)")
    network.add_argument("--hidden", type=positive_int, nargs="+", metavar="N", help="widths of hidden layers (128)")
    network.add_argument("--sampler", type=sampler_name, metavar="NAME",
                         help=f"how active neurons are chosen: {', '.join(SAMPLERS)} or {CLASS} (vanilla)")  # fmt: skip
    network.add_argument("--hash", type=hash_name, metavar="NAME",
                         help=f"hash family: {', '.join(FAMILIES)} or {CLASS} (ranged)")  # fmt: skip
    network.add_argument("--K", type=positive_int, help="hash functions a table")
    network.add_argument("--L", type=positive_int, help="hash tables (50)")
    network.add_argument("--active", type=positive_int, metavar="N", help="neurons retrieved for a group")
    network.add_argument("--min-active", type=count, metavar="N", help="a group is filled up to N (3 x active)")
    network.add_argument("--label-fill", type=share, metavar="SHARE",
                         help="share of the fill drawn by frequency, the rest uniformly (0.5)")  # fmt: skip
    network.add_argument("--logq-correction", action=argparse.BooleanOptionalAction, default=None,
                         help="correct logits by how probable a neuron was to be active (where targets are not "
                              "smooth)")  # fmt: skip
    network.add_argument("--logq-warmup", type=count, metavar="N",
                         help="batches until they are wholly corrected (1000, a third of all at most)")  # fmt: skip
    network.add_argument("--max-labels", type=positive_int, metavar="N",
                         help="labels of a sample that join its active set, drawn anew in every batch (all, or 1 where "
                              "they would crowd it)")  # fmt: skip
    network.add_argument("--m", type=positive_int, help="collisions that the threshold sampler asks for (2)")
    network.add_argument("--bucket-size", type=positive_int, metavar="N", help="neurons a bucket keeps (128)")
    network.add_argument("--policy", choices=["fifo", "reservoir"], help="which neurons a full bucket keeps (fifo)")
    network.add_argument("--N0", type=positive_int, help="batches before the first rehash (50 or more)")
    network.add_argument("--growth", type=rate, help="rate at which rehash intervals grow; 0 keeps them at N0 (0.2)")
    network.add_argument("--renew-every", type=count, metavar="M", help="new hash functions every M rehashes (never)")
    network.add_argument("--weight-type", choices=TYPES, help="how the last layer's weights are stored (float32)")
    network.add_argument("--moment-type", choices=TYPES, help="how Adam's moments of the last layer are (float32)")
    network.add_argument("--group-size", type=positive_int, metavar="N",
                         help="samples that share an active set (16 to 256)")  # fmt: skip
    network.add_argument("--grow", type=positive_float, metavar="FACTOR",
                         help="from a third of the batches on, active sets so many times as large, shared by as many "
                              "times more samples (1)")  # fmt: skip
    training = parser.add_argument_group("training")
    training.add_argument("--batch-size", type=positive_int, metavar="N", help="(256)")
    training.add_argument("--epochs", type=positive_int, metavar="N", help="passes over the training data")
    training.add_argument("--steps", type=positive_int, metavar="N", help="end after N batches")
    training.add_argument("--evaluate-every", type=positive_int, metavar="N", help="batches (an epoch)")
    training.add_argument("--optimizer", choices=OPTIMIZERS, help="(adam)")
    training.add_argument("--lr", type=positive_float, help="learning rate at the start")
    training.add_argument("--schedule", choices=["constant", "linear", "cosine"], help="of the learning rate (linear)")
    training.add_argument("--dropout", type=share, help="of the last hidden layer")
    training.add_argument("--label-smoothing", type=share, help="target mass spread over the active neurons")
    training.add_argument("--update", choices=UPDATES, help="who writes a row of weights (rows)")
    training.add_argument("--threads", type=positive_int, metavar="N", help="(all CPUs)")
    training.add_argument("--seed", type=count, help="(0)")


SETTINGS = (
    "hidden", "sampler", "hash", "K", "L", "active", "min_active", "label_fill", "logq_correction", "logq_warmup",
    "max_labels", "m", "bucket_size", "policy", "N0", "growth", "renew_every", "weight_type", "moment_type",
    "group_size", "batch_size", "epochs", "optimizer", "lr", "schedule", "dropout", "label_smoothing", "update",
    "threads", "seed",
)  # fmt: skip


def run(options) -> int:
    for path in (options.save, options.log):
        if path is not None and not Path(path).parent.is_dir():
            raise ValueError(f"{path}: found no folder {Path(path).parent}, expected one to write to")
    X, Y = load_xmc(options.train)
    X_test, Y_test = load_xmc(options.test)
    for what, train, test in (("features", X, X_test), ("labels", Y, Y_test)):
        if train.shape[1] != test.shape[1]:
            raise ValueError(f"{options.test}: found {test.shape[1]} {what}, expected {train.shape[1]} as in training")
    if X.shape[0] == 0:
        raise ValueError(f"{options.train}: found no rows, expected at least one")
    network, steps, chosen = _network(options, X.shape, Y)
    log = open(options.log, "w") if options.log else nullcontext()
    with log as file, _interruptible() as interrupted:
        training = Training(network, (X, Y), (X_test, Y_test), file, interrupted)
        training.grow, training.grow_at = options.grow, max(1, (network.schedule.steps or network.step + steps) // 3)
        training.start(options, chosen)
        training.go(steps, options.evaluate_every)
        if options.save:
            network.save(options.save)
            print(f"saved {options.save}")
    return 130 if interrupted else 0


def _network(options, shape, Y):
    """(network, batches to train, settings) from the options and the size of the data."""
    n_labels = Y.shape[1]
    given = {name: getattr(options, name) for name in SETTINGS if getattr(options, name) is not None}
    chosen = {**recommended(shape[0], n_labels, given, Y.nnz / max(shape[0], 1)), **given}
    per_epoch = -(-shape[0] // chosen["batch_size"])
    steps = options.steps or chosen["epochs"] * per_epoch
    if options.resume:
        network = Network.load(options.resume, threads=options.threads, **given_classes(options))
        if (network.n_features, network.n_labels) != (shape[1], n_labels):
            raise ValueError(
                f"{options.resume}: found a network {network.n_features} -> {network.n_labels}, "
                f"expected {shape[1]} -> {n_labels} as in {options.train}"
            )
        return network, _remaining(options, network, steps), network_settings(network)
    return make_network(shape[1], n_labels, steps, chosen), steps, chosen


def _remaining(options, network, steps):
    """Batches that a resumed network still has to train: what was asked for, or the rest of its schedule."""
    end = network.schedule.steps
    if end is not None and network.step >= end:
        raise ValueError(
            f"{options.resume}: found step {network.step} of a schedule of {end}, expected one that has not ended"
        )
    return steps if end is None or options.steps or options.epochs else end - network.step


class Training:
    """Training with evaluations in between, a table of them, and their log."""

    def __init__(self, network, train, test, log, interrupted):
        self.network, self.train, self.test = network, train, test
        self.log, self.interrupted = log, interrupted
        self.grow, self.grow_at = None, 0
        self.seconds = 0.0
        self.per_epoch = -(-train[0].shape[0] // network.batch_size)
        self.propensities = metrics.propensities(train[1])
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

        network.run.clock.reset()
        start = time.perf_counter()
        network.fit(*self.train, steps=steps, callback=after_batch)
        self.seconds += time.perf_counter() - start
        self.loss, self.active = sum(losses) / len(losses), sum(active) / len(active)
        self.stage_ms = {name: 1e3 * value / len(losses) for name, value in network.run.clock.seconds.items()}

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
