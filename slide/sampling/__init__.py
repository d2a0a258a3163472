"""Which neurons are active: one strategy, one file."""

from slide.sampling.base import Sampler, complete, group_rng
from slide.sampling.full import Full
from slide.sampling.inclusion import inclusion_weights
from slide.sampling.outside import retrieve
from slide.sampling.threshold import Threshold
from slide.sampling.topk import TopK
from slide.sampling.uniform import Uniform
from slide.sampling.vanilla import Vanilla

SAMPLERS: dict[str, type[Sampler]] = {"vanilla": Vanilla, "topk": TopK, "threshold": Threshold, "uniform": Uniform,
                                     "full": Full}  # fmt: skip

__all__ = ["SAMPLERS", "Full", "Sampler", "Threshold", "TopK", "Uniform", "Vanilla", "complete", "group_rng",
           "inclusion_weights", "retrieve"]  # fmt: skip
