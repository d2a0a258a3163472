"""Settings: what has no effect is refused, what is written once is the same everywhere, attributes take effect or say
why they do not."""

import inspect
from dataclasses import fields, replace

import numpy as np
import pytest

import slide
from slide import SGD, Adam, Dense, Network, RehashSchedule, Sampled, Schedule
from slide.cli import make_parser
from slide.cli.arguments import FIELDS
from slide.defaults import ALWAYS, BY_SIZE, make_network, recommended, refuse_unused, settings_of
from slide.hashing import SimHash
from slide.layers.weights import Weights
from slide.sampling import Sampler, Threshold, TopK, Uniform, Vanilla
from slide.settings.fields import default_of, given, options, with_effect
from slide.settings.network import NetworkSettings
from slide.state.storage import settings as saved_settings
from tests.networks import N_FEATURES, N_LABELS, assert_same, sampled, separable
from tests.test_testing_samplers import ByGroup


class Sized(Sampler):
    """A sampler of one's own whose size has another name."""

    needs_tables = False

    def __init__(self, size=5):
        self.size = size


TABLES = {"hash": "dwta", "K": 3, "L": 7, "bucket_size": 9, "policy": "reservoir", "rehash": RehashSchedule(N0=3),
          "reinsert": True}  # fmt: skip
SETS = {"active": 7, "min_active": 9, "label_fill": 0.5, "logq_correction": True, "max_labels": 2, "labels": False,
        "weight_type": "bfloat16"}  # fmt: skip
# (settings, the one that has no effect beside the others, where it belongs)
ALONE = [
    *[({"sampler": sampler, name: value}, name, "reads hash tables") for sampler in ("uniform", "full", Uniform, Sized)
      for name, value in TABLES.items()],
    *[({"sampler": "full", name: SETS[name]}, name, "leaves neurons out") for name in SETS if name != "active"],
    *[({"hash": SimHash(9, 2, 3), name: 4}, name, "by name or class") for name in ("K", "L")],
    *[({"sampler": sampler, "m": 3}, "m", "threshold")
      for sampler in ("vanilla", "topk", "uniform", "full", Vanilla, ByGroup, Threshold(m=2), Sized)],
    *[({"sampler": sampler, "active": 7}, "active", "an instance has its own")
      for sampler in (TopK(active=5), Threshold(5), Uniform(5), ByGroup(active=5))],
    ({"sampler": Sized, "active": 7, "min_active": 3}, "active", "or where min_active is None"),
    ({"logq_warmup": 3}, "logq_warmup", "logq_correction=True"),
    ({"min_active": 0, "label_fill": 0.5}, "label_fill", "min_active is not 0"),
    ({"sampler": "uniform", "label_fill": 0.5}, "label_fill", "draws uniformly, is given"),
    ({"moment_type": "bfloat16"}, "moment_type", "weight_type='bfloat16'"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "name", "belongs"), ALONE, ids=lambda x: str(x) if isinstance(x, str) else "")
def test_a_layer_refuses_what_has_no_effect_in_it(settings, name, belongs):
    with pytest.raises(ValueError, match=f"^{name}: found .* in Sampled.*has no effect; it belongs .*{belongs}"):
        Sampled(100, **settings)
    rest = with_effect(Sampled, settings)
    assert name not in rest and Sampled(100, **rest)


@pytest.mark.parametrize(
    "settings",
    [
        {"sampler": "threshold", "m": 3}, {"sampler": Threshold, "m": 3, "active": 5}, {"sampler": TopK(), "active": 5},
        {"sampler": Sized, "active": 5}, {"sampler": ByGroup, "active": 5}, {"hash": SimHash, "K": 3, "L": 4},
        {"hash": SimHash(9, 2, 3), "bucket_size": 4}, {"sampler": "uniform", "min_active": 20, "label_fill": 0.5},
        {"logq_correction": True, "logq_warmup": 5}, {"sampler": "full", "label_smoothing": 0.3, "init_std": 0.1},
        {"weight_type": "bfloat16", "moment_type": "bfloat16"}, {"sampler": "full", "K": 9, "active": 1000, "m": 2},
    ],
)  # fmt: skip
def test_a_layer_takes_what_has_an_effect_and_what_is_as_it_is_anyway(settings):
    assert with_effect(Sampled, settings).keys() == settings.keys() or settings["sampler"] == "full"
    assert Sampled(100, **settings).n_neurons == 100


LAST = {"label_fill": 0.5, "logq_correction": True, "max_labels": 2, "labels": False, "label_smoothing": 0.1}


@pytest.mark.parametrize(
    ("layers", "settings", "message"),
    [
        *[([Dense(4), Sampled(9, **{name: value}), Dense(5)], {}, rf"^{name}: found .* in layers\[1\], Sampled\(9.*"
           "belongs in the output layer") for name, value in LAST.items()],
        ([Sampled(9, logq_correction=True, logq_warmup=4), Dense(5)], {}, "^logq_correction: .* in the output layer"),
        ([Dense(4, label_smoothing=0.1), Dense(5)], {}, r"^label_smoothing: found 0.1 in layers\[0\], Dense\(4"),
        ([Dense(4), Dense(5)], {"group_size": 4}, "^group_size: found 4 in Network.*belongs with a Sampled layer"),
        ([Dense(4), Sampled(5, sampler="full")], {"group_size": 4}, "^group_size: .* whose sampler leaves neurons out"),
        ([Dense(5)], {"update": "hogwild"}, "^update: found 'hogwild' in Network.*belongs with a Sampled layer, or"),
        ([Dense(5)], {"dropout": 0.1}, "^dropout: found 0.1 in Network.*belongs with a hidden layer"),
        ([Dense(4), Sampled(5, weight_type="bfloat16", moment_type="bfloat16")], {"optimizer": SGD()},
         r"^moment_type: found 'bfloat16' in layers\[1\].*belongs with Adam"),
    ],
)  # fmt: skip
def test_a_network_refuses_what_has_no_effect_in_it(layers, settings, message):
    with pytest.raises(ValueError, match=message):
        Network(6, layers, **settings)


@pytest.mark.parametrize(
    ("layers", "settings"),
    [
        ([Dense(4), Dense(5)], {"update": "hogwild", "dropout": 0.1}), ([Sampled(5)], {"update": "hogwild"}),
        ([Sampled(4), Dense(5)], {"group_size": 4}),
        ([Dense(4), Sampled(5, label_fill=0.5, logq_correction=True, max_labels=2, label_smoothing=0.1)], {}),
        ([Dense(4), Sampled(5, sampler="full", label_smoothing=0.1)], {}), ([Dense(5, label_smoothing=0.1)], {}),
        ([Dense(4), Sampled(5, weight_type="bfloat16", moment_type="bfloat16")], {}),
    ],
)  # fmt: skip
def test_a_network_takes_what_has_an_effect(layers, settings):
    assert Network(6, layers, **settings).n_labels == 5


@pytest.mark.parametrize("size", [2**31, 2**64, 10**400])
def test_features_beyond_an_index_are_refused_by_name(size):
    with pytest.raises(ValueError, match="^n_features: found"):
        Network(size, [Dense(2), Sampled(9)])


@pytest.mark.parametrize("settings", [{"steps": 9}, {"final": 0.5}, {"warmup": 2, "final": 0.5}])
def test_a_constant_schedule_has_no_length_and_no_end(settings):
    with pytest.raises(ValueError, match="^(steps|final): found .* in Schedule.*belongs with "):
        Schedule(**settings)
    assert Schedule("linear", **{"steps": 9, **settings}).steps == 9


@pytest.mark.parametrize(
    ("name", "whose"),
    [("label_smoothing", "Dense and Sampled"), ("active", "Sampled"), ("N0", "RehashSchedule"), ("lr", "Adam and SGD"),
     ("kind", "Schedule"), ("beta1", "Adam")],
)  # fmt: skip
def test_a_setting_of_something_else_says_whose_it_is(name, whose):
    with pytest.raises(TypeError, match=f"^{name}: found among the settings of Network; it belongs to {whose}$"):
        Network(6, [Dense(5)], **{name: 1})
    with pytest.raises(TypeError, match="^colour: found among the settings of Network; it is no setting"):
        Network(6, [Dense(5)], colour=1)


def test_steps_or_epochs():
    X, Y = separable()
    with pytest.raises(ValueError, match="^epochs: found 2 beside steps=3, expected one of them"):
        Network(N_FEATURES, [Dense(N_LABELS)]).fit(X, Y, epochs=2, steps=3)


CLASSES = (Dense, Sampled, RehashSchedule, Schedule, Adam, SGD, NetworkSettings)


@pytest.mark.parametrize("cls", CLASSES)
def test_docstrings_have_every_setting_with_its_values_and_default(cls):
    text = " ".join(cls.__doc__.split())
    for f in fields(cls):
        assert f" {f.name} : " in text and f.metadata["text"][1:] in text and str(f.metadata["kind"]) in text
    assert "{settings}" not in text and "{settings}" not in Network.__doc__
    assert all(len(line) < 120 for line in cls.__doc__.splitlines())


def test_the_signature_of_a_network_has_every_setting():
    parameters = inspect.signature(Network).parameters
    assert list(parameters) == ["n_features", "layers", "comm", *(f.name for f in fields(NetworkSettings))]
    assert all(parameters[f.name].default == default_of(f) for f in fields(NetworkSettings))


@pytest.mark.parametrize("cls", CLASSES)
def test_every_default_is_a_value_of_its_setting(cls):
    for f in fields(cls):
        if f.name != "n_neurons":
            assert f.metadata["kind"].check(f.name, default_of(f)) == default_of(f) or f.name == "threads"


def test_what_is_shown_is_what_was_given():
    layer = Sampled(100, active=7, rehash=RehashSchedule(growth=0.0))
    assert repr(layer) == "Sampled(100, active=7, rehash=RehashSchedule(growth=0.0))"
    assert eval(repr(layer), vars(slide)) == layer and given(layer).keys() == {"active", "rehash"}
    assert [repr(x) for x in (Dense(4), Adam(), SGD(lr=1), Schedule("linear", steps=3))] == [
        "Dense(4)", "Adam()", "SGD(lr=1.0)", "Schedule(kind='linear', steps=3)",
    ]  # fmt: skip


def test_a_network_shows_what_it_is():
    network = Network(N_FEATURES, [Dense(16), sampled(hash="dwta"), sampled(sampler="uniform")], dropout=0.1, threads=1)
    network.fit(*separable(), steps=2)
    assert repr(network).splitlines() == [
        "Network 40 -> 16 -> 30 -> 30: 2,096 parameters, 2 batches trained",
        "  Dense(16): every neuron active",
        f"  {network.specs[1]!r}: Vanilla(active=12), tables of DWTA(K=3, L=6)",
        "  Sampled(30, sampler='uniform', active=12): Uniform(active=12)",
        "  Adam(), dropout=0.1, threads=1",
    ]


def test_the_command_line_has_every_setting_as_its_class_has_it():
    parser = make_parser()._subparsers._group_actions[0].choices["train"]
    arguments = {action.dest: action for action in parser._actions}
    assert FIELDS.keys() == {name for cls in (*CLASSES,) for name in options(cls)} <= arguments.keys()
    for name, f in FIELDS.items():
        help_ = arguments[name].help.replace("%%", "%")
        assert f.metadata["text"] in help_ and str(f.metadata["kind"]) in help_
    for option in ("reinsert", "rehash", "n_neurons"):
        assert option not in arguments


@pytest.mark.parametrize("option", [name for name, f in FIELDS.items() if hasattr(f.metadata["kind"], "parse")])
def test_the_command_line_takes_the_values_that_the_class_takes(option, capsys):
    f, parser = FIELDS[option], make_parser()
    files = ["train", "--train", "a", "--test", "b"]
    for value in ("0", "1", "-1", "0.5", "1.5", "inf", "nan", "2", "full", "bfloat16", "x", ""):
        try:
            expected = f.metadata["kind"].check(option, f.metadata["kind"].parse(value))
        except ValueError:
            expected = None
        try:
            found = getattr(parser.parse_args([*files, f"--{option.replace('_', '-')}={value}"]), option)
        except SystemExit as stop:
            found, _ = None, capsys.readouterr()
            assert stop.code == 2
        assert found == expected, value


def test_recommendations_are_those_that_the_command_line_tells_of():
    found = recommended(10_000, 50_000, {"logq_correction": True})
    assert found.keys() == {*ALWAYS, *BY_SIZE} and {name: found[name] for name in ALWAYS} == ALWAYS
    assert recommended(10_000, 100).keys() < found.keys()


@pytest.mark.parametrize(
    "change",
    [{}, {"sampler": "uniform"}, {"sampler": "full"}, {"min_active": 0}, {"logq_correction": True}, {"hidden": []},
     {"logq_correction": False, "label_smoothing": 0.0}, {"sampler": "tests.test_settings:Sized"},
     {"optimizer": "sgd"}, {"schedule": "constant"}, {"sampler": "threshold", "m": 3}],
)  # fmt: skip
@pytest.mark.parametrize("n_labels", [100, 3000])
def test_whatever_is_given_the_others_that_are_recommended_have_an_effect(change, n_labels):
    if n_labels == 100 and not change.keys() <= {"sampler", "m", "hidden", "optimizer", "schedule"}:
        return  # all neurons are active, and what is given has no effect
    chosen = {**recommended(500, n_labels, change), **change}
    refuse_unused(chosen, chosen)
    network = make_network(9, n_labels, 5, chosen)
    its = settings_of(network)
    for name, value in chosen.items():
        if name not in ("epochs", "sampler"):
            assert its[name] == value, name


def test_what_is_given_and_has_no_effect_is_refused_beside_recommendations():
    for change in ({"K": 3}, {"label_fill": 0.3}, {"group_size": 4}, {"N0": 3}, {"min_active": 5}):
        chosen = {**recommended(500, 100, change), **change}
        with pytest.raises(ValueError, match=f"^{[*change][0]}: found .* with sampler='full', chosen .* has no effect"):
            refuse_unused(change, chosen)
        with pytest.raises(ValueError, match="has no effect"):
            make_network(9, 100, 5, chosen)
    as_it_is = {"sampler": "full", "K": 9, "L": 50}
    with pytest.raises(ValueError, match="K: found 9, where it has no effect; it belongs with a sampler that reads"):
        refuse_unused(as_it_is, {**recommended(500, 100, as_it_is), **as_it_is})
    momentum = {"beta1": 0.9, "optimizer": "sgd"}
    with pytest.raises(ValueError, match="beta1: found 0.9.* where it has no effect; it belongs with optimizer='adam'"):
        refuse_unused(momentum, {**recommended(500, 100, momentum), **momentum})


def test_files_hold_every_setting():
    saved = saved_settings(Network(6, [Dense(4), Sampled(5)], threads=1))
    assert saved.keys() == {"n_features", "layers", *(f.name for f in fields(NetworkSettings))}
    assert saved["layers"][1].keys() == {"kind", *(f.name for f in fields(Sampled))}


@pytest.fixture
def network():
    return Network(N_FEATURES, [Dense(16), sampled(label_fill=0.5)], batch_size=32, seed=3, threads=2)


FIXED = ("exact_reads_sparse", "exact_calls_blas", "updates_early")  # what a class of layers is like
CHANGES = {
    "optimizer": Adam(lr=0.05, beta1=0.5, weight_decay=0.1), "schedule": Schedule("linear", steps=9), "batch_size": 20,
    "group_size": 5, "update": "hogwild", "dropout": 0.3, "normalize": False, "label_smoothing": 0.4,
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_an_attribute_takes_effect_from_the_next_batch(name, network, tmp_path):
    """As if the network had been made with it, loaded too."""
    X, Y = separable()
    if name == "update":
        network.threads = 1
    layers, settings = list(network.specs), {"batch_size": 32, "seed": 3, "threads": network.threads}
    if name == "label_smoothing":
        layers[-1] = replace(layers[-1], label_smoothing=CHANGES[name])
    else:
        settings[name] = CHANGES[name]
    expected = Network(N_FEATURES, layers, **settings).fit(X, Y, steps=4)
    plain = Network(N_FEATURES, network.specs, batch_size=32, seed=3, threads=2).fit(X, Y, steps=4)
    setattr(network, name, CHANGES[name])
    assert getattr(network, name) == CHANGES[name]
    network.fit(X, Y, steps=4).save(tmp_path / "model.npz")
    assert_same(network, expected)
    if name != "update":  # on one thread both ways add in the same order
        assert (network.layers[0].weights != plain.layers[0].weights).any()
    again = Network.load(tmp_path / "model.npz", threads=network.threads)
    assert getattr(again, name) == CHANGES[name]
    assert_same(again.fit(X, Y, steps=2), network.fit(X, Y, steps=2))


def test_the_way_of_the_update_takes_effect(network, monkeypatch):
    calls = []
    monkeypatch.setattr(Weights, "_update_hogwild", lambda self, *_: calls.append(self))
    network.update = "hogwild"
    network.partial_fit(*separable())
    assert calls == [network.layers[1].parameters, network.layers[0].parameters]


def test_a_batch_size_assigned_in_training_holds_from_the_next_call(network):
    X, Y = separable()
    network.fit(X, Y, epochs=1, callback=lambda network, _: setattr(network, "batch_size", 1000))
    assert (network.step, network.samples, network.batch_size) == (5, 150, 1000)
    network.fit(X, Y, epochs=2)
    assert (network.step, network.samples) == (7, 450)


def test_threads_take_effect(network):
    X, Y = separable()
    network.threads = 1
    index = network.layers[-1].index
    assert network.context.threads == index.threads == index.tables.threads == index.family.threads == 1
    others = Network(N_FEATURES, network.specs, batch_size=32, seed=3, threads=3)
    assert_same(network.fit(X, Y, steps=12), others.fit(X, Y, steps=12))
    network.threads = None
    assert network.threads == slide.machine.threads.available_threads()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("batch_size", 0, "batch_size: found 0"), ("dropout", 1.0, "dropout: found 1.0"), ("threads", -1, "threads: "),
        ("label_smoothing", 2, "label_smoothing: found 2"), ("optimizer", SGD(), "optimizer: found SGD.*expected Adam"),
        ("optimizer", "adam", "optimizer: found 'adam', expected Adam or SGD"), ("schedule", None, "schedule: found"),
        ("update", "fast", "update: found 'fast'"), ("normalize", 2, "normalize: found 2"),
    ],
)  # fmt: skip
def test_an_attribute_is_checked_and_otherwise_as_it_was(name, value, message, network):
    before = saved_settings(network)
    with pytest.raises(ValueError, match=message):
        setattr(network, name, value)
    assert saved_settings(network) == before


def test_an_attribute_that_would_have_no_effect_is_refused():
    network = Network(6, [Dense(5)])
    for name, value in (("dropout", 0.1), ("group_size", 4), ("update", "hogwild")):
        with pytest.raises(ValueError, match=f"{name}: found {value!r} in Network, where it has no effect"):
            setattr(network, name, value)
    wide = Network(6, [Dense(4), Sampled(5, weight_type="bfloat16")])
    with pytest.raises(ValueError, match="update: found 'hogwild', expected 'rows'"):
        wide.update = "hogwild"


def public(of):
    return [name for name in dir(of) if not name.startswith("_")]


def test_every_other_public_attribute_says_why_it_cannot_be_set(network):
    for owner in (network, *network.layers, Network(6, [Dense(5), Dense(3)]).layers[1]):
        for name in public(owner):
            if name in CHANGES or name == "threads" or callable(getattr(owner, name)) or name in FIXED:
                continue
            with pytest.raises(AttributeError, match=rf"\.{name} cannot be set: .{{10}}"):
                setattr(owner, name, None)
        with pytest.raises(AttributeError, match="has no attribute 'learning_rate' to set"):
            owner.learning_rate = 3
    with pytest.raises(TypeError):
        network.specs[0] = Dense(3)
    with pytest.raises(AttributeError):
        network.context.threads = 3


def test_arrays_of_layers_are_to_be_written_into(network):
    network.layers[-1].weights[...] = 0
    network.layers[-1].bias[...] = np.arange(N_LABELS)
    ids, _ = network.predict(np.ones((1, N_FEATURES)), k=2)
    assert ids.tolist() == [[N_LABELS - 1, N_LABELS - 2]]
