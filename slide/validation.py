"""Validation: held-out rows that decide which weights are kept, and when training ends."""

from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np

from slide.metrics import parts_of, row_scores
from slide.rows import SparseRows, as_label_rows
from slide.settings.checks import check_integer, check_number
from slide.state.commit import Commit

SHARE, MOST = 0.05, 5_000  # of the training rows that are held out, unless told otherwise, and at most so many
EVALUATION = 0.1  # of training's time that evaluations may take
RATIO = 12  # time per active neuron and sample in training, in that per label and row in exact evaluation
LEAST = 500  # rows that an evaluation has where there are so many
DECAY = 1 / 3  # of the batches at the whole rate: how long the rate of a "plateau" schedule then falls
PARTS = ("_layers", "_context", "_settings", "_specs", "_step", "_samples", "_inputs", "_top")  # what training changes
PROGRESS = ("monitor", "mask_seen", "records", "risen", "end")  # of a Watch: what a file keeps
SHOWN = ("P@1", "P@3", "P@5")
PATIENCE = 3  # evaluations, with a "plateau" schedule


def held_out(n_rows: int, share: float = SHARE, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(rows to train on, held-out rows), ascending: `share` of n_rows drawn by the seed, at most 5,000, at least one.

    Raises ValueError where there are not two rows.
    """
    check_number("validation", share, "(0, 1)")
    if n_rows < 2:
        raise ValueError(f"validation: found a share of {n_rows} rows, expected at least 2 rows or rows of their own")
    n = min(MOST, max(1, round(share * n_rows)), n_rows - 1)
    order = np.random.default_rng((4, seed)).permutation(n_rows)
    return np.sort(order[n:]), np.sort(order[:n])


def hold_out(rows, labels, validation, seed: int, asked: dict):
    """(rows, labels to train on, (rows, labels) that are held out or None) of what `Network.fit` was given.

    asked: settings that belong to validation, None where they were not given.
    """
    if validation is None:
        for name, value in asked.items():
            if value is not None:
                raise ValueError(f"{name}: found {value!r} without validation, where it has no effect")
        return rows, labels, None
    if isinstance(validation, tuple) and len(validation) == 2:
        return rows, labels, tuple(validation)
    if isinstance(validation, bool) or not isinstance(validation, Real):
        found = type(validation).__name__
        raise ValueError(f"validation: found {found}, expected held-out rows (X, Y) or a share of the rows")
    kept, held = held_out(len(rows), float(validation), seed)
    return rows.take(kept), labels.take(kept), (rows.take(held), labels.take(held))


def rows_per_evaluation(n_rows: int, network, batches: int) -> int:
    """How many of n_rows an evaluation takes after every so many batches, that it is a tenth of training or less.

    By the numbers of active neurons and of labels, not by the clock, so that a run can be repeated.
    """
    spec = network.specs[-1]
    active = spec.n_neurons if spec.dense else max(spec.active, spec.min_active or 0)
    samples = batches * network.batch_size
    return min(n_rows, max(LEAST, int(EVALUATION * RATIO * samples * active / spec.n_neurons)))


@dataclass
class Watch:
    """What a training keeps of its evaluations on held-out rows.

    rows, labels  held-out rows, as `Network` takes them
    monitor       what has to rise: a metric of slide.metrics.row_scores
    every         batches between two evaluations
    patience      evaluations without a rise after which training ends, or the rate of a "plateau" schedule falls
    restore_best  whether the network ends as it was at its best evaluation, not at its last
    records       of each evaluation: {"step", "loss": of the batch before it, "P@1", "P@3", "P@5", monitor: its value,
                  "rows": how many}
    """

    rows: SparseRows
    labels: SparseRows
    monitor: str
    every: int
    patience: int | None
    restore_best: bool
    records: list = field(default_factory=list)
    best: Any = None  # a copy of the network
    risen: int = 0  # the number of the last evaluation that rose
    mask_seen: bool = False  # whether labels that a row has as features are left out
    end: int | None = None  # the batch at which the fall ends, once it began
    done: bool = False  # whether training came to its end
    last: object = None  # the network as training left it, once the best one has taken its place

    @classmethod
    def of(
        cls, network, held, every, monitor=None, patience=None, restore_best=None, evaluate_every=None, mask_seen=None
    ) -> "Watch":  # fmt: skip
        """held: the held-out rows (X, Y), of which a fixed sample is taken where all would take too long; every: as
        `evaluate_every`, where that is None."""
        (X, Y), monitor = held, "P@1" if monitor is None else monitor
        parts_of(monitor, "monitor")
        every = every if evaluate_every is None else check_integer("evaluate_every", evaluate_every)
        if patience is not None:
            check_integer("patience", patience)
        if not isinstance(restore_best, bool | None):
            raise ValueError(f"restore_best: found {restore_best!r}, expected True or False")
        rows = network._as_rows(X, "validation")
        labels = as_label_rows(Y, len(rows), network.n_labels, name="validation")
        if not len(rows):
            raise ValueError("validation: found no rows, expected at least one")
        chosen = np.random.default_rng((6, network.seed)).permutation(len(rows))
        chosen = np.sort(chosen[: rows_per_evaluation(len(rows), network, every)])
        patience = PATIENCE if patience is None and network.schedule.kind == "plateau" else patience
        watch = cls(rows.take(chosen), labels.take(chosen), monitor, every, patience, restore_best is not False)
        watch.mask_seen = bool(mask_seen)
        return watch

    @property
    def top(self) -> float:
        return max((record[self.monitor] for record in self.records), default=-np.inf)

    def follow(self, network, loss: float, end: int) -> int:
        """After a batch: evaluates where it is time. Returns the batch at which training is to end."""
        plateau = network.schedule.kind == "plateau"
        last = plateau and network.step + fall(network.step) >= end
        if network.step % self.every and network.step != end and not last:
            return end
        self._evaluate(network, loss)
        flat = self.flat()
        if plateau and (flat or last):
            if flat:
                self.restore(network)
            return self.fall(network)
        return network.step if flat else end

    def fall(self, network) -> int:
        """Lets the rate of a "plateau" schedule fall from now on; returns the batch at which training is to end."""
        self.patience, self.end = None, network.step + fall(network.step)
        hold = network.step / self.end
        network.schedule = replace(network.schedule, kind="linear", hold=hold, steps=self.end)
        return self.end

    def flat(self) -> bool:
        """Whether it has not risen for too long."""
        return self.patience is not None and len(self.records) - self.risen >= self.patience

    def measure(self, network) -> tuple[np.ndarray, dict]:
        """(float64 (rows,): the metric of each row, {name: mean} of what is shown beside it)."""
        k = max(k for _, k in parts_of(f"{self.monitor}+{'+'.join(SHOWN)}"))
        ids, _ = network.predict(self.rows, k, mask_seen=self.mask_seen)
        ids = np.pad(ids, ((0, 0), (0, k - ids.shape[1])), constant_values=-1)
        shown = {name: float(row_scores(self.labels, ids, name).mean()) for name in SHOWN}
        return row_scores(self.labels, ids, self.monitor), shown

    def _evaluate(self, network, loss):
        values, shown = self.measure(network)
        score, at_best = float(values.mean()), values.mean() >= self.top
        rose = self.rises(values)
        self.records.append(
            {"step": network.step, "loss": loss, **shown, self.monitor: score, "rows": len(self.rows)}
        )  # fmt: skip
        self.risen = len(self.records) if rose else self.risen
        if at_best and (self.restore_best or network.schedule.kind == "plateau"):
            self.best = None  # one at a time is held
            self.best = network._twin()

    def rises(self, values) -> bool:
        """Whether the metric of each row is a rise on what was measured before."""
        return values.mean() > self.top

    def restore(self, network) -> None:
        """Makes the network what it was at its best evaluation."""
        if self.best is not None and self.best.step != network.step:
            exchange(network, self.best._twin())

    def finish(self, network) -> None:
        """After training, to its end or not: the network becomes the best one, and `last` is what it was."""
        if self.restore_best and self.best is not None and self.best.step != network.step:
            self.last, self.best = self.best, None
            exchange(network, self.last)

    def progress(self) -> dict:
        """What `go_on` takes beside the best network, as JSON values."""
        return {name: getattr(self, name) for name in PROGRESS}

    def go_on(self, progress: dict, best) -> None:
        """Goes on where training was interrupted: `progress` of then, and the best network, or None."""
        for name in ("monitor", "mask_seen"):
            if getattr(self, name) != progress[name]:
                raise ValueError(f"{name}: found {getattr(self, name)!r} in training that goes on, expected "
                                 f"{progress[name]!r} as before")  # fmt: skip
        self.records, self.best = list(progress["records"]), best
        self.risen, self.end = progress["risen"], progress["end"]
        self.patience = self.patience if self.end is None else None


def exchange(network, other) -> None:
    """Each of two networks becomes the other one; nobody else uses `other`."""
    network._alone("restoring", _exchange, network, other)


def _exchange(network, other):
    commit = Commit()
    for one, two in ((network, other), (other, network)):
        commit.set(one, _open=None, **{name: getattr(two, name) for name in PARTS})
    commit.run()


def check_progress(progress) -> dict:
    """`progress` from a file; ValueError where it is not what `Watch.progress` gives."""
    if not isinstance(progress, dict) or progress.keys() != set(PROGRESS):
        raise ValueError(f"progress: found {progress!r}, expected {', '.join(PROGRESS)}")
    monitor, records, end = progress["monitor"], progress["records"], progress["end"]
    parts_of(monitor, "monitor")
    if not isinstance(progress["mask_seen"], bool) or not isinstance(records, list):
        raise ValueError(f"progress: found {progress!r}, expected a flag mask_seen and a list of records")
    for record in records:
        if not isinstance(record, dict) or record.keys() != {"step", "loss", *SHOWN, monitor, "rows"}:
            raise ValueError(f"progress: found {record!r}, expected an evaluation")
        for name, value in record.items():
            check_number(name, value, "[0, inf)")
    check_integer("risen", progress["risen"], 0, len(records))
    if end is not None:
        check_integer("end", end, 1, 2**31)
    return progress


def fall(step: int) -> int:
    """Batches in which the rate of a "plateau" schedule falls, where it began to after so many."""
    return max(1, round(DECAY * step))
