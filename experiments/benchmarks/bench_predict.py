"""The full softmax and exact prediction against the machine's matrix products; sampled prediction against exact.

One network is trained by SLIDE for a while, as recommended but for corrected logits; what its tables retrieve is then
measured with its weights fixed: as training left them, rebuilt, and built with other settings.
"""

import numpy as np

from experiments.frame import draw
from experiments.frame.claims import judged
from experiments.frame.records import of
from experiments.frame.timing import median_seconds
from experiments.frame.training import CORRECTED, sized

QUESTION = "How near to the matrix-product peak is the full softmax, and what does sampled prediction give up?"
PAPER = "inference is not timed; hash tables retrieve about 0.5 % of 670,091 neurons (section 5)"
CLAIMS = ("inference",)
TIME = {"smoke": "10 s", "small": "3 min"}

SETTINGS = {
    "smoke": dict(
        scale=0.01, n_train=2000, n_test=300, steps=30, active=200, square=512, rows=300, repeats=2,
        chosen=["ranged", 4, 20, 1], others=[["ranged", 4, 20, 2], ["dwta", 3, 20, 1], ["simhash", 8, 20, 1]],
    ),
    "small": dict(
        scale=1.0, n_train=None, n_test=2000, steps=1000, active=3000, square=4096, rows=2000, repeats=5,
        chosen=["ranged", 6, 50, 1],
        others=[
            ["ranged", 6, 50, 2], ["ranged", 6, 20, 1], ["ranged", 5, 50, 2], ["dwta", 5, 50, 1], ["dwta", 4, 50, 1],
            ["dwta", 4, 50, 3], ["dwta", 3, 50, 4], ["simhash", 10, 50, 1], ["simhash", 12, 50, 1],
        ],
    ),
}  # fmt: skip
BATCH, HIDDEN, K = 256, 128, 5
FASTER, NEAR = 20, 0.01  # 95 % less; of P@1
COLOURS = {"ranged": draw.COLOURS["slide"], "dwta": "#7B3294", "simhash": draw.COLOURS["uniform"]}
RATE_ROW = "{:42} {:>10} {:>12} {:>14}"
ROW = "{:24} {:>8} {:>9} {:>10} {:>9} {:>9} {:>8} {:>8}"


def run(scale, records, threads, seed):
    from slide.data import make_xmc

    settings = SETTINGS[scale]
    (X, Y), test = make_xmc("amazon-670k", settings["n_train"], settings["n_test"], scale=settings["scale"], seed=seed)
    print(RATE_ROW.format("", "GFLOP/s", "of the peak", "ms per sample"))
    peak = measure_peak(settings, records, threads)
    measure_training(X, Y, settings, records, threads, seed, peak)
    network = train(X, Y, settings, threads, seed)
    exact = measure_exact(network, test, settings, records, peak)
    print("\n" + ROW.format("tables", "m", "active", "ms/sample", "speed-up", "top-1", "P@1", "exact"))
    measure_sampled(network, test, settings["chosen"], settings, records, exact, stale=True)
    for setting in (settings["chosen"], *settings["others"]):
        index_anew(network, *setting)
        measure_sampled(network, test, setting, settings, records, exact)


def measure_peak(settings, records, threads):
    """The best rate of NumPy's float32 product of two square matrices, in GFLOP/s."""
    from slide.machine.roofline import measure_products

    n = settings["square"]
    rate = measure_products(threads, n, settings["repeats"] + 1)
    flops = 2.0 * n**3
    return add_rate(records, f"matrix product, {n} x {n} x {n}", flops, flops / rate / 1e9, None, None)


def add_rate(records, what, flops, seconds, peak, ms):
    rate = flops / seconds / 1e9
    records.add("rate", what=what, gflops=rate, peak=peak or rate, ms=ms)
    print(RATE_ROW.format(what, f"{rate:.1f}", f"{rate / (peak or rate):.0%}", f"{ms:.3f}" if ms else ""), flush=True)
    return rate


def measure_training(X, Y, settings, records, threads, seed, peak):
    """The output layer's step (products, softmax, optimizer): three products a step are counted."""
    network = make(X.shape[1], Y.shape[1], dict(sampler="full"), threads, seed)
    output, seconds = ("forward", "softmax", "backward"), []
    for number in range(settings["repeats"] + 1):
        batch = slice(number * BATCH, (number + 1) * BATCH)
        network.context.clock.reset()
        network.partial_fit(X[batch], Y[batch])
        stages = network.context.clock.seconds
        seconds.append(sum(stages[name] for name in output))
    middle = float(np.median(seconds[1:]))
    flops = 6.0 * BATCH * HIDDEN * Y.shape[1]
    add_rate(records, "full softmax, training step", flops, middle, peak, 1e3 * middle / BATCH)


def make(n_features, n_labels, output, threads, seed, group_size=16):
    from slide import Adam, Dense, Network, Sampled

    layers = [Dense(HIDDEN), Sampled(n_labels, **output)]
    return Network(n_features, layers, optimizer=Adam(5e-3), batch_size=BATCH, group_size=group_size, seed=seed,
                   threads=threads)  # fmt: skip


def train(X, Y, settings, threads, seed):
    """SLIDE for some steps; the last rebuild of its tables lies some batches back."""
    from slide.defaults import recommended
    from slide.index import RehashSchedule

    advice = recommended(X.shape[0], Y.shape[1], {"min_active": settings["active"]}, Y.nnz / X.shape[0])
    hash_, n_hashes, n_tables, _ = settings["chosen"]
    output = dict(hash=hash_, K=n_hashes, L=n_tables, rehash=RehashSchedule(N0=advice["N0"]),
                  **sized("slide", settings["active"]), **CORRECTED)  # fmt: skip
    return make(X.shape[1], Y.shape[1], output, threads, seed, advice["group_size"]).fit(X, Y, steps=settings["steps"])


def measure_exact(network, test, settings, records, peak):
    """(ids, seconds per sample, P@1) of the exact top k; its one product is counted, its first layer is timed too."""
    X, Y = test[0][: settings["rows"]], test[1][: settings["rows"]]
    [seconds] = median_seconds(lambda: network.predict(X, K), repeats=settings["repeats"], warm_up=1)
    ids, _ = network.predict(X, K)
    flops = 2.0 * X.shape[0] * HIDDEN * network.n_labels
    each = seconds / X.shape[0]
    add_rate(records, f"exact prediction, k = {K}", flops, seconds, peak, 1e3 * each)
    return ids, each, hits(Y, ids[:, 0])


def measure_sampled(network, test, setting, settings, records, exact, stale=False):
    """What the tables of a setting retrieve, and how long that takes; stale: as training left them."""
    hash_, n_hashes, n_tables, m = setting
    X, Y = test[0][: settings["rows"]], test[1][: settings["rows"]]
    [seconds] = median_seconds(lambda: network.predict(X, K, sampled=True), repeats=settings["repeats"], warm_up=1)
    ids, _ = network.predict(X, K, sampled=True)
    active = network.evaluate(X, Y, ks=(1,), sampled=True).active
    best, each, p1 = exact
    line = records.add(
        "sampled", hash=hash_, K=n_hashes, L=n_tables, m=m, stale=stale, active=active,
        n=network.n_labels, ms=1e3 * seconds / X.shape[0], speedup=each * X.shape[0] / seconds,
        recall=float(np.mean(ids[:, 0] == best[:, 0])), p1=hits(Y, ids[:, 0]), exact_p1=p1,
    )  # fmt: skip
    print(ROW.format(name(line), m, f"{active:,.0f}", f"{line['ms']:.4f}", f"{line['speedup']:.1f}",
                     f"{line['recall']:.3f}", f"{line['p1']:.3f}", f"{p1:.3f}"), flush=True)  # fmt: skip


def hits(Y, first):
    """P@1 of one prediction per row."""
    return float(np.mean(np.asarray(Y[np.arange(len(first)), first]).ravel() > 0))


def index_anew(network, hash_, n_hashes, n_tables, m):
    """Gives the output layer other tables; neurons found fewer than m times are left out."""
    from slide.hashing import FAMILIES
    from slide.index import LSHIndex, RehashSchedule
    from slide.sampling import Threshold, Vanilla

    layer = network.layers[-1]
    inputs = layer.index.inputs

    def family(seed):
        return FAMILIES[hash_](HIDDEN, n_hashes, n_tables, seed=seed)

    index = LSHIndex(family, network.n_labels, RehashSchedule(), network.seed, 128, "fifo", network.threads)
    index.inputs = inputs or index.inputs
    index.build(layer.weights)
    layer.retrieve_by(index, Vanilla() if m == 1 else Threshold(m=m))


def name(line):
    return f"{draw.FAMILIES[line['hash']]} K={line['K']} L={line['L']}{', stale' if line['stale'] else ''}"


def verdicts(records) -> dict:
    """By the tables of the training: `FASTER` times faster, and P@1 within `NEAR` of exact prediction's."""
    stale = of(records, "sampled", stale=True)[0]
    why = (
        f"prediction with the tables of the training is {stale['speedup']:.0f} times faster than exact, and P@1 falls "
        f"from {stale['exact_p1']:.3f} to {stale['p1']:.3f}"
    )
    return {"inference": judged([stale["speedup"] >= FASTER, stale["p1"] >= stale["exact_p1"] - NEAR], why)}


def finding(records) -> str:
    rates = of(records, "rate")
    stale, fresh = (of(records, "sampled", stale=stale)[0] for stale in (True, False))
    exact = f"{stale['exact_p1']:.3f}"
    shares = ", ".join(f"{line['what']} {line['gflops'] / line['peak']:.0%}" for line in rates[1:])
    return (
        f"Of the rate of a large matrix product ({rates[0]['gflops']:,.0f} GFLOP/s): {shares}. Sampled prediction with "
        f"the tables of the training ({name(fresh)}) is {stale['speedup']:.0f} times faster than exact and finds the "
        f"exact top 1 in {stale['recall']:.0%} of the rows, P@1 {stale['p1']:.3f} against {exact}; with rebuilt tables "
        f"{fresh['speedup']:.0f} times, {fresh['recall']:.0%}, {fresh['p1']:.3f}."
    )


def crowded(line, other) -> bool:
    """Whether the labels of two markers would meet."""
    return abs(line["recall"] - other["recall"]) < 0.05 and 1 / 4 < line["speedup"] / other["speedup"] < 4


def plot(records):
    title = f"{QUESTION}\nthe shape of Amazon-670K (synthetic data)"
    figure, (left, right) = draw.panels(2, title)
    rates = of(records, "rate")
    bars = left.barh([line["what"].replace(", ", "\n", 1) for line in rates], [line["gflops"] for line in rates],
                     color=[draw.COLOURS["popularity"], *[draw.COLOURS["full"]] * (len(rates) - 1)])  # fmt: skip
    left.bar_label(bars, [f" {line['gflops'] / line['peak']:.0%}" for line in rates])
    left.set(xlabel="rate (GFLOP/s)")
    left.set_xlim(right=1.15 * max(line["gflops"] for line in rates))
    left.invert_yaxis()
    lines = of(records, "sampled")
    for number, line in enumerate(lines):
        colour = COLOURS[line["hash"]]
        right.plot(line["speedup"], line["recall"], "*" if line["stale"] else "o", color=colour,
                   markersize=13 if line["stale"] else 6)  # fmt: skip
        label = name(line) + (f" m={line['m']}" if line["m"] > 1 else "")
        below = line["recall"] > 0.05 and any(crowded(line, other) for other in lines[:number])
        place = (5, -10) if below else (5, 4)
        right.annotate(label, (line["speedup"], line["recall"]), place, textcoords="offset points", fontsize=7)
    draw.plain_log_axis(right)
    right.set(xlabel="times faster than exact (log scale)", ylabel="exact top 1 found (share of rows)")
    right.set_xlim(right=4 * max(line["speedup"] for line in lines))
    right.set_ylim(bottom=0)
    return figure
