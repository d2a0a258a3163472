"""Shapes and arrays that the kernel tests share."""

import numpy as np
import pytest

from slide._kernels.simd import vec


@pytest.fixture(params=vec.available())
def simd(request):
    """Runs a test once for every instruction set of this machine."""
    before = vec.live()
    vec.use(request.param)
    yield request.param
    vec.use(before)


@pytest.fixture
def rng():
    return np.random.default_rng(20200301)


def read_only(*arrays):
    for array in arrays:
        array.setflags(write=False)
    return arrays
