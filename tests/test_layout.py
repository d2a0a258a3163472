"""Who may import whom: imports point down, and only tests know the oracle."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\s+([\w., ()]+)|c?import\s+([\w.]+))", re.MULTILINE)


def imported(path):
    """Every dotted name that a file imports or cimports: of `from a import b, c` both a.b and a.c."""
    for module, names, whole in IMPORT.findall(path.read_text()):
        yield from [whole] if whole else [f"{module}.{name.strip(' ()')}" for name in names.split(",")]


def files(folder, *suffixes):
    return [path for path in (ROOT / folder).rglob("*") if path.suffix in suffixes]


def offenders(paths, wrong):
    return [f"{path.relative_to(ROOT)}: {name}" for path in paths for name in imported(path) if wrong(name)]


def test_only_tests_import_the_oracle():
    others = [path for path in files("slide", ".py", ".pyx", ".pxd") if path.parent.name != "reference"]
    assert not offenders(others, lambda name: name.startswith("slide.reference"))


def test_kernels_know_only_kernels():
    def outside(name):
        return name.startswith("slide") and not name.startswith("slide._kernels.")

    assert not offenders(files("slide/_kernels", ".py", ".pyx", ".pxd"), outside)


def test_other_frameworks_are_extras_of_their_own_folders():
    """A vectorizer for text beside: it imports scikit-learn when it is made."""
    for name, at_home in {
        "torch": ("torch/",), "sklearn": ("sklearn/", "data/text.py"), "mpi4py": ("distributed/",),
    }.items():
        others = [
            path for path in files("slide", ".py", ".pyx", ".pxd")
            if not path.relative_to(ROOT / "slide").as_posix().startswith(at_home)
        ]  # fmt: skip
        wrong = (name, f"slide.{name}")
        assert not offenders(others, lambda found, wrong=wrong: found.startswith(wrong))


def test_slide_is_imported_without_other_frameworks():
    code = "import sys, slide; sys.exit(not {'torch', 'sklearn', 'mpi4py'}.isdisjoint(sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_sources_that_are_not_compiled_say_so(tmp_path):
    shutil.copytree(ROOT / "slide", tmp_path / "slide", ignore=shutil.ignore_patterns("*.so", "*.pyd"))
    run = subprocess.run([sys.executable, "-c", "import slide"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1
    assert f"not compiled in {tmp_path / 'slide'}: import an installed slide from another folder" in run.stderr


def test_experiments_leave_kernels_alone():
    assert not offenders(files("experiments", ".py"), lambda name: name.startswith("slide._kernels"))


def test_hashing_sampling_and_optimizers_do_not_know_each_other():
    for folder, others in {"hashing": ("sampling", "optim"), "sampling": ("hashing", "optim")}.items():
        wrong = tuple(f"slide.{other}" for other in others)
        assert not offenders(files(f"slide/{folder}", ".py"), lambda name, wrong=wrong: name.startswith(wrong))


def test_experiments_share_by_the_frame_alone():
    for path in [*files("experiments/paper", ".py"), *files("experiments/benchmarks", ".py")]:
        folder, name, *part = path.relative_to(ROOT / "experiments").with_suffix("").parts
        own = f"experiments.{folder}.{name}" if part else "its files, where it is a package"

        def wrong(imports, own=own):
            other = imports.startswith(("experiments.paper", "experiments.benchmarks"))
            return other and imports != own and not imports.startswith(f"{own}.")

        assert not offenders([path], wrong)


def test_the_frame_knows_no_experiment():
    others = ("experiments.paper", "experiments.benchmarks")
    assert not offenders(files("experiments/frame", ".py"), lambda name: name.startswith(others))


def test_experiments_are_drawn_without_slide_and_listed_without_numpy():
    listed = "import sys; from experiments.__main__ import main; main(['list']); sys.exit('numpy' in sys.modules)"
    drawn = (
        "import sys; from experiments.frame import catalogue, draw, report, runner; "
        "[catalogue.load(name) for name in catalogue.names()]; sys.exit(not {'slide', 'torch'}.isdisjoint(sys.modules))"
    )
    for code in (listed, drawn):
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
