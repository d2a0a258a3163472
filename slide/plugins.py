"""Classes by name: those that the package registers, and anyone's own as "package.module:Class"."""

import importlib
import sys
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


class NotImported(ValueError):
    """A file names a class that the program has not imported, or not the one that was given."""


def find_class(setting: str, value, known: Mapping[str, type[T]], base: type[T]) -> type[T]:
    """The subclass of `base` that `value` names: a key of `known`, or "package.module:Class", which is imported.

    A class is itself. Raises ValueError, naming `setting`, where there is no such class.
    """
    if isinstance(value, str) and value in known:
        return known[value]
    found = import_class(setting, value) if isinstance(value, str) and ":" in value else value
    if isinstance(found, type) and issubclass(found, base):
        return found
    names = f"one of {', '.join(map(repr, known))}, or " if known else ""
    raise ValueError(
        f"{setting}: found {value!r}, expected {names}a subclass of slide's {base.__name__} "
        "as a class or as 'package.module:Class'"
    )


def import_class(setting: str, path: str):
    """What "package.module:Class" names; imports the module. Raises ValueError where that fails."""
    module, _, name = path.partition(":")
    try:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return found
    except Exception as error:  # a module may raise anything while it is imported
        raise ValueError(f"{setting}: found {path!r}, which cannot be imported: {error}") from error


def path_of(cls: type) -> str:
    """The "package.module:Class" that `import_class` takes."""
    return f"{cls.__module__}:{cls.__qualname__}"


def describe(value, known: dict):
    """A setting as JSON: a name as it is; {"class": path} for a class; and its "config" for an instance."""
    if isinstance(value, str):
        return value
    cls = value if isinstance(value, type) else type(value)
    name = next((name for name, registered in known.items() if registered is cls), path_of(cls))
    return {"class": name} if cls is value else {"class": name, "config": value.config()}


def restore(setting: str, described, known: dict, base: type, given=None):
    """What `describe` described, without importing anything: (value, whether `given` was used).

    described is data from a file, and importing a module runs it. So a class that is not registered comes from
    `given` (a class, or {path: class}), or from a module that the program has imported already.

    Raises NotImported where it is in neither.
    """
    if isinstance(described, str):
        if described in known:
            return described, False
        described = {"class": described}
    path = described["class"]
    own = path in known
    chosen = known[path] if own else _given(setting, path, base, given) or _imported(path)
    if not (isinstance(chosen, type) and issubclass(chosen, base)):
        raise NotImported(
            f"{setting}: the file names {path!r}, which this program has not imported, and loading a file imports "
            f"nothing; import it first, or pass {setting}=Class (on the command line, --{setting} {path})"
        )
    used = not own and given is not None
    return (chosen(**described["config"]) if "config" in described else chosen), used


def _given(setting, path, base, given):
    chosen = given.get(path) if isinstance(given, dict) else given
    if chosen is not None and not (isinstance(chosen, type) and issubclass(chosen, base)):
        raise NotImported(f"{setting}: found {chosen!r}, expected a subclass of slide's {base.__name__}")
    return chosen


def _imported(path):
    """The class where its module is imported; by the modules' and classes' own dictionaries, so that nothing runs."""
    module, _, name = path.partition(":")
    found = sys.modules.get(module)
    for part in name.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found
