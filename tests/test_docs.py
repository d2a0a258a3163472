"""What README.md and docs/ show is run: their Python in order, page by page, and their commands.

Blocks of python share one program per page, those of console are the commands behind `$ `, and those of shell (set-up,
servers, whole benchmarks) are not run. Pages find train.txt, test.txt and new.txt; sizes are cut to take seconds.
"""

import contextlib
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import slide
from slide.data import make_xmc, save_xmc

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {"README.md": ROOT / "README.md", **{f"docs/{path.name}": path for path in sorted(DOCS.glob("*.md"))}}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
SMALLER = {"scale=0.05": "scale=0.004", "Dense(128)": "Dense(16)",
           "active=300, min_active=1000": "active=20, min_active=60"}  # fmt: skip
NEEDED = {"import torch": "torch", "from sklearn": "sklearn", "fasttext": "sklearn"}
README_LINES = 130
# What a new user asks: to install, to use own data, an own hash, to resume, to serve, to compare.
ONE_CLICK = ("install", "own_data", "own_hash", "resume", "serving", "accuracy", "performance", "settings", "tutorial")

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="a copy without docs/")


def blocks(path):
    return [(kind, text) for kind, text in BLOCK.findall(path.read_text()) if kind in ("python", "console")]


def commands(text):
    """The lines of a console behind `$ `, continued ones whole."""
    return [line[2:] for line in text.replace("\\\n", " ").splitlines() if line.startswith("$ ")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files that pages speak of; the current one. Commands say `python`, which is this one."""
    (X, Y), (X_test, Y_test) = make_xmc("amazon-670k", n_train=120, n_test=40, scale=0.004)
    for name, data in {"train": (X, Y), "test": (X_test, Y_test), "new": (X_test[:3], Y_test[:3])}.items():
        save_xmc(tmp_path / f"{name}.txt", *data)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tmp_path / "bin" / "python").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(text):
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, f"$ {text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, path in PAGES.items() if blocks(path)])
def test_what_a_page_shows_is_run(name, folder, capsys):
    space = {"__name__": "page"}
    for kind, text in blocks(PAGES[name]):
        missing = [module for word, module in NEEDED.items() if word in text and not importlib.util.find_spec(module)]
        if missing and name != "README.md":
            pytest.skip(f"{missing[0]} is not installed")
        if kind == "console":
            printed = [run(command) for command in commands(text)]
            assert printed
        elif not missing:
            for written, small in SMALLER.items():
                text = text.replace(written, small)
            exec(compile(text, name, "exec"), space)
            capsys.readouterr()


@pytest.mark.slow
def test_the_network_of_the_readme_learns_as_it_says(folder):
    text = next(text for kind, text in blocks(ROOT / "README.md") if kind == "python")
    space = {}
    exec(compile(text, "README.md", "exec"), space)
    said = float(re.search(r"# (0\.\d+)$", text, re.MULTILINE)[1])
    assert abs(space["network"].evaluate(space["X_test"], space["Y_test"]).scores["P@1"] - said) < 0.05


def test_every_block_is_of_a_kind_that_is_run_or_says_that_it_is_not():
    kinds = {kind for path in PAGES.values() for kind, _ in BLOCK.findall(path.read_text())}
    assert kinds <= {"python", "console", "shell"}


def test_readme_is_short_has_what_it_names_and_leads_on():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= README_LINES
    assert not [page for page in ONE_CLICK if f"](docs/{page}.md)" not in text]
    targets = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make (\w+)`?", text):
        assert f"\n{target}:" in targets, target


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    path = PAGES[name]
    for link in LINK.findall(BLOCK.sub("", path.read_text())):
        if not link.startswith(("http:", "https:")):
            target, _, anchor = link.partition("#")
            found = (path.parent / target).resolve() if target else path
            assert found.exists(), f"{name}: {link}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE)
                assert anchor in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}, link


def test_every_public_name_is_in_the_reference():
    for path in sorted((DOCS / "reference").glob("*.rst")):
        module = "slide" if path.stem == "slide" else f"slide.{path.stem}"
        with contextlib.suppress(ImportError):
            names = getattr(importlib.import_module(module), "__all__", ())
            told = set(re.findall(r"^\.\. (?:auto|py:)\w+:: (\w+)", path.read_text(), re.MULTILINE))
            assert set(names) <= told, (module, set(names) - told)


def test_the_changelog_has_this_version():
    assert f"## {slide.__version__}" in (DOCS / "changelog.md").read_text()


@pytest.mark.slow
def test_the_pictures_are_drawn_by_the_package(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(DOCS))
    pictures = importlib.import_module("pictures")
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    pictures.main()
    assert {path.name for path in tmp_path.glob("*.png")} == {path.name for path in (DOCS / "pictures").glob("*.png")}
