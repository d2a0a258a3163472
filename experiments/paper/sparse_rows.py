"""Winner-take-all and its densified form on rows of more and fewer zeros: which tells similar rows from others?"""

import numpy as np

from experiments.frame import draw
from experiments.frame.claims import judged
from experiments.frame.records import of

QUESTION = "From which sparsity on does densified winner-take-all tell rows apart that winner-take-all does not?"
FIGURE = "talk: densified winner-take-all; UAI 2018"
PAPER = (
    "Where rows are sparse most bins of winner-take-all are empty and collide for nothing; densified, they take the "
    "code of a filled bin (Chen & Shrivastava, UAI 2018)"
)
CLAIMS = ("dwta",)
TIME = {"smoke": "2 s", "small": "8 s"}

SETTINGS = {
    "smoke": dict(dim=800, shares=[0.01, 0.3], common=[0.8, 0.3], pairs=20, K=3, L=10, seeds=1),
    "small": dict(dim=10_000, shares=[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5], common=[0.8, 0.3],
                  pairs=200, K=5, L=50, seeds=3),
}  # fmt: skip
FAMILIES = ("wta", "dwta")
NEAR = {True: "similar", False: "dissimilar"}
SPARSE, DENSE = 0.01, 0.2  # shares of non-zeros: up to the one, and from the other on
APART = 0.1  # of the AUC, or of what is found of similar rows less that of dissimilar ones: a difference


def run(scale, records, threads, seed):
    chosen = SETTINGS[scale]
    grid = [{"share": share, "seed": own} for share in chosen["shares"] for own in range(seed, seed + chosen["seeds"])]
    for setting in records.pending(grid):
        measure(setting["share"], chosen, records, threads, setting["seed"])


def measure(share, chosen, records, threads, seed):
    """Adds a "pairs" line for each family: collisions of similar and of dissimilar pairs, empty bins, the AUC of the
    share of hashes that collide, and how many pairs share a bucket in one of L tables.
    """
    from slide.hashing import FAMILIES as KNOWN
    from slide.hashing.bins import empty_odds

    K, L, dim = chosen["K"], chosen["L"], chosen["dim"]
    rng = np.random.default_rng(seed)
    pairs = {near: [pair(dim, share, common, rng) for _ in range(chosen["pairs"])]
             for near, common in zip(NEAR, chosen["common"], strict=True)}  # fmt: skip
    for name in FAMILIES:
        family = KNOWN[name](dim, 1, K * L, seed=seed)
        family.threads = threads
        line, rates = {}, {}
        for near, own in pairs.items():
            codes = [family.codes(np.array([rows[side] for rows in own])) for side in (0, 1)]
            equal = codes[0] == codes[1]
            rates[near] = equal.mean(axis=1)
            line[NEAR[near]] = float(rates[near].mean())
            line[f"found_{NEAR[near]}"] = float(equal.reshape(-1, L, K).all(axis=2).any(axis=1).mean())
        # All rows have as many non-zeros, and the pairs of a kind as many together.
        x, y = (row > 0 for row in pairs[False][0])
        both, one = empty_odds(x.sum(), y.sum(), (x | y).sum(), dim, family.width)
        records.add("pairs", family=name, share=share, seed=seed, auc=auc(rates[True], rates[False]), **line,
                    both_empty=float(both), empty_bin=float(both + one / 2))  # fmt: skip


def pair(dim, share, common, rng):
    """Two rows of `share` positive values that have a part `common` of their non-zeros, and its values, in common."""
    n = max(2, round(share * dim))
    kept = round(common * n)
    ids = rng.permutation(dim)[: 2 * n - kept]
    rows = np.zeros((2, dim), np.float32)
    rows[:, ids[:kept]] = rng.uniform(0.1, 1, kept)
    rows[0, ids[kept:n]] = rng.uniform(0.1, 1, n - kept)
    rows[1, ids[n:]] = rng.uniform(0.1, 1, n - kept)
    return rows


def auc(high, low) -> float:
    """The probability that one of `high` is above one of `low`, a tie counting half."""
    return float((high[:, None] > low).mean() + 0.5 * (high[:, None] == low).mean())


def middle(records, family, key, of_seeds=np.median) -> dict:
    """{share of non-zeros: median of the seeds}."""
    out = {}
    for line in of(records, "pairs", family=family):
        out.setdefault(line["share"], []).append(value_of(line, key))
    return {share: float(of_seeds(values)) for share, values in out.items()}


def value_of(line, key) -> float:
    """A field of a line; "apart": what tables find of similar rows less that of dissimilar ones; "nothing": the part of
    the collisions of dissimilar rows that are of two empty bins."""
    if key == "apart":
        return line["found_similar"] - line["found_dissimilar"]
    if key == "nothing":
        return min(1.0, line["both_empty"] / max(line["dissimilar"], 1e-9))
    return line[key]


def verdicts(records) -> dict:
    """At the sparsest rows up to `SPARSE` densified hashes tell more apart by `APART`, by tables and by the share of
    hashes that collide; and from `DENSE` on no less.
    """
    gains = {}
    for key in ("apart", "auc"):
        wta, dwta = (middle(records, family, key) for family in FAMILIES)
        gains[key] = {share: dwta[share] - wta[share] for share in wta}
    sparse = {key: [gain for share, gain in own.items() if share <= SPARSE] for key, own in gains.items()}
    dense = [gain for own in gains.values() for share, gain in own.items() if share >= DENSE]
    conditions = [min(sparse["apart"]) >= APART, min(sparse["auc"]) >= APART, min(dense) > -APART]
    return {"dwta": judged(conditions, why(records))}


def why(records) -> str:
    wta = middle(records, "wta", "apart")
    gains = {share: gain - wta[share] for share, gain in middle(records, "dwta", "apart").items()}
    better = [share for share, gain in gains.items() if gain >= APART]
    at = {(family, key): middle(records, family, key)[min(gains)] for family in FAMILIES
          for key in ("found_similar", "found_dissimilar", "auc", "empty_bin")}  # fmt: skip
    until = f"up to {100 * max(better):g} % non-zeros tables" if better else "at no share of non-zeros tables"
    worst = max(middle(records, "dwta", "found_dissimilar", max).values())
    return (
        f"{until} of densified hashes tell more rows apart: with {100 * min(gains):g} %, where "
        f"{100 * at['wta', 'empty_bin']:.0f} % of the bins are empty, they find {found(at, 'dwta')}, those of "
        f"winner-take-all {found(at, 'wta')} (medians of the seeds; with the worst functions densified hashes find "
        f"{100 * worst:.0f} % of the dissimilar); counted one by one, the hashes that collide rank pairs as well with "
        f"either (AUC {at['dwta', 'auc']:.2f} and {at['wta', 'auc']:.2f})"
    )


def found(at, family) -> str:
    similar, other = (100 * at[family, key] for key in ("found_similar", "found_dissimilar"))
    return f"{similar:.0f} % of the similar and {other:.0f} % of the dissimilar pairs"


def finding(records) -> str:
    settings = records[0]["settings"]
    nothing = 100 * middle(records, "wta", "nothing")[min(settings["shares"])]
    return (
        f"Pairs with {100 * settings['common'][0]:.0f} and {100 * settings['common'][1]:.0f} % of their non-zeros in "
        f"common, K = {settings['K']}, L = {settings['L']}: {why(records)}. Of the collisions of dissimilar pairs of "
        f"winner-take-all {nothing:.0f} % are of two empty bins at the sparsest: "
        f"the hashes that collide still rank pairs, since they differ in the few bins that are filled, but a bucket of "
        f"empty bins holds all rows. Seeds differ in what empty bins borrow: where the random walks of the bins of one "
        f"table begin side by side they end at the same filled bin, and K hashes of it are one."
    )


def plot(records):
    settings = records[0]["settings"]
    figure, axes = draw.panels(2, QUESTION, rows=2)
    line(axes[0], records, "wta", "empty_bin", **draw.series(7, "bins without a non-zero"))
    line(axes[0], records, "wta", "nothing", **draw.series(2, "WTA's collisions of dissimilar rows: both bins empty"))
    axes[0].set(ylabel="share", title="what is empty")
    for number, family in enumerate(FAMILIES):
        for near in NEAR.values():
            look = draw.series(number, f"{draw.FAMILIES[family]}, {near} rows")
            look["linestyle"] = "-" if near == "similar" else "--"
            line(axes[1], records, family, near, **look)
            line(axes[2], records, family, f"found_{near}", **look)
        line(axes[3], records, family, "auc", **draw.series(number, draw.FAMILIES[family]))
    axes[1].set(ylabel="hashes that collide (share)", title="single hashes")
    axes[2].set(ylabel="pairs in one bucket (share)", title=f"tables, K = {settings['K']}, L = {settings['L']}")
    axes[3].axhline(0.5, color="#444444", linestyle=":", label="chance")
    title = f"similar pairs ranked by {settings['K'] * settings['L']} hashes"
    axes[3].set(ylabel="AUC", title=title, ylim=(0.45, 1.03))
    for axis in axes:
        draw.plain_log_axis(axis)
        axis.set(xlabel="non-zeros of a row (percent)")
        axis.legend(fontsize=8)
    return figure


def line(axis, records, family, key, **look):
    """The median of the seeds by the share of non-zeros; the band is from the least to the most of them."""
    by = {}
    for entry in of(records, "pairs", family=family):
        by.setdefault(100 * entry["share"], []).append(value_of(entry, key))
    low, high = (list(map(end, by.values())) for end in (min, max))
    axis.plot(list(by), [np.median(own) for own in by.values()], **look)
    axis.fill_between(list(by), low, high, color=look["color"], alpha=0.15, linewidth=0)
