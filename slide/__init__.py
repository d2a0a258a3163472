"""SLIDE: sub-linear deep learning on a CPU (Chen et al., MLSys 2020)."""

import os
from importlib.util import find_spec

# GNU OpenMP's idle threads spin for milliseconds unless told otherwise: with other work on the machine that makes
# small parallel loops a hundred times slower. A tenth of a millisecond bridges the gaps between the loops of a step.
# It reads these once, when the first kernel is imported below.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

if find_spec("slide._kernels.groups") is None:
    raise ImportError(
        f"the kernels of slide are not compiled in {__path__[0]}: import an installed slide from another folder than "
        "that of its sources, or compile them in place by `pip install -e .`"
    )

# ruff: noqa: E402
from slide.index import RehashSchedule
from slide.layers import Dense, Sampled
from slide.machine.info import build_info, get_include
from slide.network import Evaluation, Network
from slide.optim import SGD, Adam, Schedule
from slide.prediction.loading import load
from slide.wide import SampledHidden, SampledSoftmax

__version__ = "0.1.0"
__all__ = [
    "SGD", "Adam", "Dense", "Evaluation", "Network", "RehashSchedule", "Sampled", "SampledHidden",
    "SampledSoftmax", "Schedule", "build_info", "get_include", "load",
]  # fmt: skip
