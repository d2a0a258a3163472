"""A network refuses settings and data that it cannot use, names them, and stays as it was."""

import numpy as np
import pytest
from scipy import sparse

from slide import Adam, Dense, Network, Sampled, Schedule
from tests.conftest import assert_equal_arrays
from tests.networks import N_FEATURES, N_LABELS, arrays, make

INTEGERS = (0, -1, 1.5, "3", None, True)
SHARES = (-0.1, 1.0, np.nan, "0", None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, v) for name in ("n_features", "batch_size", "group_size") for v in INTEGERS],
        *[("threads", v) for v in (0, -1, 1.5, "3", True)],
        *[("dropout", v) for v in SHARES],
        *[("update", v) for v in ("sample", None, 1)],
        *[("layers", v) for v in ([], None, Dense(3), [3], [Dense], "dense")],
        *[("seed", v) for v in (-1, 1.5, "3", None)],
        *[("optimizer", v) for v in ("adam", Adam, 3)],
        *[("schedule", v) for v in ("linear", Schedule, 3)],
    ],
)
def test_settings_of_a_network_out_of_range_are_refused(name, value):
    settings = {"n_features": 4, "layers": [Dense(3)], name: value}
    with pytest.raises(ValueError, match=name):
        Network(**settings)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        *[(kind, "n_neurons", v) for kind in (Dense, Sampled) for v in INTEGERS],
        *[(kind, "init_std", v) for kind in (Dense, Sampled) for v in (-1, np.nan, np.inf, "1")],
        *[(kind, "label_smoothing", v) for kind in (Dense, Sampled) for v in SHARES],
        *[(Sampled, name, v) for name in ("active", "m", "K", "L", "bucket_size") for v in INTEGERS],
        *[(Sampled, "min_active", v) for v in (-1, 1.5, "3", True)],
        *[(Sampled, name, v) for name in ("sampler", "hash", "policy") for v in ("none", None, 3)],
        *[(Sampled, "rehash", v) for v in (50, None)],
        (Sampled, "K", 40),
    ],
)
def test_settings_of_a_layer_out_of_range_are_refused(kind, name, value):
    with pytest.raises(ValueError, match=name):
        Network(4, [kind(**{"n_neurons": 5, name: value})])


@pytest.fixture(scope="module")
def network():
    return make("vanilla, simhash", 1)


X3, Y3 = np.ones((3, N_FEATURES)), np.ones((3, N_LABELS))


@pytest.mark.parametrize(
    ("X", "Y", "name"),
    [
        (X3[:, 1:], Y3, "X"), (X3, Y3[:, 1:], "Y"), (X3, Y3[1:], "Y"), (X3[0], Y3, "X"), (X3, Y3[0], "Y"),
        (X3 * np.nan, Y3, "X"), (X3 * np.inf, Y3, "X"), (X3, Y3 * np.nan, "Y"), (X3 * 1e300, Y3, "X"),
        (X3 * 1j, Y3, "X"), ("text", Y3, "X"), (None, Y3, "X"), (X3, None, "Y"), (X3[:0], Y3[:0], "X"),
        (X3, -Y3, "Y"), (X3, Y3 / 2, "Y"), (X3, [0, 1], "Y"), (X3, [0, 1, N_LABELS], "Y"), (X3, [[0], [1]], "Y"),
        (sparse.csr_array(X3 * np.nan), Y3, "X"), (sparse.csr_array(X3[:, 1:]), Y3, "X"),
    ],
)  # fmt: skip
def test_data_of_another_shape_or_kind_is_refused_and_nothing_changes(network, X, Y, name):
    before = {k: v.copy() for k, v in arrays(network).items()}
    for method in (network.fit, network.partial_fit):
        with pytest.raises(ValueError, match=f"^{name}: "):
            method(X, Y)
    if np.shape(X) != (0, N_FEATURES):
        with pytest.raises(ValueError, match=f"^{name}: "):
            network.evaluate(X, Y)
    assert_equal_arrays(arrays(network), before)
    assert network.step == 0


@pytest.mark.parametrize("k", [0, -1, 1.5, "3", None, True])
def test_k_out_of_range_is_refused(network, k):
    with pytest.raises(ValueError, match="k: "):
        network.predict(X3, k)
    with pytest.raises(ValueError, match="k"):
        network.evaluate(X3, Y3, ks=(1, k))


def test_ks_are_a_list_of_some(network):
    for ks in ((), 5):
        with pytest.raises(ValueError, match="ks: "):
            network.evaluate(X3, Y3, ks=ks)


@pytest.mark.parametrize(
    ("name", "value"), [("epochs", -1), ("epochs", 1.5), ("epochs", "2"), ("steps", -1), ("steps", 0.5)]
)
def test_lengths_of_training_out_of_range_are_refused(network, name, value):
    with pytest.raises(ValueError, match=f"{name}: "):
        network.fit(X3, Y3, **{name: value})
