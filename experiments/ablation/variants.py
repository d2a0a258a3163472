"""What an ablation compares: settings from the words of the command line, and the variants that they span."""

import argparse
from itertools import product

from slide.cli.arguments import FIELDS, of_kind, positive_int
from slide.defaults import recommended, refuse_unused, without_effect
from slide.hashing import FAMILIES
from slide.optim import OPTIMIZERS
from slide.settings.checks import Choice, Flag


def widths(text: str) -> list[int]:
    """Of hidden layers: 128, or 256x128 for two of them."""
    return [positive_int(part) for part in text.split("x")]


def flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected true or false")
    return text == "true"


def parser_of(name: str):
    """What reads a value of a setting; KeyError where there is no such setting."""
    own = {"hidden": widths, "epochs": positive_int, "optimizer": of_kind(Choice(tuple(OPTIMIZERS)))}
    if name in own:
        return own[name]
    kind = FIELDS[name].metadata["kind"]
    return flag if isinstance(kind, Flag) else of_kind(kind)


def parse(words, option: str) -> dict[str, list]:
    """{setting: values} of NAME=VALUE,VALUE,...; ValueError, naming the option, where one is no setting or no value."""
    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        name = name.replace("-", "_")
        try:
            parse_one = parser_of(name)
        except KeyError:
            raise ValueError(f"{option}: found {word!r}, expected NAME=VALUE,... of a setting of slide train") from None
        if not equals or name in found or name in ("seed", "threads"):
            why = "is an option of its own" if name in ("seed", "threads") else "expected NAME=VALUE,... once for each"
            raise ValueError(f"{option}: found {word!r}, {why}")
        try:
            found[name] = [parse_one(value) for value in text.split(",")]
        except argparse.ArgumentTypeError as error:
            raise ValueError(f"{option} {name}: {error}") from None
        if any(value in found[name][:i] for i, value in enumerate(found[name])):
            raise ValueError(f"{option} {name}: found {text!r}, expected each value once")
    return found


def base_of(words) -> dict:
    """Settings that all variants share: NAME=VALUE, or the bare name of a hash family."""
    named = [f"hash={word}" if word in FAMILIES else word for word in words]
    found = parse(named, "--base")
    for name, values in found.items():
        if len(values) > 1:
            raise ValueError(f"--base {name}: found {len(values)} values, expected one")
    return {name: values[0] for name, values in found.items()}


def variants(base: dict, vary: dict, cross: bool) -> list[dict]:
    """The changes of each variant: the base alone and each value by itself, or all combinations of values."""
    both = base.keys() & vary.keys()
    if both:
        raise ValueError(f"--vary: found {sorted(both)}, which --base fixes")
    if cross:
        return [dict(zip(vary, values, strict=True)) for values in product(*vary.values())]
    return [{}, *({name: value} for name, values in vary.items() for value in values)]


def complete(problem, base: dict, change: dict) -> dict:
    """All settings of a variant: what is not given is recommended for the data, and what of `base` has no effect
    beside the change is left out. Raises ValueError where the change itself has none."""
    given = {**base, **change}
    X, Y = problem.train
    chosen = {**recommended(X.shape[0], Y.shape[1], given, problem.labels_per_row), **given}
    refuse_unused(change, chosen)
    unused = without_effect(chosen)
    return {name: value for name, value in chosen.items() if name not in unused}


def check(problem, base: dict, changes: list[dict]) -> None:
    """Raises ValueError where a change has no effect, or a setting of the base has none in any variant."""
    used = set().union(*(complete(problem, base, change) for change in changes))
    if not base.keys() <= used:
        raise ValueError(f"--base: found {sorted(base.keys() - used)}, which has no effect in any of the variants")


def in_words(change: dict) -> str:
    return ", ".join(f"{name}={value_in_words(value)}" for name, value in change.items()) or "base"


def value_in_words(value) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)
