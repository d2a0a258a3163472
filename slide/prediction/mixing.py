"""Mixing: the labels of nearest training rows join a prediction, with weights that held-out rows chose."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from slide.activations import alone, beside, row_blocks
from slide.hashing import FAMILIES, SimHash
from slide.network import Evaluation, Network
from slide.plugins import describe
from slide.prediction.ensemble import Block, Ensemble, best, evaluate, keys, listed, predict_blocks, union
from slide.prediction.neighbours import Neighbours, unit_rows
from slide.rows import ActiveSet, Labels, Matrix, as_label_rows, as_sparse_rows, offsets
from slide.seen import seen_labels, without
from slide.settings.checks import check_integer, check_number
from slide.state import storage
from slide.state.part import prefixed
from slide.typing import FilePath

SIMILARITIES = ("hidden", "input")
EXACT = 200_000  # remembered rows up to which hidden rows are found exactly, unless told otherwise
TABLES = {"K": 16, "L": 50, "seed": 0}  # of SimHash, which finds them where they are more
TOP = 5  # labels of a row that a trial looks at
GRID = {
    "k": (10, 50), "power": (1.0, 2.0, 4.0, 8.0, 16.0, 32.0), "beta": (0.25, 0.5, 1.0, 2.0, 4.0), "eps": (0.01, 0.1)
}  # fmt: skip


@dataclass(frozen=True)
class Mixing:
    """How neighbours count: the score of a label is log p + beta log(share + eps).

    Parameters
    ----------
    k : int
        Neighbours.
    power : float
        Their weights in the share are cosine**power.
    beta : float
        0: they do not count.
    eps : float
        Share of a label that no neighbour has, above 0.
    """

    k: int = 50
    power: float = 4.0
    beta: float = 1.0
    eps: float = 0.1

    def __post_init__(self):
        check_integer("k", self.k)
        check_number("power", self.power, "[0, inf)")
        check_number("beta", self.beta, "[0, inf)")
        check_number("eps", self.eps, "(0, inf)")


class Mixed:
    """A network, or an ensemble, whose scores are mixed with the labels of the nearest training rows.

    The score of a label is log p + the sum of beta log(share + eps): log p is the network's logit, which ranks labels
    alike, or the logarithm of an ensemble's mean probability. The best labels are those among all, exact: a label that
    neither a neighbour has nor is among the k best of the model scores below k others.

    k-nearest-neighbour language models (Khandelwal et al., ICLR 2020) mix probabilities linearly; here logarithms
    are mixed, as experts are in a product.

    Parameters
    ----------
    model : Network or Ensemble
        Trained; to train it further makes this one's memory stale.
    X, Y
        The training rows that are remembered, as for `Network.fit`.
    mixings : dict or None
        {"hidden": Mixing, "input": Mixing}, one or both: whether rows are near by the cosine of the model's last hidden
        activations (of the networks of an ensemble the mean of their cosines), or of X itself. None: neighbours count
        as `Mixing()` says, by both, until `choose` was called.
    **options
        Of `Neighbours`: `family` and what belongs to it for the hidden rows, since CSR rows are found exactly. Where it
        is not given, hidden rows are found exactly up to 200,000, and of more by SimHash; family=None finds them
        exactly, however many.

    Raises
    ------
    ValueError
        Naming the argument, what was found and what was expected.
    """

    def __init__(
        self, model: Network | Ensemble, X: Matrix, Y: Labels, mixings: dict[str, Mixing] | None = None,
        **options: Any,
    ):  # fmt: skip
        if not isinstance(model, Network | Ensemble):
            raise ValueError(f"model: found {model!r}, expected a Network or an Ensemble")
        self.model = model
        self.networks = model.networks if isinstance(model, Ensemble) else [model]
        self.n_features, self.n_labels = model.n_features, model.n_labels
        self.mixings = self._check_mixings(mixings)
        self.rows = as_sparse_rows(X, "X", self.n_features)
        self.labels = as_label_rows(Y, len(self.rows), self.n_labels)
        self._options = {name: value for name, value in options.items() if name != "threads"}
        options.setdefault("threads", self.networks[0].threads)
        self.memories: dict[str, Neighbours] = {}
        if "hidden" in self.mixings:
            hidden = self._hidden_rows(self.rows)
            if len(hidden) > EXACT:
                options.setdefault("family", SimHash(hidden.shape[1], **TABLES))
            self.memories["hidden"] = Neighbours(hidden, self.labels, **options)
        if "input" in self.mixings:
            self.memories["input"] = Neighbours(self.rows, self.labels, threads=options["threads"])

    def _check_mixings(self, mixings):
        if mixings is not None and not isinstance(mixings, dict):
            raise ValueError(f"mixings: found {mixings!r}, expected {{name: Mixing}}")
        mixings = {name: Mixing() for name in SIMILARITIES} if mixings is None else dict(mixings)
        if not mixings or any(name not in SIMILARITIES or not isinstance(m, Mixing) for name, m in mixings.items()):
            raise ValueError(f"mixings: found {mixings!r}, expected a Mixing each for some of {SIMILARITIES}")
        if "hidden" in mixings and any(len(network.layers) < 2 for network in self.networks):
            raise ValueError("mixings: found 'hidden', expected 'input' alone: the network has no hidden layer")
        return mixings

    @property
    def nbytes(self) -> int:
        """Bytes of all that is remembered, the rows of X among it."""
        rows = self.rows.indptr.nbytes + self.rows.ids.nbytes + self.rows.values.nbytes
        return rows + sum(memory.nbytes for memory in self.memories.values())

    def predict(self, X: Matrix, k: int = 5, mask_seen: bool | Matrix = False) -> tuple[np.ndarray, np.ndarray]:
        """The k labels of largest score, best first; of equals the smaller label.

        Parameters
        ----------
        X, k, mask_seen
            As for `Network.predict`.

        Returns
        -------
        ids : ndarray of shape (n, k), int32
            Labels.
        scores : ndarray of shape (n, k), float32
            As the class says.
        """
        return predict_blocks(self, X, k, self._predict_block, normalised=False, mask_seen=mask_seen)

    def evaluate(
        self, X: Matrix, Y: Labels, ks: Sequence[int] = (1, 3, 5), propensities: ArrayLike | None = None,
        mask_seen: bool | Matrix = False,
    ) -> Evaluation:  # fmt: skip
        """P@k, nDCG@k and, with propensities, PSP@k on X and Y.

        Parameters
        ----------
        X, Y, ks, propensities, mask_seen
            As for `Network.evaluate`.

        Returns
        -------
        Evaluation
            Scores; every label is computed.
        """
        return evaluate(self, X, Y, ks, propensities, mask_seen)

    def choose(
        self, X: Matrix, Y: Labels, grid: Mapping[str, Sequence[Any]] = GRID, mask_seen: bool | Matrix = False,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Sets `mixings` to what serves best on held-out rows, and returns what was tried.

        Held out means that the model was not trained on these rows, and that they are not remembered. Best is the
        largest sum of P@1 and nDCG@5: P@1 alone takes a few hundred rows' noise for a gain. The better similarity comes
        first, and the other joins it only where it helps beside it; one whose gain is within one standard error of the
        rows' differences gets beta 0.

        Parameters
        ----------
        X, Y
            The held-out rows, as for `Network.fit`.
        grid : dict
            {"k", "power", "beta", "eps"}: the values to try.
        mask_seen : bool
            As predictions will have it.

        Returns
        -------
        list of dict
            A dictionary per trial: "by", the settings of its Mixing, "P@1" and "nDCG@5"; the first is the model alone.
        """
        if set(grid) != set(GRID) or not all(len(values) for values in grid.values()):
            raise ValueError(f"grid: found {grid!r}, expected values for each of {', '.join(GRID)}")
        X = as_sparse_rows(X, "X", self.n_features)
        seen = seen_labels(mask_seen, X, self.n_labels)
        trials = beside(self.networks, "choose", _Trials, self, X, Y, max(grid["k"]), seen)
        chosen, records = trials.run([Mixing(*values) for values in product(*(grid[name] for name in GRID))])
        self.mixings = {name: chosen.get(name, replace(m, beta=0.0)) for name, m in self.mixings.items()}
        return records

    def state(self) -> dict[str, np.ndarray]:
        """What `restore` makes the same from, given the model: the rows of X that are remembered, and their labels.

        Hidden rows are not among it: the model computes them again.

        Returns
        -------
        dict
            {name: array}.
        """
        settings = {name: asdict(mixing) for name, mixing in self.mixings.items()}
        rows, labels = self.rows, self.labels
        return {
            "settings": np.frombuffer(json.dumps(settings).encode(), dtype=np.uint8),
            "rows.indptr": rows.indptr, "rows.ids": rows.ids, "rows.values": rows.values,
            "labels.indptr": labels.indptr, "labels.ids": labels.ids,
        }  # fmt: skip

    def __repr__(self) -> str:
        near = ", ".join(f"{name}={mixing!r}" for name, mixing in self.mixings.items())
        return f"Mixed with {len(self.rows):,} training rows: {near}\n{self.model!r}"

    def __getstate__(self) -> dict:
        return {"model": self.model, "state": self.state(), "options": self._options}

    def __setstate__(self, found):
        vars(self).update(vars(self.restore(found["model"], found["state"], **found["options"])))

    def save(self, path: FilePath, run: dict | None = None) -> None:
        """Writes the model, and the training rows that are remembered, to one .npz file.

        `slide.load` reads it, and computes the hidden rows again.

        Parameters
        ----------
        path : str or path-like
            Of the file.
        run : dict or None
            As for `Network.save`.
        """
        alone(self.networks, "save", storage.save, path, self.content, run)

    def content(self, run: dict[str, Any] | None = None) -> dict[str, np.ndarray]:
        """The arrays of its file.

        Parameters
        ----------
        run : dict or None
            As for `save`.

        Returns
        -------
        dict
            {name: array}.
        """
        family, options = self._options.get("family"), dict(self._options)
        if family is not None:
            options["family"] = describe(family, FAMILIES)
            storage.check_json("family", options["family"])
        model = storage.content(self.model) if isinstance(self.model, Network) else self.model.content()
        learnt = family.state() if family is not None else {}
        return {
            "header": storage.make_header(kind="mixed", options=options, run=run),
            **prefixed("model.", model), **prefixed("memory.", self.state()), **prefixed("family.", learnt),
        }  # fmt: skip

    @classmethod
    def restore(cls, model: Network | Ensemble, state: Mapping[str, np.ndarray], **options: Any) -> Mixed:
        """The one whose `state` this is.

        Parameters
        ----------
        model : Network or Ensemble
            The model of that one.
        state : dict
            {name: array}.
        **options
            As for the class.

        Returns
        -------
        Mixed
            An equal one.

        Raises
        ------
        ValueError
            Where it is not a state, or one of another model.
        """
        try:
            settings = json.loads(bytes(state["settings"]))
            mixings = {name: Mixing(**mixing) for name, mixing in settings.items()}
            indptr, ids, values = (state[f"rows.{name}"] for name in ("indptr", "ids", "values"))
            X = sparse.csr_array((values, ids, indptr), shape=(len(indptr) - 1, model.n_features))
            indptr, ids = state["labels.indptr"], state["labels.ids"]
            Y = sparse.csr_array((np.ones(len(ids), np.float32), ids, indptr), shape=(len(indptr) - 1, model.n_labels))
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"state: found {error!r}, expected what Mixed.state gave") from error
        return cls(model, X, Y, mixings, **options)

    def _hidden_rows(self, rows):
        def hidden():
            parts = row_blocks(self.networks, len(rows))
            return np.concatenate([near_rows(Block(self.networks, rows.take(part)), "hidden") for part in parts])

        return beside(self.networks, "hidden", hidden)

    def _predict_block(self, block, k):
        used = {name: mixing for name, mixing in self.mixings.items() if mixing.beta > 0}
        if not used:
            return block.topk(k)
        shares = []
        for name, mixing in used.items():
            memory = self.memories[name]
            shares.append(memory.shares(*memory.find(near_rows(block, name), mixing.k), mixing.power))
        chosen = candidates(block, k, shares)
        scores = block.log_p(chosen)
        for share, mixing in zip(shares, used.values(), strict=True):
            scores += term(spread(share, chosen), mixing)
        return best(chosen, scores, k, self.networks[0].threads)


class _Trials:
    """Held-out rows with everything that trials of their mixings need: candidates, their scores and true labels."""

    def __init__(self, mixed, X, Y, k, seen):
        if not len(X):
            raise ValueError("X: found no rows, expected at least one")
        self.n, self.n_labels, self.threads = len(X), mixed.n_labels, mixed.networks[0].threads
        self.top = min(TOP, self.n_labels)
        labels = as_label_rows(Y, self.n, self.n_labels)
        self.true = keys(self.n_labels, ActiveSet(labels.indptr, labels.ids))
        self.gains = 1 / np.log2(np.arange(self.top) + 2)
        self.most = np.concatenate([[1.0], np.cumsum(self.gains)])[np.minimum(np.diff(labels.indptr), self.top)]
        self.memories = mixed.memories
        self._collect(mixed, X, k, seen)

    def _collect(self, mixed, X, k, seen):
        sets, scores, near = [], [], {name: [] for name in self.memories}
        for part in row_blocks(mixed.networks, self.n):
            block = Block(mixed.networks, X.take(part), False, seen and seen.take(part))
            shares = []
            for name, memory in self.memories.items():
                near[name].append(memory.find(near_rows(block, name), k))
                shares.append(memory.shares(*near[name][-1]))
            sets.append(candidates(block, self.top, shares))
            scores.append(block.log_p(sets[-1]))
        self.found = {name: [np.concatenate(x) for x in zip(*parts, strict=True)] for name, parts in near.items()}
        sizes = np.concatenate([np.diff(chosen.indptr) for chosen in sets])
        self.chosen = ActiveSet(offsets(sizes), np.concatenate([chosen.ids for chosen in sets]))
        self.scores = np.concatenate(scores)

    def run(self, mixings):
        """({similarity: its Mixing}, records): greedily, one similarity after the other."""
        scores, chosen, left = self.scores, {}, list(self.memories)
        values = self.values(scores)
        records = [_record(None, None, values)]
        while left:
            trials = [trial for name in left for trial in self.trials(name, mixings, scores)]
            records += [_record(*trial) for trial in trials]
            name, mixing, found = max(trials, key=lambda trial: trial[2].mean())
            gain = (found - values).sum(axis=1)
            if gain.mean() <= gain.std() / np.sqrt(self.n):
                break
            scores, values, chosen[name] = scores + term(self.share(name, mixing), mixing), found, mixing
            left.remove(name)
        return chosen, records

    def trials(self, name, mixings, scores):
        """Yields (name, mixing, `values` of the scores with it) for each."""
        shares = {}
        for mixing in mixings:
            key = mixing.k, mixing.power
            if key not in shares:
                shares = {key: self.share(name, mixing)}
            yield name, mixing, self.values(scores + term(shares[key], mixing))

    def share(self, name, mixing):
        return spread(self.memories[name].shares(*self.found[name], mixing.power, mixing.k), self.chosen)

    def values(self, scores):
        """float64 (n, 2): P@1 and nDCG@5 of each row."""
        ids, _ = best(self.chosen, scores, self.top, self.threads)
        named = np.arange(self.n)[:, None] * self.n_labels + ids
        hits = np.isin(named, self.true) & (ids >= 0)
        return np.stack([hits[:, 0], hits @ self.gains / self.most], axis=1)


def _record(name, mixing, values):
    scores = dict(zip(("P@1", "nDCG@5"), values.mean(axis=0).tolist(), strict=True))
    return {"by": name, **(asdict(mixing) if mixing else {}), **scores}


def near_rows(block, name):
    """What the neighbours of a block's rows are found by."""
    if name == "input":
        return block.rows
    return np.concatenate([unit_rows(hidden) for hidden in block.hidden], axis=1)


def candidates(block, k, shares) -> ActiveSet:
    """The k best labels of the model and those of the neighbours, but for those seen."""
    ids, _ = block.topk(k)
    sets = [ActiveSet(share.indptr.astype(np.int64), share.indices) for share in shares]
    chosen = union(block.n_labels, listed(ids), *sets)
    return chosen if block.seen is None else without(chosen, block.seen)


def spread(share, chosen: ActiveSet) -> np.ndarray:
    """float32 (entries,): the share of each chosen label."""
    n_labels, out = share.shape[1], np.zeros(len(chosen.ids), np.float32)
    own, mine = keys(n_labels, ActiveSet(share.indptr.astype(np.int64), share.indices)), keys(n_labels, chosen)
    if len(mine):
        at = np.minimum(np.searchsorted(mine, own), len(mine) - 1)
        there = mine[at] == own
        out[at[there]] = share.data[there]
    return out


def term(share: np.ndarray, mixing: Mixing) -> np.ndarray:
    return np.float32(mixing.beta) * np.log(share + np.float32(mixing.eps))
