"""Builds my_hash.pyx against the installed slide: its .pxd files are found by themselves, its C headers named here.

    pip install cython setuptools
    pip install --no-build-isolation examples/my_hash

Without the flag pip builds in an environment of its own, with slidenn from PyPI.
"""

from Cython.Build import cythonize
from setuptools import Extension, setup

import slide

DIRECTIVES = {"language_level": 3, "boundscheck": False, "wraparound": False, "initializedcheck": False}

FLAGS = ["-O3", "-Wno-psabi", "-Wno-unused-function"]

extension = Extension("my_hash", ["my_hash.pyx"], include_dirs=[slide.get_include()], extra_compile_args=FLAGS)
setup(ext_modules=cythonize([extension], compiler_directives=DIRECTIVES), py_modules=[])
