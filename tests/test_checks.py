"""Checks of settings say what they found and what they expected, to callers and on the command line."""

import argparse

import numpy as np
import pytest

from slide.cli import arguments
from slide.machine.threads import available_threads, check_threads
from slide.settings.checks import Choice, Flag, Instance, Integer, Number, check_integer, check_number


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_whole_numbers_of_any_kind_become_python_integers(value):
    assert check_integer("n", value, 3, 3) == 3 and type(check_integer("n", value)) is int
    assert check_threads(value) == 3 and check_threads(None) == available_threads()


@pytest.mark.parametrize("value", [0, -1, 2.0, "3", None, True, np.bool_(True), np.float32(3)])
def test_what_is_no_whole_number_in_range_is_refused(value):
    with pytest.raises(ValueError, match="^n: found .*, expected an integer of at least 1$"):
        check_integer("n", value)
    with pytest.raises(ValueError, match="^n: found .*, expected an integer from 1 to 9$"):
        check_integer("n", value, 1, 9)


def test_integers_above_the_range_are_refused():
    with pytest.raises(ValueError, match="^n: found 10, expected an integer from 1 to 9$"):
        check_integer("n", 10, 1, 9)


@pytest.mark.parametrize("value", [0, -1, "1", None, True, float("nan"), float("inf")])
def test_what_is_no_finite_number_in_range_is_refused(value):
    with pytest.raises(ValueError, match=r"^x: found .*, expected a number in \(0, inf\)$"):
        check_number("x", value, "(0, inf)")


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Integer(), ("1", 1), ("0", "-1", "1.5", "x", "")),
        (Integer(0), ("0", 0), ("-1", "1.5", "x")),
        (Integer(1, 3), ("3", 3), ("0", "4")),
        (Number("(0, inf)"), ("1e-3", 1e-3), ("0", "-1", "nan", "inf", "x")),
        (Number("[0, 1)"), ("0", 0.0), ("1", "-0.1", "nan", "x")),
        (Choice(("red", "blue")), ("blue", "blue"), ("green", "", "Red")),
    ],
)
def test_arguments_of_the_command_line_are_read_or_refused(kind, good, bad):
    argument = arguments.of_kind(kind)
    assert argument(good[0]) == good[1] == kind.check("x", good[1])
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match="^found .*, expected (an?|one) "):
            argument(text)


def test_values_are_checked_by_their_kind():
    assert Integer(optional=True).check("x", None) is None and Number("[0, 1]", optional=True).check("x", None) is None
    assert Flag().check("x", np.bool_(True)) is True and Instance((int, str)).check("x", "y") == "y"
    for kind, bad in ((Integer(), None), (Number("[0, 1]"), None), (Flag(), 1), (Flag(), "yes"), (Flag(), None),
                      (Choice(("a",)), None), (Choice(("a",)), ["a"]), (Instance((int,)), "3")):  # fmt: skip
        with pytest.raises(ValueError, match="^x: found .*, expected "):
            kind.check("x", bad)
