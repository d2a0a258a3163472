"""The probes of a machine: their kernels do the work that they are timed for."""

import numpy as np
import pytest

from slide import reference, roofline
from slide._kernels import bandwidth


@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize(("n", "width", "chunk", "chunks"), [(1, 1, 1, 1), (50, 17, 3, 4), (200, 128, 25, 6)])
def test_sum_rows(n, width, chunk, chunks, threads):
    rng = np.random.default_rng(n)
    W = rng.standard_normal((n, width), dtype=np.float32)
    W.flags.writeable = False
    ids = rng.integers(0, n, chunk * chunks).astype(np.int32)
    ones, out, expected = np.ones(chunk, np.float32), *np.zeros((2, chunks, width), np.float32)
    bandwidth.sum_rows(W, ids, ones, out, threads)
    reference.sum_rows(W, ids, ones, expected)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize(("n", "width", "touched"), [(1, 1, 1), (40, 33, 0), (60, 128, 37)])
def test_scale_rows(n, width, touched, threads):
    rng = np.random.default_rng(n)
    found = rng.standard_normal((3, n, width), dtype=np.float32)
    expected = found.copy()
    ids = rng.choice(n, touched, replace=False).astype(np.int32)
    bandwidth.scale_rows(*found, ids, 0.5, threads)
    reference.scale_rows(*expected, ids, 0.5)
    np.testing.assert_array_equal(found, expected)


def test_rates_are_positive():
    rates = roofline.measure_bandwidth(1, n_rows=3000, width=16, touched=2000, repeats=2)
    assert set(rates) == {"read", "gather", "update"} and min(rates.values()) > 0
    assert roofline.measure_products(1, size=64, repeats=2) > 0
