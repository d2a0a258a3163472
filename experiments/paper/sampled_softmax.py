"""SLIDE and the sampled softmax: as many or far more neurons, drawn without looking at the input."""

from experiments.frame import draw, seeds
from experiments.frame.claims import judged
from experiments.frame.problems import problem
from experiments.frame.records import of
from experiments.frame.training import best, seconds_to, settings, sized, tuned_run

QUESTION = "How many uniformly drawn neurons does a sampled softmax need to match SLIDE at 0.5 % active?"
FIGURE = "Fig. 7"
PAPER = (
    "SLIDE has about 0.5 % of the classes active; the sampled softmax needs 20 % of them for any decent accuracy, "
    "rises faster at first on Amazon-670K and saturates lower (figure 7)"
)
CLAIMS = ("sampled_softmax",)
TIME = {"smoke": "5 s", "small": "7 min", "paper": "12 h"}

SETTINGS = {
    "smoke": dict(data="tiny", share=0.02, shares=[0.02, 0.2], group_size=4, rates=[5e-3], epochs=3, tune_epochs=1,
                  evaluations=4, seeds=2),
    "small": dict(data="citeulike-tags-53k", share=0.005, shares=[0.005, 0.02, 0.2], group_size=4,
                  rates=[5e-3, 1e-2], epochs=4, tune_epochs=1, evaluations=8, seconds=90, seeds=3),
    "paper": dict(data="amazon-670k", share=0.005, shares=[0.005, 0.02, 0.1, 0.2], group_size=16,
                  rates=[5e-4, 1e-3, 2e-3], epochs=3, tune_epochs=1, evaluations=12, seeds=3),
}  # fmt: skip
DECENT, PUBLISHED = 0.98, 0.2  # part of SLIDE's best P@1; share of the classes that the paper's sampled softmax needs


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
            regularise=False, seeds=chosen.get("seeds", 1),
        )  # fmt: skip


def curves(records):
    """[(name, share, evaluations)]: SLIDE, then the sampled softmax by its share."""
    chosen = records[0]["settings"]
    keys = [("slide", chosen["share"]), *(("uniform", share) for share in chosen["shares"])]
    return [(system, share, seeds.curve(records, system=system, share=share)) for system, share in keys]


def verdicts(records) -> dict:
    """The sampled softmax needs more classes than SLIDE for `DECENT` of its best P@1, and as many as published."""
    (_, share, slide), *others = curves(records)
    enough = min((other for _, other, lines in others if best(lines) >= DECENT * best(slide)), default=None)
    least = 1.0 if enough is None else enough
    words = "no share that was tried is" if enough is None else f"{100 * enough:g} % of the classes are"
    why = f"drawn uniformly, {words} enough for {100 * DECENT:g} % of SLIDE's best P@1 with {100 * share:g} % active"
    return {"sampled_softmax": judged([least > share, least >= PUBLISHED], why)}


def finding(records) -> str:
    (_, _, slide), *others = curves(records)
    times = (f"{other:.1%} {_time(seconds_to(lines, DECENT * best(slide)))}" for _, other, lines in others)
    scores = ", ".join(f"{other:.1%}: {seeds.score(lines)} (end {lines[-1]['p1']:.3f})" for _, other, lines in others)
    return (
        f"Best P@1: SLIDE at {slide[-1]['active'] / n_labels(records):.2%} active {seeds.score(slide)} (end "
        f"{slide[-1]['p1']:.3f}); uniform {scores}. To {DECENT:.0%} of SLIDE's best: SLIDE "
        f"{_time(seconds_to(slide, DECENT * best(slide)))}, uniform {', '.join(times)}."
    )


def _time(seconds) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def n_labels(records):
    return of(records, "data")[0]["n_labels"]


def plot(records):
    data = of(records, "data")[0]
    figure, axes = draw.panels(2, f"{QUESTION}\n{data['title']}, {data['n_labels']:,} labels, "
                                  f"{seeds.in_words(curves(records)[0][2])}")  # fmt: skip
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
    draw.plain_log_axis(axes[0])
    axes[1].legend(fontsize=8, loc="lower right")
    return figure
