"""One network over several processes, by MPI: what a step costs, what it would on a network, and what it learns.

Measured are one process and 1 and 2 ranks of one thread on this machine, in turns: time by stage, bytes that a rank
sends, and how long messages of several sizes take. From those a model: the arithmetic of a step divides by the number
of ranks but for a part that every rank does, and messages take a latency for every doubling of the ranks and the time
of their bytes. Its latency and bandwidth are those of this machine's shared memory where it is checked, and those that
networks of 1, 10 and 100 Gbit/s have where it looks ahead. D-SLIDE is Yan, Meisburger, Medini & Shrivastava 2022.
"""

import statistics
import time

import numpy as np

from experiments.frame import draw, machine, processes
from experiments.frame.problems import problem
from experiments.frame.records import of
from experiments.frame.training import PLAIN, n_batches, network, settings, train

QUESTION = "What does a step over several processes cost, when is the network its limit, and does it learn as much?"
PAPER = (
    "D-SLIDE trains with a model split over machines that exchange sparse activations, and is faster than dense "
    "frameworks on slow networks (Yan et al. 2022, arXiv 2201.12667)"
)
TIME = {"smoke": "30 s", "small": "10 min"}

SETTINGS = {
    "smoke": dict(step_data="tiny", step_shape=None, steps=8, warm_up=3, rounds=1, repeats=20,
                  learn={"tiny": dict(epochs=1)}, seeds=1, n_test=200),
    "small": dict(step_data="amazon-670k", step_shape=dict(n_train=60_000, n_test=1), steps=150, warm_up=50, rounds=3,
                  repeats=300, seeds=3, n_test=5_000, learn={
                      "citeulike-tags-53k": dict(epochs=8),
                      "amazon-670k": dict(epochs=4, shape=dict(n_train=60_000, n_test=5_000, scale=0.25))}),
}  # fmt: skip
# name: (processes, 0 for one without MPI; threads of each)
SYSTEMS = {"one thread": (0, 1), "two threads": (0, 2), "1 rank": (1, 1), "2 ranks": (2, 1)}
LEARNERS = ("two threads", "2 ranks")
LR, LEARNT_AT, EVALUATIONS = 2e-3, 5e-3, 8  # rates of steps that are timed, and of learning: the recommended one
PAYLOADS = [8, 256, 4096, 32_768, 131_072, 524_288]  # bytes
# name: (latency in seconds, bytes per second); latencies of TCP on Ethernet, and of InfiniBand or RoCE
NETWORKS = {"1 Gbit/s": (50e-6, 0.125e9), "10 Gbit/s": (25e-6, 1.25e9), "100 Gbit/s": (3e-6, 12.5e9)}
RANKS = [1, 2, 4, 8, 16, 32, 64]
HIDDEN, L, WEIGHTS = 128, 50, 3  # columns, tables, and arrays of weights and moments of a rank
MESSAGES = 3  # in a step
LARGE = [10_000_000, 100_000_000]  # labels


def run(scale, records, threads, seed):
    chosen = SETTINGS[scale]
    if processes.mpiexec() is None:
        records.add("note", text="MPI is left out: not installed (pip install 'slidenn[distributed]')")
        return
    grid = [{"part": "learn", "data": name, "system": x, "seed": seed + i}
            for name in chosen["learn"] for i in range(chosen["seeds"]) for x in LEARNERS]  # fmt: skip
    grid += [{"part": "step", "round": i, "system": x} for i in range(chosen["rounds"]) for x in SYSTEMS]
    grid += [{"part": "probe"}]
    for setting in records.pending(grid):
        ranks, own = SYSTEMS[setting.get("system", "2 ranks")]
        arguments = {name: setting[name] for name in ("data",) if name in setting}
        arguments |= {"scale": scale, "threads": own, "seed": setting.get("seed", seed)}
        for line in processes.lines(__name__, setting["part"], ranks=ranks, **arguments):
            records.add(setting["part"], **{**line, **{k: v for k, v in setting.items() if k != "part"}})


def world():
    """(the ranks that this process is one of, whether it tells)."""
    from slide.distributed import launch

    found = launch.world()
    return found, found.rank == 0


def step(scale, threads, seed):
    """Yields ms per batch by stage and in exchange, bytes that a rank sends, active neurons, GB: steps after others."""
    chosen, (ranks, tells) = SETTINGS[scale], world()
    found = problem(chosen["step_data"], seed, n_test=1, shape=chosen["step_shape"])
    net = network(found, {**settings("slide", found), **PLAIN}, LR, 10**6, threads, seed, ranks)
    net.fit(*found.train, steps=chosen["warm_up"])
    clock, n, at = net.context.clock, chosen["steps"], []
    ends = net.step + 1, net.step + 1 + n

    def now():
        stages = dict(getattr(clock, "seconds", {}))
        return time.perf_counter(), getattr(ranks, "bytes", 0), getattr(ranks, "seconds", 0.0), stages, net.samples

    # From the end of one batch to that of another: what is done once for a call of fit is outside.
    net.fit(*found.train, steps=n + 1, callback=lambda *_: at.append(now()) if net.step in ends else None)
    (start, sent, waited, before, samples), (end, all_sent, all_waited, stages, all_samples) = at
    if tells:
        yield dict(
            stages={name: 1e3 * (value - before.get(name, 0.0)) / n for name, value in stages.items()},
            ms=1e3 * (end - start) / n, exchange_ms=1e3 * (all_waited - waited) / n, bytes=(all_sent - sent) / n,
            active=net.active, peak_gb=machine.peak_gb(), n_labels=found.n_labels, batch=(all_samples - samples) / n,
        )  # fmt: skip


def probe(scale, threads, seed):
    """Yields the seconds of a sum of arrays of so many bytes, the median of many."""
    ranks, tells = world()
    for n_bytes in PAYLOADS:
        array, spent = np.zeros(n_bytes // 4, np.float32), []
        for _ in range(SETTINGS[scale]["repeats"]):
            start = time.perf_counter()
            ranks.sum(array)
            spent.append(time.perf_counter() - start)
        if tells:
            yield dict(bytes=n_bytes, seconds=statistics.median(spent))


def learn(scale, data, threads, seed):
    """Yields P@1 by samples seen, with the recommended settings."""
    chosen, (ranks, tells) = SETTINGS[scale], world()
    plan, out = chosen["learn"][data], []
    found = problem(data, seed, n_test=chosen["n_test"], shape=plan.get("shape"))
    steps = n_batches(found, plan["epochs"])
    net = network(found, settings("slide", found), LEARNT_AT, steps, threads, seed, ranks)
    train(net, found, steps, lambda **line: out.append({"title": found.title, **line}) or line, evaluations=EVALUATIONS)
    yield from out if tells else []


def medians(records) -> dict:
    """{system: {"ms", "exchange_ms", "bytes", "stages", ...}}, medians over the rounds."""
    out = {}
    for system in SYSTEMS:
        lines = of(records, "step", system=system)
        names = {name for line in lines for name in line["stages"]}
        found = {name: statistics.median(line[name] for line in lines)
                 for name in ("ms", "exchange_ms", "bytes", "active", "peak_gb", "n_labels", "batch")}  # fmt: skip
        found["stages"] = {name: statistics.median(x["stages"].get(name, 0.0) for x in lines) for name in sorted(names)}
        out[system] = found
    return out


def arithmetic(found) -> tuple[float, float]:
    """(ms of a step that every rank does, ms that divide by the ranks), by what 1 and 2 ranks take beside messages."""
    one, two = (found[name]["ms"] - found[name]["exchange_ms"] for name in ("1 rank", "2 ranks"))
    divides = min(one, max(0.0, 2 * (one - two)))
    return one - divides, divides


def line_of(records) -> tuple[float, float]:
    """(latency in seconds, bytes per second) of messages on this machine: a line through the measured sums."""
    lines = of(records, "probe")
    x, y = (np.array([line[name] for line in lines]) for name in ("bytes", "seconds"))
    latency = float(y[x <= 256].mean())
    pace = float(np.sum((y - latency) * x) / np.sum(x * x))  # least squares of what is left
    return latency, 1 / max(pace, 1e-15)


def sent(ranks: int, batch: int, groups: int) -> float:
    """Bytes that each of so many ranks sends in a step: two sums over hidden rows, and numbers for each sample."""
    if ranks == 1:
        return 0.0
    hidden = 4 * batch * HIDDEN
    whole = hidden if ranks == 2 else 2 * hidden * (ranks - 1) / ranks
    return 2 * whole + (ranks - 1) * 4 * (3 * batch + 2 * groups)


def model(found, ranks, latency, pace) -> tuple[float, float]:
    """(ms of arithmetic, ms of messages) of a step over so many ranks."""
    fixed, divides = arithmetic(found)
    batch = round(found["2 ranks"]["batch"])
    messages = MESSAGES * latency * np.ceil(np.log2(ranks)) + sent(ranks, batch, max(1, batch // 32)) / pace
    return fixed + divides / ranks, 1e3 * messages


def memory_gb(labels: int, ranks: int) -> float:
    """Of a rank: weights and moments as float32, and two sets of tables while they are built."""
    own = labels / ranks
    return own * (4 * WEIGHTS * (HIDDEN + 1) + 16 * L) / 1e9


def apart(records, data) -> tuple[float, float]:
    """(largest difference of the seeds' mean P@1 at the same samples, that at the end) of ranks and one process."""
    by = {}
    for line in of(records, "learn", data=data):
        by.setdefault((line["system"], line["samples"]), []).append(line["p1"])
    samples = sorted({n for _, n in by})
    gaps = [statistics.mean(by[LEARNERS[1], n]) - statistics.mean(by[LEARNERS[0], n]) for n in samples]
    return max(gaps, key=abs), gaps[-1]


def learnt(records) -> dict:
    """{name: title} of the sets that networks learn."""
    return {line["data"]: line["title"] for line in of(records, "learn")}


def limit(found, name) -> int:
    """The number of ranks from which on messages take more than the arithmetic; 0 where none up to 64 does."""
    for ranks in RANKS[1:]:
        computed, messages = model(found, ranks, *NETWORKS[name])
        if messages > computed:
            return ranks
    return 0


def finding(records) -> str:
    if not of(records, "step"):
        return "Not measured: MPI is not installed."
    found = medians(records)
    ratio = found["2 ranks"]["ms"] / found["two threads"]["ms"]
    predicted = sum(model(found, 2, *line_of(records)))
    latency, pace = line_of(records)
    gains = ", ".join(f"{name} {_gain(found, 8, name):.1f} and {_gain(found, 64, name):.1f}" for name in NETWORKS)
    limits = {name: limit(found, name) for name in NETWORKS}
    over = ", ".join(f"at {name} from {ranks} ranks on" for name, ranks in limits.items() if ranks) or "nowhere"
    scores = "; ".join(f"{title} {100 * apart(records, data)[1]:+.2f} points at the end, at most "
                       f"{100 * apart(records, data)[0]:+.2f} on the way"
                       for data, title in learnt(records).items())  # fmt: skip
    memory = ", ".join(f"{n // 10**6} million labels {memory_gb(n, 1):,.0f} GB on one rank, {memory_gb(n, 16):,.1f} on "
                       "each of 16" for n in LARGE)  # fmt: skip
    return (
        f"At {found['2 ranks']['n_labels']:,.0f} labels a step takes {found['2 ranks']['ms']:.1f} ms on 2 ranks of one "
        f"thread, {ratio:.2f} times what one process takes with 2 threads ({found['two threads']['ms']:.1f}; 1 thread "
        f"{found['one thread']['ms']:.1f}, 1 rank {found['1 rank']['ms']:.1f}); a rank sends "
        f"{found['2 ranks']['bytes']:,.0f} bytes. A message takes {1e6 * latency:.0f} us here, and 1 s for "
        f"{pace / 1e9:.1f} GB; the model says {predicted:.1f} ms on 2 ranks. Expected on 8 and 64 ranks, times as fast "
        f"as on one: {gains}; messages are the larger part {over}. P@1 of 2 ranks less that of one process, mean "
        f"of the seeds: {scores}. Memory: {memory}."
    )


def _gain(found, ranks, name):
    return sum(model(found, 1, *NETWORKS[name])) / sum(model(found, ranks, *NETWORKS[name]))


def plot(records):
    figure, axes = draw.panels(4, QUESTION, width=4.6)
    if not of(records, "step"):
        return figure
    found = medians(records)
    _bars(axes[0], found)
    _speed_up(axes[1], records, found)
    _curves(axes[2], records)
    for number, n in enumerate(LARGE):
        look = draw.series(number, f"{n // 10**6} million labels")
        axes[3].plot(RANKS, [memory_gb(n, ranks) for ranks in RANKS], **look)
    axes[3].set(ylabel="GB of each rank (log scale)", yscale="log")
    for axis in (axes[1], axes[3]):
        draw.threads_axis(axis, RANKS)
        axis.set_xlabel("ranks (log scale)")
        axis.legend(fontsize=8)
    return figure


def _bars(axis, found):
    """The time of a step by stage."""
    names = list(found)
    below = np.zeros(len(names))
    stages = sorted({stage for each in found.values() for stage in each["stages"]})
    for number, stage in enumerate(stages):
        part = np.array([found[name]["stages"].get(stage, 0.0) for name in names])
        axis.bar(names, part, bottom=below, label=stage, color=draw.SERIES[number % len(draw.SERIES)], width=0.6)
        below += part
    axis.set(ylabel="milliseconds per batch", ylim=(0, 1.5 * below.max()))
    axis.legend(fontsize=7, ncols=2)


def _speed_up(axis, records, found):
    """What the model expects, and what was measured here."""
    here = line_of(records)
    for number, (name, pace) in enumerate({**NETWORKS, "this machine": here}.items()):
        times = [sum(model(found, ranks, *pace)) for ranks in RANKS]
        axis.plot(RANKS, [times[0] / t for t in times], **draw.series(number, name))
    measured = [found["1 rank"]["ms"] / found[name]["ms"] for name in ("1 rank", "2 ranks")]
    axis.plot([1, 2], measured, "k*", markersize=11, label="measured here")
    axis.set(ylabel="times as fast as one rank")


def _curves(axis, records):
    for number, (data, title) in enumerate(learnt(records).items()):
        for system, style in zip(LEARNERS, ("-", "--"), strict=True):
            lines = of(records, "learn", data=data, system=system)
            samples = sorted({line["samples"] for line in lines})
            mean = [statistics.mean(x["p1"] for x in lines if x["samples"] == n) for n in samples]
            look = {"color": draw.SERIES[number], "marker": draw.SIGNS[number], "markersize": 4}
            look |= {"label": title.replace(" at ", "\nat ") if system == LEARNERS[0] else None}
            axis.plot(samples, mean, style, **look)
    axis.set(xlabel="samples seen", ylabel="P@1, mean of the seeds", title="solid: one process, dashed: 2 ranks")
    axis.legend(fontsize=8)
