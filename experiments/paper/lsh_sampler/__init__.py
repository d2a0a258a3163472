"""Hash tables as samplers whose probability is known: the probability, unbiased sums, and gradients drawn by them."""

import math

import numpy as np

from experiments.frame import draw
from experiments.frame.claims import judged
from experiments.frame.problems import blends
from experiments.frame.records import of
from experiments.paper.lsh_sampler import sampled_gradients

QUESTION = "Is what hash tables retrieve a sample of known probability, good for unbiased sums and for gradients?"
FIGURE = "talk: LSH as samplers; LGD, NeurIPS 2019"
PAPER = (
    "An item is found with probability 1 - (1 - p^K)^L, computable exactly, so that importance-weighted sums are "
    "unbiased; gradients drawn so lead to a lower loss than uniform ones, by epochs and by time (LGD, NeurIPS 2019)"
)
CLAIMS = ("probability", "gradients")
TIME = {"smoke": "8 s", "small": "60 s", "paper": "20 min"}

_SMOKE = dict(
    dim=48, K=2, L=4, trials=200, sum_items=200, sum_K=[1, 3], sum_L=[2, 10], sum_draws=40,
    regression=dict(n=1000, dim=20, epochs=2, evaluations=5, K=5, L=20, batch=16, full_steps=5,
                    rates=[0.1, 0.5], full_rates=[1.0], tune_epochs=1),
)  # fmt: skip
_SMALL = dict(
    dim=128, K=3, L=10, trials=3000, sum_items=2000, sum_K=[1, 2, 4, 6, 8], sum_L=[1, 5, 20, 50], sum_draws=600,
    regression=dict(n=20_000, dim=90, epochs=8, evaluations=16, K=5, L=100, batch=16, full_steps=60,
                    rates=[0.1, 0.3, 1.0, 3.0], full_rates=[1.0, 3.0, 10.0, 30.0, 100.0], tune_epochs=1),
)  # fmt: skip
SETTINGS = {
    "smoke": _SMOKE,
    "small": _SMALL,
    "paper": {**_SMALL, "sum_draws": 2000, "regression": {**_SMALL["regression"], "n": 460_000, "epochs": 4}},
}
FAMILIES = ("simhash", "wta", "dwta", "minhash")
LOWER = 0.98  # part of the uniform loss
BEYOND = 3  # times the median of the losses: not drawn
MODELS = ("linear", "logistic")


def run(scale, records, threads, seed):
    chosen = SETTINGS[scale]
    grid = [{"part": "probability", "family": name} for name in FAMILIES]
    grid += [{"part": "sum", "K": K, "L": L} for K in chosen["sum_K"] for L in chosen["sum_L"]]
    grid += [{"part": "descent", "model": m, "method": k} for m in MODELS for k in sampled_gradients.METHODS]
    for setting in records.pending(grid):
        if setting["part"] == "probability":
            probability(setting["family"], chosen, records, seed)
        elif setting["part"] == "sum":
            sums(setting["K"], setting["L"], chosen, records, seed)
        else:
            sampled_gradients.descend(setting["model"], setting["method"], chosen["regression"], records, threads, seed)


def probability(name, chosen, records, seed):
    """How often a pair of rows shares a bucket in one of L tables, over trials with hash functions of their own."""
    from slide.hashing import FAMILIES as KNOWN

    K, L, trials = chosen["K"], chosen["L"], chosen["trials"]
    family = KNOWN[name](chosen["dim"], K, L * trials, seed=seed)
    for rows in blends(np.random.default_rng(seed), chosen["dim"], density=0.15 if name == "dwta" else 1.0):
        codes = family.codes(rows)
        found = (codes[0] == codes[1]).reshape(trials, L).any(axis=1)
        p = float(family.collision_probability(family.similarity(*rows)))
        records.add("probability", family=name, p=p, K=K, L=L, found=int(found.sum()), trials=trials,
                    theory=1 - (1 - p**K) ** L)  # fmt: skip


def sums(K, L, chosen, records, seed):
    """The sum of a value over all items from one retrieved item: value x items found / probability to be found.

    It is unbiased over the draw of the hash functions; where nothing is found the estimate is 0.
    """
    from slide.hashing import SimHash
    from slide.tables import HashTables

    rng = np.random.default_rng(seed)
    n, dim = chosen["sum_items"], chosen["dim"]
    query = rng.standard_normal(dim)
    items = rng.standard_normal((n, dim)) + rng.uniform(-1, 1, (n, 1)) * query
    rows = np.vstack([query, items]).astype(np.float32)
    cosine = items @ query / np.linalg.norm(items, axis=1) / np.linalg.norm(query)
    value = np.exp(2 * cosine)
    found_with = 1 - (1 - (1 - np.arccos(cosine) / np.pi) ** K) ** L
    estimates = {"one": [], "all": [], "uniform": []}
    for number in range(chosen["sum_draws"]):
        family = SimHash(dim, K, L, seed=seed + 1000 * number + 1)
        codes = family.codes(rows)
        tables = HashTables(n, L, family.code_bits, bucket_size=n, seed=seed, threads=1)
        tables.build(codes[1:])
        found = np.unique(tables.query(codes[:1]).ids)
        weighted = value[found] / found_with[found]
        estimates["all"].append(weighted.sum())
        estimates["one"].append(len(found) * weighted[rng.integers(len(found))] if len(found) else 0.0)
        estimates["uniform"].append(n * value[rng.integers(n)])
    for kind, values in estimates.items():
        ratio = np.array(values) / value.sum()
        spread = float(ratio.std(ddof=1))
        records.add("sum", K=K, L=L, kind=kind, draws=len(values), mean=float(ratio.mean()), std=spread)


def largest_gap(records) -> float:
    """Of the measured probabilities from the formula."""
    return max(abs(line["found"] / line["trials"] - line["theory"]) for line in of(records, "probability"))


def intervals(records) -> tuple[int, int]:
    """(how many sums have the truth in their 95 % interval, their number)."""
    lines = [line for line in of(records, "sum") if line["kind"] != "uniform"]
    return sum(abs(x["mean"] - 1) <= 1.96 * x["std"] / x["draws"] ** 0.5 for x in lines), len(lines)


def descents(records, model) -> dict:
    """{method: (last loss, seconds)}."""
    last = {m: of(records, "descent", model=model, method=m)[-1] for m in sampled_gradients.METHODS}
    return {method: (line["loss"], line["seconds"]) for method, line in last.items()}


def verdicts(records) -> dict:
    """The formula within noise and what borrowing leaves, and as many intervals as 19 of 20 times leave by chance;
    for each model a loss below the uniform one's by `LOWER` at the same epochs, and in no more time.
    """
    gap, trials = largest_gap(records), of(records, "probability")[0]["trials"]
    inside, n = intervals(records)
    least = math.ceil(0.95 * n - 1.645 * (n * 0.95 * 0.05) ** 0.5)
    known = (
        f"what is found is within {gap:.3f} of the formula, and {inside} of {n} weighted sums have the truth in their "
        f"95 % interval, where chance leaves {least} or more"
    )
    conditions, words = [], []
    for model in MODELS:
        (lsh, own), (uniform, theirs) = (descents(records, model)[method] for method in ("lsh", "uniform"))
        conditions += [lsh < LOWER * uniform, lsh < LOWER * uniform and own <= theirs]
        words.append(f"{model} loss {lsh:.3f} in {own:.2g} s, uniform {uniform:.3f} in {theirs:.2g} s")
    return {
        "probability": judged([gap < 0.02 + 2 / trials**0.5, inside >= least], known),
        "gradients": judged(conditions, f"after as many gradients {'; '.join(words)}"),
    }


def finding(records) -> str:
    gap, (inside, n) = largest_gap(records), intervals(records)
    words = []
    for model in MODELS:
        (lsh, own), (uniform, theirs) = (descents(records, model)[method] for method in ("lsh", "uniform"))
        moment = np.median([line["moment"] for line in of(records, "spread", model=model)])
        words.append(
            f"{model}: loss {lsh:.4f} by LSH in {own:.2g} s, {uniform:.4f} uniform in {theirs:.2g} s, second "
            f"moment of the gradients {moment:.2f} times the uniform one's"
        )
    return (
        f"The largest gap from the formula is {gap:.3f}, and {inside} of {n} weighted sums have the truth in their "
        f"95 % interval. Gradients, {'; '.join(words)} (times include hashing the query, not building the tables)."
    )


def plot(records):
    settings = records[0]["settings"]
    figure, axes = draw.panels(3, QUESTION, rows=2)
    top, estimate = axes[0], axes[3]
    grid = np.linspace(0, 1, 201)
    K, L = settings["K"], settings["L"]
    top.plot(grid, 1 - (1 - grid**K) ** L, color="#444444", label="1 - (1 - p^K)^L")
    for number, name in enumerate(FAMILIES):
        lines = of(records, "probability", family=name)
        look = draw.series(number, draw.FAMILIES[name]) | {"linestyle": ""}
        top.plot([x["p"] for x in lines], [x["found"] / x["trials"] for x in lines], **look)
    top.set(xlabel="p, the probability that one hash collides", ylabel="probability to be found",
            title=f"K = {K}, L = {L}, {settings['trials']:,} draws of the functions")  # fmt: skip
    top.legend(fontsize=8)
    sums_panel(estimate, records)
    for number, model in enumerate(MODELS):
        for axis, x in zip(axes[3 * number + 1 : 3 * number + 3], ("epochs", "seconds"), strict=True):
            descent_panel(axis, records, model, x)
    return figure


def descent_panel(axis, records, model, x):
    """The losses of a model, at the scale of the sampled gradients: what is beyond it is said in words."""
    lines = {method: of(records, "descent", model=model, method=method) for method in sampled_gradients.LOOKS}
    sampled = np.array([line["loss"] for method in ("lsh", "uniform") for line in lines[method]])
    low, high = 0.97 * sampled.min(), 1.05 * sampled[sampled < BEYOND * np.median(sampled)].max()
    for method, look in sampled_gradients.LOOKS.items():
        end = lines[method][-1]
        ends = f"{look['label']} (ends at {end['loss']:.3f} after {end['epochs']:.0f} passes)"
        draw.curve(axis, lines[method], x, "loss", **{**look, "label": ends})
        for line in lines[method]:
            if method != "full" and line["loss"] > high:
                axis.annotate(f"{line['loss']:.2f}", (line[x], high), (3, -9), textcoords="offset points", fontsize=8)
    label = {"epochs": "gradients of single samples (passes over the data)", "seconds": draw.SECONDS}[x]
    axis.set(xlabel=label, ylabel="training loss", title=f"{model} regression")
    axis.set_ylim(low, high + 0.25 * (high - low))  # room for the legend
    if x == "seconds":
        draw.plain_log_axis(axis)
    else:
        axis.set_xlim(0, 1.05 * lines["lsh"][-1]["epochs"])
    axis.legend(fontsize=8, loc="upper right", framealpha=1)


def sums_panel(axis, records):
    """Estimate over truth with 95 % intervals, by K, a mark for each L."""
    for number, L in enumerate(records[0]["settings"]["sum_L"]):
        lines = of(records, "sum", L=L, kind="one")
        at = np.arange(len(lines)) + 0.15 * (number - 1.5)
        error = [1.96 * x["std"] / x["draws"] ** 0.5 for x in lines]
        look = draw.series(number, f"L = {L}")
        axis.errorbar(at, [x["mean"] for x in lines], error, fmt=look["marker"], color=look["color"], capsize=3,
                      markersize=4.5, label=look["label"])  # fmt: skip
        axis.set_xticks(range(len(lines)), [str(x["K"]) for x in lines])
    axis.axhline(1, color="#444444", linewidth=1)
    axis.set(xlabel="K", ylabel="estimate / true sum (mean, 95 % interval)",
             title="a sum from one retrieved item, weighted")  # fmt: skip
    axis.legend(fontsize=8)
