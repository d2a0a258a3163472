"""Settings that held-out training rows choose."""

from slide.tuning.search import Tuned, tune

__all__ = ["Tuned", "tune"]
