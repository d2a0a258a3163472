"""Pictures from records: colours, labels, styles. Never imports slide; nothing here measures."""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from experiments import records

# One look a system, in every figure; the colours are told apart with any colour vision (Okabe & Ito).
COLOURS = {
    "slide": "#D55E00",
    "full": "#0072B2",
    "uniform": "#009E73",
    "slide-paper": "#CC79A7",
    "torch": "#000000",
    "popularity": "#666666",
}
LABELS = {
    "slide": "SLIDE",
    "full": "full softmax",
    "uniform": "sampled softmax (uniform)",
    "slide-paper": "SLIDE, one active set a sample",
    "torch": "full softmax (PyTorch)",
    "popularity": "always the most frequent label",
}
THEORY, MEASURED = "#0072B2", "#D55E00"  # where a formula is drawn beside measurements of it
MARKERS = {"slide": "o", "full": "s", "uniform": "^", "slide-paper": "D", "torch": "x"}


def style(system: str) -> dict:
    """What matplotlib's plot takes for a system: colour, marker and label."""
    return {
        "color": COLOURS[system], "marker": MARKERS[system], "label": LABELS[system],
        "markersize": 4.5, "linewidth": 1.8,
    }  # fmt: skip


def panels(n: int, title: str) -> tuple[Figure, list]:
    """A figure with n panels side by side, under one title."""
    figure = Figure(figsize=(1 + 5 * n, 4.6), layout="constrained")
    figure.suptitle(title)
    axes = list(figure.subplots(1, n, squeeze=False).flat)
    for panel in axes:
        panel.grid(alpha=0.3, linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def seconds_axis(axis) -> None:
    """A logarithmic time axis with plain numbers on it."""
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())


def draw(module, path) -> Path:
    """The picture of the records at path (.jsonl), by the module's plot, beside them under the same stem."""
    path = Path(path)
    picture = path.with_suffix(".png")
    module.plot(records.load(path)).savefig(picture, dpi=130)
    return picture
