# Sixteen rows side by side, for compiled hashes of one's own; wants slide.get_include().
from slide._kernels.hashing.lanes cimport LANES, fill_block
