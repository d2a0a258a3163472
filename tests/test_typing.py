"""Types: every public callable has them, the compiled modules' stubs say what is there, and users' programs check."""

import importlib
import inspect
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from slide import Network
from slide.settings.network import NetworkSettings
from slide.wide.base import WideLayer
from slide.wide.settings import SHARED

ROOT = Path(__file__).parents[1]
PROGRAMS = ["tests/typing/program.py", "tests/typing/program_sklearn.py"]
PUBLIC = ["slide", "slide.hashing", "slide.sampling", "slide.data", "slide.metrics", "slide.prediction",
          "slide.testing", "slide.wide", "slide.torch", "slide.sklearn"]  # fmt: skip
CALLED = ("__init__", "__call__", "__getitem__", "__len__")


def run(*command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def public_callables(module):
    """(name, function) of the module's own functions, and of the methods of its classes."""
    names = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    for name in names:
        found = getattr(module, name)
        if inspect.isclass(found):
            for key, member in vars(found).items():
                member = getattr(member, "__func__", getattr(member, "fget", member))
                if inspect.isfunction(member) and (not key.startswith("_") or key in CALLED):
                    yield f"{found.__name__}.{key}", member
        elif inspect.isfunction(found) and found.__module__ == module.__name__:
            yield name, found


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_callable_is_annotated(name):
    package = name.removeprefix("slide.")
    if package in ("torch", "sklearn"):
        pytest.importorskip(package)
    for what, function in public_callables(importlib.import_module(name)):
        if not function.__code__.co_filename.startswith(str(ROOT)):
            continue  # written by dataclass
        names = inspect.getargs(function.__code__)
        named = [*names.args, *filter(None, [names.varargs, names.varkw])]
        missing = set(named) - function.__annotations__.keys() - {"self", "cls"}
        assert not missing, f"{name}.{what}: found no types of {missing}"
        assert what.endswith("__init__") or "return" in function.__annotations__, (
            f"{name}.{what}: found no type of the result"
        )


def test_settings_that_are_attributes_are_all_named():
    assert {f.name for f in fields(NetworkSettings)} <= Network.__annotations__.keys()
    assert set(SHARED) - {"update"} <= WideLayer.__annotations__.keys()


@pytest.mark.slow
def test_stubs_of_compiled_modules_say_what_is_in_them():
    run(sys.executable, "-m", "mypy.stubtest", "slide._kernels", "--ignore-disjoint-bases",
        "--mypy-config-file", "pyproject.toml", "--allowlist", "tests/typing/stubtest_ignores.txt")  # fmt: skip


@pytest.mark.slow
def test_mypy_agrees_with_users_programs():
    run(sys.executable, "-m", "mypy", "--strict", *PROGRAMS)


@pytest.mark.slow
def test_pyright_agrees_with_users_programs():
    if shutil.which("pyright") is None:
        pytest.skip("pyright is not installed: pip install 'pyright[nodejs]'")
    run("pyright", *PROGRAMS)


def test_users_program_runs(tmp_path):
    run(sys.executable, PROGRAMS[0], str(tmp_path))


def test_users_program_with_scikit_learn_runs():
    pytest.importorskip("sklearn", "1.6")
    run(sys.executable, PROGRAMS[1])
