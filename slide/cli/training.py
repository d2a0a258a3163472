"""Training with evaluations in between, a table of them, their log, and checkpoints."""

import time

from tqdm import tqdm

ROW = "{:>6} {:>8} {:>10} {:>9} {:>8} {:>7} {:>7} {:>7} {:>9}"
HEAD = ROW.format("epoch", "step", "samples", "train s", "loss", "P@1", "P@3", "P@5", "active")
SHOWN = ("P@1", "P@3", "P@5")


class Training:
    """A network, (X, Y) to train and to test on, its Run, and what it is told to: an Output, Signals, a Checkpoint.

    grow_at: the batch after which active sets grow, where the run says so.
    """

    def __init__(self, network, train, test, run, output, signals, checkpoint):
        self.network, self.train, self.test, self.run = network, train, test, run
        self.output, self.signals, self.checkpoint = output, signals, checkpoint
        self.n_rows = train[0].shape[0]
        self.grow_at, self.propensities, self.last = 0, None, None
        self.loss = self.active = float("nan")
        self.stage_ms = {}

    def go(self, end, every=None):
        """Trains until batch `end`, and evaluates every so many (an epoch); ends before where a signal comes."""
        network = self.network
        every = every or -(-self.n_rows // network.batch_size)
        with tqdm(total=end - network.step, unit="batch", leave=False, disable=None) as bar:
            while network.step < end and not self.signals:
                self._train(min(every - network.step % every, end - network.step), bar)
                if not self.signals:
                    self.evaluate()

    def _train(self, steps, bar):
        network, losses, active = self.network, [], []
        clock, start, away = network.context.clock, time.perf_counter(), 0.0
        clock.reset()

        def after_batch(network, loss):
            nonlocal away
            losses.append(loss)
            active.append(network.active)
            bar.update()
            if self.run.grow and not self.run.grown and network.step >= self.grow_at:
                network.grow(self.run.grow)
                self.run.grown = True
            if self.checkpoint.due(network.step):
                before = time.perf_counter()
                self.run.seconds += before - start - away
                self.save()
                self.run.seconds -= before - start - away
                away += time.perf_counter() - before
            return bool(self.signals)

        try:
            network.fit(*self.train, steps=steps, callback=after_batch)
        finally:
            self.run.seconds += time.perf_counter() - start - away
            if losses:
                self.loss, self.active = sum(losses) / len(losses), sum(active) / len(active)
                self.stage_ms = {name: 1e3 * value / len(losses) for name, value in clock.seconds.items()}

    def save(self):
        """A checkpoint."""
        if self.checkpoint.save(self.network, self.run.record()):
            self.output.log(event="saved", step=self.network.step)

    def evaluate(self):
        """Scores the network as it is; a line of the table and of the log."""
        network = self.network
        with self.signals.breakable(hurried=True):
            scores = network.evaluate(*self.test, propensities=self.propensities).scores
        record = {
            "event": "evaluation", "epoch": round(network.samples / self.n_rows, 3), "step": network.step,
            "samples": network.samples, "train_seconds": self.run.seconds, "loss": self.loss, **scores,
            "active": self.active, "stage_ms": self.stage_ms,
        }  # fmt: skip
        self.last = record
        if self.run.best is None or record["P@1"] > self.run.best["P@1"]:
            self.run.best = {name: record[name] for name in ("epoch", "step", *SHOWN)}
        self.output.log(**record)
        self.output.say(ROW.format(
            f"{record['epoch']:.4g}", network.step, network.samples, f"{self.run.seconds:.2f}", f"{self.loss:.4f}",
            *(f"{scores[name]:.4f}" for name in SHOWN), f"{self.active:.1f}",
        ))  # fmt: skip

    def summarize(self, **more):
        """The best and the last evaluation; `more` goes to the log."""
        best, last = self.run.best, self.last
        if last:
            self.output.say(
                f"best P@1 {best['P@1']:.4f} P@3 {best['P@3']:.4f} P@5 {best['P@5']:.4f} at epoch {best['epoch']:.4g}; "
                f"last P@1 {last['P@1']:.4f}; {self.run.seconds:.1f} s of training on {self.network.threads} threads, "
                f"{100 * last['active'] / self.network.n_labels:.3g} % of the labels active"
            )
            if psp := [f"{name} {value:.4f}" for name, value in last.items() if name.startswith("PSP@")]:
                self.output.say("last " + ", ".join(psp))
        self.output.log(event="end", step=self.network.step, best=best, last=last, **more)
