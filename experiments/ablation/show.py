"""An ablation as a table, and as a picture for each setting that was varied."""

from pathlib import Path

from experiments.ablation.measure import TOP, summary
from experiments.ablation.variants import value_in_words
from experiments.frame import draw, records

FORM = "{:{width}}  {:>8} {:>7} {:>10} {:>8} {:>10} {:>10}"
MOST = 6  # curves of a panel


def table(lines) -> str:
    """A row per variant: mean and spread of the metric, ms per sample, active neurons and recall of the tables."""
    metric, rows = lines[0]["settings"]["metric"], summary(lines)
    width = max(len(row["words"]) for row in rows)
    titles = "", metric, "spread", "ms/sample", "active", f"recall@{TOP}", "retrieved"
    head = FORM.format(*titles, width=width)
    return "\n".join([head, *(_row(row, metric, width) for row in rows)])


def _row(row, metric, width):
    mean, spread = row[metric]
    tables = (f"{row['recall'][0]:.3f}", f"{row['retrieved'][0]:,.0f}") if row["recall"] else ("-", "-")
    numbers = f"{mean:.4f}", f"{spread:.4f}", f"{row['ms'][0]:.4f}", f"{row['active'][0]:,.0f}"
    return FORM.format(row["words"], *numbers, *tables, width=width)


def draw_all(path) -> list[Path]:
    """A picture beside the records for each varied setting."""
    lines = records.load(path)
    pictures = []
    for name in lines[0]["settings"]["vary"]:
        figure = plot(lines, name)
        draw.caption(figure, finding(lines, name))
        pictures.append(draw.save(figure, Path(path).with_name(f"{Path(path).stem}-{name}.png")))
    return pictures


def curves(lines, name) -> dict[str, list]:
    """{label: rows in the order of the values of one setting}: a curve per combination of the other settings."""
    values = lines[0]["settings"]["vary"][name]
    found = {}
    for row in summary(lines):
        if name in row["change"]:
            others = {other: value for other, value in row["change"].items() if other != name}
            label = ", ".join(f"{other}={value_in_words(value)}" for other, value in others.items())
            found.setdefault(label, []).append(row)
    return {label: sorted(rows, key=lambda row: values.index(row["change"][name])) for label, rows in found.items()}


def plot(lines, name):
    """The metric and the time per sample against the values of a setting."""
    settings, data = lines[0]["settings"], records.of(lines, "data")[0]
    values, metric = settings["vary"][name], settings["metric"]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    found = curves(lines, name)
    left_out = max(0, len(found) - MOST)
    figure, axes = draw.panels(2, f"What does {name} change? {data['title']}, {data['n_labels']:,} labels")
    rows = "test rows" if settings["on_test"] else "held-out rows"
    for axis, key, label in zip(axes, (metric, "ms"), (f"{metric} on {rows}", "training, ms per sample"), strict=True):
        for number, (what, own) in enumerate(list(found.items())[:MOST]):
            x = [row["change"][name] if numbers else values.index(row["change"][name]) for row in own]
            mean, spread = ([row[key][i] for row in own] for i in (0, 1))
            axis.errorbar(x, mean, [0.5 * each for each in spread], capsize=3, **draw.series(number, what or None))
        if numbers:
            axis.set_xticks(values)
        else:
            axis.set_xticks(range(len(values)), [value_in_words(value) for value in values])
        base = next((row for row in summary(lines) if not row["change"]), None)
        if base:
            axis.axhline(base[key][0], linestyle=":", color="#666666", label="base")
        axis.set(xlabel=name, ylabel=label)
    if any(found) or not settings["cross"]:
        axes[0].legend(fontsize=8, frameon=False, title=f"{left_out} more in the table" if left_out else None)
    return figure


def finding(lines, name) -> str:
    """One sentence: the best value of a setting, and whether it differs by more than seeds do."""
    settings = lines[0]["settings"]
    metric, seeds = settings["metric"], settings["seeds"]
    rows = [row for row in summary(lines) if name in row["change"]]
    best, worst = (pick(rows, key=lambda row: row[metric][0]) for pick in (max, min))
    gap, noise = best[metric][0] - worst[metric][0], max(row[metric][1] for row in rows)
    sure = f"more than the spread over seeds ({noise:.4f})" if gap > noise else f"within the spread ({noise:.4f})"
    if seeds == 1:
        sure = "one seed, so that nothing is known of the noise"
    return (f"Best: {best['words']} with {metric} {best[metric][0]:.4f}; worst: {worst['words']} with "
            f"{worst[metric][0]:.4f}, a difference of {gap:.4f}: {sure}. Bars: spread over {seeds} seeds.")  # fmt: skip
