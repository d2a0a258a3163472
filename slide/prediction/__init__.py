"""More than one network: ensembles, and a memory of training rows whose labels join a prediction."""

from slide.prediction.ensemble import Ensemble
from slide.prediction.loading import load
from slide.prediction.mixing import Mixed, Mixing
from slide.prediction.neighbours import Neighbours

__all__ = ["Ensemble", "Mixed", "Mixing", "Neighbours", "load"]
