"""The probes of a machine do the work that they are timed for, and their rates are that work over the clock's time."""

import itertools

import numpy as np
import pytest

from slide import reference
from slide._kernels import bandwidth
from slide.machine import roofline
from tests.conftest import THREADS, read_only


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize(("n", "width", "chunk", "chunks"), [(1, 1, 1, 1), (50, 17, 3, 4), (200, 128, 25, 6)])
def test_rows_are_read_and_summed(n, width, chunk, chunks, threads):
    rng = np.random.default_rng(n)
    W = rng.integers(-9, 10, (n, width)).astype(np.float32)  # sums are exact in any order
    read_only(W)
    ids = rng.integers(0, n, chunk * chunks).astype(np.int32)
    ones, out, expected = np.ones(chunk, np.float32), *np.zeros((2, chunks, width), np.float32)
    bandwidth.sum_rows(W, ids, ones, out, threads)
    reference.sum_rows(W, ids, ones, expected)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize(("n", "width", "touched"), [(1, 1, 1), (40, 33, 0), (60, 128, 37)])
def test_rows_are_read_and_written(n, width, touched, threads):
    rng = np.random.default_rng(n)
    found = rng.standard_normal((3, n, width), dtype=np.float32)
    expected = found.copy()
    ids = rng.choice(n, touched, replace=False).astype(np.int32)
    bandwidth.scale_rows(*found, ids, 0.5, threads)
    reference.scale_rows(*expected, ids, 0.5)
    np.testing.assert_array_equal(found, expected)


@pytest.fixture
def clock(monkeypatch):
    """A clock on which whatever is timed takes a millisecond."""
    ticks = itertools.count()
    monkeypatch.setattr(roofline.time, "perf_counter", lambda: next(ticks) / 1000)


def test_rates_are_bytes_or_operations_over_seconds(clock):
    """3000 or 2000 rows of 16 floats, read; of three matrices, read and written. 2 * 64**3 operations."""
    rates = roofline.measure_bandwidth(1, n_rows=3000, width=16, touched=2000, repeats=2)
    expected = {"read": 3000 * 64 / 1e6, "gather": 2000 * 64 / 1e6, "update": 6 * 2000 * 64 / 1e6}
    assert rates == pytest.approx(expected, rel=1e-9)
    assert roofline.measure_products(1, size=64, repeats=2) == pytest.approx(2 * 64**3 / 1e6, rel=1e-9)
