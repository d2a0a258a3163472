"""The search: challengers race against the settings of the rule of thumb, the winner is trained to its plateau."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from slide.defaults import recommended, without_effect
from slide.prediction.mixing import GRID, SIMILARITIES, Mixed, Mixing
from slide.rows import as_label_rows, as_sparse_rows
from slide.settings.checks import check_flag, check_integer, check_number
from slide.tuning.cache import Cache
from slide.tuning.trials import AHEAD, Rows, Trial, finish, race
from slide.validation import SHARE, held_out

BUDGET = 1.5  # times the training that follows: what trials may cost
MONITOR = "P@1+nDCG@5"  # P@1 alone is noise where few rows are held out
ENOUGH, FIFTH = 1_000, 0.2  # held-out rows where 5 % are fewer, and the largest share of all that they may be
RACE = 25, 500  # batches of a race: an epoch, but not fewer and not more
EVERY = 50, 500  # batches between two evaluations on the way to the plateau: likewise
LONGEST = 4  # times the epochs of the rule of thumb, after which the plateau is not waited for
TARGETS = ({"label_smoothing": 0.7}, {"label_smoothing": 0.0}, {"label_smoothing": 0.3})
FINISH = 1.1  # trainings that the way to the plateau takes, as a rule
OVERHEAD = 20_000  # multiplications that take as long as what a sample costs whatever the widths
LEAST_ROWS = 20  # of which some may be held out
HIDDEN_BYTES = 1 << 30  # of hidden rows, up to which neighbours by them are tried unasked
CHOSEN = 2_000  # held-out rows that choose how neighbours count
CORRECTED = {"label_smoothing": 0.0, "logq_correction": True}
SETS = {"sampler", "active", "min_active", "group_size"}  # settings that say how large active sets are
GROWTH = 4  # times as large as they were, active sets become
WORTH = 0.02  # by which the metric must be higher for each doubling of the cost of a batch
LENGTH = 1.5  # batches of a training whose rate falls from its start, per batch at the whole rate up to the plateau
WIDER = {"hidden": [512], "dropout": 0.5}


@dataclass
class Tuned:
    """What held-out training rows chose.

    Parameters
    ----------
    settings : dict
        Complete, by the names of the command line, as `slide.defaults.make_network` takes them.
    steps : int
        Batches of a training on all rows, whose rate falls linearly to zero.
    grow : float
        How many times as large active sets are after a third of them: see `Network.grow`; 1: as before.
    mixings : dict
        {"hidden": Mixing, "input": Mixing} of neighbours that pay, see `slide.prediction.Mixed`; else empty.
    scores : dict
        {"P@1": ..., ...} of the winner on the held-out rows, with neighbours where they pay.
    rows : int
        How many rows were held out.
    records : list of dict
        A dictionary per trial: what was tried and what it came to.
    cost : float
        Of all trials, in trainings such as follow.
    why : str
        In words, where nothing could be tried.
    """

    settings: dict
    steps: int
    grow: float = 1.0
    mixings: dict = field(default_factory=dict)
    scores: dict = field(default_factory=dict)
    rows: int = 0
    records: list = field(default_factory=list)
    cost: float = 0.0
    why: str = ""


def tune(
    X, Y, given: dict | None = None, n_labels: int | None = None, budget: float = BUDGET, monitor: str = MONITOR,
    neighbours: int | None = None, mask_seen: bool = False, seed: int = 0, cache=None,
    report: Callable[[str], None] = lambda line: None,
) -> Tuned:  # fmt: skip
    """Settings for training on X and Y, chosen by rows of them that are held out.

    5 % of the rows are held out, or up to a fifth where these are fewer than 1,000, at most 5,000. Settings race at a
    constant rate for about an epoch: how far the target is spread, then wider hidden layers. A challenger wins where it
    leads by a standard error of the difference over rows, and by 2 % for each doubling of the cost of a batch; it is
    given up where it is behind by two. The winner is trained on until its metric stops rising, and from its best
    network on the rate falls, with active sets four times as large. That fixes the length of training, whose rate falls
    from the start: half as many batches again as it took to the plateau. All of it is a function of the seed, the rows
    and the settings, not of the clock.

    Parameters
    ----------
    X, Y
        Training rows, as for `Network.fit`.
    given : dict or None
        Settings that are fixed, by the names of the command line.
    n_labels : int or None
        Where Y does not say it.
    budget : float
        What trials may cost at most, in trainings such as follow: of a challenger that this does not pay for, nothing
        is tried.
    monitor : str
        What is compared: a metric of `slide.metrics.row_scores`.
    neighbours : int or None
        How many of the nearest training rows to try beside the winner; None: 10 and 50, by hidden rows only where these
        take up to a gigabyte; 0: none.
    mask_seen : bool
        Whether predictions will leave out the labels that a row has as features: see `Network.predict`.
    seed : int
        Of everything random.
    cache : str, path-like or None
        Trials that are in this file are not repeated, others are added to it.
    report : callable
        Called with a line of text for each trial.

    Returns
    -------
    Tuned
        Settings, and how they were found.

    Raises
    ------
    ValueError
        As `Network.fit` does.
    """
    check_number("budget", budget, "(0, inf)")
    if neighbours is not None:
        check_integer("neighbours", neighbours, 0)
    rows = as_sparse_rows(X, "X")
    labels = as_label_rows(Y, len(rows), n_labels)
    if not len(rows):
        raise ValueError("X: found no rows, expected at least one")
    check_flag("mask_seen", mask_seen)
    given = {**(given or {}), "seed": check_integer("seed", seed, 0)}
    return Search(rows, labels, given, budget, monitor, seed, cache, report, mask_seen).run(neighbours)


class Search:
    """One call of `tune`: what is fixed, what was spent, and who leads."""

    def __init__(self, rows, labels, given, budget, monitor, seed, cache, report, mask_seen):
        self.rows, self.labels, self.given, self.budget = rows, labels, given, budget
        self.monitor, self.seed, self.report = monitor, seed, report
        self.base = self.complete({})
        kept, held = self.split()
        self.data = Rows(rows, labels, kept, held, self.base, mask_seen)
        self.per_epoch = -(-self.data.n // self.base["batch_size"])
        self.every = max(EVERY[0], min(EVERY[1], self.per_epoch))
        self.cache = Cache(cache, rows, labels, {"monitor": monitor, "seed": seed, "mask_seen": mask_seen})
        self.records, self.spent = [], 0.0

    def split(self):
        n = len(self.rows)
        return held_out(n, max(SHARE, min(FIFTH, ENOUGH / n)), self.seed) if n > 1 else (np.arange(n), np.arange(0))

    def complete(self, change) -> dict:
        """All settings where some are changed, without those that have no effect then."""
        given = {**change, **self.given}
        n, n_labels = len(self.rows), self.labels.shape[1]
        advice = recommended(n, n_labels, given, len(self.labels.ids) / n)
        unused = without_effect({**advice, **given})
        return {name: value for name, value in {**advice, **given}.items() if name not in unused or name in self.given}

    def run(self, neighbours) -> Tuned:
        why = self.why_not()
        if why:
            self.report(f"settings by the rule of thumb: {why}")
            return Tuned(self.base, self.length(self.base["epochs"]), why=why)
        leader = self.race_all()
        end = self.cache.finish(leader.settings, neighbours)
        if end is None:
            end = self.finish(leader) | self.measure(leader.network, neighbours)
            self.cache.add_finish(leader.settings, neighbours, end)
        return self.sum_up(leader.settings, end)

    def sum_up(self, settings, end) -> Tuned:
        self.spent += end["batches"] * self.cost_of_batch(settings)
        self.note({"settings": self.differences(settings), "epochs": round(end["batches"] / self.per_epoch, 3),
                   "ended": "plateau", **rounded(end["alone"])})  # fmt: skip
        if end["mixings"] is not None:
            self.note({"neighbours": end["mixings"], **rounded(end["mixed"])})
        steps = self.length(LENGTH * end["plateau"] / self.per_epoch)
        tuned = Tuned(settings, steps, rows=len(self.data.held[0]), records=self.records, scores=end["mixed"])
        tuned.grow = GROWTH if end["grown"] else 1.0
        tuned.mixings = {name: Mixing(**mixing) for name, mixing in (end["mixings"] or {}).items()}
        tuned.cost = self.spent / (steps * self.cost_of_batch(settings))
        return tuned

    def why_not(self) -> str:
        """Why held-out rows can't choose anything; "" where they can."""
        if len(self.rows) < LEAST_ROWS:
            return f"found {len(self.rows)} training rows, expected at least {LEAST_ROWS} to hold some out"
        known = np.zeros(self.labels.shape[1], bool)
        known[self.data.train[1].ids] = True
        if not known[self.data.held[1].ids].any():
            return f"found no label of the {len(self.data.held[0])} held-out rows in any other row"
        return ""

    def length(self, epochs) -> int:
        """Batches of so many epochs of all rows."""
        return max(1, round(epochs * -(-len(self.rows) // self.base["batch_size"])))

    def cost_of_batch(self, settings) -> float:
        """Of training, in multiplications by weights: three for each of a sample's neurons, forward and backward."""
        size = settings.get("min_active") or settings.get("active") or self.labels.shape[1]
        widths = settings["hidden"]
        features = len(self.rows.ids) / len(self.rows)
        per_sample = sum(a * b for a, b in zip([features, *widths], [*widths, size], strict=True))
        return 3.0 * settings["batch_size"] * (per_sample + OVERHEAD)

    def challengers(self):
        """Yields (what is compared, changes of the leader's settings), in the order in which they are tried."""
        sampled = self.base["sampler"] != "full"
        if "label_smoothing" not in self.given:
            targets = [*TARGETS, CORRECTED] if sampled and "logq_correction" not in self.given else TARGETS
            yield from (("targets", {"logq_correction": False, **x} if sampled else x) for x in targets)
        if not self.given.keys() & WIDER.keys():
            yield "width", WIDER

    def race_all(self) -> Trial:
        """The leader after all races that the budget pays for."""
        changed: dict[str, Any] = {}
        clip = max(RACE[0], min(RACE[1], self.per_epoch))
        steps = sorted({max(1, clip // 2), clip})
        leader = self.race(self.base, steps, None)
        for what, change in self.challengers():
            settings = self.complete({**changed, **change})
            if settings == leader.settings:
                continue
            cost = clip * self.cost_of_batch(settings)
            after = self.base["epochs"] * self.per_epoch * max(map(self.cost_of_batch, (settings, leader.settings)))
            if self.spent + cost > (self.budget - FINISH) * after:
                self.report(f"{what} {words(change)}: not tried, since trials may cost {self.budget:g} trainings")
                continue
            trial = self.race(settings, steps, leader)
            dearer = max(1.0, self.cost_of_batch(settings) / self.cost_of_batch(leader.settings))
            worth = trial.score >= leader.score * (1 + WORTH * np.log2(dearer))
            if not trial.ended and trial.lead(leader) > AHEAD and worth:
                leader, changed = trial, {**changed, **change}
            else:
                trial.network = None
        return leader

    def race(self, settings, steps, against) -> Trial:
        trial = self.cache.race(settings)
        if trial is None:
            trial = Trial(settings)
            race(self.data, trial, steps[-1], steps, self.monitor, against)
            self.cache.add_race(trial)
        batches = max(trial.values)
        self.spent += batches * self.cost_of_batch(settings)
        record = {"settings": self.differences(settings), "epochs": round(batches / self.per_epoch, 3),
                  self.monitor: round(trial.score, 4), "ended": trial.ended}  # fmt: skip
        if against:
            record["lead"] = round(trial.lead(against), 2)
        self.note(record)
        return trial

    def finish(self, leader) -> dict:
        """Trains the leader to its plateau and from there: "plateau", the batch; "batches" in all; "grown", whether
        larger active sets helped; "curve", what was measured."""
        most = LONGEST * self.base["epochs"] * self.per_epoch
        sampled = leader.settings["sampler"] != "full" and not self.given.keys() & SETS
        watch = finish(self.data, leader, most, self.every, self.monitor, GROWTH if sampled else None)
        batches = sum(max(0, b["step"] - a["step"]) for a, b in pairwise([{"step": 0}, *watch.records]))
        grown = bool(watch.growth) and leader.network.schedule.kind != "plateau"  # the best network is one of the fall
        return {"plateau": watch.at, "grown": grown, "batches": batches, "curve": watch.records}

    def measure(self, network, neighbours) -> dict:
        """Scores on all held-out rows: "alone", and "mixed" with neighbours, which count by "mixings" where they pay;
        None where they were not tried."""
        X, Y = self.data.held
        mask = self.data.mask_seen
        alone = network.evaluate(X, Y, mask_seen=mask).scores
        if neighbours == 0:
            return {"alone": alone, "mixed": alone, "mixings": None}
        rows, labels = self.data.train
        mixed, chosen = Mixed(network, rows, labels, self.similarities(network, neighbours)), slice(0, CHOSEN)
        mixed.choose(X.take(chosen), Y.take(chosen), GRID | ({"k": (neighbours,)} if neighbours else {}), mask)
        pay = {name: asdict(mixing) for name, mixing in mixed.mixings.items() if mixing.beta > 0}
        return {"alone": alone, "mixed": mixed.evaluate(X, Y, mask_seen=mask).scores if pay else alone, "mixings": pay}

    def similarities(self, network, asked) -> dict:
        """By what neighbours are tried, as Mixed takes it; `asked`: whether a number of them was given."""
        if len(network.specs) < 2:
            return {"input": Mixing()}
        size = 4 * self.data.n * network.specs[-2].n_neurons
        if asked or size <= HIDDEN_BYTES:
            return dict.fromkeys(SIMILARITIES, Mixing())
        self.report(f"neighbours by hidden rows: not tried, since these take {size / 1e9:.1f} GB")
        return {"input": Mixing()}

    def differences(self, settings) -> dict:
        """What is other than in the rule of thumb."""
        return {name: value for name, value in settings.items() if self.base.get(name) != value}

    def note(self, record) -> None:
        self.records.append(record)
        self.report(line(record))


def rounded(scores: dict) -> dict:
    return {name: round(value, 4) for name, value in scores.items()}


def words(settings: dict) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items()) or "rule of thumb"


def line(record: dict) -> str:
    """One trial as a line of text."""
    if "neighbours" in record:
        used = record["neighbours"]
        what = "neighbours by " + " and ".join(used) if used else "neighbours: do not pay"
    else:
        what = words(record["settings"])
    numbers = " ".join(f"{name} {value:.4f}" for name, value in record.items() if "@" in name)
    length = f"{record['epochs']:g} epochs" if "epochs" in record else ""
    lead = f"lead {record['lead']:+.1f} standard errors" if "lead" in record else ""
    return "  ".join(part for part in (f"{what:<45}", length, numbers, lead, record.get("ended", "")) if part)
