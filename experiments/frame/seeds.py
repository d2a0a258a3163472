"""Curves over several seeds: the mean at each step, and the spread."""

import statistics

from experiments.frame.records import of

MEANS = ("seconds", "p1", "active", "retrieved")  # of an evaluation, where it has them
NAME = "mean of {n} seeds, band or line: one standard deviation"


def curve(records, **fields) -> list[dict]:
    """The evaluations that have these fields, one per step: see `mean_of`."""
    return mean_of(of(records, "evaluation", **fields))


def mean_of(lines) -> list[dict]:
    """Evaluations of one or several seeds as one per step, in order: the means of `MEANS` and of the lists in
    "recall", the standard deviation "p1_spread" of P@1, 0 of one seed, and "seeds", how many there were.

    Steps that not every seed came to, since time was up, are left out.
    """
    by_step = {}
    for line in lines:
        by_step.setdefault(line["step"], []).append(line)
    n = len({line.get("seed") for line in lines})
    return [merged(by_step[step]) for step in sorted(by_step) if len(by_step[step]) == n]


def merged(lines) -> dict:
    """The evaluations of several seeds at one step as one."""
    first, scores = lines[0], [line["p1"] for line in lines]
    found = {name: statistics.fmean(line[name] for line in lines) for name in MEANS if name in first}
    if "recall" in first:
        found["recall"] = [statistics.fmean(each) for each in zip(*(line["recall"] for line in lines), strict=True)]
    return {**first, **found, "p1_spread": statistics.stdev(scores) if len(scores) > 1 else 0.0, "seeds": len(lines)}


def score(lines) -> str:
    """The best P@1 of a curve, with the spread over seeds there, in words."""
    top = max(lines, key=lambda line: line["p1"])
    return f"{top['p1']:.3f}" + (f" +- {top['p1_spread']:.3f}" if top["seeds"] > 1 else "")


def in_words(lines) -> str:
    """How many seeds a curve has."""
    n = lines[0]["seeds"]
    return "one seed" if n == 1 else NAME.format(n=n)
