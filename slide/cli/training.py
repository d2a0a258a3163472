"""Training with evaluations in between, a table of them, their log, and checkpoints."""

import time

import numpy as np
from tqdm import tqdm

from slide.prediction.ensemble import Ensemble
from slide.prediction.mixing import Mixed, Mixing
from slide.prediction.unfinished import Unfinished
from slide.validation import SHOWN, rows_per_evaluation

ROW = "{:>6} {:>8} {:>10} {:>9} {:>8} {:>7} {:>7} {:>7} {:>9}"
HEAD = ROW.format("epoch", "step", "samples", "train s", "loss", *SHOWN, "active")


class Training:
    """Networks, the Files to train and to test on, their Plan, and what tells and is told: an Output, Signals, a
    Checkpoint.

    every         the Interval between two evaluations, None for an epoch
    propensities  for PSP@k at the end, or None
    mask_seen     whether labels that a row has as features are left out of evaluations
    watched       {"patience", "monitor"} of `Network.fit`, where rows are held out
    """

    def __init__(self, networks, data, plan, output, signals, checkpoint):
        self.networks, self.data, self.plan, self.run = networks, data, plan, plan.run
        self.output, self.signals, self.checkpoint = output, signals, checkpoint
        self.every, self.propensities, self.mask_seen, self.watched = None, None, False, {}
        self.number, self.first = 0, [network.step for network in networks]
        self.loss = self.active = float("nan")
        self.stage_ms, self.last, self.scores, self._sample, self._memory = {}, None, {}, None, None
        self._watch = None  # of held-out rows, in the training that is under way

    @property
    def network(self):
        """The one that is trained."""
        return self.networks[self.number]

    @property
    def trained(self) -> bool:
        """Whether any batch was."""
        return len(self.networks) > len(self.first) or [x.step for x in self.networks] != self.first

    def model(self, whole: bool):
        """What is saved: the network, or all of them; with neighbours where the training is done."""
        if self._watch is not None:
            return self._unfinished()
        model = self.networks[0] if len(self.networks) == 1 else Ensemble(self.networks)
        if not whole or not self.run.mixings:
            return model
        return Mixed(model, self.data.X, self.data.Y, {name: Mixing(**x) for name, x in self.run.mixings.items()})

    def _unfinished(self):
        networks, watch, best = list(self.networks), self._watch, self._watch.best
        if watch.last is not None:
            networks[self.number], best = watch.last, self.network
        return Unfinished(networks, self.number, watch.progress(), best)

    def go(self):
        """Trains one network after the other; ends before where a signal comes."""
        shape = self.data.X.shape[1], self.data.Y.shape[1]
        for number in range(self.run.ended, self.run.networks):
            if self.signals:
                break
            self.number = number
            if number == len(self.networks):
                self.networks.append(self.plan.make(shape, number))
            if self.run.networks > 1:
                self.output.say(f"network {self.number + 1} of {self.run.networks}, seed {self.network.seed}")
            self._train_one()
            if self._watch is None and (self.data.held or self.network.step >= self.plan.end):
                self.run.ended = number + 1

    def _train_one(self):
        end, network, data = self.plan.end, self.network, self.data
        per_epoch = -(-data.n_rows // network.batch_size)
        every = self.every.in_batches(per_epoch) if self.every else per_epoch
        left, hidden = max(0, end - network.step), True if self.output.quiet else None
        with tqdm(total=left, unit="batch", leave=False, disable=hidden) as bar:
            if data.held:
                options = {"evaluate_every": every, "mask_seen": self.mask_seen, **self.watched}
                self._train(end - network.step, bar, validation=data.held, **options)
                return
            while network.step < end and not self.signals:
                steps = end - network.step
                self._train(min(every - network.step % every, steps) if every else steps, bar)
                if not self.signals:
                    self.evaluate(every)

    def _train(self, steps, bar, **validation):
        network, run, losses, active = self.network, self.run, [], []
        clock, start, away, seen = network.context.clock, time.perf_counter(), 0.0, 0
        clock.reset()
        grow_at = max(1, round(run.grow_at * self.plan.end))

        def after_batch(network, loss):
            nonlocal away, seen
            losses.append(loss)
            active.append(network.active)
            bar.update()
            if run.grow and self.number not in run.grown and network.step >= grow_at:
                network.grow(run.grow)
                run.grown.append(self.number)
            before = time.perf_counter()
            self._watch = network._watch
            if self.checkpoint.due(network.step):
                run.seconds += before - start - away
                self.save()
                run.seconds -= before - start - away
                away += time.perf_counter() - before
            if validation and len(network.evaluations) > seen:
                seen = len(network.evaluations)
                self._note(losses, active)
                self._show(network.evaluations[-1], run.seconds + before - start - away)
            return bool(self.signals) or self._is_time(before - start - away)

        try:
            network.fit(self.data.X, self.data.Y, steps=steps, callback=after_batch, **validation)
        finally:
            run.seconds += time.perf_counter() - start - away
            if self._watch is not None:
                self._watch.finish(network)
                self._watch = None if self._watch.done else self._watch
            if losses:
                self._note(losses, active)
                self.stage_ms = {name: 1e3 * value / len(losses) for name, value in clock.seconds.items()}

    def _is_time(self, seconds) -> bool:
        return bool(self.every and self.every.seconds and seconds >= self.every.seconds)

    def _note(self, losses, active):
        self.loss, self.active = sum(losses) / len(losses), sum(active) / len(active)

    def save(self):
        """A checkpoint."""
        if self.checkpoint.save(self.model(whole=False), self.run.record()):
            self.output.log(event="saved", step=self.network.step)

    def head(self):
        """Says which rows are evaluated in between; the head of the table."""
        if self.data.held:
            n = self.data.held[0].shape[0]
            self.output.say(f"evaluated in between: {n:,} held-out rows, or a sample of them")
        elif self.data.test:
            n = self.data.test[0].shape[0]
            self.output.say(f"evaluated in between: {n:,} test rows, or a sample of them; at the end all are")
        self.output.say(HEAD)

    def evaluate(self, every):
        """Scores the network as it is on a sample of the test rows; a line of the table and of the log."""
        if not self.data.test:
            self._show({}, self.run.seconds)
            return
        if self._sample is None:
            X, Y = self.data.test
            per_epoch = -(-self.data.n_rows // self.network.batch_size)
            n = rows_per_evaluation(X.shape[0], self.network, every or per_epoch)
            rows = np.sort(np.random.default_rng((8, self.network.seed)).permutation(X.shape[0])[:n])
            self._sample = X[rows], Y[rows]
        with self.signals.breakable(hurried=True):
            scores = self.network.evaluate(*self._sample, mask_seen=self.mask_seen).scores
        self._show({**scores, "rows": self._sample[0].shape[0]}, self.run.seconds)

    def _show(self, scores, seconds):
        network = self.network
        record = {
            "event": "evaluation", "network": self.number, "epoch": round(network.samples / self.data.n_rows, 3),
            "step": network.step, "samples": network.samples, "train_seconds": seconds, "loss": self.loss,
            **{name: value for name, value in scores.items() if name not in ("step", "loss")}, "active": self.active,
            "stage_ms": self.stage_ms,
        }  # fmt: skip
        self.last = record
        self.output.log(**record)
        self.output.say(ROW.format(
            f"{record['epoch']:.4g}", network.step, network.samples, f"{seconds:.2f}", f"{self.loss:.4f}",
            *(f"{scores[name]:.4f}" if name in scores else "" for name in SHOWN), f"{self.active:.1f}",
        ).rstrip())  # fmt: skip

    def final(self):
        """Scores what was saved on all rows: held-out ones, and those of the test file."""
        models = {"one network": self.networks[0]}
        if len(self.networks) > 1:
            models[f"{len(self.networks)} networks"] = Ensemble(self.networks)
        if self.run.mixings:
            models["with neighbours"] = self.model(whole=True)
        for what, rows in (("validation", self.data.held), ("test", self.data.test)):
            for name, model in models.items() if rows else ():
                psp = {"propensities": self.propensities} if what == "test" else {}
                start = time.perf_counter()
                found = model.evaluate(*rows, mask_seen=self.mask_seen, **psp).scores
                if isinstance(model, Mixed):
                    seconds = time.perf_counter() - start
                    self._memory = model.nbytes / 1e6, 1e3 * seconds / max(1, rows[0].shape[0])
                self.scores.setdefault(what, {})[name] = found

    def summarize(self, **more):
        """The scores of what was saved, on all rows; `more` goes to the log."""
        output, run, network = self.output, self.run, self.network
        if run.scores and not self.data.held:
            output.say("validation, before all rows were trained on: " + _line(run.scores))
        for what, found in self.scores.items():
            n = (self.data.held if what == "validation" else self.data.test)[0].shape[0]
            for name, scores in found.items():
                output.say(f"{what}, {n:,} rows, {name}: {_line(scores)}")
        if self._memory:
            megabytes, ms = self._memory
            output.say(f"neighbours take {megabytes:,.0f} MB, and with the network {ms:.2g} ms per row")
        output.say(
            f"{run.seconds:.1f} s of training on {network.threads} threads, "
            f"{100 * self.active / network.n_labels:.3g} % of the labels active"
        )
        output.log(event="end", step=network.step, last=self.last, scores=self.scores, validation=run.scores,
                   seconds=run.seconds, **more)  # fmt: skip


def _line(scores) -> str:
    names = [*SHOWN, *(name for name in scores if name.startswith("PSP@"))]
    return " ".join(f"{name} {scores[name]:.4f}" for name in names)
