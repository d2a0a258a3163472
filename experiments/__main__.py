"""python -m experiments list | run NAME [--scale smoke|small|paper] [--threads N] [--seed N] | draw NAME | report

NAME "figures" stands for every experiment that repeats a figure or table of the paper, "all" for the benchmarks too.
"""

import argparse
import sys

from experiments.frame import draw, records, report, runner

GROUPS = {"figures": runner.of_the_paper, "all": runner.names}


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
    commands = top.add_subparsers(required=True, metavar="list | run | draw | report")
    commands.add_parser("list", help="the experiments").set_defaults(command=list_experiments)
    run = commands.add_parser("run", help="measure, record, draw")
    again = commands.add_parser("draw", help="draw the records again")
    page = commands.add_parser("report", help="write the page of all figures")
    page.set_defaults(command=write_report)
    for command, function in ((run, run_experiment), (again, draw_records)):
        command.set_defaults(command=function)
        command.add_argument("name", metavar="NAME", help='an experiment, "figures" or "all"')
        command.add_argument("--scale", choices=runner.SCALES, default="small")
    for command in (run, again, page):
        command.add_argument("--folder", default=None, help="of records and pictures; default: figures")
    run.add_argument("--threads", type=int, default=None, help="default: all CPUs")
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--again", action="store_true", help="measure even what is on record")
    return top


def list_experiments(args) -> int:
    rows = [("name", "of the paper", *runner.SCALES, "question")]
    for name in runner.names():
        module = runner.load(name)
        times = getattr(module, "TIME", {})
        rows.append((name, getattr(module, "FIGURE", ""), *(times.get(x, "-") for x in runner.SCALES), module.QUESTION))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    for row in rows:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)) + f"  {row[-1]}")
    return 0


def run_experiment(args) -> int:
    settings = (args.scale, args.threads, args.seed, args.folder, args.again)
    if args.name in GROUPS:
        failed = runner.run_all(GROUPS[args.name](), *settings)
        if args.scale == "small":
            print(report.report(args.folder))
        print("\n".join(failed), file=sys.stderr)
        return 1 if failed else 0
    picture, measured = runner.run(args.name, *settings)
    print(picture if measured else f"{picture}: drawn from the record of an earlier run; --again measures anew")
    return 0


def draw_records(args) -> int:
    paths = {name: runner.record_path(name, args.scale, args.folder) for name in runner.names()}
    group = args.name in GROUPS
    for name in [name for name in GROUPS[args.name]() if paths[name].exists()] if group else [args.name]:
        module = runner.load(name)
        if group and not runner.current(module, records.load(paths[name])):
            print(f"{name}: not drawn, its record is of other settings; run it again", file=sys.stderr)
        else:
            print(draw.draw(module, paths[name]))
    return 0


def write_report(args) -> int:
    print(report.report(args.folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
