"""Argument types that say what they found and what they expected."""

import argparse

from slide.checks import check_integer, check_number


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


def _checked(text, kind, check, allowed):
    try:
        value = kind(text)
    except ValueError:
        value = text
    try:
        return check("", value, allowed)
    except ValueError as error:  # argparse names the argument
        raise argparse.ArgumentTypeError(str(error).removeprefix(": ")) from None
