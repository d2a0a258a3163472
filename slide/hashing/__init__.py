"""Hash families: rows in, codes out. All follow the contract of `HashFamily`."""

from slide.hashing.base import HashFamily
from slide.hashing.dwta import DWTA
from slide.hashing.minhash import MinHash
from slide.hashing.simhash import SimHash
from slide.hashing.wta import WTA

FAMILIES = {family.name: family for family in (SimHash, WTA, DWTA, MinHash)}

__all__ = ["FAMILIES", "DWTA", "HashFamily", "MinHash", "SimHash", "WTA"]
