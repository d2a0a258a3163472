"""SLIDE, full softmax and sampled softmax at several batch sizes."""

import itertools

from experiments.frame import draw, seeds
from experiments.frame.claims import judged
from experiments.frame.problems import problem
from experiments.frame.records import of
from experiments.frame.training import best, seconds_to, settings, tuned_run

QUESTION = "Does SLIDE stay ahead at every batch size?"
FIGURE = "Fig. 8"
PAPER = "SLIDE is ahead at 64, 128 and 256 on Amazon-670K; its gap to the full softmax widens with the batch (figure 8)"
CLAIMS = ("batch_size",)
TIME = {"smoke": "6 s", "small": "8 min", "paper": "60 h"}

RATES = [5e-3, 1e-2, 2e-2]
SETTINGS = {
    "smoke": dict(data="tiny", sizes=[64, 256], rates=RATES, epochs=2, tune_epochs=0.2, evaluations=3,
                  seeds=2),
    "small": dict(data="citeulike-tags-53k", sizes=[64, 128, 256], rates=RATES, epochs=2, tune_epochs=1,
                  evaluations=6, seconds=60, seeds=3),
    "paper": dict(data="amazon-670k", sizes=[64, 128, 256, 1024], rates=RATES, epochs=2, tune_epochs=0.2,
                  evaluations=10, seeds=3),
}  # fmt: skip
SYSTEMS = ("slide", "uniform", "full")
TARGET = 0.9  # part of the full softmax's best P@1 at which times are compared


def run(scale, records, threads, seed):
    chosen = SETTINGS[scale]
    data = problem(chosen["data"], seed)
    records.add("data", **data.facts())
    for setting in records.pending([{"batch": size, "system": s} for size in chosen["sizes"] for s in SYSTEMS]):
        system = setting["system"]
        tuned_run(
            system, data, records.add, settings(system, data, batch_size=setting["batch"]),
            rates=chosen["rates"], epochs=chosen["epochs"], tune_epochs=chosen["tune_epochs"],
            threads=threads, seed=seed, evaluations=chosen["evaluations"], seconds=chosen.get("seconds"),
            fields={"batch": setting["batch"]}, regularise=False, seeds=chosen.get("seeds", 1),
        )  # fmt: skip


def ratios(records) -> dict:
    """{batch: how many times faster SLIDE reaches 90 % of the full softmax's best P@1}; None where it does not."""
    out = {}
    for size in records[0]["settings"]["sizes"]:
        slide, full = (seeds.curve(records, batch=size, system=name) for name in ("slide", "full"))
        target = TARGET * best(full)
        at = seconds_to(slide, target)
        out[size] = seconds_to(full, target) / at if at else None
    return out


def verdicts(records) -> dict:
    """Ahead at every size, and by more at each larger one."""
    found = ratios(records)
    ahead = all(value is not None and value > 1 for value in found.values())
    widens = ahead and all(a < b for a, b in itertools.pairwise(found.values()))
    times = ", ".join("never" if v is None else f"{v:.0f}" for v in found.values())
    why = (
        f"SLIDE reaches {TARGET:.0%} of the full softmax's best P@1 {times} times faster with batches of "
        f"{', '.join(f'{n:,}' for n in found)}: the gap {'widens' if widens else 'does not widen'}"
    )
    return {"batch_size": judged([ahead, widens], why)}


def finding(records) -> str:
    found = ratios(records)
    sizes = list(found)
    times = ", ".join(f"{n}: {'not reached' if v is None else f'{v:.1f} times'}" for n, v in found.items())
    scores = "; ".join(_scores(records, system, sizes) for system in SYSTEMS)
    return (
        f"SLIDE reaches {TARGET:.0%} of the full softmax's best P@1 faster by, at batch {times}. Best P@1 "
        f"by batch ({seeds.in_words(seeds.curve(records, batch=sizes[0], system='slide'))}): {scores}."
    )


def _scores(records, system, sizes):
    values = (seeds.score(seeds.curve(records, batch=size, system=system)) for size in sizes)
    return f"{draw.LABELS[system]} {', '.join(values)}"


def plot(records):
    data, sizes = of(records, "data")[0], records[0]["settings"]["sizes"]
    how = f"{draw.threads(records)}, {seeds.in_words(seeds.curve(records, batch=sizes[0], system='slide'))}"
    title = f"{QUESTION}\n{data['title']}, {data['n_labels']:,} labels, {how}"
    across = 2 if len(sizes) == 4 else min(3, len(sizes))
    figure, axes = draw.panels(across, title, rows=-(-len(sizes) // across))
    for axis, size in zip(axes, sizes, strict=False):
        for system in SYSTEMS:
            lines = seeds.curve(records, batch=size, system=system)
            draw.curve(axis, lines, "seconds", "p1", **draw.style(system))
        draw.popularity(axis, data)
        draw.accuracy(axis, draw.SECONDS)
        draw.plain_log_axis(axis)
        axis.set_title(f"batches of {size:,}")
    for axis in axes[len(sizes):]:
        axis.set_visible(False)
    draw.legend(figure, axes[0])
    return figure
