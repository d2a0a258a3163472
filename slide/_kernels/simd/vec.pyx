"""The instruction set in use: AVX-512 (with products of bfloat16 or not), AVX2, NEON or plain.

Chosen at run time from one portable build.
"""

import os

from slide._kernels.simd.vec cimport N_LANES, VecOps

cdef extern from "vec_sets.h" nogil:
    const VecOps *slide_find_ops(const char *name)

LANES = N_LANES
SETS = ("avx512bf16", "avx512", "avx2", "neon", "plain")


def available():
    """The instruction sets that this build and this processor share, best first."""
    return [name for name in SETS if slide_find_ops(name.encode()) != NULL]


def use(str name):
    """Makes `name` the live set; False where it is not available here."""
    global ops
    found = slide_find_ops(name.encode())
    if found == NULL:
        return False
    ops = found
    return True


def live():
    """The name of the set in use."""
    return ops.name.decode()


def openmp():
    """Whether this build has OpenMP."""
    return bool(OPENMP)


cdef extern from *:
    """
    #ifdef _OPENMP
    #define SLIDE_OPENMP 1
    #else
    #define SLIDE_OPENMP 0
    #endif
    """
    int OPENMP "SLIDE_OPENMP"

_wanted = os.environ.get("SLIDE_SIMD", "")
if not use(_wanted or available()[0]):
    use(available()[0])
    raise ImportError(f"SLIDE_SIMD: found {_wanted!r}, expected one of {available()}")


def panel():
    """Columns of a panel of the live set's matrix products."""
    return ops.panel
