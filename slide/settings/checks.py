"""Checks of settings, and the kinds of values they have: each error names the setting, the value found and what was
expected."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from slide.plugins import find_class


def check_integer(name: str, value, low: int = 1, high: int | None = None) -> int:
    """`value` as an int; ValueError where it is not an integer from `low` to `high` (None: without end)."""
    inside = isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= low
    if not inside or (high is not None and value > high):
        expected = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name}: found {value!r}, expected an integer {expected}")
    return int(value)


def check_number(name: str, value, interval: str) -> float:
    """`value` as a float; ValueError where it is not a number in `interval`, such as "[0, 1)" or "(0, inf)"."""
    low, high = map(float, interval[1:-1].split(","))
    inside = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    inside = inside and (isinstance(value, float) or abs(value) < 2**1023)  # a float can be made of it
    if not inside or (value == low and interval[0] == "(") or (value == high and interval[-1] == ")"):
        raise ValueError(f"{name}: found {value!r}, expected a number in {interval}")
    return float(value)


@dataclass(frozen=True)
class Integer:
    """The values of a setting that is an integer from low to high (None: without end), or None where `optional`."""

    low: int = 1
    high: int | None = None
    optional: bool = False
    metavar: ClassVar[str] = "N"
    parse: ClassVar = int

    def check(self, name, value):
        return None if value is None and self.optional else check_integer(name, value, self.low, self.high)

    def __str__(self):
        return f"{self.low} or more" if self.high is None else f"{self.low} to {self.high}"


@dataclass(frozen=True)
class Number:
    """The values of a setting that is a number in an interval, such as "[0, 1)", or None where `optional`."""

    interval: str
    optional: bool = False
    metavar: ClassVar[str] = "X"
    parse: ClassVar = float

    def check(self, name, value):
        return None if value is None and self.optional else check_number(name, value, self.interval)

    def __str__(self):
        low, high = map(float, self.interval[1:-1].split(","))
        return f"in {self.interval[0]}{low:g}, {high:g}{self.interval[-1]}"


@dataclass(frozen=True)
class Choice:
    """The values of a setting that is one of some words."""

    words: tuple[str, ...]
    metavar: ClassVar[str] = "NAME"
    parse: ClassVar = str

    def check(self, name, value):
        if not isinstance(value, str) or value not in self.words:
            raise ValueError(f"{name}: found {value!r}, expected one of {', '.join(self.words)}")
        return value

    def __str__(self):
        return ", ".join(self.words)


@dataclass(frozen=True)
class Flag:
    """The values of a setting that is on or off: True and False."""

    def check(self, name, value):
        if not isinstance(value, bool | np.bool_):
            raise ValueError(f"{name}: found {value!r}, expected True or False")
        return bool(value)

    def __str__(self):
        return ""


@dataclass(frozen=True)
class Instance:
    """The values of a setting that is itself an object: of one of some classes."""

    classes: tuple[type, ...]

    def check(self, name, value):
        if not isinstance(value, self.classes):
            raise ValueError(f"{name}: found {value!r}, expected {self}")
        return value

    def __str__(self):
        return " or ".join(c.__name__ for c in self.classes)


@dataclass(frozen=True, eq=False)
class Plugin:
    """The values of a setting that is one of the `known` classes by name, or anyone's own: an instance of `base`, a
    subclass, or its "package.module:Class", in whose place the class is kept."""

    known: Mapping[str, type]
    base: type
    metavar: ClassVar[str] = "NAME"
    parse: ClassVar = str

    def check(self, name, value):
        if isinstance(value, self.base):
            return value
        found = self.class_of(name, value)
        return value if isinstance(value, str) and value in self.known else found

    def class_of(self, name, value) -> Any:
        return type(value) if isinstance(value, self.base) else find_class(name, value, self.known, self.base)

    def __str__(self):
        return f"{', '.join(self.known)}, or package.module:Class"


def check_flag(name: str, value) -> bool:
    """`value` as a bool; ValueError where it is neither True nor False."""
    return Flag().check(name, value)


def as_array(name: str, value) -> np.ndarray:
    """`value` as an array; ValueError where NumPy makes none of it."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: found {type(value).__name__}, expected an array ({error})") from error


def check_mapping(name: str, value) -> None:
    """ValueError where `value` is no {name: array}."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name}: found {type(value).__name__}, expected {{name: array}}")


def check_array(name: str, found, like: np.ndarray) -> np.ndarray:
    """`found` as an array; ValueError where it is None, or has not the dtype and shape of `like`."""
    if found is None:
        raise ValueError(f"{name}: found none, expected {like.dtype} of shape {like.shape}")
    found = np.asarray(found)
    if found.dtype != like.dtype or found.shape != like.shape:
        raise ValueError(
            f"{name}: found {found.dtype} of shape {found.shape}, expected {like.dtype} of shape {like.shape}"
        )
    return found
