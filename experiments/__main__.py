"""python -m experiments list | run NAME [--scale smoke|small|paper] [--threads N] [--seed N] | draw NAME"""

import argparse
import sys

from experiments import draw, runner


def main(arguments=None) -> int:
    args = parser().parse_args(arguments)
    try:
        return args.command(args)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m experiments", description="The paper's experiments.")
    commands = top.add_subparsers(required=True, metavar="list | run | draw")
    commands.add_parser("list", help="the experiments").set_defaults(command=list_experiments)
    run = commands.add_parser("run", help="measure, record, draw")
    again = commands.add_parser("draw", help="draw the records again")
    for command, function in ((run, run_experiment), (again, draw_records)):
        command.set_defaults(command=function)
        command.add_argument("name", metavar="NAME")
        command.add_argument("--scale", choices=runner.SCALES, default="small")
        command.add_argument("--folder", default=None, help="of records and pictures; default: figures")
    run.add_argument("--threads", type=int, default=None, help="default: all CPUs")
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--again", action="store_true", help="measure even what is on record")
    return top


def list_experiments(args) -> int:
    rows = [("name", "question", "time")]
    for name in runner.names():
        module = runner.load(name)
        time = ", ".join(f"{scale}: {words}" for scale, words in getattr(module, "TIME", {}).items())
        rows.append((name, module.QUESTION, time or f"python -m experiments.{name}"))
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    for name, question, time in rows:
        print(f"{name:{widths[0]}}  {question:{widths[1]}}  {time}")
    return 0


def run_experiment(args) -> int:
    picture, measured = runner.run(args.name, args.scale, args.threads, args.seed, args.folder, args.again)
    print(picture if measured else f"{picture}: drawn from the record of an earlier run; --again measures anew")
    return 0


def draw_records(args) -> int:
    print(draw.draw(runner.load(args.name), runner.record_path(args.name, args.scale, args.folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
