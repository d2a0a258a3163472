"""The experiments, found and described without importing them."""

import ast
import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
FOLDERS = ("paper", "benchmarks")  # every module of theirs is an experiment
SCALES = ("smoke", "small", "paper")


@dataclass(frozen=True)
class Entry:
    """What a module says of itself: see `experiments.frame`."""

    name: str
    folder: str
    question: str
    figure: str | None
    time: dict
    claims: tuple


@cache
def entries() -> dict[str, Entry]:
    """{name: entry}, folder by folder."""
    found = {}
    for folder in FOLDERS:
        files = {path.stem: path for path in (PACKAGE / folder).glob("[!_]*.py")}
        files |= {path.parent.name: path for path in (PACKAGE / folder).glob("*/__init__.py")}
        for name, path in sorted(files.items()):
            told = constants(path)
            figure, claims = told.get("FIGURE"), told.get("CLAIMS", ())
            found[name] = Entry(name, folder, told["QUESTION"], figure, told["TIME"], claims)
    return found


def constants(path: Path) -> dict:
    """{name: value} of what a module assigns literals to."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def names(folder: str | None = None) -> list[str]:
    """The experiments of a folder; None: all."""
    return [name for name, entry in entries().items() if folder in (None, entry.folder)]


def load(name: str):
    """The module of an experiment. Raises ValueError where there is none of that name."""
    if name not in entries():
        raise ValueError(f"name: found {name!r}, expected one of {', '.join(names())}")
    return importlib.import_module(f"experiments.{entries()[name].folder}.{name}")


def about(folder: str) -> str:
    """What the experiments of a folder have in common: the docstring of its package."""
    return ast.get_docstring(ast.parse((PACKAGE / folder / "__init__.py").read_text(encoding="utf-8")))
