"""Collision probability against similarity, for the four hash families: theory and measurement."""

import numpy as np

from experiments.frame import draw
from experiments.frame.claims import judged
from experiments.frame.problems import blends
from experiments.frame.records import of

QUESTION = "Do the hashes of each family collide as often as its formula says, at every similarity?"

PAPER = "Builds on these probabilities, p: a neuron is a candidate with 1 - (1 - p^K)^L; draws no such figure"
CLAIMS = ("collisions",)
TIME = {"smoke": "1 s", "small": "5 s"}

SETTINGS = {"smoke": dict(dim=64, n_hashes=500), "small": dict(dim=128, n_hashes=20_000)}
MOST = 0.8  # of a family's pairs: where 19 of 20 are expected, fewer of 18 are rare
TITLES = {
    "simhash": ("SimHash", "cosine"),
    "wta": ("WTA, bins of 8", "share of bins with one winner"),
    "dwta": ("DWTA, bins of 8, 85 % of a row zero", "share of bins with one winner, borrowing counted"),
    "minhash": ("MinHash, top 30, 3 bits", "Jaccard similarity of the top sets"),
}


def run(scale, records, threads, seed):
    """Adds, for each family, its pairs of rows ("point") and its formula ("curve")."""
    from slide.hashing import FAMILIES

    dim, n_hashes = SETTINGS[scale]["dim"], SETTINGS[scale]["n_hashes"]
    for name in TITLES:
        family = FAMILIES[name](dim, 1, n_hashes, seed=seed)
        rng = np.random.default_rng(seed)
        for rows in blends(rng, dim, density=0.15 if name == "dwta" else 1.0):
            codes = family.codes(rows)
            similarity = family.similarity(*rows)
            theory = float(family.collision_probability(similarity))
            collisions = int((codes[0] == codes[1]).sum())
            records.add(
                "point", family=name, similarity=similarity, theory=theory, collisions=collisions, n_hashes=n_hashes
            )
        low = -1 if name == "simhash" else 0
        grid = np.linspace(low, 1, 201)
        curve = np.asarray(family.collision_probability(grid)).round(6).tolist()
        records.add("curve", family=name, similarity=grid.round(6).tolist(), theory=curve)


def verdicts(records) -> dict:
    """With each family `MOST` of the pairs collide as often as its formula says, within the 95 % interval."""
    inside = {name: agreements(of(records, "point", family=name)) for name in TITLES}
    all_points = agreements(of(records, "point"))
    why = f"{sum(all_points)} of {len(all_points)} pairs of rows collide so often, within the 95 % interval"
    return {"collisions": judged([sum(own) >= MOST * len(own) for own in inside.values()], why)}


def gap_of(point) -> float:
    return abs(point["collisions"] / point["n_hashes"] - point["theory"])


def agreements(points) -> list[bool]:
    """Of each pair whether its share of collisions is in the 95 % interval of the formula."""
    return [gap_of(x) <= 1.96 * (x["theory"] * (1 - x["theory"]) / x["n_hashes"]) ** 0.5 for x in points]


def finding(records) -> str:
    points = of(records, "point")
    return (
        f"Of {len(points)} pairs of rows {sum(agreements(points))} collide as often as the formula says, within its "
        f"95 % interval; the largest gap is {max(map(gap_of, points)):.4f}."
    )


def plot(records):
    """A figure, a panel for each family: its formula as a line, the measured shares with 95 % intervals."""
    figure, panels = draw.panels(2, QUESTION, rows=2)
    for axes, (name, (title, similarity)) in zip(panels, TITLES.items(), strict=True):
        [curve], points = of(records, "curve", family=name), of(records, "point", family=name)
        x = np.array([point["similarity"] for point in points])
        n = np.array([point["n_hashes"] for point in points])
        p = np.array([point["collisions"] for point in points]) / n
        error = 1.96 * np.sqrt(p * (1 - p) / n)
        axes.plot(curve["similarity"], curve["theory"], color=draw.THEORY, label="formula")
        label = f"measured, {n[0]:,} hashes, 95 %"
        axes.errorbar(x, p, error, fmt="o", color=draw.MEASURED, markersize=4, capsize=3, label=label)
        axes.set(title=title, xlabel=similarity, ylabel="probability of a collision", ylim=(-0.03, 1.03))
        axes.legend(loc="upper left")
    return figure
