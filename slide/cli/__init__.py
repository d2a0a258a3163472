"""The command line. Wrong arguments and bad files end in one clear line and exit code 2."""

import argparse
import sys

from slide.cli import convert, evaluate, info, predict, train, tune
from slide.cli.output import abandon_stdout, note
from slide.distributed import launch
from slide.distributed.exchange import ALONE

COMMANDS = {"train": train, "tune": tune, "evaluate": evaluate, "predict": predict, "convert": convert, "info": info}


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: {message} (try {self.prog} --help)\n")


def make_parser() -> Parser:
    parser = Parser(prog="python -m slide", description="SLIDE: sub-linear deep learning on a CPU.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or name).splitlines()[0]
        sub = commands.add_parser(name, help=summary, description=summary)
        module.add_arguments(sub)
    return parser


def main(arguments=None) -> int:
    """Runs a command; returns the exit code: 0, 2 for wrong input, 130 after Ctrl-C; `train --help` has more."""
    options, world = make_parser().parse_args(arguments), ALONE
    try:
        world = launch.world()
        if world.size > 1 and options.command != "train":
            raise ValueError(f"found {world.size} processes that were started together, expected one for this command")
        code = COMMANDS[options.command].run(options) or 0
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of our output has gone
        abandon_stdout()
        return 0
    except KeyboardInterrupt:
        return world.ended(130, "interrupted", note)
    except (ValueError, OSError, MemoryError, ArithmeticError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        code = world.ended(2, f"python -m slide {options.command}: {message}", note)
        if isinstance(error, OSError):
            abandon_stdout()
        return code
