"""Checks of settings: each names the setting, the value found and what was expected."""

from numbers import Integral


def check_integer(name: str, value, low: int = 1, high: int | None = None) -> int:
    """`value` as an int; ValueError where it is not an integer from `low` to `high` (None: without end)."""
    inside = isinstance(value, Integral) and not isinstance(value, bool) and value >= low
    if not inside or (high is not None and value > high):
        expected = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name}: found {value!r}, expected an integer {expected}")
    return int(value)


def check_number(name: str, value, interval: str) -> float:
    """`value` as a float; ValueError where it is not a number in `interval`, such as "[0, 1)" or "(0, inf)"."""
    low, high = map(float, interval[1:-1].split(","))
    inside = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    if not inside or (value == low and interval[0] == "(") or (value == high and interval[-1] == ")"):
        raise ValueError(f"{name}: found {value!r}, expected a number in {interval}")
    return float(value)
