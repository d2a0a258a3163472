"""Builds every .pyx of slide/_kernels with one set of directives; OpenMP is probed, never assumed."""

import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

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


def extensions():
    openmp = openmp_flags()
    flags = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi", "-Wno-unused-function", *openmp]
    flags += os.environ.get("CFLAGS", "").split()  # once more, behind the others, which it may overrule
    headers = sorted(str(path) for path in HEADERS.glob("*.h"))
    # Only the table's own module is made of all headers; Cython knows which ones the others name.
    seen_by_all = [str(HEADERS / name) for name in ("vec_ops.h", "prefetch.h")]
    for source in sorted(KERNELS.rglob("*.pyx")):
        yield Extension(
            ".".join(source.with_suffix("").parts),
            [str(source)],
            include_dirs=[str(HEADERS)],
            depends=headers if source.parent == HEADERS else seen_by_all,
            extra_compile_args=flags,
            extra_link_args=openmp,
        )


# One process a core for the compiler: the modules are independent.
os.environ.setdefault("MAX_JOBS", str(os.cpu_count() or 1))
setup(
    ext_modules=cythonize(list(extensions()), compiler_directives=DIRECTIVES, nthreads=0),
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
