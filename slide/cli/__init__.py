"""The command line. Wrong arguments and bad files end in one clear line and exit code 2."""

import argparse
import os
import sys

from slide.cli import convert, evaluate, info, predict, train

COMMANDS = {"train": train, "evaluate": evaluate, "predict": predict, "convert": convert, "info": info}


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: {message} (try {self.prog} --help)\n")


def make_parser() -> Parser:
    parser = Parser(prog="python -m slide", description="SLIDE: sub-linear deep learning on a CPU.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary = module.__doc__.splitlines()[0]
        sub = commands.add_parser(name, help=summary, description=summary)
        module.add_arguments(sub)
    return parser


def main(arguments=None) -> int:
    """Runs a command; returns the exit code: 0, 2 for wrong input, 130 after Ctrl-C."""
    options = make_parser().parse_args(arguments)
    try:
        return COMMANDS[options.command].run(options) or 0
    except BrokenPipeError:
        # The reader of our output has gone; keep Python from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (ValueError, OSError, MemoryError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"python -m slide {options.command}: {message}", file=sys.stderr)
        return 2
