"""Hash families: rows in, codes out. All follow the contract of `HashFamily`."""

from slide._kernels.hashing.row_hasher import RowHasher
from slide.hashing.base import HashFamily
from slide.hashing.cross_polytope import CrossPolytope
from slide.hashing.dwta import DWTA
from slide.hashing.minhash import MinHash
from slide.hashing.mips import MIPS
from slide.hashing.ranged import Ranged
from slide.hashing.simhash import SimHash
from slide.hashing.wta import WTA
from slide.tables import ABSENT

_ALL: tuple[type[HashFamily], ...] = (SimHash, WTA, DWTA, MinHash, CrossPolytope, MIPS, Ranged)
FAMILIES = {family.name: family for family in _ALL}

__all__ = [
    "ABSENT", "FAMILIES", "DWTA", "CrossPolytope", "HashFamily", "MIPS", "MinHash", "Ranged", "RowHasher", "SimHash",
    "WTA",
]  # fmt: skip
