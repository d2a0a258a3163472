"""python -m experiments list | run NAME [--scale smoke|small|paper] [--threads N] [--seed N] | draw NAME | report
                      | ablate --data NAME|FILES --vary K=4,5,6 sampler=vanilla,topk

NAME is an experiment, or "figures" for all that repeat a figure or table of the paper, or "all" for benchmarks too.
"""

import argparse
import sys
import textwrap
from pathlib import Path

from experiments.frame import catalogue

GROUPS = {"figures": "paper", "all": None}  # the folder whose experiments are meant


def main(arguments=None) -> int:
    args = parser().parse_args(arguments)
    try:
        return args.command(args)
    except (ValueError, OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m experiments", description="The paper's experiments.")
    commands = top.add_subparsers(required=True, metavar="list | run | draw | report | ablate")
    commands.add_parser("list", help="the experiments").set_defaults(command=list_experiments)
    run = commands.add_parser("run", help="measure, record, draw")
    again = commands.add_parser("draw", help="draw the records again")
    page = commands.add_parser("report", help="write the page of all figures")
    page.set_defaults(command=write_report)
    for command, function in ((run, run_experiment), (again, draw_records)):
        command.set_defaults(command=function)
        command.add_argument("name", metavar="NAME", help='an experiment, "figures" or "all"')
        command.add_argument("--scale", choices=catalogue.SCALES, default="small")
    for command in (run, again, page):
        command.add_argument("--folder", default=None, help="of records and pictures; default: figures")
    run.add_argument("--threads", type=int, default=None, help="default: all CPUs")
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--again", action="store_true", help="measure even what is on record")
    add_ablate(commands.add_parser("ablate", help="vary any settings of slide train", description=ABLATE))
    return top


ABLATE = (
    "Trains with each value of each setting that is varied, over several seeds, and prints and draws what it changes. "
    "What is not given is recommended for the data. An interrupted run goes on."
)


def add_ablate(command):
    command.set_defaults(command=run_ablation)
    command.add_argument("--data", required=True, nargs="+", metavar="NAME|FILE",
                         help="a data set of the experiments, or a training and perhaps a test file")  # fmt: skip
    command.add_argument("--vary", required=True, nargs="+", metavar="NAME=VALUE,...",
                         help="settings of slide train: K=4,5,6 sampler=vanilla,topk hidden=128,256x128")  # fmt: skip
    command.add_argument("--base", nargs="+", default=[], metavar="NAME=VALUE",
                         help="settings of all variants: epochs=3; a hash family's name is that of hash=")  # fmt: skip
    command.add_argument("--cross", action="store_true", help="all combinations, not one setting at a time")
    command.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings of each variant (default 3)")
    command.add_argument("--metric", default="P@1", help="P@k, nDCG@k or a sum (default P@1)")
    command.add_argument("--test", action="store_true", help="measure on the test set, not on held-out training rows")
    command.add_argument("--threads", type=int, default=None, help="default: all CPUs")
    command.add_argument("--seed", type=int, default=0, help="the first one")
    command.add_argument("--folder", default=None, help="of records and pictures; default: figures/ablations")
    command.add_argument("--again", action="store_true", help="measure even what is on record")


def run_ablation(args) -> int:
    from experiments.ablation import measure, show, variants
    from experiments.frame import runner
    from slide.machine.threads import check_threads
    from slide.settings.checks import check_integer

    vary = variants.parse(args.vary, "--vary")
    folder = Path(args.folder or runner.FIGURES / "ablations")
    path = folder / f"{measure.name_of(args.data, vary)}.jsonl"
    measure.ablate(
        path, args.data, variants.base_of(args.base), vary, cross=args.cross, metric=args.metric, on_test=args.test,
        seeds=check_integer("--seeds", args.seeds), threads=check_threads(args.threads), seed=args.seed,
        again=args.again,
    )  # fmt: skip
    print(show.table(records_of(path)))
    for picture in show.draw_all(path):
        print(picture)
    return 0


def records_of(path):
    from experiments.frame import records

    return records.load(path)


def list_experiments(args) -> int:
    entries = catalogue.entries().values()
    form = f"  {{:{max(len(entry.name) for entry in entries)}}}" + "  {:>6}" * len(catalogue.SCALES) + "  {}"
    for folder in catalogue.FOLDERS:
        print("\n".join(["", *textwrap.wrap(f"{folder}: {catalogue.about(folder)}", 120)]))
        print(form.format("", *catalogue.SCALES, "question"))
        for entry in entries:
            if entry.folder == folder:
                source = f" ({entry.figure})" if entry.figure else ""
                times = (entry.time.get(scale, "-") for scale in catalogue.SCALES)
                print(form.format(entry.name, *times, f"{entry.question}{source}"))
    return 0


def run_experiment(args) -> int:
    from experiments.frame import report, runner

    settings = (args.scale, args.threads, args.seed, args.folder, args.again)
    if args.name in GROUPS:
        failed = runner.run_all(catalogue.names(GROUPS[args.name]), *settings)
        if args.scale == "small":
            print(report.report(args.folder))
        print("\n".join(failed), file=sys.stderr)
        return 1 if failed else 0
    picture, measured = runner.run(args.name, *settings)
    print(picture if measured else f"{picture}: drawn from the record of an earlier run; --again measures anew")
    return 0


def draw_records(args) -> int:
    from experiments.frame import draw, records, runner

    group = args.name in GROUPS
    for name in catalogue.names(GROUPS[args.name]) if group else [args.name]:
        module, path = catalogue.load(name), runner.record_path(name, args.scale, args.folder)
        if group and not path.exists():
            continue
        if group and not records.current(module, records.load(path)):
            print(f"{name}: not drawn, its record is of other settings; run it again", file=sys.stderr)
        else:
            print(draw.draw(module, path))
    return 0


def write_report(args) -> int:
    from experiments.frame import report

    print(report.report(args.folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
