"""Public callables with arguments that are right, nearly right, or anything."""

import numpy as np
import pytest

from slide import Dense, Network, RehashSchedule, Sampled, data, hashing, prediction, sampling
from slide import __all__ as names
from slide.metrics import evaluate_topk, popularity_baseline, propensities
from tests.robustness import calls, fuzz
from tests.robustness.calls import CALLS, index, tables

# Their objects are made by others here, or are data alone.
LEFT_OUT = {"Evaluation", "Data", "Vocabulary", "DATASETS", "FAMILIES", "SAMPLERS", "ABSENT", "RowHasher", "HashFamily",
            "Sampler", "group_rng", "inclusion_weights", "retrieve"}  # fmt: skip


def test_every_public_callable_is_tried():
    tried = {word for name in CALLS for word in name.split(".")}
    classes = {cls.__name__: name for name, cls in (hashing.FAMILIES | sampling.SAMPLERS).items()}
    public = [*names, *hashing.__all__, *sampling.__all__, *data.__all__, *prediction.__all__]
    assert [name for name in public if name not in LEFT_OUT and classes.get(name, name) not in tried] == []


def test_any_arguments_give_a_sane_result_or_an_error_that_names_one(tmp_path):
    outcomes = fuzz.run("calls", 700, seed=11, faults=str(tmp_path))
    assert not fuzz.faults_of(outcomes) and sum(outcomes.values()) == 700 and outcomes["done"] > 100


def test_weights_of_another_shape_are_not_indexed():
    """Fewer rows would leave in place what the last build had."""
    with pytest.raises(ValueError, match=r"weights: found float32 of shape \(5, 9\), expected float32 \(12, 9\)"):
        index().build(np.ones((5, 9), np.float32))


@pytest.mark.parametrize("state", [None, 3, "a", {1: 2}, np.zeros(3), {"counters": np.array([0, 2**63 - 1])}])
def test_states_that_are_none_are_refused(state):
    for made in (index(), tables()):
        with pytest.raises(ValueError, match="state|counters|settings"):
            made.load_state(state)


def test_counters_beyond_all_training_are_refused():
    """One more would be too many for a kernel."""
    far = 2**63 - 1
    for name, wrong in (("counters", [0, far]), ("counters", [far, 5]), ("tables.progress", [2 * far + 1, 1])):
        state = index().state()
        state[name] = np.array(wrong, state[name].dtype)
        with pytest.raises(ValueError, match="found"):
            index().load_state(state)


@pytest.mark.parametrize("wrong", ["", None, 1.5, -1, 2**64, [1]])
@pytest.mark.parametrize("name", sampling.SAMPLERS)
def test_samplers_take_whole_numbers_alone(name, wrong):
    for argument in ("n_rows", "group_size", "n_neurons", "seed", "step"):
        draws = argument not in ("seed", "step") or name not in ("topk", "threshold")
        if draws and (argument, wrong) != ("group_size", 2**64):
            arguments = {"n_rows": 12, "group_size": 2, "n_neurons": 12, "seed": 1, "step": 1, argument: wrong}
            with pytest.raises(ValueError, match=f"^{argument}: found"):
                calls.sample_of(name, **arguments)


def test_a_rehash_that_never_comes_can_be_saved(tmp_path):
    for schedule in (RehashSchedule(2**31 - 1), RehashSchedule(2**31 - 1, 1e300), RehashSchedule(1, 1e300)):
        layers = [Dense(4), Sampled(calls.M, active=3, K=2, L=3, rehash=schedule)]
        network = Network(calls.D, layers, threads=1).fit(calls.X, calls.Y, steps=4)
        network.save(tmp_path / "model.npz")
        Network.load(tmp_path / "model.npz").fit(calls.X, calls.Y, steps=1)
    with pytest.raises(ValueError, match="N0: found"):
        RehashSchedule(10**30)


def test_constants_of_propensities_that_overflow_are_refused():
    for A, B in ((1e75, 1e38), (-1e9, 2.0), (float("nan"), 1.0), (0.5, 0.0), ("a", 1.0), (0.5, np.zeros(0))):
        with pytest.raises(ValueError, match="[AB]: found"):
            propensities(calls.Y, A, B)


@pytest.mark.parametrize("ks", [5, None, 1.5, "a", [], [0], [1.5], {1}, np.arange(3)])
def test_ks_are_lists_of_whole_numbers(ks):
    top = np.argsort(-calls.Y, axis=1)
    for use in (lambda: evaluate_topk(calls.Y, top, ks), lambda: popularity_baseline(calls.Y, calls.Y, ks),
                lambda: calls.NETWORKS[0].evaluate(calls.X, calls.Y, ks)):  # fmt: skip
        with pytest.raises(ValueError, match="ks: found"):
            use()


def test_a_number_is_no_path():
    """It would be a file that somebody else has open."""
    for use in (data.load, data.read, data.load_xmc, data.read_header, Network.load):
        with pytest.raises(TypeError, match="PathLike"):
            use(0)
