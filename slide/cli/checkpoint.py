"""Where a model goes while it is trained, and at the end of its training."""

import argparse
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from slide.cli.output import Output, note
from slide.distributed.exchange import ALONE
from slide.prediction.loading import file_bytes
from slide.state.files import check_target

UNITS = {"s": 1, "min": 60, "h": 3600}
EPOCHS = ("epoch", "epochs")
FAILURES = (OSError, ValueError, MemoryError)


@dataclass(frozen=True)
class Interval:
    """So many batches, epochs or seconds: one of them is not 0."""

    batches: int = 0
    epochs: float = 0.0
    seconds: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Interval":
        """Of "500", "2epochs", "90s", "5min" or "1.5h"; the argparse type of an option."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|min|h|epochs?)?", text)
        amount = float(found[1]) if found else 0
        if not found or not amount or (not found[2] and amount != int(amount)):
            raise argparse.ArgumentTypeError(
                f"found {text!r}, expected a number of batches (500), epochs (2epochs) or a time (90s, 5min, 1.5h)"
            )
        if found[2] in EPOCHS:
            return cls(epochs=amount)
        return cls(seconds=amount * UNITS[found[2]]) if found[2] else cls(batches=int(amount))

    def in_batches(self, per_epoch: int) -> int:
        """As a number of batches, at least 1; 0 where it is a time."""
        return self.batches or (max(1, round(self.epochs * per_epoch)) if self.epochs else 0)


class Checkpoint:
    """The file of a model: a Network, an Ensemble or a Mixed.

    path   None: nothing is saved
    every  the Interval at which it is saved in training, or None
    world  the ranks that save it together, which must do so in the same places at the same times: the first decides
    """

    def __init__(self, path, every: Interval | None, output: Output, per_epoch: int = 1, world=ALONE):
        self._world = world
        self.path, self.every, self.output = path and Path(path), every, output
        self.batches = every.in_batches(per_epoch) if every else 0
        self.kept = self.path is None  # whether all that was to be saved is where it was to be
        self.found: str | None = None  # where the model is
        self._last, self._failing = time.monotonic(), False

    def check(self, model, times: float = 1) -> None:
        """Raises OSError or ValueError where a model so many times as large could not be saved as things are."""
        if self.path:
            n_bytes = round(times * file_bytes(model))
            if self._world.rank == 0:
                check_target(self.path, n_bytes)

    def due(self, step: int) -> bool:
        if not self.path or not self.every:
            return False
        if self.batches:
            return step % self.batches == 0
        return self._world.same(time.monotonic() - self._last >= self.every.seconds)

    def save(self, model, run: dict) -> bool:
        """Saves in training, which goes on where that fails: the next time may be better."""
        try:
            model.save(self.path, run=run)
            self._failing = False
        except FAILURES as error:
            if not self._failing:
                self._note(f"{self.path} could not be saved: {_why(error, self.path)}; training goes on")
            self._failing = True
        self._last = time.monotonic()
        return not self._failing

    def finish(self, model, run: dict, diverged=False) -> None:
        """Saves at the end; where that fails, elsewhere, and says where. `kept` is then false.

        A model that diverged never replaces one that is there already.
        """
        if not self.path:
            return
        path = self.path
        if diverged and self._world.same(path.exists()):
            path = path.with_name(f"{path.stem}.diverged{path.suffix}")
            self._note(f"{self.path} was left as it was")
        self.kept = self._save(model, run, path)
        if self.kept:
            self.output.say(f"saved {path}")
            return
        for other in self._others(path):
            if self._save(model, run, other):
                self._note(f"saved {Path(other).absolute()} instead")
                return
        self._note("the model could not be saved anywhere: it is lost")

    def _others(self, path):
        names = _elsewhere(path) if self._world.rank == 0 else iter(())
        while (other := self._world.same(next(names, None))) is not None:
            yield other

    def _note(self, text):
        if self._world.rank == 0:
            note(text)

    def _save(self, model, run, path):
        try:
            model.save(path, run=run)
        except FAILURES as error:
            self._note(f"{path} could not be saved: {_why(error, path)}")
            return False
        self.found = str(path)
        return True


def _why(error, path):
    return (str(error) or type(error).__name__).removeprefix(f"{path}: ")


def _elsewhere(path):
    """Names of no file yet: beside `path`, in the temporary folder and in the working directory."""
    names = [f"{path.stem}.rescued{number or ''}{path.suffix}" for number in range(100)]
    yield from [path.with_name(name) for name in names if not path.with_name(name).exists()][:1]
    try:
        yield Path(tempfile.mkdtemp(prefix="slide-")) / path.name
    except OSError as error:
        note(f"no temporary folder: {error}")
    yield from [Path(name) for name in names if not Path(name).exists()][:1]
