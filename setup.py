"""Builds every .pyx of slide/_kernels with one set of directives; OpenMP is probed, never assumed.

Wheels are built for Python's stable ABI and serve every later Python; what is built in place, or for a Python without a
global lock, which has no such ABI, serves this Python alone.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from functools import cache
from pathlib import Path

import Cython
from Cython.Build import cythonize
from setuptools import Extension, setup

ABI = (3, 11)  # the least Python, whose stable ABI has buffers
STABLE = (
    "bdist_wheel" in sys.argv
    and sys.implementation.name == "cpython"
    and not sysconfig.get_config_var("Py_GIL_DISABLED")
)
KERNELS = Path("slide/_kernels")
HEADERS = KERNELS / "simd"
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "freethreading_compatible": True,
}


@cache
def openmp_flags():
    """Compiler flags for OpenMP, or [] with a clear warning where the compiler has none."""
    flags = ["-Xpreprocessor", "-fopenmp"] if sys.platform == "darwin" else ["-fopenmp"]
    program = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text(program)
        command = [*os.environ.get("CC", "cc").split(), *flags, str(source), "-o", str(Path(folder, "probe"))]
        if subprocess.run(command, capture_output=True).returncode == 0:
            return flags
    warnings.warn("this compiler has no OpenMP: slide will run on one thread", stacklevel=2)
    return []


def settings(optimization="-O3"):
    """What a module is compiled with."""
    openmp = openmp_flags()
    flags = [optimization, "-g0", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi", "-Wno-unused-function"]
    flags += [*openmp, *os.environ.get("CFLAGS", "").split()]  # once more, behind the others, which it may overrule
    return {
        "extra_compile_args": flags,
        "extra_link_args": [*openmp, *(["-Wl,-s"] if STABLE and sys.platform == "linux" else [])],
        "define_macros": [("Py_LIMITED_API", f"0x{ABI[0]:02X}{ABI[1]:02X}0000")] if STABLE else [],
        "py_limited_api": STABLE,
    }


def extensions():
    headers = sorted(str(path) for path in HEADERS.glob("*.h"))
    # Only the table's own module is made of all headers; Cython knows which ones the others name.
    seen_by_all = [str(HEADERS / name) for name in ("vec_ops.h", "prefetch.h")]
    # First the table, which takes the compiler longest: another processor compiles the others meanwhile.
    for source in sorted(KERNELS.rglob("*.pyx"), key=lambda source: (source.parent != HEADERS, source)):
        yield Extension(
            ".".join(source.with_suffix("").parts),
            [str(source)],
            include_dirs=[str(HEADERS)],
            depends=headers if source.parent == HEADERS else seen_by_all,
            **settings(),
        )


def shared_code():
    """The module of what Cython (3.2 and later) else writes into every other, which then take a fifth of the time.

    A call of a kernel needs it for its arguments, no loop does: -O1 compiles it in half the time.
    """
    source = KERNELS / "_shared.c"
    if not (source.exists() and f"Cython {Cython.__version__} " in source.read_text()[:100]):
        subprocess.run([sys.executable, "-m", "cython", f"--generate-shared={source}"], check=True)
    return Extension(".".join(source.with_suffix("").parts), [str(source)], **settings("-O1"))


if __name__ == "__main__":
    # One process a core for both compilers: the modules are independent.
    cores = os.cpu_count() or 1
    os.environ.setdefault("MAX_JOBS", str(cores))
    modules, options = list(extensions()), {}
    if tuple(map(int, Cython.__version__.split(".")[:2])) >= (3, 2):
        modules.insert(0, shared_code())
        options = {"shared_utility_qualified_name": modules[0].name}
    setup(
        ext_modules=cythonize(modules, compiler_directives=DIRECTIVES, nthreads=cores, **options),
        options={
            "build_ext": {"parallel": cores},
            "bdist_wheel": {"py_limited_api": f"cp{ABI[0]}{ABI[1]}"} if STABLE else {},
        },
    )
