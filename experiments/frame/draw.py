"""Pictures from records: colours, labels, styles. Never imports slide; nothing here measures."""

import re
import textwrap
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from experiments.frame import records

# One look per system, in every figure; the colours are told apart with any colour vision (Okabe & Ito).
COLOURS = {
    "slide": "#D55E00",
    "full": "#0072B2",
    "uniform": "#009E73",
    "slide-paper": "#CC79A7",
    "slide-plain": "#E69F00",
    "torch": "#000000",
    "torch-sampled": "#56B4E9",
    "torch-bfloat16": "#888888",
    "torch-gpu": "#882255",
    "popularity": "#666666",
}
LABELS = {
    "slide": "SLIDE",
    "full": "full softmax",
    "uniform": "sampled softmax (uniform)",
    "slide-paper": "SLIDE, one active set per sample",
    "slide-plain": "SLIDE without SIMD and huge pages",
    "torch": "full softmax (PyTorch)",
    "torch-sampled": "sampled softmax (PyTorch)",
    "torch-bfloat16": "full softmax (PyTorch, bfloat16)",
    "torch-gpu": "full softmax (PyTorch, GPU)",
    "popularity": "always the most frequent label",
}
FAMILIES = {
    "simhash": "SimHash", "wta": "WTA", "dwta": "DWTA", "minhash": "MinHash", "ranged": "ranged DWTA",
    "cross-polytope": "cross-polytope", "mips": "MIPS",
}  # fmt: skip
# For what is no system: variants, families, samplers.
SERIES = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999", "#8C510A")
SIGNS = "os^Dv<>PX"
SECONDS, BATCHES = "training (seconds, log scale)", "training (batches)"
THEORY, MEASURED = "#0072B2", "#D55E00"  # where a formula is drawn with measurements of it
MARKERS = {"slide": "o", "full": "s", "uniform": "^", "slide-paper": "D", "slide-plain": "v", "torch": "x",
           "torch-sampled": ">", "torch-bfloat16": "+", "torch-gpu": "P"}  # fmt: skip


def style(system: str) -> dict:
    """What matplotlib's plot takes for a system: colour, marker and label."""
    return {
        "color": COLOURS[system], "marker": MARKERS[system], "label": LABELS[system],
        "markersize": 4.5, "linewidth": 1.8,
    }  # fmt: skip


def series(number: int, label: str | None) -> dict:
    """What matplotlib's plot takes for one of several variants."""
    at = number % len(SERIES)
    return {"color": SERIES[at], "marker": SIGNS[at], "label": label, "markersize": 4.5, "linewidth": 1.6}


def family(name: str) -> dict:
    """The look of a hash family, the same in every figure."""
    return series(list(FAMILIES).index(name), None)


def curve(axis, lines, x: str, y: str, **look) -> None:
    """The field y of lines against their field x, with a band of its spread where several seeds were measured."""
    at, values = [line[x] for line in lines], [line[y] for line in lines]
    [made] = axis.plot(at, values, **look)
    spread = [line.get(f"{y}_spread", 0.0) for line in lines]
    if any(spread):
        low, high = ([v + sign * s for v, s in zip(values, spread, strict=True)] for sign in (-1, 1))
        axis.fill_between(at, low, high, color=made.get_color(), alpha=0.2, linewidth=0)


def popularity(axis, data: dict) -> None:
    """The score of always predicting the most frequent label, as a dotted line."""
    axis.axhline(data["popularity"], linestyle=":", color=COLOURS["popularity"], label=LABELS["popularity"])


def accuracy(axis, xlabel: str) -> None:
    """Labels and limits of an axis on which P@1 has been drawn."""
    top = axis.dataLim.y1 if axis.dataLim.y1 > 0 else 1.0
    axis.set(xlabel=xlabel, ylabel="P@1 on the test set (fraction)", ylim=(-0.03 * top, 1.08 * top))


def legend(figure, axis) -> None:
    """One legend to the right of all panels, where it hides no curve."""
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right center", fontsize=9, frameon=False)


def legend_above(figure, axis, columns: int) -> None:
    """One legend of many entries between the title and the panels."""
    made = figure.legend(
        *axis.get_legend_handles_labels(), loc="outside upper center", ncols=columns, fontsize=9, frameon=False,
        title=figure.get_suptitle(), title_fontsize=14,
    )  # fmt: skip
    made.get_title().set_multialignment("center")
    figure.suptitle("")  # the layout would put it where the legend is


def threads(lines) -> str:
    """The threads of a run, in words."""
    return f"{lines[0]['threads']} thread{'s' * (lines[0]['threads'] != 1)}"


def panels(n: int, title: str, rows: int = 1, width: float = 5) -> tuple[Figure, list]:
    """A figure with n panels side by side, in so many rows; width: inches per panel.

    Its title is the question that it answers, and in a second line what it was measured on.
    """
    figure = Figure(figsize=(1 + width * n, 0.4 + 4.2 * rows + 0.4), layout="constrained")
    figure.suptitle(broken(title, 11 * figure.get_figwidth()))
    axes = list(figure.subplots(rows, n, squeeze=False).flat)
    for panel in axes:
        panel.grid(alpha=0.3, linewidth=0.6)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def threads_axis(axis, counts) -> None:
    """A logarithmic x axis with a tick at each number of threads."""
    axis.set_xscale("log", base=2)
    axis.set_xticks(counts, [str(n) for n in counts])
    axis.set_xlabel("threads (log scale)")


def plain_log_axis(axis, which="x") -> None:
    """A logarithmic axis, x or y, with plain numbers on it."""
    getattr(axis, f"set_{which}scale")("log")
    low, high = getattr(axis, f"get_{which}lim")()
    ticks = getattr(axis, f"{which}axis")
    ticks.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
    ticks.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.12g}"))
    ticks.set_minor_formatter(NullFormatter())


def caption(figure, text: str) -> None:
    """What was found, below a figure."""
    figure.supxlabel(broken(text, 13 * figure.get_figwidth()), fontsize=9.5, ha="center")


def broken(text: str, width: float) -> str:
    """Lines of at most so many characters."""
    return "\n".join(part for line in text.splitlines() for part in textwrap.wrap(line, int(width)))


def draw(module, path) -> Path:
    """The picture of the records at path (.jsonl), by the module's plot, beside them under the same stem, as PNG and
    SVG; returns the path of the first.

    Below it are the verdicts on what the module measures of the claims; where it measures none, the first sentence of
    what it finds; and of a record of other settings, that it is one.
    """
    lines = records.load(path)
    figure = module.plot(lines)
    caption(figure, found_in(module, lines))
    return save(figure, Path(path).with_suffix(".png"))


def found_in(module, lines) -> str:
    """What is said below the picture of a record."""
    if not records.current(module, lines):
        return f"{records.OLD.capitalize()}."
    if hasattr(module, "verdicts"):
        return " ".join(map(str, module.verdicts(lines).values()))
    return re.split(r"(?<=\.) (?=[A-Z])", module.finding(lines), maxsplit=1)[0]


def save(figure, picture) -> Path:
    """Writes a figure as PNG, and as SVG beside it: text as text, and the same bytes each time. Returns `picture`."""
    figure.savefig(picture, dpi=130)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "slide"}):
        figure.savefig(picture.with_suffix(".svg"), metadata={"Date": None})
    return picture
