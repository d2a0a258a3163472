"""Large arrays are zeroed, aligned and given back; scratch is kept from call to call and grows."""

import os

import numpy as np
import pytest

from slide import Dense, Network, Sampled
from slide.machine import memory
from tests.conftest import assert_equal_arrays


@pytest.mark.parametrize("huge_pages", [False, True])
@pytest.mark.parametrize("shape", [(), (0, 5), (1,), 7, (3, 5), (1000, 1000), (2, 3, 400_000)])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
def test_arrays_are_zeroed_aligned_and_writable(shape, dtype, huge_pages):
    array = memory.zeros(shape, dtype, huge_pages)
    assert array.shape == (shape if isinstance(shape, tuple) else (shape,)) and array.dtype == dtype
    assert array.flags.c_contiguous and array.flags.writeable and array.flags.aligned
    assert array.ctypes.data % 64 == 0 or not array.size
    if huge_pages and array.nbytes >= memory.HUGE_PAGE:
        assert array.ctypes.data % memory.HUGE_PAGE == 0
    assert not array.any()
    array[...] = 1
    assert array.all()


def test_arrays_outlive_their_making():
    arrays = [memory.zeros((600, 1024)) for _ in range(5)]
    for i, array in enumerate(arrays):
        array[...] = i
    assert [array.min() for array in arrays] == [array.max() for array in arrays] == list(range(5))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("huge_pages", [False, True])
def test_a_forked_child_has_arrays_of_its_own(huge_pages):
    array = memory.zeros(1 << 20, huge_pages=huge_pages)
    child = os.fork()
    if child == 0:
        array[...] = 7
        os._exit(0)
    os.waitpid(child, 0)
    assert not array.any()


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps"), reason="no /proc/self/smaps here")
def test_without_huge_pages_there_are_none():
    array = memory.zeros(4 << 20, huge_pages=False)
    array[...] = 1
    inside, found = False, {}
    with open("/proc/self/smaps", encoding="ascii") as file:
        for line in file:
            name, _, rest = line.partition(" ")
            if not name.endswith(":"):
                low, high = (int(address, 16) for address in name.split("-"))
                inside = low <= array.ctypes.data < high
            elif inside:
                found[name] = rest.split()
    assert "nh" in found["VmFlags:"] and found["AnonHugePages:"][0] == "0"


def test_scratch_is_kept_and_grows():
    scratch = memory.Scratch()
    a = scratch.get("a", (10, 10))
    assert a.shape == (10, 10) and a.dtype == np.float32 and a.flags.c_contiguous
    assert np.shares_memory(a, scratch.get("a", (5, 20)))
    assert np.shares_memory(a, scratch.get("a", (3,)))
    assert not np.shares_memory(a, scratch.get("b", (10, 10)))
    big = scratch.get("a", (100, 100))
    assert big.shape == (100, 100) and not np.shares_memory(a, big)
    assert np.shares_memory(big, scratch.get("a", (10, 10)))
    assert scratch.get("a", (4,), np.int32).dtype == np.int32
    assert scratch.get("c", (0, 5)).shape == (0, 5)


def test_huge_pages_do_not_change_the_result():
    rng = np.random.default_rng(0)
    X, Y = rng.random((32, 3000)), np.eye(32, 700)
    states = []
    for huge_pages in (False, True):
        layers = [Dense(256), Sampled(700, active=50, K=3, L=5)]
        network = Network(3000, layers, huge_pages=huge_pages, threads=2)
        network.fit(X, Y, steps=3)
        states.append({(i, k): v for i, layer in enumerate(network.layers) for k, v in layer.state().items()})
    assert_equal_arrays(*states)


def test_filled_scratch_is_filled_when_it_grows_and_never_again():
    scratch = memory.Scratch()
    small = scratch.get("place", (2, 3), np.int32, fill=-1)
    assert (small == -1).all()
    small[0, 0] = 5
    assert scratch.get("place", (3, 2), np.int32, fill=-1)[0, 0] == 5
    assert (scratch.get("place", (40, 3), np.int32, fill=-1) == -1).all()
