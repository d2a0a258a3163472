"""The algorithm in plain NumPy: a module for each kernel module and a function for each kernel, of the same names.

Written to be read, not to be fast; imports NumPy and the random numbers that kernels and oracle are defined by. Only
tests import it.
"""

# ruff: noqa: F403
from slide.reference.bandwidth import *
from slide.reference.bfloat16 import *
from slide.reference.forward import *
from slide.reference.full import *
from slide.reference.hashing import *
from slide.reference.inclusion import *
from slide.reference.lanes import *
from slide.reference.lookup import *
from slide.reference.parse import *
from slide.reference.rows import *
from slide.reference.sampling import *
from slide.reference.softmax import *
from slide.reference.tables import *
from slide.reference.topk import *
from slide.reference.transpose import *
from slide.reference.update import *
