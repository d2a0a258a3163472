"""Arguments of the command line. Their types say what they found and what they expected; those that are settings are
made from the fields of the classes that have them."""

import argparse
import sys

from slide.defaults import ALWAYS, BY_SIZE
from slide.hashing import HashFamily
from slide.index import RehashSchedule
from slide.layers import Sampled
from slide.optim import OPTIMIZERS, Schedule
from slide.plugins import import_class
from slide.sampling import Sampler
from slide.settings.checks import Flag, Integer, Plugin
from slide.settings.fields import default_of, meaning, options
from slide.settings.network import NetworkSettings

CLASS = "package.module:Class"
OWNERS = (Sampled, RehashSchedule, NetworkSettings, *OPTIMIZERS.values(), Schedule)


def _fields():
    """{name on the command line: field}; of a setting that several classes have, that of the first."""
    found = {}
    for owner in OWNERS:
        found |= {name: f for name, f in options(owner).items() if name not in found}
    return found


FIELDS = _fields()


def of_kind(kind):
    """The argparse type of the values of a kind of slide.settings.checks.

    A class is found, and stays the text that names it.
    """

    def parse(text: str):
        if isinstance(kind, Plugin) and "" not in sys.path:
            sys.path.append("")  # one's own may be in the working directory
        try:
            value = kind.parse(text)
        except ValueError:
            value = text
        try:
            checked = kind.check("", value)
        except ValueError as error:  # argparse names the argument
            raise argparse.ArgumentTypeError(str(error).removeprefix(": ")) from None
        return text if isinstance(kind, Plugin) else checked

    return parse


positive_int = of_kind(Integer())


def add_setting(group, name: str) -> None:
    """--name, a setting; where it is not given the parsed options have no attribute of that name."""
    f = FIELDS[name]
    kind, default = f.metadata["kind"], default_of(f)
    words = BY_SIZE.get(name) or (ALWAYS[name] if name in ALWAYS else f.metadata["none"] or default)
    text = meaning(f, f"{words}").replace("%", "%%")
    how = {"type": of_kind(kind), "metavar": getattr(kind, "metavar", None)}
    if isinstance(kind, Flag):
        how = {"action": argparse.BooleanOptionalAction}
    group.add_argument(f"--{name.replace('_', '-')}", dest=name, default=argparse.SUPPRESS, help=text, **how)


def given_settings(parsed, names) -> dict:
    """Those of the settings `names` that were given."""
    return {name: vars(parsed)[name] for name in names if name in vars(parsed)}


def add_class_arguments(parser):
    """--hash and --sampler of commands that read a network: modules named in a file are not imported unasked."""
    for setting, base in (("hash", HashFamily), ("sampler", Sampler)):
        parser.add_argument(f"--{setting}", type=of_kind(Plugin({}, base)), metavar=CLASS, help=f"the {setting} class "
                            "of the network, where it is not slide's own")  # fmt: skip


def given_classes(parsed) -> dict:
    """The classes of --hash and --sampler that are not slide's own, by these names, as `Network.load` takes them."""
    named = {name: getattr(parsed, name, None) for name in ("hash", "sampler")}
    return {name: import_class(name, text) for name, text in named.items() if text and ":" in text}
