"""Types of arguments and results, for annotations; those of matrices and labels are in slide.rows."""

from os import PathLike
from typing import TypeVar

import numpy as np
from scipy.sparse import csr_matrix

T = TypeVar("T")

FilePath = str | PathLike[str]
Numbers = float | np.ndarray  # what a formula takes elementwise
Own = type[T] | dict[str, type[T]] | None  # a class that a file names, or classes by their paths there
Pair = tuple[csr_matrix, csr_matrix]  # (X, Y)
