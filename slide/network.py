"""Network: the public face of training and prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from functools import partial
from threading import get_ident
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from slide import metrics
from slide.distributed import ranks
from slide.distributed.exchange import ALONE
from slide.indexed import AT_ONCE, Indexed
from slide.layers import Dense, Sampled, build_layers
from slide.layers.base import Context, as_dense
from slide.layers.frozen import Frozen
from slide.layers.lane_block import LaneBlock
from slide.machine.threads import one_blas_thread
from slide.machine.turns import Turns, refuse_within
from slide.matrices import MOST
from slide.optim import SGD, Adam, Schedule
from slide.rows import Labels, Matrix, as_label_rows, as_sparse_rows
from slide.saved import Saved
from slide.scores import Scores
from slide.seen import first_unseen, seen_labels, topk_unseen
from slide.settings.attributes import Attributes, ReadOnly
from slide.settings.checks import check_flag, check_integer, check_number
from slide.settings.fields import documented, given, takes
from slide.settings.network import NetworkSettings, check_layers, check_names, check_together
from slide.state.commit import Commit
from slide.validation import Watch, hold_out

WEIGHTS, ORDER, DROPOUT = 1, 2, 3  # what random numbers are for: each has a stream of its own
# Samples a call of the layers in prediction, and bytes of their input where that is made dense: what is held at once,
# and once more in panels.
PREDICT_ROWS, PREDICT_BYTES = 1024, 32 << 20
NO_LIMIT = nullcontext()
DRAWN = ("seed", "huge_pages")  # settings that a network is made with once and for all


@dataclass(frozen=True)
class Evaluation:
    """What a network scored on a test set.

    Parameters
    ----------
    scores : dict
        {"P@1": ..., "nDCG@3": ..., "PSP@5": ...}: fractions.
    active : float
        Mean active neurons of the output layer per sample.
    """

    scores: dict[str, float]
    active: float


class Setting:
    """A setting of NetworkSettings as an attribute of Network."""

    def __init__(self, name, text=""):
        self.name, self.__doc__ = name, f"{text[:1].upper()}{text[1:]}."

    def __get__(self, network, cls=None):
        return self if network is None else getattr(network._settings, self.name)

    def __set__(self, network, value):
        if self.name in DRAWN:
            raise AttributeError(f"Network.{self.name} cannot be set: the weights are made with it; make a new Network")
        network._change(**{self.name: value})


@documented(NetworkSettings)
class Network(Scores, Indexed, Saved, Attributes):
    """A feed-forward network with a softmax over many labels, trained by SLIDE (Chen et al., MLSys 2020).

    Settings are keywords, and attributes of the same names. To assign one changes it from the next batch on (batch_size
    and normalize: from the next call); `seed`, `huge_pages` and the class of the optimizer stay. The output layer's
    label_smoothing may be assigned, too.

    Parameters
    ----------
    n_features : int
        Columns of the input.
    layers : list of Dense and Sampled
        The softmax last; ReLU in between. A first Dense layer reads only the features that a sample has.
    comm : mpi4py.MPI.Intracomm or None
        Its R ranks share out the network: rank r has the labels, and the features, i with i mod R = r. All make the
        same calls with the same arguments, and get the same results, which are those of R; where all labels are active
        they are those of one process but for rounding. `layers` of a rank are its part: Dense(width) and an output
        layer. None: this process alone.
    {settings}

    Raises
    ------
    ValueError
        Naming the setting, the value found and what was expected, also where a setting has no effect.

    Notes
    -----
    Several Python threads may use one network. One at a time trains it: a second training raises RuntimeError. Any
    number predict at once, each as if alone, and wait for nothing but the batch that is being learnt. (Sampled
    predictions take turns where the hash family or the sampler is not slide's own.)

    Whatever exception ends a call, Ctrl-C and one of a hash family, sampler or callback of one's own among them, the
    network is then as after its last whole batch. A batch whose loss is not finite, or whose gradients might make
    weights infinite, raises FloatingPointError and is not learnt.

    Examples
    --------
    >>> network = Network(n_features, [Dense(128), Sampled(n_labels, active=1000)])
    >>> network.fit(X, Y, epochs=3).evaluate(X_test, Y_test).scores["P@1"]
    """

    # Settings of NetworkSettings are attributes, too: see below.
    optimizer: Adam | SGD
    schedule: Schedule
    batch_size: int
    group_size: int
    update: str
    dropout: float
    normalize: bool
    seed: int
    threads: int
    huge_pages: bool

    n_features: ReadOnly[int] = ReadOnly("make a new Network", doc="Columns of the input.")
    specs: ReadOnly[tuple[Dense | Sampled, ...]] = ReadOnly(
        "make a new Network; some settings of the last layer change by `grow` and `label_smoothing`",
        doc="The layers' settings, Dense and Sampled.",
    )
    context: ReadOnly[Context] = ReadOnly(
        "its settings are attributes of Network", doc="What layers share: threads, optimizer, clock."
    )
    layers: ReadOnly[tuple[Any, ...]] = ReadOnly(
        "make a new Network, or write into the arrays weights and bias of a layer",
        doc="The layers, each with `weights`, float32 (neurons, inputs), and `bias`, float32 (neurons,).",
    )
    step: ReadOnly[int] = ReadOnly(
        "it counts the batches that were trained; make a new Network to begin anew", doc="Batches that were trained."
    )
    samples: ReadOnly[int] = ReadOnly(
        "it counts the samples that were trained; make a new Network to begin anew", doc="Samples that were trained."
    )
    frozen: ReadOnly[bool] = ReadOnly("call freeze", doc="Whether it only predicts: see `freeze`.")

    @takes(NetworkSettings)
    def __init__(self, n_features: int, layers: Sequence[Dense | Sampled], comm: Any = None, **settings: Any) -> None:
        check_names(settings)
        self._set_up(n_features, layers, settings, exchange=ranks.make(comm))

    def _set_up(self, n_features, layers, settings, made=None, exchange=ALONE):
        """made: in place of a random generator for each layer, Frozen or Unfilled."""
        self._n_features, self._specs = check_integer("n_features", n_features, 1, MOST), check_layers(layers)
        self._settings, self._exchange = NetworkSettings(**exchange.settings(settings)), exchange
        check_together(self._settings, self._specs)
        exchange.check(self.n_features, self.specs, self._settings)
        self._context = Context.of(self._settings, exchange=exchange)
        made = made or self._rng(WEIGHTS)
        self._layers = tuple(build_layers(self.n_features, self.specs, self.context, made))
        self._frozen = isinstance(made, list) and isinstance(made[0], Frozen)
        self._step = self._samples = 0
        self._evaluations = []
        self._interrupted = None  # of training on held-out rows: what Watch.go_on takes
        self._watch = None  # of the call of fit that is under way
        self._open = None  # of a batch whose output layer was updated and others not: what `_close` takes
        self._turns = Turns()
        self._top, self._inputs = None, ()

    def __repr__(self) -> str:
        widths = " -> ".join(f"{n:,}" for n in (self.n_features, *(spec.n_neurons for spec in self.specs)))
        sizes = [self.n_features, *(spec.n_neurons for spec in self.specs)]
        parameters = sum((n + 1) * m for n, m in zip(sizes[:-1], sizes[1:], strict=True))
        settings = ", ".join([f"{self.optimizer}", *(f"{k}={v!r}" for k, v in given(self._settings).items()
                                                     if k != "optimizer")])  # fmt: skip
        lines = [f"Network {widths}: {parameters:,} parameters, {self.step:,} batches trained", *map(repr, self.layers)]
        return "\n  ".join([*lines, settings])

    def _change(self, specs=None, **changes):
        """Goes on with other settings, checked beside all the others first."""
        settings, specs, optimizer = replace(self._settings, **changes), specs or self.specs, type(self.optimizer)
        if type(settings.optimizer) is not optimizer:
            raise ValueError(f"optimizer: found {settings.optimizer!r}, expected {optimizer.__name__}, as it was made")
        check_together(settings, specs)
        self._exchange.check(self.n_features, specs, settings)
        self._alone("a new setting", self._go_on_with, settings, specs)

    def _go_on_with(self, settings, specs):
        commit, context = Commit(), Context.of(settings, self.context.clock, self._exchange)
        commit.set(self, _settings=settings, _specs=specs, _context=context)
        for layer, spec in zip(self.layers, self._exchange.specs(specs), strict=True):
            layer.use(context, commit)
            if spec is not layer.spec:
                layer.resize(spec, commit)
        commit.run()

    @property
    def label_smoothing(self) -> float:
        """That of the output layer; may be assigned, and holds from the next batch."""
        return self.specs[-1].label_smoothing

    @label_smoothing.setter
    def label_smoothing(self, value: float) -> None:
        self._change(specs=(*self.specs[:-1], replace(self.specs[-1], label_smoothing=value)))

    @ReadOnly("it is the number of neurons of the last layer: make a new Network")
    def n_labels(self) -> int:
        """Labels: neurons of the last layer."""
        return self.specs[-1].n_neurons

    @ReadOnly("it is measured")
    def evaluations(self) -> list[dict[str, Any]]:
        """Of each evaluation on held-out rows in the last `fit`: {"step", "loss" of the batch before it, the metric,
        "rows"}."""
        return list(self._evaluations)

    @ReadOnly("it is measured")
    def active(self) -> float:
        """Mean active neurons per sample in the last layer, of the last batch."""
        return float(self.layers[-1].active)

    def partial_fit(self, X: Matrix, Y: Labels) -> float:
        """One step on one batch.

        Parameters
        ----------
        X, Y
            As for `fit`.

        Returns
        -------
        float
            The mean loss.
        """
        rows = self._as_rows(X)
        labels = self._as_labels(Y, rows)
        self._exchange.check_same("X, Y", rows, labels)
        return self._as_trainer("partial_fit", self._learn_alone, self._exchange.own(rows), labels)

    def fit(
        self, X: Matrix, Y: Labels, epochs: int | None = None, steps: int | None = None,
        callback: Callable[[Network, float], object] | None = None,
        validation: tuple[Matrix, Labels] | float | None = None,
        monitor: str | None = None, patience: int | None = None, restore_best: bool | None = None,
        evaluate_every: int | None = None, mask_seen: bool | None = None,
    ) -> Network:  # fmt: skip
        """Trains for `epochs` passes over X and Y, or for exactly `steps` batches.

        The samples come in an order that is a function of the seed and the step alone, so training that is saved
        and resumed sees the same batches as training that was not interrupted.

        Parameters
        ----------
        X : (n, n_features) matrix
            SciPy sparse of any format, or dense.
        Y : (n, n_labels) indicator matrix, n integers, or n lists of integers
            The labels of each row; an indicator has 0 and 1 or booleans, SciPy sparse or an array. See
            `slide.rows.as_label_rows`.
        epochs : int or None
            Passes over X and Y; 1 if neither these nor steps are given.
        steps : int or None
            Batches, in place of epochs.
        callback : callable or None
            callback(network, loss) is called after every batch; a true result ends training.
        validation : (X, Y), float or None
            Held-out rows, or a share in (0, 1) of the rows, at most 5,000, that are then held out. Of many a fixed
            sample is evaluated, so that this takes about a tenth of the time of training.
        monitor : str or None
            What is measured on them: "P@k" or "nDCG@k", or a sum such as "P@1+nDCG@5"; None: "P@1".
        patience : int or None
            Evaluations without a rise after which training ends; None: it goes on to its end. With Schedule("plateau")
            (None: 3) the rate then falls, from the best network on, and at the latest so that it has fallen at the end.
        restore_best : bool or None
            Whether the network ends as it was at the best of these evaluations, the last of equals (None: True), `step`
            among it. Until then two networks are held in memory.
        evaluate_every : int or None
            Batches between two evaluations; None: an epoch. There is one at the end, too.
        mask_seen : bool or None
            Whether evaluations leave out the labels that a row has as features: see `predict`.

        Returns
        -------
        Network
            Itself. `evaluations` has what was measured.

        Raises
        ------
        ValueError
            Where a batch would come after the end of a `schedule` that falls to 0, and so learn nothing.
        """
        rows = self._as_rows(X)
        labels = self._as_labels(Y, rows)
        if callback is not None and not callable(callback):
            raise ValueError(f"callback: found {type(callback).__name__}, expected a function or None")
        asked = {"monitor": monitor, "patience": patience, "restore_best": restore_best,
                 "evaluate_every": evaluate_every,
                 "mask_seen": None if mask_seen is None else check_flag("mask_seen", mask_seen) or None}  # fmt: skip
        rows, labels, held = hold_out(rows, labels, validation, self.seed, asked)
        batch_size = self.batch_size
        per_epoch = -(-len(rows) // batch_size)
        if steps is None:
            steps = check_integer("epochs", 1 if epochs is None else epochs, 0) * per_epoch
        elif epochs is not None:
            raise ValueError(f"epochs: found {epochs!r} beside steps={steps!r}, expected one of them")
        end = self.step + check_integer("steps", steps, 0)
        watch = None if held is None else Watch.of(self, held, per_epoch, **asked)
        if held is None and self.schedule.kind == "plateau":
            raise ValueError(f"validation: found None with {self.schedule!r}, expected held-out rows or a share")
        if watch is not None and self._interrupted:
            watch.go_on(*self._interrupted)
            end = watch.end or end
        if end > self.step:
            self._rate(end)
        self._interrupted, self._watch = None, watch
        self._evaluations = [] if watch is None else watch.records
        self._exchange.check_same("X, Y", rows, labels)
        rows = self._exchange.own(rows)
        try:
            self._as_trainer("fit", self._train, rows, labels, end, batch_size, callback, watch)
        finally:
            self._watch = None
        return self

    def _train(self, rows, labels, end, batch_size, callback, watch):
        order, epoch, per_epoch = None, -1, -(-len(rows) // batch_size)
        while self.step < end:
            if self.step // per_epoch != epoch:
                epoch = self.step // per_epoch
                order = self._rng(ORDER, epoch).permutation(len(rows))
            first = self.step % per_epoch * batch_size
            batch = order[first : first + batch_size]
            loss = self._learn_alone(rows.take(batch), labels.take(batch))
            if watch is not None:
                end = watch.follow(self, loss, end)
            if callback is not None and self._exchange.any(callback(self, loss)):
                break
        if watch is not None:
            watch.done = self.step >= end
            watch.finish(self)
        self._alone("fit", self._settle)

    def _learn_alone(self, x, labels):
        refuse_within(Network._in_turn.__code__, self, "a batch")
        self._turns.nested("a batch")
        self._turns.let_in()
        return self._in_turn(self._turns.write, self._whole, self._learn, x, labels)

    def _alone(self, what, do, *args):
        """do(*args) while nobody else uses the network."""
        refuse_within(Network._in_turn.__code__, self, what)
        with self._turns.waiting:
            return self._in_turn(self._turns.write, self._whole, do, *args)

    def _beside(self, what, do, *args, sampled=False, blas=True):
        """do(*args), which changes nothing, while nobody changes the network; alone where a batch, or with `sampled`
        the tables, have to be finished first. blas: whether it calls NumPy's products, unless it is alone."""
        refuse_within(Network._in_turn.__code__, self, what)
        done, found = self._in_turn(self._turns.read, self._if_finished, sampled, do, *args, blas=blas)
        return found if done else self._alone(what, do, *args)

    def _if_finished(self, sampled, do, *args):
        if self._open is not None or (sampled and not all(layer.is_settled(self.step) for layer in self.layers)):
            return False, None
        return True, do(*args)

    def _whole(self, do, *args):
        self._finish()
        return do(*args)

    def _in_turn(self, turn, do, *args, blas=True):
        return turn(self._at_work, one_blas_thread() if blas else NO_LIMIT, do, args)

    def _at_work(self, limit, do, args):
        with limit, np.errstate(all="ignore"):
            return do(*args)

    def _as_trainer(self, what, do, *args):
        """do(*args) while no other thread trains."""
        self._refuse_frozen(what)
        turns = self._turns
        if turns.nested(what):
            return do(*args)
        with turns.training:
            turns.trainer = get_ident()
            return do(*args)

    def _refuse_frozen(self, what):
        if self.frozen:
            raise RuntimeError(f"{what}: found a frozen network, which only predicts, expected one that may be trained")

    def grow(self, factor: float) -> None:
        """Makes the last layer's active sets larger, from the next batch on.

        As many times more samples share them, up to a batch; groups of one stay so. Small sets train fastest, large
        ones to higher accuracy: grow in a callback of `fit`, a third of the way.

        Parameters
        ----------
        factor : float
            How many times as large they are, above 0.

        Raises
        ------
        ValueError
            Where all neurons of the last layer are always active.
        """
        factor = check_number("factor", factor, "(0, inf)")
        self._refuse_frozen("grow")
        last = self.specs[-1]
        if not isinstance(last, Sampled) or last.dense:
            raise ValueError(f"grow: found {last!r}, expected a last layer with active sets")
        group_size = self.group_size
        if group_size > 1:
            group_size = min(self.batch_size, max(1, round(min(factor * group_size, self.batch_size))))
        self._change(specs=(*self.specs[:-1], last.grown(factor)), group_size=group_size)

    def rehash(self) -> None:
        """Rebuilds all hash tables from the weights as they are now.

        Training does so by its schedule, whose last rebuild may lie far back: sampled prediction finds more after it.
        Later rebuilds of training come when they would have come.
        """
        self._refuse_frozen("rehash")
        self._alone("rehash", self._rehash)

    def _rehash(self):
        self._settle()
        commit = Commit()
        for layer in self.layers:
            if getattr(layer, "index", None) is not None:
                layer.index.rebuild(layer.parameters.w, commit)
        commit.run()

    def _settle(self):
        """Does what the last batch left for the next one: tables follow the weights."""
        for layer in self.layers:
            layer.settle(self.step)

    def _finish(self):
        """Ends a batch that was interrupted when part of it was learnt."""
        if self._open is not None:
            self._close(Commit(), *self._open)

    def _rng(self, purpose, number=0) -> np.random.Generator:
        """The stream of one purpose in one epoch or step: no two of them share their numbers."""
        return np.random.default_rng((purpose, self.seed, number))

    def _as_rows(self, X, name="X"):
        """User input, validated, with rows of unit norm if asked."""
        rows = as_sparse_rows(X, name, self.n_features)
        return rows.normalized() if self.normalize else rows

    def _as_labels(self, Y, rows):
        """The labels of `rows` in training, validated; training needs a row."""
        if len(rows) == 0:
            raise ValueError("X: found no rows, expected at least one")
        return as_label_rows(Y, len(rows), self.n_labels)

    def _learn(self, x, labels) -> float:
        """Computes all that a batch changes, then changes it."""
        self._settle()
        step, commit = self.step + 1, Commit()
        rate = self._rate(step)
        *hidden, output = self.layers
        for layer in hidden:
            x = layer.forward(x, step, commit)
        self._keep_inputs(x, commit)
        x, kept = self._drop(x, step) if hidden else (x, None)
        loss = output.learn(x, labels, step, rate, commit)
        rest = step, rate, kept, len(labels)
        if not (output.updates_early and hidden):
            self._close(commit, *rest)
            return loss
        commit.set(self, _open=rest)
        commit.run()
        try:
            self._finish()
        except BaseException:  # the batch has begun: if not here, it is finished before anything else
            self._finish()
            raise
        return loss

    def _rate(self, step):
        """The factor on the learning rate at a step; ValueError where nothing would be learnt."""
        rate = self.schedule.rate(step)
        if not rate:
            raise ValueError(
                f"schedule: found {self.schedule!r}, whose rate is 0 at batch {step}, expected one that is longer; to "
                f"go on, assign network.schedule = Schedule({self.schedule.kind!r}, steps={step}) or Schedule()"
            )
        return rate

    def _close(self, commit, step, rate, kept, n_samples):
        """Gradients and updates of the hidden layers; with it the batch is learnt."""
        *hidden, output = self.layers
        dy = output.gradient()
        if kept is not None:
            dy = dy * kept
        for layer in reversed(hidden):
            dy = layer.backward(dy)
        try:
            for layer in hidden:
                layer.update(step, rate, commit)
        except FloatingPointError:
            self._open = None  # the output layer's update stays, and is finite
            raise
        commit.set(self, _step=step, _samples=self.samples + n_samples, _open=None)
        commit.run()

    def _drop(self, x, step):
        """(x with dropout, its mask); the mask is a function of the seed and the step."""
        if not self.dropout:
            return x, None
        values = x.values if isinstance(x, LaneBlock) else x
        rng = self._rng(DROPOUT, step)
        kept = (rng.random(values.shape, dtype=np.float32) >= self.dropout) * np.float32(1 / (1 - self.dropout))
        return (replace(x, values=values * kept) if isinstance(x, LaneBlock) else x * kept), kept

    def predict(
        self, X: Matrix, k: int = 5, sampled: bool = False, mask_seen: bool | Matrix = False,
        recall: float | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """The k labels of largest logit, best first; ties go to the smaller label.

        Parameters
        ----------
        X : (n, n_features) matrix
            As for `fit`.
        k : int
            Labels per row. Where there are fewer labels than k, k is their number.
        sampled : bool
            False computes every label, in blocks that never hold n x n_labels. True computes those that the hash tables
            retrieve (see `rehash`); where they are fewer than k, ids is -1 and values -inf. What is retrieved for a row
            is a function of the seed and that row, whatever other rows X has.
        mask_seen : bool or (n, n_labels) matrix
            True leaves out the labels whose numbers are those of the row's own features, as in recommendation, where
            features and labels are the same items; a matrix, SciPy sparse or dense, those of its non-zeros. The k best
            of the others are exact; where they are fewer, ids is -1 and values -inf.
        recall : float or None
            In (0, 1], the share of the k best labels, at most 100, that is to be found: by an index of all labels,
            which is built where there is none of the weights as they are (see `build_index`), in a part of the time.
            Values are exact, and a row's result does not depend on other rows. `measured_recall` says what is found.
            Where more than 100 labels are computed, to leave out seen ones, all are. None: every label is computed.
            1: the k best of all, provably: the index bounds each logit, and those that may be among them are computed.
            They are as without a recall, where rows come together but for rounding in their last bits.

        Returns
        -------
        ids : ndarray of shape (n, k), int32
            Labels.
        values : ndarray of shape (n, k), float32
            Their logits.
        """
        k, sampled, rows = check_integer("k", k), check_flag("sampled", sampled), self._as_rows(X)
        recall = self._check_recall(recall, k, sampled)
        seen = seen_labels(mask_seen, rows, self.n_labels)
        if recall is not None:
            ids, values, _ = self._with_index(self._predict, rows, k, False, seen, recall)
        else:
            blas = self._exact_calls_blas()
            ids, values, _ = self._beside("predict", self._predict, rows, k, sampled, seen, sampled=sampled, blas=blas)
        return ids, values

    def _exact_calls_blas(self):
        return any(layer.exact_calls_blas for layer in self.layers[:-1])

    def _rows_at_once(self):
        if self.layers[0].exact_reads_sparse:
            return PREDICT_ROWS
        return max(1, min(PREDICT_ROWS, PREDICT_BYTES // (4 * self.n_features)))

    def _predict(self, rows, k, sampled, seen=None, recall=None):
        k = min(k, self.n_labels)
        ids, values = np.full((len(rows), k), -1, np.int32), np.full((len(rows), k), -np.inf, np.float32)
        active = 0.0
        hidden = self.layers[:-1]
        if sampled:
            self._settle()
        at_once = self._rows_at_once() * (1 if recall is None else AT_ONCE)
        for low in range(0, len(rows), at_once):
            part = slice(low, min(low + at_once, len(rows)))
            x = self._exchange.own(rows.take(part))
            n = len(x)
            for layer in hidden:
                x = layer.retrieve(x) if sampled else layer.exact(x)
            values[part], ids[part], mean = self._best(x, k, sampled, seen and seen.take(part), recall)
            active += mean * n
        return ids, values, active / max(len(rows), 1)

    def _best(self, x, k, sampled, seen, recall=None):
        """(values, ids, active neurons per sample) of the last layer, for its input x."""
        output = self.layers[-1]
        found = output.retrieve_topk if sampled else output.topk
        if recall is not None:
            found = partial(self._indexed_topk, recall=recall)

        def topk(x, k):
            return self._exchange.best(*found(x, min(k, output.n_neurons)), k)

        if seen is None:
            return topk(x, k)
        if not sampled and recall is None:
            x = as_dense(x)
            return *topk_unseen(lambda rows, m: topk(x[rows], m)[:2], k, seen), self.n_labels
        most = min(self.n_labels, k + int(np.diff(seen.indptr).max(initial=0)))
        values, ids, mean = topk(x, most)
        return *first_unseen(values, ids, k, seen), mean

    def evaluate(
        self, X: Matrix, Y: Labels, ks: Sequence[int] = (1, 3, 5), sampled: bool = False,
        propensities: ArrayLike | None = None, mask_seen: bool | Matrix = False,
    ) -> Evaluation:  # fmt: skip
        """P@k and nDCG@k, and with propensities PSP@k: see `slide.metrics`.

        Parameters
        ----------
        X, Y
            As for `fit`.
        ks : list of int
            The values of k.
        sampled : bool
            As for `predict`.
        propensities : ndarray of shape (n_labels,) or None
            See `slide.metrics.propensities`.
        mask_seen : bool or (n, n_labels) matrix
            As for `predict`; a label of Y that is left out is one that cannot be found.

        Returns
        -------
        Evaluation
            Scores, and mean active neurons per sample.
        """
        ks, sampled = metrics.check_ks(ks), check_flag("sampled", sampled)
        rows = self._as_rows(X)
        labels = as_label_rows(Y, len(rows), self.n_labels)
        seen = seen_labels(mask_seen, rows, self.n_labels)
        ids, _, active = self._beside("evaluate", self._predict, rows, max(ks), sampled, seen, sampled=sampled)
        # Where there are fewer labels than k, the places beyond them are predictions that are wrong.
        ids = np.pad(ids, ((0, 0), (0, max(ks) - ids.shape[1])), constant_values=-1)
        return Evaluation(metrics.evaluate_topk(labels.to_scipy(), ids, ks, propensities), active)


for _setting in fields(NetworkSettings):
    setattr(Network, _setting.name, Setting(_setting.name, _setting.metadata["text"]))
