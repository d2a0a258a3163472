"""Draws the pictures of docs/how_it_works.md: the steps of SLIDE, each computed by the package on sixteen neurons.

python docs/pictures.py            # writes docs/pictures/*.png
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyBboxPatch, Wedge

from slide.hashing import HashFamily, SimHash
from slide.sampling import Vanilla
from slide.tables import HashTables

FOLDER = Path(__file__).parent / "pictures"
NEURONS, K, L, LABEL = 16, 3, 3, 5
GREY, BLUE, ORANGE, GREEN, INK = "#b8bec6", "#2563a8", "#e07b1a", "#2e8b57", "#24292f"
plt.rcParams.update({
    "font.family": "DejaVu Sans", "font.size": 10, "text.color": INK, "axes.edgecolor": GREY, "axes.labelcolor": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False, "savefig.dpi": 130,
})  # fmt: skip


class Planes(HashFamily):
    """SimHash in the plane: a hash says on which side of a random line through the origin a row lies."""

    def __init__(self, dim, K, L, seed=0):
        super().__init__(dim, K, L, seed)
        first = np.random.default_rng(seed).uniform(0, np.pi, L)[:, None]
        angles = (first + np.arange(K) * np.pi / K).ravel()  # lines of a table are spread, so that the picture is clear
        self.normals = np.stack([np.cos(angles), np.sin(angles)])

    def codes(self, rows):
        return self.pack((self.dense(rows) @ self.normals > 0).astype(np.int64))


class Layer:
    """Sixteen neurons with two weights each, one input, and what SLIDE does with them."""

    def __init__(self):
        rng = np.random.default_rng(7)
        angles = np.linspace(0, 2 * np.pi, NEURONS, endpoint=False) + rng.normal(0, 0.12, NEURONS)
        self.weights = np.stack([np.cos(angles), np.sin(angles)], axis=1) * rng.uniform(0.55, 1, NEURONS)[:, None]
        self.weights = self.weights.astype(np.float32)
        self.family = Planes(2, K, L, seed=3)
        self.input = np.array([[0.80, 0.52]], np.float32)
        self.codes, self.query = self.family.codes(self.weights), self.family.codes(self.input)[0]
        self.tables = HashTables(NEURONS, L, K, threads=1)
        self.tables.build(self.codes)
        found = Vanilla(None).sample(self.tables, self.query[None], 1, 1, NEURONS, 0, 1, 1)[0]
        self.retrieved = sorted(found.tolist())
        self.active = sorted({LABEL, *self.retrieved})
        self.logits = (self.weights @ self.input[0]).astype(float) * 4

    def trained(self):
        """The weights after one step on the active set: towards the input for the label, away for the others."""
        p = np.exp(self.logits[self.active])
        p = p / p.sum()
        new = self.weights.copy()
        for neuron, share in zip(self.active, p, strict=True):
            new[neuron] -= (share - (neuron == LABEL)) * self.input[0]
        return new


def code_text(code):
    return format(int(code), f"0{K}b")


def plane(ax, layer, table, weights=None, query=False):
    """The weights as points, the lines of one table, and the code of each sector between them."""
    weights = layer.weights if weights is None else weights
    normals = layer.family.normals[:, table * K : table * K + K]
    edges = np.sort(np.concatenate([a := np.arctan2(normals[1], normals[0]) + np.pi / 2, a + np.pi]) % (2 * np.pi))
    for low, high in zip(edges, np.append(edges[1:], edges[0] + 2 * np.pi), strict=True):
        middle = (low + high) / 2
        code = layer.family.codes(np.array([[np.cos(middle), np.sin(middle)]]))[0, table]
        if query and code == layer.query[table]:
            ax.add_patch(Wedge((0, 0), 1.32, np.degrees(low), np.degrees(high), color=ORANGE, alpha=0.14, lw=0))
        ax.text(1.45 * np.cos(middle), 1.45 * np.sin(middle), code_text(code), ha="center", va="center",
                color=INK, family="DejaVu Sans Mono", fontsize=10)  # fmt: skip
    for angle in edges[:K]:
        ax.plot(*(np.outer([np.cos(angle), np.sin(angle)], [-1.32, 1.32])), color=GREY, lw=1, ls="--", zorder=1)
    for i, w in enumerate(weights):
        ax.annotate("", w, (0, 0), arrowprops={"arrowstyle": "-", "color": BLUE, "alpha": 0.25, "lw": 1})
        ax.add_patch(plt.Circle(w, 0.1, color="white", ec=BLUE, lw=1.3, zorder=3))
        ax.text(*w, str(i), ha="center", va="center", fontsize=8, color=BLUE, zorder=4)
    ax.set(xlim=(-1.6, 1.6), ylim=(-1.55, 1.6), aspect="equal")
    ax.axis("off")


def star(ax, layer, label="the input"):
    ax.annotate("", layer.input[0], (0, 0), arrowprops={"arrowstyle": "-|>", "color": ORANGE, "lw": 2})
    ax.text(1.42, 0.98, label, color=ORANGE, fontsize=10, ha="center", weight="bold")


def buckets(ax, codes, title, query=None, mark=(), left=0.0):
    """One table: a line per bucket that holds a neuron, with its code and the neurons in it."""
    ax.text(left, 1.02, title, fontsize=11, weight="bold", va="bottom")
    for line, code in enumerate(sorted(set(codes.tolist()))):
        y = 0.9 - line * 0.155
        hit = query is not None and code == query
        ax.add_patch(FancyBboxPatch((left + 0.2, y - 0.055), 0.68, 0.11, boxstyle="round,pad=0.012", lw=1.2,
                                    fc="#fdeedd" if hit else "white", ec=ORANGE if hit else GREY))  # fmt: skip
        ax.text(left, y, code_text(code), va="center", family="DejaVu Sans Mono", color=ORANGE if hit else INK,
                weight="bold" if hit else "normal")  # fmt: skip
        for place, neuron in enumerate(np.flatnonzero(codes == code)):
            colour = ORANGE if neuron in mark else BLUE
            ax.text(left + 0.27 + 0.15 * place, y, str(neuron), va="center", ha="center", color=colour,
                    weight="bold" if neuron in mark or hit else "normal")  # fmt: skip
    ax.set(xlim=(0, 1), ylim=(0, 1.1))
    ax.axis("off")


def figure(title, *widths, height=3.9):
    picture, axes = plt.subplots(1, len(widths), figsize=(10, height), width_ratios=widths, squeeze=False)
    picture.suptitle(title, x=0.02, ha="left", fontsize=13, weight="bold", color=INK)
    return picture, axes[0]


def save(picture, name):
    FOLDER.mkdir(exist_ok=True)
    picture.savefig(FOLDER / f"{name}.png", bbox_inches="tight", facecolor="white", metadata={"Software": None})
    plt.close(picture)


def draw_tables(layer):
    picture, axes = figure("Step 1: every neuron goes into a bucket of each table", 1.8, 1, 1, 1)
    plane(axes[0], layer, 0)
    axes[0].set_title("16 neurons, and the 3 lines of table 1", fontsize=10)
    for t, ax in enumerate(axes[1:]):
        buckets(ax, layer.codes[:, t], f"Table {t + 1}")
    save(picture, "tables")


def draw_query(layer):
    picture, axes = figure("Steps 2 and 3: the input is hashed, and looks into one bucket per table", 1.8, 1, 1, 1)
    plane(axes[0], layer, 0, query=True)
    star(axes[0], layer)
    axes[0].set_title(f"the input has the code {code_text(layer.query[0])} in table 1", fontsize=10)
    for t, ax in enumerate(axes[1:]):
        buckets(ax, layer.codes[:, t], f"Table {t + 1}", layer.query[t])
    found = ", ".join(map(str, layer.retrieved))
    picture.text(0.66, 0.02, f"retrieved: {found}", ha="center", color=ORANGE, fontsize=12, weight="bold")
    save(picture, "query")


def draw_active(layer):
    picture, (net, bars) = figure("Step 4: forward and backward on the active set alone", 1.25, 1, height=4.3)
    hidden = np.column_stack([np.full(2, 0.35), [0.62, 0.38]])
    outputs = np.column_stack([np.full(NEURONS, 0.9), np.linspace(0.97, 0.03, NEURONS)])
    inputs = np.column_stack([np.full(9, 0.0), np.linspace(0.85, 0.15, 9)])
    present = (1, 2, 6)
    for i in present:
        for h in hidden:
            net.plot(*zip(inputs[i], h, strict=True), color=GREEN, lw=1, zorder=1)
    for o in range(NEURONS):
        for h in hidden:
            if o in layer.active:
                net.plot(*zip(h, outputs[o], strict=True), color=BLUE, lw=1.2, zorder=1)
    for points, chosen, colour in ((inputs, present, GREEN), (hidden, (0, 1), ORANGE), (outputs, layer.active, BLUE)):
        for i, (x, y) in enumerate(points):
            net.plot(x, y, "o", ms=11, color=colour if i in chosen else "white", mec=colour if i in chosen else GREY,
                     zorder=2)  # fmt: skip
    for o in range(NEURONS):
        note = "  label" if o == LABEL else ""
        net.text(0.95, outputs[o, 1], f"{o}{note}", va="center", fontsize=8, color=BLUE if o in layer.active else GREY)
    below = {0: "features\n(only those present)", 0.35: "hidden", 0.9: "output neurons\n(only active ones)"}
    for x, text in below.items():
        net.text(x, -0.08, text, ha="center", va="top", fontsize=9)
    net.set(xlim=(-0.15, 1.15), ylim=(-0.15, 1.03))
    net.axis("off")
    order = np.argsort(-layer.logits)
    faces = [BLUE if o in layer.active else "white" for o in order]
    edges = [BLUE if o in layer.active else GREY for o in order]
    bars.bar(range(NEURONS), layer.logits[order], color=faces, edgecolor=edges)
    bars.set_xticks(range(NEURONS), [str(o) for o in order], fontsize=8)
    bars.axhline(0, color=INK, lw=0.8)
    bars.set(xlabel="neuron, by its logit", ylabel="logit")
    bars.set_title("filled: computed; empty: never computed", fontsize=10)
    save(picture, "active")


def draw_rehash(layer):
    new = layer.trained()
    codes = layer.family.codes(new)
    moved = np.flatnonzero(codes[:, 0] != layer.codes[:, 0])
    picture, axes = figure("Step 5: neurons that were updated move, and the tables follow", 1.5, 1, 1)
    plane(axes[0], layer, 0, weights=new)
    for i in layer.active:
        axes[0].annotate("", new[i], layer.weights[i], arrowprops={"arrowstyle": "-|>", "color": ORANGE, "lw": 1.6})
        axes[0].plot(*layer.weights[i], "o", ms=5, color=ORANGE)
    axes[0].set_title("only active neurons have moved", fontsize=10)
    buckets(axes[1], layer.codes[:, 0], "Table 1, before", mark=moved)
    buckets(axes[2], codes[:, 0], "Table 1, rebuilt", mark=moved)
    save(picture, "rehash")


def draw_selection():
    """How probable it is that a neuron is retrieved, by the cosine of its weights and the input."""
    picture, (ax,) = figure("Tables retrieve similar neurons, and few others", 1, height=3.8)
    cosine = np.linspace(-1, 1, 400)
    for k, tables, colour in ((3, 10, GREY), (9, 10, BLUE), (9, 50, ORANGE), (16, 50, GREEN)):
        chance = SimHash(128, k, tables).retrieval_probability(cosine)
        ax.plot(cosine, chance, color=colour, lw=2.2, label=f"K = {k}, L = {tables}")
    ax.set(xlabel="cosine of a neuron's weights and the input", ylabel="probability to be retrieved", ylim=(0, 1.02),
           xlim=(-1, 1))  # fmt: skip
    ax.legend(frameon=False, loc="upper left")
    save(picture, "selection")


def draw_groups(layer):
    """Sets of four samples, shared by their group; and the rows of weights, each updated by one thread."""
    rng = np.random.default_rng(4)
    angles = rng.uniform(-0.5, 3.6, 4)
    samples = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    codes = layer.family.codes(samples)
    own = Vanilla(None).sample(layer.tables, codes, 4, 1, NEURONS, 0, 1, 1)
    shared = Vanilla(None).sample(layer.tables, codes, 4, 4, NEURONS, 0, 1, 1)[0]
    picture, axes = figure("Two ideas that keep it fast", 1, 1, 1, height=1.9)
    alone = np.zeros((4, NEURONS))
    for i in range(4):
        alone[i, own[i]] = 1
    together = np.zeros((4, NEURONS))
    together[:, shared] = 1
    for ax, values, title in ((axes[0], alone, "a set per sample: the paper's way"),
                              (axes[1], together, "a set per group: read once, for all")):  # fmt: skip
        grid(ax, np.where(values > 0, 1, 0), [GREY, BLUE], title, "samples")
    grid(axes[2], np.where(together > 0, 1 + (np.arange(NEURONS) >= NEURONS // 2), 0), [GREY, ORANGE, GREEN],
         "the update: a row of weights has one thread", "samples")  # fmt: skip
    axes[2].text(3.5, 4.9, "thread 1", color=ORANGE, ha="center", weight="bold")
    axes[2].text(11.5, 4.9, "thread 2", color=GREEN, ha="center", weight="bold")
    save(picture, "groups")


def grid(ax, values, colours, title, ylabel):
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            face = colours[value] if value else "white"
            ax.add_patch(plt.Rectangle((j, i), 0.9, 0.9, fc=face, ec=GREY, lw=0.7))
    ax.set(xlim=(-0.2, NEURONS), ylim=(5.4, -0.3), aspect="equal", xticks=[], yticks=[])
    ax.set_title(title, fontsize=9.5)
    ax.set_ylabel(ylabel, fontsize=9)
    ax.text(NEURONS / 2, 4.35 if colours == [GREY, BLUE] else 4.2, "neurons" if colours == [GREY, BLUE] else "",
            ha="center", va="top", fontsize=9)  # fmt: skip
    for side in ax.spines.values():
        side.set_visible(False)


def main():
    layer = Layer()
    draw_tables(layer)
    draw_query(layer)
    draw_active(layer)
    draw_rehash(layer)
    draw_selection()
    draw_groups(layer)
    print(f"{len(list(FOLDER.glob('*.png')))} pictures in {FOLDER}")


if __name__ == "__main__":
    main()
