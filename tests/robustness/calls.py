"""Public callables with arguments that are right, nearly right, or anything: a sane result, or an error that names what
was wrong."""

import copy
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from scipy import sparse

import slide
from slide import SGD, Adam, Dense, Network, RehashSchedule, Sampled, Schedule, data, hashing, metrics, sampling
from slide.index import LSHIndex
from slide.prediction import Ensemble, Mixed, Mixing, Neighbours
from slide.rows import ActiveSet, SparseRows, as_label_rows, as_sparse_rows
from slide.tables import HashTables

ALLOWED = (ValueError, TypeError, MemoryError, FloatingPointError, OSError)
N, D, M = 12, 9, 7  # rows, features, labels of what is right

# ---- Arguments -----------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
X = RNG.random((N, D), np.float32) * (RNG.random((N, D)) < 0.6)
Y = np.eye(M, dtype=np.float32)[RNG.integers(0, M, N)]


def lying(matrix, **arrays):
    """A sparse matrix whose arrays were replaced behind its back."""
    matrix = matrix.copy()
    for name, array in arrays.items():
        vars(matrix)[name] = np.asarray(array)
    return matrix


CSR = sparse.csr_matrix(X)
INTEGERS = st.sampled_from([0, 1, -1, 2, 3, 7, 31, 32, 33, 64, 1000, 2**15, 2**20, 2**31 - 1, 2**31, 2**32, 2**63,
    2**64])
NUMBERS = st.sampled_from([0.0, -0.0, 0.5, 1.0, -1.0, 1e-45, 1e-300, 1e38, 1e308, np.inf, -np.inf, np.nan,
    np.float32(3)])
ARRAYS = st.sampled_from([
    np.zeros(0), np.zeros((0, 0)), np.zeros((N, 0)), np.zeros((0, D)), np.zeros((N, D + 1)), np.zeros((N, D, 1)), X[:,
    ::-1],
    np.full((N, D), np.nan), np.full((N, D), np.inf), np.full((N, D), 1e300), X.astype(complex), X.astype(object),
    X.astype("U3"), X > 0, X.astype(np.float16), np.asfortranarray(X), X[:1], X[0], np.arange(N), -np.arange(N), Y[:,
    :-1],
    np.full(N, 2**40), np.arange(N, dtype=np.uint64) + 2**63, np.ma.masked_less(X, 0.5), -Y, Y / 2, np.zeros((N, M),
    bool),
    np.array(5), np.array(None), np.full((N, M), -1), np.zeros((N, 4), np.uint32), np.full((N, 4), 2**32 - 1,
    np.uint32),
])  # fmt: skip
MATRICES = st.sampled_from([
    CSR.tocsc(), CSR.tocoo(), CSR.tolil(), CSR.todok(), CSR.todia(), CSR.tobsr(), sparse.csr_array(X), CSR[:0], CSR[:,
    :0],
    lying(CSR, indices=CSR.indices + 10**8), lying(CSR, indices=-CSR.indices), lying(CSR,
    indptr=CSR.indptr[::-1].copy()),
    lying(CSR, indptr=CSR.indptr + 1), lying(CSR, indptr=CSR.indptr * 1000), lying(CSR, data=CSR.data[:3]),
    lying(CSR, data=np.full(CSR.nnz, np.nan)), sparse.csr_matrix((N, 2**31 - 1)), sparse.csr_matrix((N, M)), CSR * 1e30,
])  # fmt: skip
OTHERS = st.sampled_from([
    None, True, False, "", "a", "vanilla", "full", "simhash", "x" * 500, "\0", b"bytes", [], [1, 2], [[]], [[0], [1,
    2]], (),
    {}, {"a": 1}, {1, 2}, object(), int, Network, lambda *a: None, Path("nowhere"), slice(3), [None] * N, [[0]] * N,
    SimpleNamespace(shape=(N, D), dtype=np.float32), 10**400, -(10**400), 1j, np.datetime64("2020"), Ellipsis, range(N),
    [["a"]] * N, [[-1]] * N, [[M]] * N, [[0, 0]] * N, [[1.5]] * N, iter(()),
])  # fmt: skip
ODD = st.one_of(INTEGERS, NUMBERS, ARRAYS, MATRICES, OTHERS, st.text(max_size=5), st.integers(), st.floats())
# Where any whole number is right: none that are legal and take for ever.
SHORT = st.one_of(NUMBERS, ARRAYS, MATRICES, OTHERS, st.integers(-5, 5))

ROWS = st.sampled_from([X, CSR, sparse.csr_array(X), X.astype(np.float64), X[:3]])
LABELS = st.sampled_from([Y, sparse.csr_matrix(Y), Y.astype(bool), Y.argmax(axis=1),
    [[int(i)] for i in Y.argmax(axis=1)]])
SMALL = st.integers(1, 9)
LAYERS = st.sampled_from([
    [Dense(5), Dense(M)], [Dense(M)], [Dense(5), Sampled(M, active=3, K=2, L=3)], [Sampled(M, active=3, K=2, L=3)],
    [Sampled(8, active=3, K=2, L=3), Sampled(M, active=3, hash="ranged", K=2, L=3)],
])  # fmt: skip


def network(layers=None):
    layers = layers or [Dense(5), Sampled(M, active=3, K=2, L=3)]
    return Network(D, layers, batch_size=5, threads=1, seed=1).fit(X, Y, steps=2)


NETWORKS = [network(), network([Dense(5), Dense(M)]), network([Sampled(M, active=3, K=2, L=3)])]
NETWORK = st.sampled_from(NETWORKS)
SETS = ActiveSet.of([[0, 1], [2]])
PROPENSITIES = st.sampled_from([np.full(M, 0.5), np.linspace(0.1, 1, M)])
TOP = st.sampled_from([np.argsort(-Y, axis=1), np.argsort(-Y, axis=1).astype(np.int32), np.full((N, M), -1)])


def tables(built=True):
    made = HashTables(N, 4, 6, bucket_size=4, threads=1)
    if built:
        made.build(RNG.integers(0, 64, (N, 4), dtype=np.uint32))
    return made


def index():
    made = LSHIndex(lambda seed: hashing.SimHash(D, 3, 4, seed), N, RehashSchedule(2, 0.0), 1, 8, "fifo", 1)
    made.build(X)
    return made


CODES = st.sampled_from([RNG.integers(0, 64, (n, 4), dtype=np.uint32) for n in (N, 3)])
HEADS = {
    "dim": st.integers(8, 20), "K": st.integers(1, 3), "L": st.integers(1, 4), "seed": st.integers(0, 9),
}  # fmt: skip
DRAWS = {
    "n_rows": st.just(N), "group_size": SMALL, "n_neurons": st.just(N), "seed": SMALL, "step": SMALL,
    "threads": st.sampled_from([None, 1, 2]),
}  # fmt: skip


# ---- Results -------------------------------------------------------------------------------------------------------


def is_top(result, n_labels):
    ids, values = result
    assert ids.shape == values.shape and ids.dtype == np.int32 and values.dtype == np.float32
    assert ids.size == 0 or (-1 <= ids.min() and ids.max() < n_labels)
    assert np.isfinite(values[ids >= 0]).all()


def is_score(result):
    assert isinstance(result, float) and 0 <= result <= 1 + 1e-9


def are_scores(result):
    assert result and all(0 <= value <= 1 + 1e-9 for value in result.values())


def are_codes(result):
    assert result.dtype == np.uint32 and result.ndim == 2


def are_rows(rows):
    rows.to_scipy().check_format()
    assert np.isfinite(rows.values).all()
    assert not len(rows.ids) or 0 <= rows.ids.min() <= rows.ids.max() < rows.shape[1]


def is_matrix_pair(result):
    for matrix in result:
        matrix.check_format()


def is_number(result):
    assert np.isfinite(result)


# ---- Callables -----------------------------------------------------------------------------------------------------


def method(make, name):
    """A method of what `make()` makes anew for each call."""
    return lambda **arguments: getattr(make(), name)(**arguments)


def of_network(name):
    return lambda network, **arguments: getattr(copy.deepcopy(network), name)(**arguments)


def of_wide(name):
    return lambda **arguments: getattr(slide.SampledSoftmax(D, M, active=3, threads=1), name)(**arguments)


def set_attribute(network, name, value):
    network = copy.deepcopy(network)
    setattr(network, name, value)
    network.fit(X, Y, steps=1)


def rate_of(make, step, **settings):
    return make(**settings).rate(step)


def sample_of(cls, **arguments):
    made = sampling.SAMPLERS[cls](**({"active": 3} if cls != "full" else {}))
    return made.sample(tables(), RNG.integers(0, 64, (N, 4), dtype=np.uint32), **arguments)


def with_file(name):
    def call(folder, content, **arguments):
        path = Path(folder, "file.txt")
        path.write_bytes(content)
        return getattr(data, name)(path, **arguments)

    return call


SETTINGS = {
    "optimizer": st.sampled_from([Adam(), SGD(), Adam(lr=0.1)]), "schedule": st.just(Schedule()), "batch_size": SMALL,
    "group_size": SMALL, "update": st.sampled_from(["rows", "hogwild"]), "dropout": st.just(0.0), "seed": SMALL,
    "normalize": st.booleans(), "threads": st.sampled_from([None, 1, 2]), "huge_pages": st.booleans(),
}  # fmt: skip
FILES = {"content": st.sampled_from([b"2 3 4\n0 0:1\n1,2 2:5\n", b"0 1:1\n2 3:1\n", b"", b"__label__a b\n",
    b"2 3\n0:1\n1:1\n"])}
MATRIX_PAIR = {"X": ROWS, "Y": LABELS}
FIT = MATRIX_PAIR | {"epochs": st.sampled_from([None, 0, 1]), "steps": st.sampled_from([None, 0, 2]),
    "callback": st.none(), "validation": st.sampled_from([None, 0.3, (X, Y)]), "patience": st.none(),
    "monitor": st.none(), "restore_best": st.none(), "evaluate_every": st.none(), "mask_seen": st.none()}
SCORED = {"X": ROWS, "Y": LABELS, "ks": st.sampled_from([(1, 3), [5], (1, 50)])}
TRUE = {"Y_true": LABELS, "top_ids": TOP}


def trained(network):
    return network.fit(X, Y, steps=1) if network.n_features == D else network


# name: (callable, {argument: strategy of right ones}, check of a result or None, arguments that stay short)
CALLS = {
    "Network": (lambda **a: trained(Network(**a)), {"n_features": st.just(D), "layers": LAYERS, **SETTINGS},
        None),
    "Dense": (Dense, {"n_neurons": SMALL, "init_std": st.none(), "label_smoothing": st.just(0.1)}, None),
    "Sampled": (lambda **a: Network(D, [Dense(4), Sampled(**a)], threads=1).fit(X, Y, steps=2), {
        "n_neurons": st.just(M), "active": SMALL, "K": SMALL, "L": SMALL, "bucket_size": SMALL,
        "hash": st.sampled_from(sorted(hashing.FAMILIES)), "policy": st.sampled_from(["fifo", "reservoir"]),
        "rehash": st.just(RehashSchedule(2)), "min_active": SMALL, "label_fill": st.just(0.5),
            "logq_warmup": st.just(0),
        "logq_correction": st.booleans(), "max_labels": st.sampled_from([None, 1]), "reinsert": st.booleans(),
        "sampler": st.sampled_from(["vanilla", "topk", "threshold"]), "label_smoothing": st.just(0.1),
        "weight_type": st.sampled_from(["float32", "bfloat16"]),
    }, None),
    "Adam": (Adam, {"lr": NUMBERS, "beta1": NUMBERS, "beta2": NUMBERS, "eps": NUMBERS, "weight_decay": NUMBERS}, None),
    "SGD": (SGD, {"lr": NUMBERS, "weight_decay": NUMBERS}, None),
    "Schedule": (lambda **a: rate_of(Schedule, **a), {
        "kind": st.sampled_from(["constant", "cosine", "linear"]), "warmup": SMALL, "steps": SMALL, "step": SMALL,
    }, is_number),
    "RehashSchedule": (lambda t, **a: RehashSchedule(**a).interval(t),
                       {"N0": SMALL, "growth": NUMBERS, "renew_every": SMALL, "t": SMALL}, is_number),
    "RehashSchedule.count": (lambda steps, **a: RehashSchedule(**a).count(steps),
                             {"N0": SMALL, "growth": st.just(0.1), "steps": st.integers(0, 1000)}, is_number, "steps"),
    "Network.fit": (of_network("fit"), {"network": NETWORK, **FIT}, None, "network", "epochs", "steps"),
    "Network.partial_fit": (of_network("partial_fit"), {"network": NETWORK, **MATRIX_PAIR}, is_number, "network"),
    "Network.predict": (of_network("predict"), {"network": NETWORK, "X": ROWS, "k": SMALL, "sampled": st.booleans()},
                        lambda result: is_top(result, M), "network"),
    "Network.evaluate": (of_network("evaluate"), {
        "network": NETWORK, **SCORED, "sampled": st.booleans(), "propensities": st.one_of(st.none(), PROPENSITIES),
    }, lambda result: are_scores(result.scores), "network"),
    "Network.grow": (of_network("grow"), {"network": NETWORK, "factor": NUMBERS}, None, "network"),
    "Network.save": (of_network("save"), {"network": NETWORK, "path": st.just("/dev/null/x")}, None, "network"),
    "Network.load": (Network.load, {"path": st.just("nowhere"), "threads": SMALL, "hash": st.none(),
        "sampler": st.none()}, None),
    "Network.attribute": (set_attribute, {
        "network": NETWORK, "value": SMALL, "name": st.sampled_from([*SETTINGS, "label_smoothing"]),
    }, None, "network", "name"),
    **{f"SampledSoftmax.{name}": (of_wide(name), {"h": st.just(X), **more}, check) for name, more, check in (
        ("learn", {"Y": LABELS, "sample_weight": st.none(), "reduction": st.sampled_from(["mean", "sum"])}, None),
        ("loss", {"Y": LABELS, "reduction": st.sampled_from(["mean", "sum"])}, is_number),
        ("topk", {"k": SMALL}, None), ("logits", {}, None),
    )},
    "SampledHidden": (lambda **a: slide.SampledHidden(threads=1, **a).forward(X), {
        "n_inputs": st.just(D), "n_neurons": SMALL, "active": SMALL,
    }, None, "n_inputs"),
    "build_info": (slide.build_info, {}, lambda result: json.dumps(result)),
    "get_include": (slide.get_include, {}, lambda result: Path(result).is_dir()),
    **{f"hashing.{name}": (family, dict(HEADS), None) for name, family in hashing.FAMILIES.items()},
    **{f"hashing.{name}.{way}": (method(lambda family=family: family(D, 2, 3), way), {"rows": ROWS}, check)
       for name, family in hashing.FAMILIES.items()
       for way, check in (("codes", are_codes), ("query_codes", are_codes), ("dense", None))},
    **{f"hashing.{name}.codes_taken": (method(lambda family=family: family(D, 2, 3), "codes_taken"),
                                       {"rows": ROWS, "ids": st.just(np.arange(3))}, are_codes)
       for name, family in hashing.FAMILIES.items()},
    "hashing.pack": (method(lambda: hashing.SimHash(D, 2, 3), "pack"), {"hashes": st.just(np.ones((N, 6), int))},
        are_codes),
    "hashing.wta": (hashing.WTA, {**HEADS, "bin_size": st.just(4)}, None),
    "hashing.minhash": (hashing.MinHash, {**HEADS, "top_k": st.just(3), "bits": SMALL}, None),
    "hashing.ranged": (hashing.Ranged, {**HEADS, "share": NUMBERS, "errors": NUMBERS}, None),
    "hashing.cross": (hashing.CrossPolytope, {**HEADS, "width": st.just(8)}, None),
    **{f"sampling.{name}": (sampling.SAMPLERS[name], {"active": SMALL} if name != "full" else {}, None)
       for name in sampling.SAMPLERS},
    **{f"sampling.{name}.sample": (lambda name=name, **a: sample_of(name, **a), dict(DRAWS), None)
       for name in sampling.SAMPLERS},
    "sampling.complete": (sampling.complete, {
        "retrieved": st.just(SETS), "labels_indptr": st.just(np.array([0, 1, 2], np.int64)),
        "labels_ids": st.just(np.array([3, 4], np.int32)), "group_size": st.just(1), "minimum": SMALL,
        "n_neurons": st.just(N), "seed": SMALL, "step": SMALL, "threads": st.just(1),
        "pool": st.sampled_from([None, np.arange(5, dtype=np.int32)]), "pool_share": st.just(0.5),
    }, None),
    "HashTables": (HashTables, {
        "n_items": SMALL, "L": SMALL, "code_bits": SMALL, "bucket_size": SMALL, "policy": st.sampled_from(["fifo",
            "reservoir"]),
        "range_bits": st.none(), "seed": SMALL, "threads": st.just(1),
    }, None),
    "HashTables.build": (method(tables, "build"), {"codes": CODES}, None),
    "HashTables.update": (method(tables, "update"), {"ids": st.just(np.arange(3)), "codes": CODES}, None),
    "HashTables.query": (method(tables, "query"), {"codes": CODES}, None),
    "HashTables.locate": (method(tables, "locate"), {"codes": CODES}, None),
    "HashTables.load_state": (method(tables, "load_state"), {"state": st.builds(lambda: tables().state())}, None),
    "LSHIndex.build": (method(index, "build"), {"weights": st.sampled_from([X, np.asfortranarray(X)])}, None),
    "LSHIndex.codes": (method(index, "codes"), {"rows": ROWS}, None),
    "LSHIndex.load_state": (method(index, "load_state"), {"state": st.builds(lambda: index().state())}, None),
    "data.load": (with_file("load"), {**FILES, "format": st.none(), "one_based": st.booleans(), "n_features": st.none(),
                                      "n_labels": st.none(), "need_labels": st.just(True)}, is_matrix_pair, "content"),
    "data.read": (data.read, {"path": st.just("nowhere"), "like": st.none(), "format": st.none()}, None),
    "data.load_xmc": (data.load_xmc, {"path": st.just("nowhere")}, None),
    "data.read_header": (data.read_header, {"path": st.just("nowhere")}, None),
    "data.load_folder": (data.load_folder, {"path": st.just("nowhere")}, None),
    "data.load_public": (data.load_public, {"name": st.just("bibtex"), "root": st.just("nowhere")}, None),
    "data.save": (lambda folder, name, **a: data.save(Path(folder, name), **a), {
        "name": st.sampled_from(["a.txt", "a.npz", "a.libsvm", "a.txt.gz"]), **MATRIX_PAIR, "vocabulary": st.none(),
    }, None, "name"),
    "data.save_xmc": (lambda folder, **a: data.save_xmc(Path(folder, "a.txt"), **a), MATRIX_PAIR, None),
    "data.keeps_vocabulary": (data.keeps_vocabulary, {"path": st.just("a.npz")}, None),
    "data.make_xmc": (data.make_xmc, {
        "preset": st.just("delicious-200k"), "n_train": st.just(5), "n_test": st.just(3), "scale": st.just(0.02),
        "seed": SMALL,
    }, None, "n_train", "n_test"),
    "metrics.precision_at_k": (metrics.precision_at_k, {**TRUE, "k": st.integers(1, 5)}, is_score),
    "metrics.ndcg_at_k": (metrics.ndcg_at_k, {**TRUE, "k": st.integers(1, 5)}, is_score),
    "metrics.psp_at_k": (metrics.psp_at_k, {**TRUE, "k": st.integers(1, 5), "propensities": PROPENSITIES}, is_score),
    "metrics.propensities": (metrics.propensities, {"Y_train": LABELS, "A": NUMBERS, "B": NUMBERS},
                             lambda p: is_number(p.sum())),
    "metrics.evaluate_topk": (metrics.evaluate_topk, {**TRUE, "ks": st.just((1, 3)), "propensities": PROPENSITIES},
        are_scores),
    "metrics.popularity_baseline": (metrics.popularity_baseline, {"Y_train": LABELS, "Y_test": LABELS,
        "ks": st.just((1,))},
                                    are_scores),
    "Ensemble": (Ensemble, {"networks": st.sampled_from([NETWORKS[:2], NETWORKS])}, None),
    "Ensemble.predict": (method(lambda: Ensemble(NETWORKS), "predict"), {"X": ROWS, "k": SMALL}, lambda r: is_top(r,
        M)),
    "Ensemble.evaluate": (method(lambda: Ensemble(NETWORKS), "evaluate"), SCORED, lambda r: are_scores(r.scores)),
    "Mixing": (Mixing, {"k": SMALL, "power": NUMBERS, "beta": NUMBERS, "eps": NUMBERS}, None),
    "Mixed": (lambda **a: Mixed(**a).predict(X, 3), {
        "model": NETWORK, **MATRIX_PAIR, "mixings": st.sampled_from([{"input": Mixing(3)}, {"input": Mixing(2, 0.0,
            3.0)}]),
    }, lambda r: is_top(r, M), "model"),
    "Mixed.predict": (method(lambda: Mixed(NETWORKS[0], X, Y), "predict"), {"X": ROWS, "k": SMALL},
        lambda r: is_top(r, M)),
    "Neighbours": (Neighbours, {
        "rows": ROWS, "Y": LABELS, "family": st.sampled_from([None, hashing.SimHash(D, 2, 3)]), "candidates": SMALL,
        "bucket_size": SMALL, "threads": st.just(1),
    }, None),
    "Neighbours.find": (method(lambda: Neighbours(X, Y, threads=1), "find"), {"queries": ROWS, "k": SMALL}, None),
    "as_sparse_rows": (as_sparse_rows, {"X": ROWS, "name": st.just("X"), "n_features": st.just(D)}, are_rows, "name"),
    "as_label_rows": (as_label_rows, {"Y": LABELS, "n_rows": st.just(N), "n_labels": st.just(M)}, are_rows),
}  # fmt: skip
IN_FOLDER = {"data.load", "data.save", "data.save_xmc"}


@st.composite
def calls(draw):
    """(name of a callable, arguments): the right ones, of which some are left out and up to two are anything."""
    name = draw(st.sampled_from(sorted(CALLS)))
    _, right, _, *short = CALLS[name]
    arguments = {key: draw(strategy) for key, strategy in right.items() if draw(st.integers(0, 19)) or key in short}
    free = [key for key in arguments if key not in short or key in ("epochs", "steps", "n_train", "n_test")]
    for _ in range(draw(st.integers(0, 2)) if free else 0):
        key = draw(st.sampled_from(free))
        arguments[key] = draw(SHORT if key in short else ODD)
    return name, arguments


def named(error, name, arguments) -> bool:
    """Whether the message says which argument is meant, or which call."""
    words = {*CALLS[name][1], *re.findall(r"\w+", name), "argument", "PathLike", "file.txt"}
    words |= {value for value in [arguments.get("name")] if isinstance(value, str)}
    return any(word in str(error) for word in words)


def call(name, arguments, folder) -> str:
    function, _, check, *_ = CALLS[name]
    if name in IN_FOLDER:
        arguments = {"folder": folder, **arguments}
    try:
        result = function(**arguments)
    except AttributeError as error:
        if "cannot be set" in str(error):
            return "refused: AttributeError"
        raise
    except ALLOWED as error:
        told = isinstance(error, MemoryError | OSError) or named(error, name, arguments)
        assert told, f"{type(error).__name__}: {error}"
        return f"refused: {type(error).__name__}"
    if check is not None:
        check(result)
    return "done"


def run(number, start, folder, trial):
    """`number` calls; of a fault the arguments are in its text."""

    @seed(start)
    @settings(max_examples=number, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(calls())
    def one(drawn):
        name, arguments = drawn
        trial(f"{name} {shown(arguments)}", lambda: call(name, arguments, folder))

    one()


def shown(arguments) -> str:
    return re.sub(r"\s+", " ", ", ".join(f"{key}={repr(value)[:80]}" if not isinstance(value, SparseRows) else key
                                         for key, value in arguments.items() if key != "network"))  # fmt: skip
