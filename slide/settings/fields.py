"""Settings as dataclass fields: what one means, its default, its values and where it has an effect are written once;
constructors, docstrings, `repr` and the command line read them from there.

A setting that has no effect where it is given is refused. Given is what differs from the default.
"""

import inspect
import re
import textwrap
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from types import SimpleNamespace
from typing import Any

WIDTH = 118  # of generated docstrings
PAD = " " * 8


@dataclass(frozen=True)
class Need:
    """What a setting must meet with to have an effect.

    words   where it belongs: "in the output layer"
    met     of an object with the settings of the same class as attributes, whether they have it; for a need `of` a
            network, of what the network passes to `refuse_unused`
    """

    words: str
    met: Callable[[Any], bool]
    of: str = "settings"


def setting(default, kind, text: str, *, needs=(), none: str = "", more: str = "", group: str = "",
            option: str | None = "") -> Any:  # fmt: skip
    """A field of a Settings dataclass.

    default   its value or, of a class (such as Adam), that class's own default; MISSING where it must be given
    kind      its values: Integer, Number, Choice, Flag, Instance or Plugin (see slide.settings.checks)
    text      what it is, for the command line and docstrings
    none      what None stands for, where it may be that
    needs     what it needs to have an effect: Need, ...
    more      of it, for docstrings alone
    group     title of the group that the command line lists it in
    option    its name on the command line; "": the field's; None: it has none
    """
    metadata = {"kind": kind, "text": text, "none": none, "more": more, "needs": needs, "group": group,
                "option": option}  # fmt: skip
    given = {"default_factory": default} if isinstance(default, type) else {"default": default}
    return field(**given, metadata=metadata)


class Settings:
    """Base of dataclasses made of such fields: checks them, refuses what has no effect, shows what was given."""

    def __post_init__(self):
        for f in fields(self):
            object.__setattr__(self, f.name, f.metadata["kind"].check(f.name, getattr(self, f.name)))
        refuse_unused(self, repr(self))

    def __repr__(self):
        shown = [repr(getattr(self, f.name)) for f in fields(self) if default_of(f) is MISSING]
        shown += [f"{name}={value!r}" for name, value in given(self).items()]
        return f"{type(self).__name__}({', '.join(shown)})"


def default_of(f: Field):
    return f.default if f.default_factory is MISSING else f.default_factory()


def given(settings) -> dict:
    """{name: value} of the settings that differ from their defaults."""
    values = {f.name: (getattr(settings, f.name), default_of(f)) for f in fields(settings)}
    return {name: value for name, (value, default) in values.items() if default is not MISSING and value != default}


def refuse_unused(settings, where: str, network=None) -> None:
    """ValueError where one of the settings is given that has no effect; `where` says where they were found.

    network: what needs of a network look at; None: needs of the settings themselves are looked at.
    """
    values = given(settings)
    for f in fields(settings):
        need = _unmet(f, settings, network) if f.name in values else None
        if need:
            raise ValueError(
                f"{f.name}: found {values[f.name]!r} in {where}, where it has no effect; it belongs {need.words}"
            )


def without_effect(cls, values: dict, network=None) -> dict[str, Need]:
    """Those of `values`, settings of `cls` by name, that have no effect beside the others, whatever their value, and
    what they need; network as for `refuse_unused`.

    Raises ValueError where a value is not one that the setting may have.
    """
    known = {f.name: f for f in fields(cls)}
    checked = {name: known[name].metadata["kind"].check(name, value) for name, value in values.items()}
    beside = SimpleNamespace(**{name: default_of(f) for name, f in known.items()} | checked)
    needs = {name: _unmet(known[name], beside, network) for name in values}
    return {name: need for name, need in needs.items() if need}


def with_effect(cls, values: dict, network=None) -> dict:
    """The others of `values`."""
    unused = without_effect(cls, values, network)
    return {name: value for name, value in values.items() if name not in unused}


def _unmet(f, settings, network):
    scope, facts = ("settings", settings) if network is None else ("network", network)
    return next((need for need in f.metadata["needs"] if need.of == scope and not need.met(facts)), None)


def options(cls) -> dict[str, Field]:
    """The settings of a class that the command line has, by their names there."""
    return {f.metadata["option"] or f.name: f for f in fields(cls) if f.metadata["option"] is not None}


def meaning(f: Field, default: str | None = None) -> str:
    """What a setting is, its values and its default in one line; default: that of the command line, in words."""
    none, value = f.metadata["none"], default_of(f)
    values = str(f.metadata["kind"])
    if default is not None:
        value = default
    elif none:
        values += f", or None: {none}"
    brackets = [values, "" if value is MISSING else f"default {value}"]
    return f"{f.metadata['text']} ({'; '.join(filter(None, brackets))})"


def documented(of=None):
    """Class decorator: puts the settings of a class (None: of the class itself) where its docstring says {settings}."""

    def put(cls):
        if cls.__doc__:  # there is none under python -OO
            lines = [line for f in fields(of or cls) for line in _paragraph(f)]
            cls.__doc__ = cls.__doc__.replace("    {settings}", "\n".join(lines))
        return cls

    return put


def _paragraph(f):
    """A setting as numpydoc has a parameter: name, type and default; below, what it is and what it needs."""
    meta, value = f.metadata, default_of(f)
    default = {MISSING: "", None: ", optional"}.get(value if value in (MISSING, None) else 0, f", default {value!r}")
    values = [str(meta["kind"]), meta["none"] and f"None: {meta['none']}"]
    first = f"{meta['text'][0].upper()}{meta['text'][1:]} ({'; '.join(filter(None, values))})".removesuffix(" ()")
    needs = ", ".join(need.words for need in meta["needs"])
    text = ". ".join(filter(None, [first, meta["more"].removesuffix("."), needs and f"Only {needs}"])) + "."
    below = textwrap.wrap(text, WIDTH, initial_indent=PAD, subsequent_indent=PAD)
    return [f"    {f.name} : {_type(f)}{default}", *below]


def _type(f) -> str:
    if f.type is object:
        return str(f.metadata["kind"])
    return re.sub(r"\bslide\.[\w.]*\.(?=\w)", "", inspect.formatannotation(f.type))


def takes(cls):
    """Decorator of a function with **settings: its signature names those of a class, for `help` and editors."""

    def put(function):
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        keyword = inspect.Parameter.KEYWORD_ONLY
        named = [inspect.Parameter(f.name, keyword, default=default_of(f), annotation=f.type) for f in fields(cls)]
        function.__signature__ = signature.replace(parameters=own + named)
        return function

    return put
