"""Checks of settings: each names the setting, the value found and what was expected."""

from numbers import Integral


def check_integer(name: str, value, low: int = 1) -> int:
    """`value` as an int; ValueError where it is not an integer of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < low:
        raise ValueError(f"{name}: found {value!r}, expected an integer of at least {low}")
    return int(value)


def check_number(name: str, value, interval: str) -> float:
    """`value` as a float; ValueError where it is not a number in `interval`, such as "[0, 1)" or "(0, inf)"."""
    low, high = map(float, interval[1:-1].split(","))
    inside = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    if not inside or (value == low and interval[0] == "(") or (value == high and interval[-1] == ")"):
        raise ValueError(f"{name}: found {value!r}, expected a number in {interval}")
    return float(value)
