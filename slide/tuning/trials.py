"""Trials: networks trained on a part of the rows, for a while or to their plateau, and measured on the others."""

import math
from dataclasses import dataclass, field

import numpy as np

from slide.defaults import make_network
from slide.network import Network
from slide.validation import Watch

AHEAD = 1.0  # standard errors of the mean difference over rows, by which a challenger must lead
BEHIND = 2.0  # and by which it must be behind to be given up early
PATIENCE, SLACK = 3, 0.2  # evaluations without a rise that end a plateau, or this share of all so far if that is more


@dataclass
class Trial:
    """One choice of settings and what it came to.

    values   {step: float (rows,)}, the metric of each held-out row
    network  as far as it was trained; None where the trial was read from a file
    ended    "" while it may go on, "behind" where it was given up, "diverged" where it did
    """

    settings: dict
    values: dict = field(default_factory=dict)
    network: Network | None = None
    ended: str = ""

    @property
    def score(self) -> float:
        return float(np.mean(self.values[max(self.values)]))

    def lead(self, other) -> float:
        """By how many standard errors it is ahead of another trial, where both were measured last."""
        step = max(self.values.keys() & other.values.keys())
        return lead(self.values[step], other.values[step])


def lead(mine, other) -> float:
    """The mean of mine - other in its standard errors; 0 where they are equal."""
    difference = np.asarray(mine, np.float64) - other
    error = difference.std() / math.sqrt(len(difference))
    return float(difference.mean() / error) if error else 0.0


@dataclass
class Contest(Watch):
    """Measures a trial's network at some steps, and gives it up where it is clearly behind another's."""

    trial: Trial = field(kw_only=True)
    against: Trial | None = None
    steps: tuple = ()

    def follow(self, network, loss, end):
        if network.step not in self.steps:
            return end
        mine = self.trial.values[network.step] = self.measure(network)[0].astype(np.float32)
        other = self.against.values.get(network.step) if self.against else None
        if other is not None and network.step < end and lead(mine, other) < -BEHIND:
            self.trial.ended = "behind"
            return network.step
        return end


@dataclass
class Plateau(Watch):
    """A Watch whose patience grows with the length of the training, and that lets active sets grow as the rate falls.

    growth   how many times as large they become, or None
    highest  the metric of each row at the last evaluation that rose
    at       the batch after which the rate fell
    """

    growth: float | None = None
    highest: np.ndarray | None = None
    at: int | None = None

    def rises(self, values):
        """By a standard error: a network that is as good as before wanders about, and would find new tops for long."""
        if self.highest is not None and lead(values, self.highest) <= AHEAD:
            return False
        self.highest = values
        return True

    def flat(self):
        waited = len(self.records) - self.risen
        return self.patience is not None and waited >= max(self.patience, math.ceil(SLACK * len(self.records)))

    def fall(self, network):
        self.at = network.step
        end = super().fall(network)
        if self.growth:
            network.grow(self.growth)
        return end


class Rows:
    """The rows of a tuning: those to train on, and those that are held out.

    base       settings by which a network's time decides how many held-out rows are evaluated
    mask_seen  whether evaluations leave out the labels that a row has as features
    """

    def __init__(self, rows, labels, kept, held, base, mask_seen=False):
        self.base, self.mask_seen, self._samples = base, mask_seen, {}
        self.train = rows.take(kept), labels.take(kept)
        self.held = rows.take(held), labels.take(held)
        self.n_features, self.n_labels = rows.shape[1], labels.shape[1]

    @property
    def n(self) -> int:
        return len(self.train[0])

    def make(self, settings) -> Network:
        """A network that is trained at a constant rate until something says that it is on its plateau."""
        return make_network(self.n_features, self.n_labels, 1, {**settings, "schedule": "plateau"})

    def watch(self, kind, every, monitor, **more):
        """A Watch of some `kind` over a sample of the held-out rows, as large as so many batches of training allow."""
        if every not in self._samples:
            watch = Watch.of(self.make(self.base), self.held, every, monitor)
            self._samples[every] = watch.rows, watch.labels
        return kind(*self._samples[every], monitor, every, PATIENCE, True, mask_seen=self.mask_seen, **more)

    def go_on(self, network, end, watch) -> None:
        rows, labels = network._as_rows(self.train[0]), self.train[1]
        network._as_trainer("fit", network._train, rows, labels, end, network.batch_size, None, watch)


def race(data: Rows, trial: Trial, end: int, steps, monitor: str, against: Trial | None) -> None:
    """Trains a trial at a constant rate for `end` batches, or less where it is clearly behind."""
    trial.network = data.make(trial.settings)
    contest = data.watch(Contest, steps[0], monitor, trial=trial, against=against, steps=tuple(steps))
    contest.restore_best = False
    try:
        data.go_on(trial.network, end, contest)
    except FloatingPointError:  # the settings that others are held against must not diverge
        if against is None:
            raise
        trial.ended = "diverged"
        trial.values = trial.values or {steps[0]: np.zeros(len(contest.rows), np.float32)}


def finish(data: Rows, trial: Trial, most: int, every: int, monitor: str, growth) -> Plateau:
    """Trains on from where the race ended to the plateau, at most for so many batches, and lets the rate fall."""
    if trial.network is None:
        trial.network = data.make(trial.settings)
    watch = data.watch(Plateau, every, monitor, growth=growth)
    data.go_on(trial.network, most, watch)
    return watch


