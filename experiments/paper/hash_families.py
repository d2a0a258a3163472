"""The hash families at equal K and at about equal bits of a code; the tables' settings, one changed at a time."""

import numpy as np

from experiments.frame import draw
from experiments.frame.claims import judged
from experiments.frame.problems import problem
from experiments.frame.records import of
from experiments.frame.retrieval import retrieval
from experiments.frame.training import best, n_batches, network, settings, train

QUESTION = "Which hash family finds the top neurons, and which settings of the tables matter?"
FIGURE = "sections 3.1 and 5, appendix A"
PAPER = (
    "SimHash K=9, L=50 for Delicious-200K and DWTA K=8, L=50 for Amazon-670K, first rehash after N0 = 50 batches, then "
    "ever more seldom; gives no ablation (section 5)"
)
CLAIMS = ("families",)
TIME = {"smoke": "9 s", "small": "3 min", "paper": "30 h"}

BASE = dict(hash="dwta", K=4, L=50, label_fill=0.5)
ABLATIONS = {
    "K": [{"K": 2}, {"K": 3}, {"K": 5}, {"K": 6}],
    "L": [{"L": 5}, {"L": 20}, {"L": 100}],
    "bucket size": [{"bucket_size": 8}, {"bucket_size": 32}, {"bucket_size": 1024}],
    "rehash": [{"N0": 10}, {"N0": 200}, {"growth": 0.0}, {"growth": 0.5}, {"renew_every": 1}],
    "active set": [{"labels": False}, {"min_active": 0}, {"label_fill": 0.0}, {"label_fill": 1.0},
                   {"label_fill": 0.0, "logq_correction": True}, {"reinsert": True}],
}
# families: the K of each; a hash has 1 bit in SimHash and MIPS, 4 in cross-polytope, 3 in the others, and the K of
# "ranged" counts otherwise (see slide.hashing.Ranged).
SETTINGS = {
    "smoke": dict(data="tiny",
                  families={"simhash": [4], "mips": [4], "cross-polytope": [2], "wta": [2], "dwta": [2], "minhash": [2],
                            "ranged": [3]},
                  base={**BASE, "K": 2, "L": 10, "active": 100},
                  ablations={"K": [{"K": 3}], "active set": [{"labels": False}]}, lr=5e-3, epochs=1, probes=50),
    "small": dict(data="citeulike-tags-53k",
                  families={"simhash": [4, 12], "mips": [4, 12], "cross-polytope": [3, 4], "wta": [4], "dwta": [4],
                            "minhash": [4], "ranged": [5]},
                  base={**BASE, "active": 1000, "min_active": 2000}, ablations=ABLATIONS, lr=1e-2, epochs=3,
                  probes=500),
    "paper": dict(data="amazon-670k",
                  families={"simhash": [5, 15], "mips": [5, 15], "cross-polytope": [4, 5], "wta": [5], "dwta": [5],
                            "minhash": [5], "ranged": [6]},
                  base={**BASE, "K": 5, "active": 1500, "min_active": 3000}, ablations=ABLATIONS, lr=5e-3, epochs=1,
                  probes=1000),
}  # fmt: skip
TOP = 10
PUBLISHED, TWICE = ("simhash", "wta", "dwta", "minhash"), 2


def grid_of(chosen):
    """[{"part", "changes"}]: the base, the families at each K, and the ablations."""
    grid = [{"part": "base", "changes": {}}]
    families = [{"hash": name, "K": K} for name, Ks in chosen["families"].items() for K in Ks]
    grid += [{"part": "family", "changes": x} for x in families if not x.items() <= chosen["base"].items()]
    return grid + [{"part": part, "changes": change} for part, some in chosen["ablations"].items() for change in some]


def run(scale, records, threads, seed):
    chosen = SETTINGS[scale]
    data = problem(chosen["data"], seed)
    records.add("data", **data.facts())
    for setting in records.pending(grid_of(chosen)):
        one(setting, chosen, data, records, threads, seed)


def one(setting, chosen, data, records, threads, seed):
    """Trains, and measures what the tables find of the true top neurons of trained weights, in test samples."""
    from slide import RehashSchedule

    layer = {**chosen["base"], **setting["changes"]}
    when = {name: layer.pop(name) for name in ("N0", "growth", "renew_every") if name in layer}
    steps = n_batches(data, chosen["epochs"])
    of_system = settings("slide", data, {**layer, "rehash": RehashSchedule(**when)})
    net = network(data, of_system, chosen["lr"], steps, threads, seed)
    train(net, data, steps, lambda **line: records.add("evaluation", **setting, **line), evaluations=4)
    stages = {name: seconds / steps for name, seconds in net.context.clock.seconds.items()}
    rehashes = net.layers[-1].index.rehashes
    found = retrieval(net, data, chosen["probes"], (TOP,))
    records.add("found", **setting, **{**found, "recall": found["recall"][0]}, stages=stages, rehashes=rehashes)


def name_of(line) -> str:
    if line["part"] == "family":
        return f"{draw.FAMILIES[line['changes']['hash']]} K={line['changes']['K']}"
    return "base" if line["part"] == "base" else ", ".join(f"{k}={v}" for k, v in line["changes"].items())


def table(records):
    """[(line of what was found, best P@1, final P@1, seconds)]."""
    out = []
    for line in of(records, "found"):
        own = of(records, "evaluation", part=line["part"], changes=line["changes"])
        out.append((line, best(own), own[-1]["p1"], own[-1]["seconds"]))
    return out


def verdicts(records) -> dict:
    """Each of the paper's families, at the K of its best recall, finds twice what as many uniform draws would."""
    n, found = of(records, "data")[0]["n_labels"], {}
    for line, *_ in table(records):
        name = {**records[0]["settings"]["base"], **line["changes"]}["hash"]
        if line["part"] in ("base", "family"):
            found[name] = max(found.get(name, (0.0, 0.0)), (line["recall"], line["retrieved"] / n))
    words = ", ".join(f"{draw.FAMILIES[x]} {found[x][0]:.0%} in {found[x][1]:.1%} of the neurons" for x in PUBLISHED)
    why = f"of the true top {TOP} neurons are found by {words}"
    return {"families": judged([found[x][0] >= TWICE * found[x][1] > 0 for x in PUBLISHED], why)}


def finding(records) -> str:
    rows, n = table(records), of(records, "data")[0]["n_labels"]
    (_, base, _, base_seconds), *rest = rows
    families = ", ".join(
        f"{name_of(x)} finds {x['recall']:.0%} of the top {TOP} in {x['retrieved']:,.0f} neurons "
        f"({x['retrieved'] / n:.1%}), P@1 {p1:.3f}" for x, p1, _, _ in rows if x["part"] in ("base", "family")
    )  # fmt: skip
    ablations = [row for row in rest if row[0]["part"] != "family"]
    others = [(p1 - base, name_of(x), seconds / base_seconds) for x, p1, _, seconds in ablations]
    worst, top = min(others), max(others)
    return (
        f"The paper has nothing to compare with. {families}. Of the ablations {worst[1]} costs most ({worst[0]:+.3f} "
        f"P@1, {worst[2]:.1f} times the time) and {top[1]} does best ({top[0]:+.3f}, {top[2]:.1f} times); one seed, so "
        "that differences below 0.01 are noise."
    )


def plot(records):
    data, settings_ = of(records, "data")[0], records[0]["settings"]
    rows = table(records)
    base = "base: {hash}, K={K}, L={L}".format(**settings_["base"])
    title = f"{QUESTION}\n{data['title']}, {data['n_labels']:,} labels"
    figure, (left, right) = draw.panels(2, title, width=6.5)
    parts = list(dict.fromkeys(x["part"] for x, *_ in rows))
    for number, (x, *_) in enumerate(rows):
        at = max(x["retrieved"] / data["n_labels"], 1e-5), x["recall"]
        first = number == [line["part"] for line, *_ in rows].index(x["part"])
        left.plot(*at, **{**draw.series(parts.index(x["part"]), x["part"] if first else None), "linestyle": ""})
        if x["part"] in ("base", "family", "K", "L"):
            left.annotate(name_of(x), at, (4, -9 if number % 2 else 3), textcoords="offset points", fontsize=7)
    share = np.geomspace(1e-3, 1, 50)
    left.plot(share, share, ":", color="#888888", label="neurons drawn uniformly")
    draw.plain_log_axis(left)
    left.set(xlabel="share of the neurons that a sample's buckets hold (log scale)", ylim=(-0.03, 1.05),
             ylabel=f"recall of the true top {TOP} neurons", title="after training, tables rebuilt")  # fmt: skip
    left.legend(fontsize=8, loc="upper left")
    names = [f"{name_of(x)} ({seconds:.1f} s, hash {1e3 * x['hashing']:.0f} ms)" for x, _, _, seconds in rows]
    colours = [draw.SERIES[parts.index(x["part"]) % 9] for x, *_ in rows]
    bars = right.barh(range(len(rows)), [row[1] for row in rows], color=colours)
    right.bar_label(bars, [f" {row[1]:.3f}" for row in rows], fontsize=7)
    right.set_yticks(range(len(rows)), names, fontsize=7)
    right.invert_yaxis()
    right.axvline(data["popularity"], linestyle=":", color=draw.COLOURS["popularity"])
    right.set(xlabel="best P@1 on the test set (fraction)", title=f"{base} (training; hashing all)",
              xlim=(0, 1.15 * max(row[1] for row in rows)))  # fmt: skip
    return figure
