"""Which processes of a command work together: those that mpiexec, srun or the like started as one run."""

import os
import sys
from functools import cache

from slide.distributed.exchange import ALONE, Exchange

SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")  # set by launchers


def n_launched() -> int:
    """How many processes a launcher says that it started."""
    found = [os.environ.get(name, "") for name in SIZES]
    return max([1, *(int(text) for text in found if text.isdecimal())])


@cache
def world() -> Exchange:
    """The exchange of all processes of this run.

    Raises ValueError where several were started that could not work together: each would train a network of its own.
    """
    n = n_launched()
    if n == 1 and "PMIX_RANK" not in os.environ and "mpi4py.MPI" not in sys.modules:
        return ALONE
    try:
        from mpi4py import MPI
    except ImportError as error:
        if n == 1:
            return ALONE
        raise ValueError(f"found {n} processes that were started together without mpi4py ({error}), expected "
                         "pip install 'slidenn[distributed]', or one process") from None  # fmt: skip
    from slide.distributed.ranks import make

    if MPI.COMM_WORLD.size == 1 < n:
        raise ValueError(f"found {n} processes that were started together, each of which is alone for mpi4py: expected "
                         "the mpiexec of the MPI that mpi4py is built with")  # fmt: skip
    return make(MPI.COMM_WORLD)
