"""Choose settings by held-out rows of a training file, and print them as options of train."""

import shlex

from slide.cli import files
from slide.cli.arguments import FIELDS, add_setting, given_settings, of_kind
from slide.cli.output import Output
from slide.cli.train import BUDGET, MONITOR, metric
from slide.defaults import recommended
from slide.settings.checks import Integer, Number
from slide.tuning import search, tune

NEIGHBOURS = "how many neighbours to try; 0: none (default 10 and 50)"


def add_arguments(parser):
    reading = parser.add_argument_group("files")
    reading.add_argument("--train", required=True, metavar="FILE", help=f"training data: {files.DATA}")
    reading.add_argument("--cache", metavar="FILE", help="trials in this file are not repeated, others are added to it")
    files.add_reading_arguments(reading)
    files.add_mask_argument(reading)
    positive = of_kind(Number("(0, inf)"))
    parser.add_argument("--tune-budget", type=positive, default=search.BUDGET, metavar="X", help=BUDGET)
    parser.add_argument("--monitor", type=metric, default=search.MONITOR, metavar="METRIC", help=MONITOR)
    parser.add_argument("--neighbours", type=of_kind(Integer(0)), metavar="K", help=NEIGHBOURS)
    fixed = parser.add_argument_group("settings that stay as they are given")
    for name in FIELDS:
        add_setting(fixed, name)


def run(options):
    data = files.read_file(options.train, options)
    output = Output()
    output.say(files.describe(data))
    given = given_settings(options, FIELDS)
    found = tune(
        data.X, data.Y, given, budget=options.tune_budget, monitor=options.monitor, neighbours=options.neighbours,
        mask_seen=files.mask_seen(options, data), seed=given.get("seed", 0), cache=options.cache, report=output.say,
    )  # fmt: skip
    if found.scores:
        scores = " ".join(f"{name} {found.scores[name]:.4f}" for name in ("P@1", "P@3", "P@5"))
        output.say(f"tuned on {found.rows:,} held-out rows: {scores}; trials cost {found.cost:.2f} trainings")
    output.say(f"python -m slide train --train {shlex.quote(options.train)} {as_options(found, data)}")


def as_options(found, data) -> str:
    """What was chosen, as the command line has it, where it is not what the rule of thumb says."""
    n_rows, n_labels = data.Y.shape
    rule = recommended(n_rows, n_labels, {}, data.Y.nnz / max(n_rows, 1))
    words = [f"--steps {found.steps}"]
    for name, value in found.settings.items():
        if name == "epochs" or rule.get(name) == value or value is None:
            continue
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(option if value else option.replace("--", "--no-", 1))
        else:
            words.append(f"{option} {' '.join(map(str, value)) if isinstance(value, list) else value}")
    if found.grow != 1:
        words.append(f"--grow {found.grow}")
    if found.mixings:
        words.append(f"--neighbours {max(mixing.k for mixing in found.mixings.values())}")
    return " ".join(words)
