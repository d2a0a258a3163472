"""What the records say: speed, conflicts, accuracy by threads and by workers."""

import statistics

from experiments.frame.records import of

SYSTEMS = ("sampled", "dense")  # with hogwild
FEW_STAGES = 2  # that are named as what does not get faster


def counts_of(records, system) -> list[int]:
    return sorted({line["threads"] for line in of(records, "evaluation", system=system)})


def seeds_of(records, system, threads) -> list[int]:
    return sorted({line["seed"] for line in of(records, "evaluation", system=system, threads=threads)})


def cpus(records) -> int:
    return of(records, "stages")[0]["cpus"]


def seconds_per_epoch(records, system, threads) -> float:
    """The median of all parts of epochs between evaluations, and of seeds."""
    found = []
    for seed in seeds_of(records, system, threads):
        lines = of(records, "evaluation", system=system, threads=threads, seed=seed)
        seconds, epochs = ([0.0, *(line[name] for line in lines)] for name in ("seconds", "epoch"))
        found += [(seconds[i + 1] - seconds[i]) / (epochs[i + 1] - epochs[i]) for i in range(len(lines))]
    return statistics.median(found)


def speed_up(records, system) -> dict:
    """{threads: how many times faster an epoch is than on one thread}."""
    one = seconds_per_epoch(records, system, 1)
    return {n: one / seconds_per_epoch(records, system, n) for n in counts_of(records, system)}


def stages(records, system, threads) -> dict:
    """{stage: ms per batch}, medians of the seeds, longest first."""
    lines = [line["ms"] for line in of(records, "stages", system=system, threads=threads)]
    found = {name: statistics.median(line.get(name, 0.0) for line in lines) for name in lines[0]}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def reason(records, threads) -> str:
    """The stages of sampled layers that lose most by not being `threads` times faster, in words."""
    one, several = (stages(records, "sampled", n) for n in (1, threads))
    lost = {name: several.get(name, 0.0) - ms / threads for name, ms in one.items()}
    worst = sorted(lost, key=lost.get, reverse=True)[:FEW_STAGES]
    parts = [f"{name} {one[name] / max(several.get(name, 0.0), 1e-9):.2f} times ({one[name]:.1f} ms of a batch on one)"
             for name in worst]  # fmt: skip
    share = sum(lost[name] for name in worst) / max(sum(max(each, 0.0) for each in lost.values()), 1e-9)
    return f"{100 * share:.0f} % of what is missing is lost in two stages, {' and '.join(parts)}"


def rate(records, system, threads, field) -> float:
    """A field of the conflicts of all layers in percent: of additions, or of the rows written for "hit_rows"."""
    lines = of(records, "conflicts", system=system, threads=threads)
    total = sum(line["additions"] for line in lines)
    if field in ("lost", "hit_rows"):
        written = total if field == "lost" else sum(line["rows"] for line in lines)
        return 100 * sum(line[field] for line in lines) / written
    if field.startswith("rows"):
        return 100 * statistics.mean(line[field] for line in lines)
    return 100 * sum(line[field] * line["additions"] for line in lines) / total


def last(records, system, threads) -> dict:
    """{seed: the P@1 at the end}."""
    return {line["seed"]: line["p1"] for line in of(records, "evaluation", system=system, threads=threads)}


def mean_and_spread(values) -> tuple[float, float]:
    """Of the seeds; the spread is the standard deviation. A mean of differences has no more digits than P@1."""
    values = list(values)
    return round(statistics.mean(values), 9), statistics.stdev(values) if len(values) > 1 else 0.0


def gaps(records, system) -> dict:
    """{threads: mean and spread of the final P@1 less that of one thread and the same seed}."""
    one = last(records, system, 1)
    return {
        n: mean_and_spread(p1 - one[seed] for seed, p1 in last(records, system, n).items())
        for n in counts_of(records, system) if n > 1
    }  # fmt: skip


def noise(records, system) -> float:
    """How far apart seeds end on one thread."""
    return mean_and_spread(last(records, system, 1).values())[1]


def late_gaps(records, system) -> dict:
    """{workers: mean and spread of the final P@1 less that of one worker and the same seed}."""
    lines = of(records, "late", system=system)
    one = {line["seed"]: line["p1"] for line in lines if line["workers"] == 1}
    return {
        n: mean_and_spread(line["p1"] - one[line["seed"]] for line in lines if line["workers"] == n)
        for n in sorted({line["workers"] for line in lines}) if n > 1
    }  # fmt: skip


def relative_delays(records) -> list[float]:
    """How late the gradients of the most real threads came, by the number of the others."""
    line = max(of(records, "delays"), key=lambda each: each["threads"])
    return [late / (line["threads"] - 1) for late in line["late"]]


def delays_in_words(records) -> str:
    lines = of(records, "delays")
    real = ", ".join(f"{statistics.mean(line['late']):.1f} on {line['threads']}" for line in lines)
    most = max(of(records, "late"), key=lambda line: line["workers"])
    return (f"batches that a gradient of real threads is late, in the mean: {real}; of {most['workers']} workers "
            f"{most['mean']:.0f}, at most {most['most']}")  # fmt: skip


def summary(records) -> dict:
    """By system: gap (the largest of P@1), speed (on `fit` threads, the most there are CPUs for), meet and batch (in
    percent, on `least` threads), late (the gap of `workers`, the most) and gone, {(system, field): the largest rate on
    several threads}."""
    counts = counts_of(records, "sampled")
    several = [n for n in counts if n > 1]
    fit, least = max((n for n in counts if n <= cpus(records)), default=1), min(several)
    late = {name: late_gaps(records, name) for name in SYSTEMS}
    workers = max(late["sampled"])
    return dict(
        fit=fit, least=least, most=max(counts), workers=workers,
        gap={name: max((mean for mean, _ in gaps(records, name).values()), key=abs) for name in SYSTEMS},
        speed={name: speed_up(records, name)[fit] for name in SYSTEMS},
        meet={name: rate(records, name, least, "weights_in_work") for name in SYSTEMS},
        batch={name: rate(records, name, least, "rows_in_batch") for name in SYSTEMS},
        late={name: late[name][max(late[name])][0] for name in SYSTEMS},
        gone={(name, field): max(rate(records, name, n, field) for n in several)
              for name in SYSTEMS for field in ("hit_rows", "lost")},
    )  # fmt: skip
