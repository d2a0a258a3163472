"""Train on a data file, with settings that rows of it choose, and score on another."""

import argparse
import os
import signal
from dataclasses import dataclass
from typing import Any

from slide import metrics
from slide.cli import files as data_files
from slide.cli.arguments import FIELDS, add_setting, of_kind, positive_int
from slide.cli.checkpoint import Checkpoint, Interval
from slide.cli.output import Output, note
from slide.cli.plan import Plan, given_to, is_tuned, make_plan
from slide.cli.resuming import Run, resume
from slide.cli.signals import Signals
from slide.cli.training import Training
from slide.defaults import ALWAYS, BY_SIZE
from slide.distributed import launch
from slide.machine.info import build_info
from slide.optim import OPTIMIZERS
from slide.prediction.ensemble import Ensemble
from slide.settings.checks import Choice, Integer, Number
from slide.state.files import check_target
from slide.state.storage import settings as network_settings
from slide.validation import held_out

CHOSEN = "what is not given is tuned or, where other settings are given, chosen by the size of the data, and printed"
TUNE = (
    "hold out a part of the training rows, let settings race on the others, and train on all rows with those that "
    "won; --no-tune: a rule of thumb. Unasked, tuning is done where no setting but --seed and --threads is given. With "
    "--save, trials are kept in MODEL.tuning.jsonl and not repeated"
)
BUDGET = "what trials may cost, in trainings such as follow (default 1.5)"
NETWORKS = "train so many networks, of seeds that follow each other, which predict by the mean of their probabilities"
NEIGHBOURS = (
    "the labels of the K nearest training rows join a prediction, as far as tuning finds that it pays, or without "
    "tuning by fixed weights; 0: never (default: tried by tuning with 10 and 50)"
)
MONITOR = "what is to rise: P@k, nDCG@k or a sum (default P@1+nDCG@5 in tuning, P@1 in validation)"
VALIDATION = (
    "held-out rows, or a share of the training rows that is held out: they decide when training ends and which network "
    "is kept. The rate is constant until they stop rising, then falls, if no --schedule is given"
)
SAVE = "where the network goes at the end, and where a signal or an error ends training (.npz)"
EVERY = "save also after every so many batches (500) or so much time (90s, 5min, 1.5h)"
RESUME = (
    "go on training this network: --epochs and --steps count over the whole, a schedule is stretched to end with "
    "training, --lr and others that a network may change take effect, and those that it cannot are refused"
)
CODES = (
    "exit codes: 0 all went well; 1 the model could not be saved where it was to go (where it is instead is said), or "
    "the log or the output could not be written; 2 wrong input, or training diverged; 128 + N after signal N (130 "
    "after Ctrl-C). SIGINT, SIGTERM and SIGHUP end training after the batch that it is at, and the network is saved."
)


def add_arguments(parser):
    parser.epilog = CODES
    files = parser.add_argument_group("files")
    files.add_argument("--train", required=True, metavar="FILE", help=f"training data: {data_files.DATA}")
    files.add_argument("--test", metavar="FILE", help="test data: whole at the end, a fixed sample in between")
    files.add_argument("--save", metavar="MODEL", help=SAVE)
    files.add_argument("--save-every", type=Interval.parse, metavar="N", help=EVERY)
    files.add_argument("--resume", metavar="MODEL", help=RESUME)
    files.add_argument("--log", metavar="RUN.jsonl", help="JSON lines: settings, evaluations, result; with --resume "
                       "after those that are there")  # fmt: skip
    data_files.add_reading_arguments(files)
    data_files.add_mask_argument(files)
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
    _add(length, "epochs", positive_int, "passes over the training data, in all", BY_SIZE["epochs"], metavar="N")
    length.add_argument("--steps", type=positive_int, metavar="N", help="batches in all, in place of epochs")
    training.add_argument("--evaluate-every", type=Interval.parse, metavar="N",
                          help="batches (500), epochs (2epochs) or time (90s, 5min); default an epoch")  # fmt: skip
    data_files.add_psp_arguments(training)
    training.add_argument("--grow", type=of_kind(Number("(0, inf)")), metavar="FACTOR",
                          help="later on, active sets so many times as large, shared by as many times more samples "
                               "(default 1)")  # fmt: skip
    training.add_argument("--grow-at", type=of_kind(Number("[0, 1]")), metavar="SHARE",
                          help="after which share of the batches they grow (default a third)")  # fmt: skip
    choice = parser.add_argument_group("tuning and validation")
    choice.add_argument("--tune", action=argparse.BooleanOptionalAction, default=None, help=TUNE)
    choice.add_argument("--tune-budget", type=of_kind(Number("(0, inf)")), metavar="X", help=BUDGET)
    choice.add_argument("--validation", type=share_or_file, metavar="FILE|SHARE", help=VALIDATION)
    choice.add_argument("--patience", type=positive_int, metavar="N", help="evaluations without a rise (default 3)")
    choice.add_argument("--monitor", type=metric, metavar="METRIC", help=MONITOR)
    together = parser.add_argument_group("more than one network")
    together.add_argument("--networks", type=positive_int, metavar="N", help=NETWORKS)
    together.add_argument("--neighbours", type=of_kind(Integer(0)), metavar="K", help=NEIGHBOURS)


def _add(group, name, kind, text, default, **how):
    group.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS, help=f"{text} (default {default})", **how)


def share_or_file(text: str):
    """A share of the rows where that is a number, or the path of a file."""
    try:
        share = float(text)
    except ValueError:
        return text
    return of_kind(Number("(0, 1)"))(f"{share}")


def metric(text: str) -> str:
    try:
        metrics.parts_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("metric: ")) from None
    return text


def run(options) -> int:
    world = launch.world()
    if world.size > 1:
        _check_ranks(options, world)
    _check_once(options, world)
    output = Output(goes_on=bool(options.save or options.log), quiet=world.rank > 0)
    data = _read(options, output)
    with output:
        output.open_log(options.log, append=bool(options.resume))
        networks, plan = _begin(options, data, output)
        per_epoch = -(-data.n_rows // plan.settings.get("batch_size", networks[0].batch_size))
        checkpoint = Checkpoint(options.save, options.save_every, output, per_epoch, world)
        model = Ensemble(networks) if plan.run.networks > 1 and len(networks) > 1 else networks[0]
        checkpoint.check(model, times=plan.run.networks / len(networks))
        with Signals(world) as signals:
            training = Training(networks, data, plan, output, signals, checkpoint)
            training.every, training.mask_seen = options.evaluate_every, options.mask_seen
            if (options.psp_a, options.psp_b) != (None, None):
                training.propensities = data_files.propensities(options, data.Y)
            if data.held:
                training.watched = {"patience": options.patience, "monitor": options.monitor}
            _start(options, training)
            return _train(training)


def _check_ranks(options, world):
    """ValueError where an option is for one process alone."""
    for name in ("tune", "tune_budget", "neighbours", "validation"):
        if getattr(options, name):
            raise ValueError(f"--{name.replace('_', '-')}: found with {world.size} ranks, expected one process")
    if (options.networks or 1) > 1:
        raise ValueError(f"--networks: found {options.networks} with {world.size} ranks, expected 1")


def _check_once(options, world):
    """`_check` by the first rank, which writes, raised by all."""
    error = None
    if world.rank == 0:
        try:
            _check(options)
        except (ValueError, OSError) as found:
            error = found
    error = world.same(error)
    if error:
        raise error


@dataclass
class Files:
    """What was read: X, Y to train on, `test` and `held` (X, Y) or None."""

    X: Any
    Y: Any
    test: tuple | None
    held: tuple | None

    @property
    def n_rows(self) -> int:
        return self.X.shape[0]


def _read(options, output) -> Files:
    train = data_files.read_file(options.train, options)
    others = [options.test, options.validation if isinstance(options.validation, str) else None]
    read = [None if path is None else data_files.read_file(path, options, like=train) for path in others]
    output.say(data_files.describe(train, *filter(None, read)))
    if train.X.shape[0] == 0:
        raise ValueError(f"{options.train}: found no rows, expected at least one")
    X: Any = train.X
    Y: Any = train.Y
    test, held = (None if found is None else (found.X, found.Y) for found in read)
    if options.mask_seen:
        for data in filter(None, [train, *read]):
            data_files.mask_seen(options, data)
    if isinstance(options.validation, float):
        asked = Run.read(options.resume).settings if options.resume else {}
        seed = given_to(options).get("seed", asked.get("seed", 0))
        kept, rows = held_out(X.shape[0], options.validation, seed)
        X, Y, held = X[kept], Y[kept], (X[rows], Y[rows])
    return Files(X, Y, test, held)


def _begin(options, data, output):
    """(networks, their Plan) of a training that begins or goes on."""
    if options.resume:
        for name in ("tune", "tune_budget", "neighbours"):
            if getattr(options, name) is not None:
                raise ValueError(f"--{name.replace('_', '-')}: found with --resume, where it has no effect")
        networks, run, end, said = resume(options, given_to(options), data.X, data.Y)
        return networks, Plan(run.settings or network_settings(networks[0]), end, run, said)
    plan = make_plan(options, data.X, data.Y, output)
    if data.held and "schedule" not in given_to(options):
        plan.settings["schedule"] = "plateau"
        plan.settings.pop("hold", None)
    network = plan.make((data.X.shape[1], data.Y.shape[1]), 0)
    if plan.run.grow and network.specs[-1].dense:
        raise ValueError(f"grow: found {plan.run.grow} with {network.specs[-1]!r}, where it has no effect; it belongs "
                         "with a sampler that leaves neurons out")  # fmt: skip
    return [network], plan


def _check(options):
    """ValueError or OSError where what training makes could not be written, or would replace what it reads, or where an
    option has no effect."""
    given = given_to(options)
    for name, value in (("patience", options.patience), ("monitor", options.monitor)):
        if value is not None and options.validation is None and (name == "patience" or options.tune is False):
            raise ValueError(f"--{name}: found {value} without --validation, where it has no effect")
    if given.get("schedule") == "plateau" and options.validation is None:
        raise ValueError("--schedule: found plateau without --validation, which says when the plateau is reached")
    if options.grow_at is not None and options.grow is None and not options.resume:
        raise ValueError(f"--grow-at: found {options.grow_at} without --grow, where it has no effect")
    if options.validation is not None and options.evaluate_every and options.evaluate_every.seconds:
        raise ValueError("--evaluate-every: found a time with --validation, expected batches or epochs")
    if options.mask_seen and options.test is None and options.validation is None and not is_tuned(options, given):
        raise ValueError("--mask-seen: found neither --test nor --validation nor tuning, where it has no effect")
    if options.save_every and not options.save:
        raise ValueError("--save-every: found no --save, expected where to save")
    files = [options.train, options.test, options.validation]
    read = [part for name in files if isinstance(name, str) for part in name.split(",")]
    taken = {"--train or --test": read, "--save": [options.save], "--resume": [options.resume]}
    for option, path, others in (
        ("--save", options.save, ["--train or --test"]), ("--log", options.log, list(taken))
    ):  # fmt: skip
        for other in others if path is not None else []:
            if any(name is not None and os.path.realpath(name) == os.path.realpath(path) for name in taken[other]):
                raise ValueError(f"{option}: found {path}, the file of {other}, expected another one")
    if options.save is not None:
        check_target(options.save)
    folder = os.path.dirname(options.log or "") or "."
    if not os.path.isdir(folder):
        raise ValueError(f"{options.log}: found no folder {folder}, expected one to write to")


def _start(options, training):
    """Says what is about to happen."""
    data, run, output, plan = training.data, training.run, training.output, training.plan
    network = training.networks[-1]
    files = f"{options.train}: {data.n_rows:,} rows, {data.X.shape[1]:,} features, {data.Y.shape[1]:,} labels"
    output.say(files + (f"; {options.test}: {data.test[0].shape[0]:,} rows" if data.test else ""))
    output.say("settings: " + ", ".join(f"{name}={value}" for name, value in plan.settings.items()))
    popular = metrics.popularity_baseline(data.Y, data.test[1]) if data.test else None
    if popular:
        output.say("popularity baseline: " + ", ".join(f"{name} {value:.4f}" for name, value in popular.items()))
    if options.resume:
        done = f"batch {network.step}, epoch {network.samples / data.n_rows:.4g}"
        whole = f"{run.epochs} epochs" if run.epochs else f"{run.steps} batches"
        output.say(f"{options.resume}: goes on after {done}, up to {whole} in all")
    for line in plan.said:
        output.say(line)
    training.head()
    output.log(event="start", train=options.train, test=options.test, settings=plan.settings, resumed=options.resume,
               step=network.step, changes=plan.said, popularity=popular, build=build_info())  # fmt: skip


def _train(training) -> int:
    """Trains, saves whatever ends it, and sums up; returns the exit code."""
    signals, checkpoint, error = training.signals, training.checkpoint, None
    try:
        with signals.breakable():
            training.go()
    except KeyboardInterrupt as found:  # a signal while a batch or an evaluation was under way
        launch.world().lost(found)
    except BaseException as found:
        error = found
    diverged, world = isinstance(error, FloatingPointError), launch.world()
    if error and not diverged:
        world.lost(error)
    if diverged and world.rank == 0:
        note(f"training diverged: {error}; the network is as after batch {training.network.step}")
    if training.trained:
        checkpoint.finish(training.model(whole=not error and not signals), training.run.record(), diverged)
    elif checkpoint.path and world.rank == 0:
        note(f"no batch was trained: {checkpoint.path} is not written")
    if error and not diverged:
        raise error
    _sum_up(training, diverged)
    if diverged:
        return 2
    lost = training.trained and not checkpoint.kept
    return signals.code if signals and not lost else int(lost or training.output.failed)


def _sum_up(training, diverged):
    """The final evaluation, where a signal asks for no hurry, and the summary."""
    signals = training.signals
    try:
        if not signals or signals.caught == [signal.SIGINT]:
            with signals.breakable():
                training.final()
    except KeyboardInterrupt as found:
        launch.world().lost(found)
    training.summarize(interrupted=bool(signals), diverged=diverged, saved=training.checkpoint.found)
