"""SlideClassifier: a network of slide with the manners of a scikit-learn classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse, special
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from slide.activations import beside, last_hidden, log_normalisers, row_blocks
from slide.defaults import make_network, recommended, refuse_unused
from slide.hashing import HashFamily
from slide.optim import Schedule
from slide.rows import Matrix, SparseRows, as_label_rows, offsets
from slide.sampling import Sampler
from slide.sklearn.classes import Lists, kind_of
from slide.validation import held_out

NETWORK = ("hidden", "sampler", "hash", "K", "L", "active", "min_active", "group_size", "lr", "batch_size", "dropout",
           "label_smoothing", "epochs")  # fmt: skip
BEST = 16  # labels that `predict` looks at first, where a row may have several
LEAST_BATCHES = 100  # that few rows are trained for
CALIBRATED, MOST = 2_000, 64  # rows that a threshold is chosen on, and labels of each that may be among the best
GIB = 1 << 30


class SlideClassifier(ClassifierMixin, BaseEstimator):
    """A network with a wide softmax, trained by SLIDE: for many classes, or many labels of each row.

    y is a class for each row, of any kind; or an indicator (n_rows, n_labels), an array or sparse; or, with
    label_lists, lists. Probabilities are those of a softmax: they sum to 1 over all classes, so that of m labels of a
    row each has about 1 / m. Smooth targets, where they are recommended, make them flat: where their size matters give
    label_smoothing=0.0. There are no sample weights.

    Parameters
    ----------
    hidden : int or sequence of int
        Widths of the hidden layers.
    sampler, hash : str, type, instance or None
        As of `python -m slide train`; None: recommended by the number of rows and classes. So are the next ones.
    K, L, active, min_active, group_size : int or None
        As of `slide.Sampled` and `slide.Network`.
    lr : float or None
        Learning rate at the start.
    batch_size : int or None
        Samples between two updates.
    dropout, label_smoothing : float or None
        As of `slide.Network` and `slide.Sampled`.
    epochs : int or None
        Passes over the rows.
    threshold : float or None
        Of several labels, those are predicted whose probability is at least this share of the largest; None: the share
        by which training rows get as many labels, in the mean, as they have (Read et al., Machine Learning 85, 2011).
    label_lists : bool
        Whether y is a list of labels for each row, [["red", "round"], ["blue"]].
    early_stopping : bool
        Whether training ends when held-out rows gain no more, with the network that was best on them.
    validation_fraction : float
        The share of the rows that is then held out, at most 5,000 of them.
    n_iter_no_change : int
        Epochs without gain after which it ends.
    warm_start : bool
        Whether `fit` goes on with the network that there is.
    normalize : bool
        Whether rows of X are scaled to unit norm.
    dense_limit : float
        GiB that `predict_proba` and `decision_function` may fill, rows x classes numbers of 4 bytes.
    n_jobs : int or None
        Threads; None: all CPUs.
    random_state : int, RandomState or None
        Of everything random.

    Attributes
    ----------
    classes_ : ndarray or list
        The classes; of an indicator its columns.
    n_features_in_ : int
        Columns of X.
    network_ : slide.Network
        The network.
    n_iter_ : int
        Epochs.
    threshold_ : float or None
        The threshold that is used.
    validation_scores_ : list of float
        With early_stopping: P@1 of the held-out rows after each epoch.
    """

    def __init__(
        self, hidden: int | Sequence[int] = (128,), *, sampler: str | type[Sampler] | Sampler | None = None,
        hash: str | type[HashFamily] | HashFamily | None = None, K: int | None = None, L: int | None = None,
        active: int | None = None, min_active: int | None = None, group_size: int | None = None,
        lr: float | None = None, batch_size: int | None = None, dropout: float | None = None,
        label_smoothing: float | None = None, epochs: int | None = None, threshold: float | None = None,
        label_lists: bool = False, early_stopping: bool = False, validation_fraction: float = 0.1,
        n_iter_no_change: int = 3, warm_start: bool = False, normalize: bool = True, dense_limit: float = 2.0,
        n_jobs: int | None = None, random_state: Any = None,
    ) -> None:  # fmt: skip
        self.hidden = hidden
        self.sampler = sampler
        self.hash = hash
        self.K = K
        self.L = L
        self.active = active
        self.min_active = min_active
        self.group_size = group_size
        self.lr = lr
        self.batch_size = batch_size
        self.dropout = dropout
        self.label_smoothing = label_smoothing
        self.epochs = epochs
        self.threshold = threshold
        self.label_lists = label_lists
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.normalize = normalize
        self.dense_limit = dense_limit
        self.n_jobs = n_jobs
        self.random_state = random_state

    n_iter_: int

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = True
        return tags

    def fit(self, X: Matrix, y: Any) -> SlideClassifier:
        """Trains on rows and their classes or labels.

        Parameters
        ----------
        X : (n_rows, n_features) matrix
            Sparse or dense.
        y : array, matrix or list
            See the class.

        Returns
        -------
        SlideClassifier
            Itself.
        """
        going_on = self.warm_start and hasattr(self, "network_")
        X, y = self._checked(X, y, reset=not going_on)
        if not going_on:
            self._coding = Lists(y) if self.label_lists else kind_of(y)
        labels = self._encoded(y, X.shape[0])
        settings, n, watched = self._settings(labels), len(labels), {}
        if self.early_stopping:
            n = len(held_out(n, self.validation_fraction)[0])
            watched = {"validation": self.validation_fraction, "patience": self.n_iter_no_change}
        per_epoch = -(-n // settings["batch_size"])
        steps = settings["epochs"] * per_epoch
        if going_on:
            end = self.network_.step + steps
            self.network_.schedule = replace(self.network_.schedule, steps=end)
        else:
            self._start(X.shape[1], settings, steps)
        before = self.network_.step
        self.network_.fit(X, labels, epochs=settings["epochs"], **watched)
        self.n_iter_ = (self.network_.step - before) // per_epoch + (self.n_iter_ if going_on else 0)
        if self.early_stopping:
            self.validation_scores_ = [line["P@1"] for line in self.network_.evaluations]
        self._choose_threshold(X, labels)
        return self

    def partial_fit(self, X: Matrix, y: Any, classes: ArrayLike | None = None) -> SlideClassifier:
        """One pass over X and y as they come, at a constant learning rate; `epochs` has no part in it.

        Parameters
        ----------
        X, y
            As for `fit`.
        classes : array or list, optional
            All that there will be, in the first call; None: those of this y, or the columns of an indicator.

        Returns
        -------
        SlideClassifier
            Itself.
        """
        first = not hasattr(self, "network_")
        X, y = self._checked(X, y, reset=first)
        if first:
            self._coding = Lists(y, classes) if self.label_lists else kind_of(y, classes)
        labels = self._encoded(y, X.shape[0])
        if first:
            settings = self._settings(labels, partial=True)
            self._start(X.shape[1], settings | {"schedule": "constant"}, None)
            self.n_iter_ = 0
        self.network_.schedule = Schedule()
        X, size = sparse.csr_array(X), self.network_.batch_size
        for low in range(0, len(labels), size):
            self.network_.partial_fit(X[low : low + size], labels.take(slice(low, low + size)))
        self.n_iter_ += 1
        self._choose_threshold(X, labels)
        return self

    def _checked(self, X, y, reset):
        if y is None:
            raise ValueError("This SlideClassifier requires y to be passed, but the target y is None")
        if self.label_lists:
            X = validate_data(self, X, accept_sparse="csr", reset=reset)
            check_consistent_length(X, y)
            return X, list(y)
        return validate_data(self, X, y, accept_sparse="csr", multi_output=True, reset=reset)

    def _encoded(self, y, n):
        self.classes_ = self._coding.classes
        return as_label_rows(self._coding.encode(y), n, len(self.classes_), "y")

    def _settings(self, labels, partial=False):
        given = {name: getattr(self, name) for name in NETWORK if getattr(self, name) is not None}
        given["hidden"] = list(self.hidden) if isinstance(self.hidden, list | tuple) else [self.hidden]
        per_row = max(1.0, len(labels.ids) / len(labels))
        settings = {**recommended(len(labels), len(self.classes_), given, per_row), **given}
        refuse_unused(given, settings)
        if "epochs" not in given:
            per_epoch = -(-len(labels) // settings["batch_size"])
            settings["epochs"] = max(settings["epochs"], -(-LEAST_BATCHES // per_epoch))
        if partial:
            settings |= {"logq_warmup": 0} if "logq_warmup" in settings else {}
        return settings

    def _start(self, n_features, settings, steps):
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        rest = {"normalize": self.normalize, "seed": seed, "threads": self.n_jobs}
        self.network_ = make_network(n_features, len(self.classes_), steps, settings | rest)

    def _choose_threshold(self, X, labels):
        """Of several labels the share that `threshold` says, or that gives some rows as many as they have."""
        self.threshold_ = self.threshold
        if self.threshold is not None or not self._coding.multilabel:
            return
        some = slice(0, CALIBRATED)
        _, logits = self.network_.predict(X[some], k=MOST)
        wanted = np.clip(len(labels.take(some).ids), len(logits), logits.size)
        shares = np.sort(np.exp(logits - logits[:, :1]), axis=None)
        self.threshold_ = float(shares[-wanted])

    def _rows(self, X):
        check_is_fitted(self, "network_")
        return self.network_._as_rows(validate_data(self, X, accept_sparse="csr", reset=False))

    def predict(self, X: Matrix) -> Any:
        """The class of each row, or its labels.

        Parameters
        ----------
        X : (n_rows, n_features) matrix
            Sparse or dense.

        Returns
        -------
        ndarray, matrix or list of tuple
            Classes (n_rows,); of several labels an indicator, as y came, or a list of tuples.
        """
        rows = self._rows(X)
        if not self._coding.multilabel:
            ids, _ = self.network_.predict(rows, k=1)
            return self._coding.decode(_as_rows(ids, np.ones_like(ids, bool), len(self.classes_)))
        k = BEST
        while True:
            ids, logits = self.network_.predict(rows, k=k)
            chosen = np.exp(logits - logits[:, :1]) >= self.threshold_
            if ids.shape[1] < k or not chosen[:, -1].any():
                return self._coding.decode(_as_rows(ids, chosen, len(self.classes_)))
            k *= 2

    def predict_topk(self, X: Matrix, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
        """The k most probable classes, best first, whatever their number: no more than a block of rows is held.

        Parameters
        ----------
        X : (n_rows, n_features) matrix
            Sparse or dense.
        k : int
            How many.

        Returns
        -------
        labels : ndarray of shape (n_rows, k)
            Of classes_.
        probabilities : ndarray of shape (n_rows, k)
            Of the softmax over all classes.
        """
        rows = self._rows(X)
        ids, logits = self.network_.predict(rows, k=k)
        normalisers = beside([self.network_], "predict_topk", self._normalisers, rows)
        return self.classes_[ids], np.exp(logits - normalisers[:, None])

    def _normalisers(self, rows):
        network = self.network_
        parts = [
            log_normalisers(network.layers[-1], last_hidden(network, rows.take(part)))
            for part in row_blocks([network], len(rows))
        ]
        return np.concatenate(parts)

    def _logits(self, what, X):
        rows = self._rows(X)
        shape = len(rows), len(self.classes_)
        if 4 * shape[0] * shape[1] > self.dense_limit * GIB:
            raise MemoryError(
                f"{what}: {shape[0]:,} rows x {shape[1]:,} classes would take {4 * shape[0] * shape[1] / GIB:.1f} GiB, "
                f"more than dense_limit={self.dense_limit:g}; predict_topk(X, k) needs no such array, or give fewer "
                "rows at a time"
            )
        return beside([self.network_], what, self._all_logits, rows)

    def _all_logits(self, rows):
        network, output = self.network_, self.network_.layers[-1]
        z = np.empty((len(rows), len(self.classes_)), np.float32)
        for part in row_blocks([network], len(rows)):
            np.matmul(last_hidden(network, rows.take(part)), output.weights.T, out=z[part])
        return np.add(z, output.bias, out=z)

    def decision_function(self, X: Matrix) -> np.ndarray:
        """Logits of all classes.

        Parameters
        ----------
        X : (n_rows, n_features) matrix
            Sparse or dense.

        Returns
        -------
        ndarray of shape (n_rows, n_classes), float32
            Logits; of two classes the difference of theirs, (n_rows,).

        Raises
        ------
        MemoryError
            Where they would be larger than `dense_limit`.
        """
        z = self._logits("decision_function", X)
        return z[:, 1] - z[:, 0] if z.shape[1] == 2 and not self._coding.multilabel else z

    def predict_proba(self, X: Matrix) -> np.ndarray:
        """Probabilities of all classes.

        Parameters
        ----------
        X : (n_rows, n_features) matrix
            Sparse or dense.

        Returns
        -------
        ndarray of shape (n_rows, n_classes), float32
            Each row sums to 1.

        Raises
        ------
        MemoryError
            Where they would be larger than `dense_limit`.
        """
        return special.softmax(self._logits("predict_proba", X), axis=1)

    def predict_log_proba(self, X: Matrix) -> np.ndarray:
        """Logarithms of the probabilities of all classes.

        Parameters
        ----------
        X : (n_rows, n_features) matrix
            Sparse or dense.

        Returns
        -------
        ndarray of shape (n_rows, n_classes), float32
            Logarithms.

        Raises
        ------
        MemoryError
            Where they would be larger than `dense_limit`.
        """
        return special.log_softmax(self._logits("predict_log_proba", X), axis=1)


def _as_rows(ids, chosen, n_columns):
    """SparseRows of the chosen entries of ids (n, k)."""
    order = np.argsort(np.where(chosen, ids, n_columns), axis=1, kind="stable")
    ids, chosen = np.take_along_axis(ids, order, 1), np.take_along_axis(chosen, order, 1)
    found = ids[chosen]
    return SparseRows(offsets(chosen.sum(axis=1)), found, np.ones(len(found), np.float32), (len(ids), n_columns))
