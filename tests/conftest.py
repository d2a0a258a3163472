"""What the tests share: how many examples a property gets, every instruction set in turn, seeded random numbers.

A run of the suite is the same run every time: examples of properties follow from the text of the test. Profiles, for
`pytest --hypothesis-profile=NAME`:

fixed    (the default) the same examples in every run
quick    the first few of them: `make test-fast`
search   thousands of other ones at each run, to look for new failures
"""

import importlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from slide._kernels.simd import vec

# Examples may be slow on a busy machine; fixtures of theirs hold nothing that an example changes.
ALWAYS = dict(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.register_profile("fixed", derandomize=True, max_examples=60, **ALWAYS)
settings.register_profile("quick", derandomize=True, max_examples=15, **ALWAYS)
settings.register_profile("search", max_examples=3000, **ALWAYS)
settings.load_profile("fixed")

THREADS = (1, 2, 8)


def times(n):
    """n times the examples of the profile, for inputs of many kinds: `@times(6)` above `@given`."""
    return settings(max_examples=n * settings.default.max_examples)


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

    several = processes.lines

    def lines(module, function, env=None, ranks=0, **given):
        if ranks:
            yield from several(module, function, env=env, ranks=ranks, **given)
            return
        measure = getattr(importlib.import_module(module), function)
        yield from (as_json(line) for line in measure(**as_json(given)))

    monkeypatch.setattr(processes, "lines", lines)


def as_json(value):
    return json.loads(json.dumps(value))


def assert_equal_arrays(found, expected):
    """Two {name: array} hold the same names and bits."""
    assert found.keys() == expected.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def assert_sets(active, expected):
    """An ActiveSet holds these ids, a list for each group, in this order."""
    assert active.indptr.dtype == np.int64 and active.ids.dtype == np.int32
    assert [ids.tolist() for ids in active] == expected
