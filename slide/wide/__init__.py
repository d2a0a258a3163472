"""The wide layer by itself, for bodies that are not slide's: what `slide.torch` is made of, usable with NumPy alone."""

from slide.wide.hidden import SampledHidden
from slide.wide.softmax import SampledSoftmax

__all__ = ["SampledHidden", "SampledSoftmax"]
