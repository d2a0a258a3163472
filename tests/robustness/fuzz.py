"""Tries of what anyone may hand in, drawn by a seed, in processes that are limited in time and memory.

python -m tests.robustness.fuzz parsers|models|calls [--number N] [--seed S] [--faults FOLDER]

prints how often each outcome came, and ends with 1 where one was a fault: an exception of another kind than the
package's own errors, a wrong value, a crash, or a try that took longer than SECONDS. Its input is kept in the folder.
"""

import argparse
import collections
import faulthandler
import importlib
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from tqdm import tqdm

TARGETS = {"parsers": 5000, "models": 500, "calls": 1000}  # and how many tries a process makes
SECONDS, MEMORY = 30, 3 << 30  # of a try; of a process


class Trials:
    """Runs tries in this process: a line before each, and one after with what came of it."""

    def __init__(self, seed, faults):
        self.seed, self.faults, self.n = seed, faults, 0

    def __call__(self, what, use, content=None):
        """use() returns the outcome in a word or two; what it raises is a fault. content: bytes to keep of it."""
        print(f"begin {self.n} {what}", flush=True)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            outcome = use()
        except BaseException as error:
            outcome = self._fault(what, error, content)
        faulthandler.cancel_dump_traceback_later()
        print(f"end {self.n} {outcome}", flush=True)
        self.n += 1

    def _fault(self, what, error, content):
        place = traceback.extract_tb(error.__traceback__)[-1]
        stem = Path(self.faults, f"fault_{self.seed}_{self.n}")
        stem.with_suffix(".txt").write_text(f"{what}\n{''.join(traceback.format_exception(error))}")
        if content is not None:
            stem.with_suffix(".bin").write_bytes(content)
        return f"FAULT {type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {str(error)[:200]!r}"


def child(target, number, seed, faults):
    if "ASAN_OPTIONS" not in os.environ:  # its shadow memory is larger than any limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    faults = os.path.abspath(faults)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # a drawn name may be a path
        importlib.import_module(f"tests.robustness.{target}").run(number, seed, folder, Trials(seed, faults))


def run(target: str, number: int, seed: int, faults: str) -> collections.Counter:
    """{outcome: how many} of `number` tries."""
    os.makedirs(faults, exist_ok=True)
    outcomes, at_once = collections.Counter(), TARGETS[target]
    for first in tqdm(range(0, number, at_once), target, unit=f" x {at_once:,} tries", disable=None):
        n = min(at_once, number - first)
        command = [sys.executable, "-m", "tests.robustness.fuzz", target, "--child", "--number", str(n), "--seed",
                   str(seed + first), "--faults", faults]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        ends = [line.split(" ", 2)[2] for line in done.stdout.splitlines() if line.startswith("end ")]
        outcomes.update(ends)
        if done.returncode != 0:
            last = done.stdout.splitlines()[-1:]
            outcomes[f"FAULT exit {done.returncode} of seed {seed + first} after {last}: {done.stderr[-2000:]}"] += 1
    return outcomes


def faults_of(outcomes) -> list:
    return [outcome for outcome in outcomes if outcome.startswith("FAULT")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--number", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", default="build/faults")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.target, options.number, options.seed, options.faults)
    start = time.monotonic()
    outcomes = run(options.target, options.number, options.seed, options.faults)
    for outcome, count in outcomes.most_common():
        print(f"{count:10,}  {outcome}")
    print(f"{options.target}: {sum(outcomes.values()):,} tries in {time.monotonic() - start:.0f} s, "
          f"{sum(outcomes[fault] for fault in faults_of(outcomes))} faults")  # fmt: skip
    return 1 if faults_of(outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
