"""SLIDE: sub-linear deep learning on a CPU (Chen et al., MLSys 2020)."""

from slide.index import RehashSchedule
from slide.info import build_info
from slide.layers import Dense, Sampled
from slide.network import Evaluation, Network
from slide.optim import SGD, Adam, Schedule

__version__ = "0.1.0"
__all__ = ["SGD", "Adam", "Dense", "Evaluation", "Network", "RehashSchedule", "Sampled", "Schedule", "build_info"]
