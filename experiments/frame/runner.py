"""Runs an experiment at a scale, or all of them, and keeps from measuring twice."""

import re
import sys
from pathlib import Path

from experiments.frame import catalogue, draw, machine, records

FIGURES = catalogue.PACKAGE.parent / "figures"


def record_path(name: str, scale: str, folder=None) -> Path:
    """Where the records of an experiment lie; the scale "small" has no suffix."""
    stem = name if scale == "small" else f"{name}-{scale}"
    return Path(folder or FIGURES) / f"{stem}.jsonl"


def run(name, scale="small", threads=None, seed=0, folder=None, again=False, progress=None) -> tuple[Path, bool]:
    """(path of the picture, whether anything was measured).

    Settings that are on record for this machine are drawn and not measured, unless `again`; the record of other
    settings is replaced, and an interrupted run is gone on with. threads None: all CPUs. progress(done, total): called
    after every setting. Raises ValueError where the experiment or its scale is unknown.
    """
    from slide.machine.threads import check_threads

    module = catalogue.load(name)
    if scale not in module.TIME:
        raise ValueError(f"scale: found {scale!r}, expected one of {', '.join(module.TIME)}")
    path = record_path(name, scale, folder)
    settings = {"experiment": name, "scale": scale, "threads": check_threads(threads), "seed": int(seed)}
    header = {**settings, "settings": records.settings_of(module, scale), **machine.facts()}
    if not again and finished(path, header):
        return draw.draw(module, path), False
    with records.Records(path, header, again, progress) as log:
        module.run(scale, log, settings["threads"], settings["seed"])
    return draw.draw(module, path), True


def run_all(some=None, scale="small", threads=None, seed=0, folder=None, again=False) -> list[str]:
    """Runs every experiment that knows the scale, with a bar of the whole; one that fails does not stop the others.

    some: the names of those to run; None: all.

    Returns what failed, in words.
    """
    from tqdm import tqdm

    times = {name: catalogue.entries()[name].time for name in some or catalogue.names()}
    cost = {name: seconds(time[scale]) for name, time in times.items() if scale in time}
    failed, before = [], 0.0
    form = "{desc} {percentage:3.0f}% |{bar}| {elapsed} gone, about {remaining} left"
    with tqdm(total=sum(cost.values()), bar_format=form, position=1, disable=None) as bar:
        for name in cost:
            bar.set_description(name)

            def progress(done, total, name=name, before=before):
                bar.n = before + cost[name] * done / total
                bar.refresh()

            try:
                picture, measured = run(name, scale, threads, seed, folder, again, progress)
                tqdm.write(f"{name}: {picture}{'' if measured else ', from the record of an earlier run'}", sys.stderr)
            except Exception as error:  # the others are worth having
                failed.append(f"{name}: {type(error).__name__}: {error}")
                tqdm.write(failed[-1], sys.stderr)
            before += cost[name]
            bar.n = before
            bar.refresh()
    return failed


def seconds(words: str) -> float:
    """A duration in words ("20 s", "5 min", "2 h") as seconds; 60 where the words say none."""
    found = re.search(r"([0-9.]+) *(s|min|h)\b", words)
    return float(found[1]) * {"s": 1, "min": 60, "h": 3600}[found[2]] if found else 60.0


def finished(path: Path, header: dict) -> bool:
    """Whether path holds the records of a run with the same settings on the same machine, whatever the commit."""
    try:
        old = records.load(path)[0]
    except (OSError, ValueError):
        return False
    return all(old.get(key) == header.get(key) for key in records.SAME)
