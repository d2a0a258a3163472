"""Hash families and samplers of others that return rubbish: a ValueError that names them, and a network as it was."""

import copy

import numpy as np
import pytest

from slide import Dense, Network, RehashSchedule, Sampled
from slide.hashing import ABSENT, HashFamily, SimHash
from slide.index import LSHIndex
from slide.rows import ActiveSet
from slide.sampling import Sampler, Vanilla, complete
from slide.tables import HashTables
from tests.networks import N_FEATURES, N_LABELS, assert_same, separable

X, Y = separable()


def network(**settings):
    rehash = {} if settings.get("sampler") is Rubbish else {"rehash": RehashSchedule(N0=1, growth=0.0), "K": 3, "L": 4}
    return Network(N_FEATURES, [Dense(8), Sampled(N_LABELS, min_active=12, **settings, **rehash)], batch_size=20,
                   group_size=8, threads=1)  # fmt: skip


class Rubbish(Sampler):
    """Returns what `make` makes of a sound ActiveSet."""

    needs_tables = False
    make = staticmethod(lambda sound, n: sound)

    def sample(self, tables, codes, n_rows, group_size, n_neurons, seed, step, threads=None):
        sound = ActiveSet.of([np.arange(g, g + 5) for g in range(-(-n_rows // group_size))])
        return type(self).make(sound, n_neurons)


def ids(change):
    def make(sound, n):
        array = sound.ids.copy()
        return ActiveSet(sound.indptr, change(array, n))

    return make


def put(place, value):
    def change(array, n):
        array = array.copy()
        array[place] = n if value == "n" else value
        return array

    return change


def indptr(change):
    return lambda sound, n: ActiveSet(change(sound.indptr.copy(), n), sound.ids)


SETS = {
    "None": lambda sound, n: None,
    "lists": lambda sound, n: [[1, 2], [3]],
    "a tuple": lambda sound, n: (sound.indptr, sound.ids),
    "an id too many": ids(put(2, "n")),
    "a negative id": ids(put(2, -1)),
    "a huge id": ids(put(0, 2**31 - 1)),
    "an id twice": ids(put(1, 0)),
    "ids of 64 bits": ids(lambda array, n: array.astype(np.int64)),
    "ids of floats": ids(lambda array, n: np.full(len(array), np.nan)),
    "ids of objects": ids(lambda array, n: array.astype(object)),
    "ids None": ids(lambda array, n: None),
    "ids of two dimensions": ids(lambda array, n: array[:, None]),
    "ids in a list": ids(lambda array, n: array.tolist()),
    "too few ids": ids(lambda array, n: array[:-1]),
    "too many ids": ids(lambda array, n: np.append(array, np.int32(1)).astype(np.int32)),
    "offsets that fall": indptr(lambda array, n: array[::-1].copy()),
    "offsets beyond": indptr(put(-1, 10**6)),
    "negative offsets": indptr(put(1, -5)),
    "offsets that begin late": indptr(put(0, 1)),
    "offsets that rise and fall": indptr(put(1, 9)),
    "offsets that fall beyond int64": indptr(lambda array, n: np.r_[0, 2**63 - 1, -(2**63), -1, array[4:]]),
    "no offsets": indptr(lambda array, n: array[:0]),
    "offsets of 32 bits": indptr(lambda array, n: array.astype(np.int32)),
    "offsets of NaN": indptr(lambda array, n: np.full(len(array), np.nan)),
    "a group too few": lambda sound, n: ActiveSet.of([sound[g] for g in range(len(sound) - 1)]),
    "a group too many": lambda sound, n: ActiveSet.of([*[sound[g] for g in range(len(sound))], [1]]),
}


@pytest.mark.parametrize("what", SETS)
def test_active_sets_that_are_rubbish_are_refused_by_name(what, monkeypatch):
    made = network(sampler=Rubbish)
    made.partial_fit(X, Y)
    before = copy.deepcopy(made)
    monkeypatch.setattr(Rubbish, "make", staticmethod(SETS[what]))
    for use in (lambda: made.partial_fit(X, Y), lambda: made.fit(X, Y), lambda: made.predict(X, sampled=True),
                lambda: made.evaluate(X, Y, sampled=True)):  # fmt: skip
        with pytest.raises(ValueError, match=r"^Rubbish\.sample: found"):
            use()
    monkeypatch.setattr(Rubbish, "make", staticmethod(lambda sound, n: sound))
    assert_same(made, before)
    assert made.partial_fit(X, Y) == before.partial_fit(X, Y)


def test_arrays_of_any_strides_and_that_change_later_are_copied(monkeypatch):
    kept = []

    def make(sound, n):
        wide = np.zeros((len(sound.ids), 3), np.int32)
        wide[:, 1] = sound.ids
        kept.append(wide)
        return ActiveSet(np.repeat(sound.indptr, 2)[::2], wide[:, 1])

    monkeypatch.setattr(Rubbish, "make", staticmethod(make))
    assert network(sampler=Rubbish).fit(X, Y).step == 8 and kept


class Writes(Vanilla):
    def sample(self, tables, *args, **kwargs):
        for array in (tables.items, tables.buckets, tables.located):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 2**30
        return super().sample(tables, *args, **kwargs)


def test_a_sampler_cannot_write_to_the_tables():
    network(sampler=Writes, active=9).fit(X, Y, steps=2)


@pytest.mark.parametrize("active", [0, -1, 2.5, "a", np.nan])
def test_a_sampler_whose_active_is_no_number_is_refused(active):
    class Wrong(Vanilla):
        def __init__(self):
            self.active = active

    with pytest.raises(ValueError, match=r"Wrong\.active: found|active: found"):
        network(sampler=Wrong)


def test_completion_follows_nothing_that_leads_outside():
    sound, pool = ActiveSet.of([[1, 2], [3]]), np.zeros(4, np.int32)
    for bad in (ActiveSet(np.array([0, 2, 9]), sound.ids), ActiveSet(np.array([0, 4, 3]), sound.ids)):
        with pytest.raises(ValueError, match="retrieved: found"):
            complete(bad, None, None, 1, 3, 5, 0, 1)
    for wrong in (5, -1, 2**30):
        with pytest.raises(ValueError, match="pool: found ids"):
            complete(sound, None, None, 1, 3, 5, 0, 1, pool=pool + np.int32(wrong))


class Own(HashFamily):
    """SimHash's codes, and what `make` makes of them."""

    bits_per_hash = 1
    make = staticmethod(lambda codes: codes)
    make_query = staticmethod(lambda codes: codes)
    learnt = 0.0

    def codes(self, rows):
        return type(self).make(SimHash(self.dim, self.K, self.L, self.seed).codes(rows))

    def query_codes(self, rows):
        return type(self).make_query(SimHash(self.dim, self.K, self.L, self.seed).codes(rows))


CODES = {
    "None": lambda codes: None,
    "a list": lambda codes: codes.tolist(),
    "floats": lambda codes: codes.astype(np.float32),
    "NaN": lambda codes: np.full(codes.shape, np.nan),
    "objects": lambda codes: codes.astype(object),
    "bits beyond": lambda codes: codes | np.uint32(8),
    "the most bits": lambda codes: np.full(codes.shape, 2**32 - 2, np.uint32),
    "negative": lambda codes: codes.astype(np.int64) - 8,
    "64 bits": lambda codes: codes.astype(np.uint64) + 2**40,
    "a row too few": lambda codes: codes[1:],
    "a row too many": lambda codes: np.concatenate([codes, codes[:1]]),
    "a table too few": lambda codes: codes[:, 1:],
    "a table too many": lambda codes: np.concatenate([codes, codes[:, :1]], axis=1),
    "flat": lambda codes: codes.ravel(),
    "three dimensions": lambda codes: codes[None],
    "booleans": lambda codes: codes > 0,
    "text": lambda codes: codes.astype("U3"),
}


@pytest.mark.parametrize("what", CODES)
def test_codes_that_are_rubbish_are_refused_by_name(what, monkeypatch):
    made = network(hash=Own)
    made.partial_fit(X, Y)
    before = copy.deepcopy(made)
    with monkeypatch.context() as patched:
        patched.setattr(Own, "make", staticmethod(CODES[what]))
        for use in (lambda: made.partial_fit(X, Y), made.rehash, lambda: network(hash=Own)):
            with pytest.raises(ValueError, match=r"^Own\.codes: found"):
                use()
    with monkeypatch.context() as patched:
        patched.setattr(Own, "make_query", staticmethod(CODES[what]))
        for use in (lambda: made.partial_fit(X, Y), lambda: made.predict(X, sampled=True)):
            with pytest.raises(ValueError, match=r"^Own\.query_codes: found"):
                use()
    made.rehash()
    before.rehash()
    assert_same(made, before)
    assert made.partial_fit(X, Y) == before.partial_fit(X, Y)


def test_sound_codes_of_other_types_and_absent_ones_are_taken(monkeypatch):
    expected = network(hash=Own).fit(X, Y)
    for sound in (lambda codes: codes.astype(np.int64), lambda codes: np.asfortranarray(codes)):
        monkeypatch.setattr(Own, "make", staticmethod(sound))
        assert_same(network(hash=Own).fit(X, Y), expected)
    monkeypatch.setattr(Own, "make", staticmethod(lambda codes: np.where(codes > 3, np.uint32(ABSENT), codes)))
    network(hash=Own).fit(X, Y)


def family(**attributes):
    return type("Odd", (Own,), {"__module__": __name__, **attributes})


def initial(**values):
    def __init__(self, dim, K, L, seed=0):
        Own.__init__(self, dim, K, L, seed)
        vars(self).update(values)

    return {"__init__": __init__}


@pytest.mark.parametrize(
    "odd",
    [
        family(**initial(L=0)), family(**initial(L=2.5)), family(**initial(L=None)), family(**initial(K="a")),
        family(**initial(dim=-3)), family(bits_per_hash=0), family(bits_per_hash=None),
        family(__init__=lambda self, dim, K, L, seed=0: None),
    ],
)  # fmt: skip
def test_a_family_of_no_size_is_refused_by_name(odd):
    with pytest.raises((ValueError, TypeError), match=r"Odd|K: found"):
        network(hash=odd)


def test_a_family_whose_size_follows_from_its_seed_is_refused():
    class Growing(Own):
        def __init__(self, dim, K, L, seed=0):
            super().__init__(dim, K, L + (seed % 7919 != 1), seed)

    made = LSHIndex(lambda seed: Growing(8, 3, 4, seed), 20, RehashSchedule(1, 0.0, 1), 1, 8, "fifo", 1)
    weights = np.ones((20, 8), np.float32)
    made.build(weights)
    before = {name: array.copy() for name, array in made.state().items()}
    other = LSHIndex(lambda seed: Growing(8, 3, 4, seed + (seed > 1)), 20, RehashSchedule(1, 0.0, 1), 1, 8, "fifo", 1)
    other.build(weights)
    with pytest.raises(ValueError, match="Growing: found L = 5"):
        other.maintain(1, weights)
    for name, array in other.state().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (None, "found NoneType"), ([1], "found list"), ({"a": None}, "expected an array of numbers"),
        ({"a": "text"}, "expected an array of numbers"), ({"a": {}}, "expected an array of numbers"),
        ({"a": [[1], [1, 2]]}, "expected an array of numbers"), ({"a": np.array([np.nan])}, "found NaN"),
        ({"a": np.array([{}])}, "found object"), ({1: np.zeros(2)}, "expected a word"), ({"": 1.0}, "expected a word"),
        ({"a/b": 1.0}, "expected a word"),
    ],
)  # fmt: skip
def test_a_state_that_is_no_arrays_is_refused_when_it_is_saved(state, message, tmp_path, monkeypatch):
    made = network(hash=Own).fit(X, Y, steps=2)
    with monkeypatch.context() as patched:
        patched.setattr(Own, "state", lambda self: state)
        for use in (lambda: made.save(tmp_path / "model.npz"), lambda: copy.deepcopy(made)):
            with pytest.raises(ValueError, match=rf"Own\.state.*{message}"):
                use()
    assert not list(tmp_path.iterdir())
    made.save(tmp_path / "model.npz")
    assert_same(Network.load(tmp_path / "model.npz", threads=1).fit(X, Y), made.fit(X, Y))


def test_a_state_of_another_shape_is_refused_when_it_is_loaded(tmp_path):
    class Learns(Own):
        def __init__(self, dim, K, L, seed=0):
            super().__init__(dim, K, L, seed)
            self.means = np.zeros(dim)

        def fit(self, rows):
            self.means = rows.mean(axis=0, dtype=np.float64)

        def state(self):
            return {"means": self.means}

        def load_state(self, state):
            if state:
                self.means = state["means"]

    path = tmp_path / "model.npz"
    network(hash=Learns).fit(X, Y, steps=2).save(path)
    Network.load(path, hash=Learns)
    name = "layers.1.index.family.means"
    with np.load(path) as archive:
        arrays = dict(archive)
    for wrong in (np.zeros(7), np.zeros((8, 1)), np.zeros(8, np.float32), np.full(8, np.nan)):
        np.savez(path, **{**arrays, name: wrong})
        with pytest.raises(ValueError, match=r"Learns\.state\['means'\]: found"):
            Network.load(path, hash=Learns)
    np.savez(path, **{**arrays, "layers.1.index.family.more": np.zeros(2)})
    with pytest.raises(ValueError, match=r"Learns\.state: found arrays \['means', 'more'\]"):
        Network.load(path, hash=Learns)


def test_tables_take_any_codes_and_follow_none_outside():
    tables = HashTables(30, 4, 3, threads=2)
    rng = np.random.default_rng(0)
    for codes in (rng.integers(0, 2**32, (30, 4), dtype=np.uint32), np.full((30, 4), 2**32 - 2, np.uint32)):
        tables.build(codes)
        tables.update(np.arange(30), codes[::-1])
        assert len(tables.query(codes).ids) > 0
