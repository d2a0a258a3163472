"""What this build of slide is and what it runs on."""

import platform
import sys
from pathlib import Path

from slide._kernels.simd import vec
from slide.machine.threads import available_threads


def get_include() -> str:
    """The folder of slide's C headers, for compiled hash functions of one's own.

    Returns
    -------
    str
        A path for `include_dirs`; see slide.hashing.lanes.
    """
    return str(Path(__file__).parents[1] / "_kernels" / "simd")


def build_info() -> dict:
    """What was compiled and what runs: SIMD sets available and live, OpenMP, CPUs, versions.

    The environment variable SLIDE_SIMD (avx512bf16, avx512, avx2, neon or plain) forces a set when the package is
    imported. avx512bf16 differs from avx512 in the logits of bfloat16 weights alone.

    Returns
    -------
    dict
        "simd", "simd_available", "openmp", "threads", "machine" and "python".
    """
    return {
        "simd": vec.live(),
        "simd_available": vec.available(),
        "openmp": vec.openmp(),
        "threads": available_threads(),
        "machine": platform.machine(),
        "python": sys.version.split()[0],
    }
