"""SLIDE and the sampled softmax: as many or far more neurons, drawn without looking at the input."""

from experiments.frame import draw
from experiments.frame.problems import problem
from experiments.frame.records import of
from experiments.frame.training import best, seconds_to, settings, sized, tuned_run

QUESTION = "How many uniformly drawn neurons does a sampled softmax need to match SLIDE at 0.5 % active?"
FIGURE = "Fig. 7"
PAPER = (
    "SLIDE has about 0.5 % of the classes active; the sampled softmax needs 20 % of them for any decent accuracy, "
    "rises faster at first on Amazon-670K and saturates lower (figure 7)"
)
TIME = {"smoke": "5 s", "small": "5 min", "paper": "12 h"}

SETTINGS = {
    "smoke": dict(data="tiny", share=0.02, shares=[0.02, 0.2], group_size=4, rates=[5e-3], epochs=3, tune_epochs=1,
                  evaluations=4),
    "small": dict(data="citeulike-tags-53k", share=0.005, shares=[0.005, 0.02, 0.1, 0.2], group_size=4,
                  rates=[5e-3, 1e-2], epochs=6, tune_epochs=2, evaluations=8, seconds=90),
    "paper": dict(data="amazon-670k", share=0.005, shares=[0.005, 0.02, 0.1, 0.2], group_size=16,
                  rates=[5e-4, 1e-3, 2e-3], epochs=3, tune_epochs=1, evaluations=12),
}  # fmt: skip


def run(scale, records, threads, seed):
    chosen = SETTINGS[scale]
    data = problem(chosen["data"], seed)
    records.add("data", **data.facts())
    grid = [{"system": "slide", "share": chosen["share"]}]
    grid += [{"system": "uniform", "share": share} for share in chosen["shares"]]
    for setting in records.pending(grid):
        share = setting["share"]
        size = sized(setting["system"], max(2, round(share * data.n_labels)))
        of_system = settings(setting["system"], data, size, group_size=chosen["group_size"])
        tuned_run(
            setting["system"], data, records.add, of_system, rates=chosen["rates"], epochs=chosen["epochs"],
            tune_epochs=chosen["tune_epochs"], threads=threads, seed=seed, evaluations=chosen["evaluations"],
            seconds=chosen.get("seconds"), fields={"share": share},
            regularise=False,
        )  # fmt: skip


def curves(records):
    """[(name, share, evaluations)]: SLIDE, then the sampled softmax by its share."""
    chosen = records[0]["settings"]
    keys = [("slide", chosen["share"]), *(("uniform", share) for share in chosen["shares"])]
    return [(system, share, of(records, "evaluation", system=system, share=share)) for system, share in keys]


def finding(records) -> str:
    (_, share, slide), *others = curves(records)
    target = 0.98 * best(slide)
    enough = [share for _, share, lines in others if best(lines) >= target]
    alike = next(lines for _, other, lines in others if other == share)
    at = seconds_to(slide, target)
    if not enough:
        verdict = "Reproduced: no sampled softmax reaches 98 % of SLIDE's best P@1"
    elif min(enough) > share:
        verdict = f"In part: the sampled softmax reaches 98 % of SLIDE's best P@1 with {min(enough):.1%} of the classes"
    else:
        seconds = seconds_to(alike, target)
        verdict = (
            f"Not reproduced: drawn uniformly, {share:.1%} of the classes reach 98 % of SLIDE's best P@1 too, in "
            f"{seconds:.1f} s ({at:.1f} s with SLIDE): with the true labels always active and sets shared by groups"
        )
    scores = ", ".join(f"{other:.1%}: {best(lines):.3f} (end {lines[-1]['p1']:.3f})" for _, other, lines in others)
    return f"{verdict}. Best P@1: SLIDE at {slide[-1]['active'] / n_labels(records):.2%} active {best(slide):.3f} " \
           f"(end {slide[-1]['p1']:.3f}); uniform {scores}."  # fmt: skip


def n_labels(records):
    return of(records, "data")[0]["n_labels"]


def plot(records):
    data = of(records, "data")[0]
    figure, axes = draw.panels(2, f"SLIDE and the sampled softmax: {data['title']}, {data['n_labels']:,} labels")
    shades = ("#00442F", "#009E73", "#56C4A0", "#A9DCC8")
    for axis, x, label in zip(axes, ("seconds", "step"), (draw.SECONDS, draw.BATCHES), strict=True):
        for number, (system, _, lines) in enumerate(curves(records)):
            look = draw.style(system)
            look["label"] += f", {lines[-1]['active'] / data['n_labels']:.1%} of the classes" if lines else ""
            if system == "uniform":
                look.update(color=shades[(number - 1) % 4], marker="^sDv"[(number - 1) % 4])
            draw.curve(axis, lines, x, "p1", **look)
        draw.popularity(axis, data)
        draw.accuracy(axis, label)
    draw.seconds_axis(axes[0])
    axes[1].legend(fontsize=8, loc="lower right")
    return figure
