"""Collision probability against similarity, for the four hash families: theory and measurement."""

import numpy as np

from experiments.frame import draw

QUESTION = "Do the hashes of each family collide as often as its formula says, at every similarity?"

PAPER = "Builds on these probabilities, p: a neuron is a candidate with 1 - (1 - p^K)^L; draws no such figure"
TIME = {"smoke": "1 s", "small": "5 s"}

SETTINGS = {"smoke": dict(dim=64, n_hashes=500), "small": dict(dim=128, n_hashes=20_000)}
TITLES = {
    "simhash": ("SimHash", "cosine"),
    "wta": ("WTA, bins of 8", "share of bins with one winner"),
    "dwta": ("DWTA, bins of 8, 85 % of a row zero", "share of bins with one winner, borrowing counted"),
    "minhash": ("MinHash, top 30, 3 bits", "Jaccard similarity of the top sets"),
}


def blends(rng, dim, density):
    """Pairs of vectors, from opposite to equal; the closer, the more of their non-zeros are in common."""
    for correlation in np.concatenate([np.linspace(-0.98, 0.9, 14), [0.95, 0.98, 0.995, 0.999]]):
        x, noise = rng.standard_normal((2, dim))
        rows = np.array([x, correlation * x + np.sqrt(1 - correlation**2) * noise], np.float32)
        present = np.tile(rng.random(dim) < density, (2, 1))
        drawn_anew = rng.random(dim) > abs(correlation)
        present[1, drawn_anew] = rng.random(drawn_anew.sum()) < density
        yield np.where(present, rows, np.float32(0))


def run(scale, records, threads, seed):
    """Adds, for each family, its pairs of rows ("point") and its formula ("curve")."""
    from slide.hashing import FAMILIES

    dim, n_hashes = SETTINGS[scale]["dim"], SETTINGS[scale]["n_hashes"]
    gaps = []
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
            gaps.append(abs(collisions / n_hashes - theory))
        low = -1 if name == "simhash" else 0
        grid = np.linspace(low, 1, 201)
        curve = np.asarray(family.collision_probability(grid)).round(6).tolist()
        records.add("curve", family=name, similarity=grid.round(6).tolist(), theory=curve)
    print(f"{len(gaps)} pairs of rows, largest gap to the formula {max(gaps):.4f}")


def plot(records):
    """A figure, a panel a family: its formula as a line, the measured shares with 95 % intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 8), layout="constrained")
    figure.suptitle("How often one hash of a pair of rows agrees")
    for axes, (name, (title, similarity)) in zip(figure.subplots(2, 2).flat, TITLES.items(), strict=True):
        own = [record for record in records if record.get("family") == name]
        curve = next(record for record in own if record["record"] == "curve")
        points = [record for record in own if record["record"] == "point"]
        x = np.array([point["similarity"] for point in points])
        n = np.array([point["n_hashes"] for point in points])
        p = np.array([point["collisions"] for point in points]) / n
        error = 1.96 * np.sqrt(p * (1 - p) / n)
        axes.plot(curve["similarity"], curve["theory"], color=draw.THEORY, label="formula")
        label = f"measured, {n[0]:,} hashes, 95 %"
        axes.errorbar(x, p, error, fmt="o", color=draw.MEASURED, markersize=4, capsize=3, label=label)
        axes.set(title=title, xlabel=similarity, ylabel="probability of a collision", ylim=(-0.03, 1.03))
        axes.grid(alpha=0.3)
        axes.legend(loc="upper left")
    return figure
