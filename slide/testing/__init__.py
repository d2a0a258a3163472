"""For authors of hash families and samplers: checks that say what is broken, as AssertionErrors."""

from slide.testing.families import check_hash_family
from slide.testing.samplers import check_sampler

__all__ = ["check_hash_family", "check_sampler"]
