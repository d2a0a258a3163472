"""Shapes, arrays and fixtures that tests share."""

import importlib
import json

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


@pytest.fixture
def one_process(monkeypatch):
    """What experiments measure in processes of their own, each a second to start, is measured in this one."""
    from experiments.frame import processes

    def lines(module, function, env=None, **given):
        measure = getattr(importlib.import_module(module), function)
        yield from (as_json(line) for line in measure(**as_json(given)))

    monkeypatch.setattr(processes, "lines", lines)


def as_json(value):
    return json.loads(json.dumps(value))
