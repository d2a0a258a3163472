"""slide as its users have it: `python -m slide tune`, `train` and `predict`, each a process of its own."""

import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from experiments.frame import machine, processes
from experiments.peers.rivals import KS, limited_cpu, padded, scores, size_mb


def measure(tune, train, seed, folder, limit):
    """Yields what `experiments.peers.rivals.measure` does, and `tune_s`, of `slide train` with each of `train`,
    {name: arguments}.

    `slide tune` with the arguments `tune` comes first, unless that is None, and leaves its trials where all of `train`,
    which would make them themselves, find them. CPU seconds are those of the commands, less those of a process that
    only starts and reads the same files, and never below 0.
    """
    rows, test = (str(Path(folder, f"{name}.npz")) for name in ("train", "test"))
    shared = ["--train", rows, "--seed", str(seed)]
    with tempfile.TemporaryDirectory() as own, limited_cpu(limit):  # every child inherits it
        reads, tuned, trials = (reading(rows), reading(test)), 0.0, Path(own, "tuning.jsonl")
        if tune is not None:
            tuned = cpu_seconds(["tune", *shared, "--cache", str(trials), *tune])[0] - reads[0]
        for name, arguments in train.items():
            model = Path(own, f"{name}.npz")
            if tune is not None:
                shutil.copy(trials, f"{model}.tuning.jsonl")
            found = trained_and_asked([*shared, "--save", str(model), *arguments], model, rows, test, reads)
            yield {"system": name, "tune_s": max(0.0, tuned), **found}


def trained_and_asked(arguments, model, rows, test, reads) -> dict:
    """What `slide train` with the arguments reaches and costs, and `slide predict` with its model.

    reads: CPU seconds that are taken from those of training and prediction
    """
    from slide.data import load

    trained, said = cpu_seconds(["train", *arguments])
    predicted, found = cpu_seconds(["predict", str(model), "--input", test, "--top-k", str(max(KS))])
    ids = padded([[int(pair.split(":")[0]) for pair in line.split()] for line in found.splitlines()], max(KS))
    return {
        **scores(load(rows)[1], load(test)[1], ids),
        "train_s": max(0.0, trained - reads[0]), "predict_s": max(0.0, predicted - reads[1]),
        "peak_gb": machine.peak_gb(resource.RUSAGE_CHILDREN), "model_mb": size_mb(model),
        "settings": "".join(x for x in said.splitlines() if x.startswith("settings: ")),
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
