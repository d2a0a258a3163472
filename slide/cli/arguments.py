"""Argument types that say what they found and what they expected."""

import argparse


def positive_int(text: str) -> int:
    return _number(text, int, lambda value: value >= 1, "a positive integer")


def count(text: str) -> int:
    return _number(text, int, lambda value: value >= 0, "an integer of at least 0")


def positive_float(text: str) -> float:
    return _number(text, float, lambda value: 0 < value < float("inf"), "a positive number")


def share(text: str) -> float:
    return _number(text, float, lambda value: 0 <= value < 1, "a number in [0, 1)")


def rate(text: str) -> float:
    return _number(text, float, lambda value: 0 <= value < float("inf"), "a number of at least 0")


def _number(text, kind, fits, expected):
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not fits(value):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected {expected}")
    return value
