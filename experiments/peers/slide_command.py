"""slide as its users have it: `python -m slide train`, then `python -m slide predict`, each a process of its own."""

import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from experiments.frame import machine, processes
from experiments.peers.rivals import KS, limited_cpu, padded, scores, size_mb


def measure(arguments, seed, folder, limit):
    """Yields what `experiments.peers.rivals.measure` does, of `slide train` with these further arguments.

    CPU seconds are those of the commands, less those of a process that only starts and reads the same files, and never
    below 0. In training the rows of few.npz stand for the test set, so that no time goes to its evaluation.
    """
    from slide.data import load

    train, few, test = (str(Path(folder, f"{name}.npz")) for name in ("train", "few", "test"))
    with tempfile.TemporaryDirectory() as own, limited_cpu(limit):  # every child inherits it
        model = Path(own, "model.npz")
        fit = ["train", "--train", train, "--test", few, "--save", str(model), "--seed", str(seed), *arguments]
        trained, said = cpu_seconds(fit)
        predicted, found = cpu_seconds(["predict", str(model), "--input", test, "--top-k", str(max(KS))])
        ids = padded([[int(pair.split(":")[0]) for pair in line.split()] for line in found.splitlines()], max(KS))
        yield {
            **scores(load(train)[1], load(test)[1], ids), "train_s": max(0.0, trained - reading(train, few)),
            "predict_s": max(0.0, predicted - reading(test)), "peak_gb": machine.peak_gb(resource.RUSAGE_CHILDREN),
            "model_mb": size_mb(model), "settings": "".join(x for x in said.splitlines() if x.startswith("settings: ")),
        }  # fmt: skip


def cpu_seconds(arguments) -> tuple[float, str]:
    """(CPU seconds, what it printed) of `python -m slide` with these arguments, on one thread."""
    return _run([sys.executable, "-m", "slide", *arguments, "--threads", "1"])


def reading(*paths) -> float:
    """CPU seconds of a process that starts as the commands do and reads the files."""
    return _run(processes.command(__name__, "read", paths=paths))[0]


def read(paths):
    import slide.cli  # noqa: F401
    from slide.data import load

    yield {"rows": [load(path)[0].shape[0] for path in paths]}


def _run(command):
    before = _children()
    done = subprocess.run(command, cwd=machine.ROOT, capture_output=True, text=True)
    if done.returncode == -signal.SIGXCPU:
        signal.raise_signal(signal.SIGXCPU)  # over the limit: this process ends as the rivals' do
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])}: ended with {done.returncode}: {done.stderr[-600:].strip()}")
    return _children() - before, done.stdout


def _children() -> float:
    use = resource.getrusage(resource.RUSAGE_CHILDREN)
    return use.ru_utime + use.ru_stime
