"""Argument types that say what they found and what they expected."""

import argparse
import sys

from slide.checks import check_integer, check_number
from slide.hashing import FAMILIES, HashFamily
from slide.plugins import find_class, import_class
from slide.sampling import SAMPLERS, Sampler

CLASS = "package.module:Class"


def positive_int(text: str) -> int:
    return _checked(text, int, check_integer, 1)


def count(text: str) -> int:
    return _checked(text, int, check_integer, 0)


def positive_float(text: str) -> float:
    return _checked(text, float, check_number, "(0, inf)")


def share(text: str) -> float:
    return _checked(text, float, check_number, "[0, 1)")


def rate(text: str) -> float:
    return _checked(text, float, check_number, "[0, inf)")


def hash_name(text: str) -> str:
    return _class_name(text, "hash", FAMILIES, HashFamily)


def sampler_name(text: str) -> str:
    return _class_name(text, "sampler", SAMPLERS, Sampler)


def _class_name(text, setting, known, base):
    """`text`, once the class that it names has been found, from the working directory too."""
    if "" not in sys.path:
        sys.path.append("")
    try:
        find_class(setting, text, known, base)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix(f"{setting}: ")) from None
    return text


def add_class_arguments(parser):
    """--hash and --sampler of commands that read a network: modules named in a file are not imported unasked."""
    for setting, kind in (("hash", hash_name), ("sampler", sampler_name)):
        parser.add_argument(f"--{setting}", type=kind, metavar=CLASS, help=f"the {setting} class of the network, "
                            "where it is not slide's own")  # fmt: skip


def given_classes(options) -> dict:
    """The classes of --hash and --sampler that are not slide's own, by these names, as `Network.load` takes them."""
    named = {"hash": options.hash, "sampler": options.sampler}
    return {name: import_class(name, text) for name, text in named.items() if text and ":" in text}


def _checked(text, kind, check, allowed):
    try:
        value = kind(text)
    except ValueError:
        value = text
    try:
        return check("", value, allowed)
    except ValueError as error:  # argparse names the argument
        raise argparse.ArgumentTypeError(str(error).removeprefix(": ")) from None
