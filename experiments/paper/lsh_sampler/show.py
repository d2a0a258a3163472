"""The pictures: the probability, the sums, the error of a mean gradient, the maps, the descents."""

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.patches import Rectangle

from experiments.frame import draw
from experiments.frame.records import of
from experiments.paper.lsh_sampler import spread

LOOKS = {
    "lsh": {**draw.series(0, "from tables"), "markersize": 3.5},
    "uniform": {**draw.series(2, "uniform"), "markersize": 3.5},
    "full": {**draw.series(1, "full gradient"), "markersize": 3.5},
}
POINTS = {0: "before the first step", 0.5: "half-way", 1: "in the end"}
LONG = {"linear": ("-", 1), "logistic": ("--", 0.7)}  # line style, and how opaque


def cells(records, point) -> dict:
    """{(dim, tail): {"gain": the error of a uniform draw over that of one from tables, with the K and the scale of the
    targets that are best; "K"; "bound": over the least that any probabilities give}}, means of the seeds.
    """
    lines, out = of(records, "spread", point=point), {}
    for key in dict.fromkeys((line["dim"], line["tail"]) for line in lines):
        own = [line for line in lines if (line["dim"], line["tail"]) == key]
        tried = {}
        for line in own:
            tried.setdefault((line["K"], line["balanced"]), []).append(line["uniform"] / line["lsh"])
        (K, _), gains = max(tried.items(), key=lambda item: geometric(item[1]))
        bound = geometric([line["uniform"] / line["best"] for line in own])
        out[key] = {"gain": geometric(gains), "K": K, "bound": bound}
    return out


def geometric(values) -> float:
    return float(np.exp(np.mean(np.log(values))))


def wins(records, point) -> list[float]:
    """The gain of each cell."""
    return [cell["gain"] for cell in cells(records, point).values()]


def pays(records, point) -> int:
    """In how many cells the gain is more than a draw costs."""
    return sum(cell["gain"] > ratio(records, dim, cell["K"]) for (dim, _), cell in cells(records, point).items())


def ratio(records, dim, K) -> float:
    """The seconds of a draw from tables over those of a uniform one."""
    [line] = of(records, "cost", dim=dim, K=K)
    return line["lsh"] / line["uniform"]


def plot(records, question, families, models, shapes, above):
    figure, axes = draw.panels(3, question, rows=3)
    probability_panel(axes[0], records, families)
    sums_panel(axes[1], records)
    error_panel(axes[2], records)
    for axis, point in zip(axes[3:6], POINTS, strict=True):
        map_panel(axis, records, point, shapes)
    for axis, model in zip(axes[6:8], models, strict=True):
        descent_panel(axis, records, [model], "epochs", above)
        axis.set_title(f"{model} regression")
    descent_panel(axes[8], records, models, "seconds", above)
    axes[8].set_title("the same by time")
    return figure


def probability_panel(axis, records, families):
    settings, grid = records[0]["settings"], np.linspace(0, 1, 201)
    K, L = settings["K"], settings["L"]
    axis.plot(grid, 1 - (1 - grid**K) ** L, color="#444444", label="1 - (1 - p^K)^L")
    for number, name in enumerate(families):
        lines = of(records, "probability", family=name)
        look = draw.series(number, draw.FAMILIES[name]) | {"linestyle": ""}
        axis.plot([x["p"] for x in lines], [x["found"] / x["trials"] for x in lines], **look)
    axis.set(xlabel="p, the probability that one hash collides", ylabel="probability to be found",
             title=f"K = {K}, L = {L}, {settings['trials']:,} draws of the functions")  # fmt: skip
    axis.legend(fontsize=8)


def sums_panel(axis, records):
    """Estimate over truth with 95 % intervals, by K, a mark for each L: by the query and its negative."""
    for number, L in enumerate(records[0]["settings"]["sum_L"]):
        lines = of(records, "sum", L=L, kind="one", queries=2)
        at = np.arange(len(lines)) + 0.15 * (number - 1.5)
        error = [1.96 * x["std"] / x["draws"] ** 0.5 for x in lines]
        look = draw.series(number, f"L = {L}")
        axis.errorbar(at, [x["mean"] for x in lines], error, fmt=look["marker"], color=look["color"], capsize=3,
                      markersize=4.5, label=look["label"])  # fmt: skip
        axis.set_xticks(range(len(lines)), [str(x["K"]) for x in lines])
    axis.axhline(1, color="#444444", linewidth=1)
    axis.set(xlabel="K", ylabel="estimate / true sum (mean, 95 % interval)",
             title="a sum from one item found by a query or its negative")  # fmt: skip
    axis.legend(fontsize=8)


def error_panel(axis, records):
    """The error of the mean of m draws at one point of training: lines by the formula, marks measured."""
    settings, [one] = records[0]["settings"]["error"], of(records, "one")
    m = np.array(settings["draws"])
    unit = one["uniform"]
    axis.plot(m, 1 / m, **{**LOOKS["uniform"], "marker": ""})
    axis.plot(m, one["best"] / unit / m, color="#444444", linestyle=":", label="in proportion to the norms (best)")
    for number, L in zip((0, 3, 4), [*settings["L"], 10 * max(settings["L"])], strict=False):
        look = draw.series(number, f"from {L:,} tables")
        axis.plot(m, spread.after(one, m, L) / unit, **{**look, "marker": ""})
        lines = of(records, "error", L=L)
        axis.plot([x["draws"] for x in lines], [x["error"] for x in lines], look["marker"], color=look["color"])
    lines = of(records, "error", L=0)
    axis.plot([x["draws"] for x in lines], [x["error"] for x in lines], "^", color=LOOKS["uniform"]["color"])
    axis.set(xscale="log", yscale="log", xlabel="gradients of single samples, drawn at the same weights",
             ylabel="error of their mean / error of one uniform draw",
             title=f"{settings['dim']} columns, t({settings['tail']}), K = {settings['K']}, half-way")  # fmt: skip
    axis.legend(fontsize=8)


def map_panel(axis, records, point, shapes):
    """Gain by gradients over tail and dimension; outlined where it pays by seconds; the shapes of known data named."""
    found = cells(records, point)
    dims = list(dict.fromkeys(dim for dim, _ in found))
    tails = list(dict.fromkeys(tail for _, tail in found))
    gains = np.array([[found[dim, tail]["gain"] for tail in tails] for dim in dims])
    axis.imshow(gains, cmap="PuOr", norm=LogNorm(1 / 4, 4), aspect="auto", origin="lower")
    for (row, column), gain in np.ndenumerate(gains):
        cell = found[dims[row], tails[column]]
        dark = {"color": "white"} if gain > 2.5 or gain < 0.4 else {"color": "black"}
        text = f"{gain:.2f}" if gain < 9.95 else f"{gain:.0f}"
        axis.text(column, row + 0.12, text, ha="center", va="center", fontweight="bold", fontsize=10, **dark)
        below = f"of {cell['bound']:.1f}, K = {cell['K']}"
        axis.text(column, row - 0.2, below, ha="center", va="center", fontsize=7, **dark)
        if gain > ratio(records, dims[row], cell["K"]):
            axis.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, linewidth=2.5))
    for name, (dim, own) in shapes.items():
        columns = [tails.index(tail) for tail in own if tail in tails]
        if dim in dims and columns:
            axis.text(np.mean(columns), dims.index(dim) + 0.37, name, ha="center", va="center", fontsize=7.5,
                      style="italic")  # fmt: skip
    axis.set_xticks(range(len(tails)), ["normal" if tail == "normal" else f"t({tail:g})" for tail in tails])
    axis.set_yticks(range(len(dims)), [str(dim) for dim in dims])
    axis.grid(False)
    axis.set(xlabel="residuals (t: tail of that index)", ylabel="columns", title=f"gain by gradients, {POINTS[point]}")


def descent_panel(axis, records, models, x, above):
    """The loss above the least one, the median of the seeds; the band is from the least to the most of them."""
    for model in models:
        line, opaque = LONG[model] if len(models) > 1 else ("-", 1)
        for method, look in LOOKS.items():
            if x == "epochs" and method == "full":
                continue
            runs = {}
            for entry in of(records, "descent", model=model, method=method):
                runs.setdefault(entry["seed"], []).append((entry[x], above(records, entry)))
            found = np.array(list(runs.values()))
            at, losses = np.median(found[..., 0], axis=0), found[..., 1]
            name = f"{model}, {look['label']}" if len(models) > 1 else look["label"]
            axis.plot(at, np.median(losses, axis=0), **{**look, "label": name, "linestyle": line, "alpha": opaque})
            axis.fill_between(at, losses.min(axis=0), losses.max(axis=0), color=look["color"], alpha=0.15, linewidth=0)
    label = {"epochs": "gradients of single samples (passes over the data)", "seconds": draw.SECONDS}[x]
    axis.set(xlabel=label, ylabel="loss above the least / that at the start", yscale="log")
    draw.plain_log_axis(axis, "y")
    if x == "seconds":
        draw.plain_log_axis(axis)
    axis.legend(fontsize=8)
