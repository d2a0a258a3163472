"""The docstrings of the public names have what numpydoc's checks ask for: summary, parameters with types, results."""

import importlib
import inspect
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib")
numpydoc = pytest.importorskip("numpydoc.validate", reason="numpydoc is not installed")
ROOT = Path(__file__).parents[1]
MODULES = ["slide", *(f"slide.{name}" for name in (
    "data", "hashing", "metrics", "prediction", "sampling", "sklearn", "testing", "torch", "tuning",
))]  # fmt: skip
CHECKS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["numpydoc_validation"]["checks"]


def public(module):
    """Names of a public module: those it exports, or else the functions that it defines."""
    functions = inspect.getmembers(module, inspect.isfunction)
    own = [name for name, value in functions if value.__module__ == module.__name__ and not name.startswith("_")]
    return getattr(module, "__all__", None) or own


def members(cls):
    """(name, member) of the public members that slide defines, each in the class that documents it first."""
    for name in dir(cls):
        owners = [base for base in cls.__mro__ if name in vars(base) and base.__module__.startswith("slide")]
        if owners and not name.startswith("_"):
            member = vars(owners[-1])[name]
            if not isinstance(member, int | float | str | tuple | dict | type | None) and not compiled(member):
                yield f"{owners[-1].__module__}.{owners[-1].__qualname__}.{name}", member


def compiled(member):
    """Whether it is an attribute of a Cython class: the class documents these."""
    return inspect.isgetsetdescriptor(member) or inspect.ismemberdescriptor(member)


def errors_of(dotted):
    """What numpydoc finds wrong. It takes a parameter `cls` of a function for that of a class method."""
    found = numpydoc.validate(dotted)["errors"]
    return [f"{code}: {text}" for code, text in found if code in CHECKS and text != "Unknown parameters {'cls'}"]


def documented(module):
    """{dotted name: object} of everything public of a module that has a docstring to check."""
    found = {}
    for name in public(module):
        value = getattr(module, name)
        if callable(value):
            found[f"{value.__module__}.{value.__qualname__}"] = value
            found |= dict(members(value)) if inspect.isclass(value) else {}
    return found


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_documented(name):
    if name in ("slide.torch", "slide.sklearn"):
        pytest.importorskip({"slide.torch": "torch", "slide.sklearn": "sklearn"}[name])
    wrong = {}
    for dotted, value in documented(importlib.import_module(name)).items():
        if inspect.isclass(value) or inspect.isroutine(value):
            errors = errors_of(dotted)
        else:  # a property or the like
            errors = [] if (value.__doc__ or "").strip(".") else ["found no docstring"]
        wrong |= {dotted: errors} if errors else {}
    assert not wrong, "\n".join(f"{dotted}: {'; '.join(errors)}" for dotted, errors in wrong.items())
