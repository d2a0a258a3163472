"""Train a network on a data file and score it on another, epoch by epoch."""

import argparse
import os
import signal

from slide import metrics
from slide.cli import files as data_files
from slide.cli.arguments import FIELDS, add_setting, given_settings, of_kind, positive_int
from slide.cli.checkpoint import Checkpoint, Interval
from slide.cli.output import Output, note
from slide.cli.resuming import Run, resume, summary
from slide.cli.signals import Signals
from slide.cli.training import HEAD, Training
from slide.defaults import ALWAYS, BY_SIZE, make_network, recommended, refuse_unused
from slide.machine.info import build_info
from slide.optim import OPTIMIZERS
from slide.settings.checks import Choice, Number
from slide.state.files import check_target
from slide.state.storage import settings as network_settings

OTHERS = ("hidden", "optimizer", "epochs")  # settings of a training that are no fields
CHOSEN = "what is not given is chosen by the size of the data, and printed"
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
    files.add_argument("--test", required=True, metavar="FILE", help="test data, evaluated whole")
    files.add_argument("--save", metavar="MODEL", help=SAVE)
    files.add_argument("--save-every", type=Interval.parse, metavar="N", help=EVERY)
    files.add_argument("--resume", metavar="MODEL", help=RESUME)
    files.add_argument("--log", metavar="RUN.jsonl", help="JSON lines: settings, evaluations, result; with --resume "
                       "after those that are there")  # fmt: skip
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
    _add(length, "epochs", positive_int, "passes over the training data, in all", BY_SIZE["epochs"], metavar="N")
    length.add_argument("--steps", type=positive_int, metavar="N", help="batches in all, in place of epochs")
    training.add_argument("--evaluate-every", type=positive_int, metavar="N", help="batches (default an epoch)")
    data_files.add_psp_arguments(training)
    training.add_argument("--grow", type=of_kind(Number("(0, inf)")), metavar="FACTOR",
                          help="from a third of the batches on, active sets so many times as large, shared by as many "
                               "times more samples (default 1)")  # fmt: skip


def _add(group, name, kind, text, default, **how):
    group.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS, help=f"{text} (default {default})", **how)


def run(options) -> int:
    _check_paths(options)
    output = Output(goes_on=bool(options.save or options.log))
    train = data_files.read_file(options.train, options)
    test = data_files.read_file(options.test, options, like=train)
    output.say(data_files.describe(train, test))
    X, Y = train.X, train.Y
    if X.shape[0] == 0:
        raise ValueError(f"{options.train}: found no rows, expected at least one")
    network, run, end, said = _network(options, X, Y)
    if run.grow and network.specs[-1].dense:
        raise ValueError(f"grow: found {run.grow} with {network.specs[-1]!r}, where it has no effect; it belongs "
                         "with a sampler that leaves neurons out")  # fmt: skip
    run.scored_on(test.X, test.Y)
    checkpoint = Checkpoint(options.save, options.save_every, output)
    checkpoint.check(network)
    with output, Signals() as signals:
        output.open_log(options.log, append=bool(options.resume))
        training = Training(network, (X, Y), (test.X, test.Y), run, output, signals, checkpoint)
        if (options.psp_a, options.psp_b) != (None, None):
            training.propensities = data_files.propensities(options, Y)
        training.grow_at = max(1, end // 3)
        _start(options, training, said)
        return _train(training, end, options.evaluate_every)


def _check_paths(options):
    """ValueError or OSError where what training makes could not be written, or would replace what it reads."""
    if options.save_every and not options.save:
        raise ValueError("--save-every: found no --save, expected where to save")
    read = [part for name in (options.train, options.test) for part in name.split(",")]
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


def _network(options, X, Y):
    """(network, its Run, the batch that training ends after, what to say) from the options and the data."""
    given = given_settings(options, (*FIELDS, *OTHERS))
    if options.resume:
        return resume(options, given, X, Y)
    n_rows, n_labels = Y.shape
    chosen = {**recommended(n_rows, n_labels, given, Y.nnz / max(n_rows, 1)), **given}
    refuse_unused(given, chosen)
    end = options.steps or chosen["epochs"] * -(-n_rows // chosen["batch_size"])
    epochs = None if options.steps else chosen["epochs"]
    run = Run(chosen, summary(X, Y), epochs=epochs, steps=options.steps, grow=options.grow)
    return make_network(X.shape[1], n_labels, end, chosen), run, end, []


def _start(options, training, said):
    """Says what is about to happen."""
    (X, Y), network, run, output = training.train, training.network, training.run, training.output
    settings = run.settings or network_settings(network)
    popular = metrics.popularity_baseline(Y, training.test[1])
    output.say(
        f"{options.train}: {X.shape[0]:,} rows, {X.shape[1]:,} features, {Y.shape[1]:,} labels; "
        f"{options.test}: {training.test[0].shape[0]:,} rows"
    )
    output.say("settings: " + ", ".join(f"{name}={value}" for name, value in settings.items()))
    output.say("popularity baseline: " + ", ".join(f"{name} {value:.4f}" for name, value in popular.items()))
    if options.resume:
        done = f"batch {network.step}, epoch {network.samples / X.shape[0]:.4g}"
        whole = f"{run.epochs} epochs" if run.epochs else f"{run.steps} batches"
        output.say(f"{options.resume}: goes on after {done}, up to {whole} in all")
        for line in said:
            output.say(line)
    output.say(HEAD)
    output.log(event="start", train=options.train, test=options.test, settings=settings, resumed=options.resume,
               step=network.step, changes=said, popularity=popular, build=build_info())  # fmt: skip


def _train(training, end, every) -> int:
    """Trains, saves whatever ends it, and sums up; returns the exit code."""
    signals, checkpoint, network = training.signals, training.checkpoint, training.network
    first, error = network.step, None
    try:
        with signals.breakable():
            training.go(end, every)
    except KeyboardInterrupt:  # a signal while a batch or an evaluation was under way
        pass
    except BaseException as found:
        error = found
    diverged = isinstance(error, FloatingPointError)
    if diverged:
        note(f"training diverged: {error}; the network is as after batch {network.step}")
    trained = network.step > first
    if trained:
        checkpoint.finish(network, training.run.record(), diverged)
    elif checkpoint.path:
        note(f"no batch was trained: {checkpoint.path} is not written")
    if error and not diverged:
        raise error
    _sum_up(training, diverged)
    if diverged:
        return 2
    lost = trained and not checkpoint.kept
    return signals.code if signals and not lost else int(lost or training.output.failed)


def _sum_up(training, diverged):
    """The last evaluation, where a signal asks for no hurry, and the summary."""
    signals = training.signals
    evaluated = training.last and training.last["step"] == training.network.step
    try:
        if not evaluated and signals.caught in ([], [signal.SIGINT]):
            with signals.breakable():
                training.evaluate()
    except KeyboardInterrupt:
        pass
    training.summarize(interrupted=bool(signals), diverged=diverged, saved=training.checkpoint.found)
