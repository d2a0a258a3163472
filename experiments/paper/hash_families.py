"""The hash families at equal K and at about equal bits of a code; the tables' settings, one changed at a time."""

import statistics

import numpy as np

from experiments.frame import draw, seeds
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
TIME = {"smoke": "9 s", "small": "10 min", "paper": "30 h"}

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
                  ablations={"K": [{"K": 3}], "active set": [{"labels": False}]}, lr=5e-3, epochs=1, probes=50,
                  seeds=2),
    "small": dict(data="citeulike-tags-53k",
                  families={"simhash": [4, 12], "mips": [4, 12], "cross-polytope": [3, 4], "wta": [4], "dwta": [4],
                            "minhash": [4], "ranged": [5]},
                  base={**BASE, "active": 1000, "min_active": 2000}, ablations=ABLATIONS, lr=1e-2, epochs=2,
                  probes=500, seeds=3),
    "paper": dict(data="amazon-670k",
                  families={"simhash": [5, 15], "mips": [5, 15], "cross-polytope": [4, 5], "wta": [5], "dwta": [5],
                            "minhash": [5], "ranged": [6]},
                  base={**BASE, "K": 5, "active": 1500, "min_active": 3000}, ablations=ABLATIONS, lr=5e-3, epochs=1,
                  probes=1000, seeds=3),
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
    grid = [{**each, "seed": seed + number} for number in range(chosen["seeds"]) for each in grid_of(chosen)]
    for setting in records.pending(grid):
        one(setting, chosen, data, records, threads)


def one(setting, chosen, data, records, threads):
    """Trains, and measures what the tables find of the true top neurons of trained weights, in test samples."""
    from slide import RehashSchedule

    layer = {**chosen["base"], **setting["changes"]}
    when = {name: layer.pop(name) for name in ("N0", "growth", "renew_every") if name in layer}
    steps = n_batches(data, chosen["epochs"])
    of_system = settings("slide", data, {**layer, "rehash": RehashSchedule(**when)})
    net = network(data, of_system, chosen["lr"], steps, threads, setting["seed"])
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
    """[(what was found, in the mean over the seeds; evaluations in their mean)] of each setting."""
    out, keys = [], []
    for line in of(records, "found"):
        key = {name: line[name] for name in ("part", "changes")}
        if key not in keys:
            keys.append(key)
            lines = of(records, "found", **key)
            means = {name: statistics.fmean(x[name] for x in lines) for name in ("recall", "retrieved", "hashing")}
            out.append(({**line, **means}, seeds.curve(records, **key)))
    return out


def verdicts(records) -> dict:
    """Each of the paper's families, at the K of its best recall, finds twice what as many uniform draws would."""
    n, found = of(records, "data")[0]["n_labels"], {}
    for line, _ in table(records):
        name = {**records[0]["settings"]["base"], **line["changes"]}["hash"]
        if line["part"] in ("base", "family"):
            found[name] = max(found.get(name, (0.0, 0.0)), (line["recall"], line["retrieved"] / n))
    words = ", ".join(f"{draw.FAMILIES[x]} {found[x][0]:.0%} in {found[x][1]:.1%} of the neurons" for x in PUBLISHED)
    why = f"of the true top {TOP} neurons are found by {words}"
    return {"families": judged([found[x][0] >= TWICE * found[x][1] > 0 for x in PUBLISHED], why)}


def finding(records) -> str:
    rows, n = table(records), of(records, "data")[0]["n_labels"]
    (_, base), *rest = rows
    families = ", ".join(
        f"{name_of(x)} finds {x['recall']:.0%} of the top {TOP} in {x['retrieved']:,.0f} neurons "
        f"({x['retrieved'] / n:.1%}), P@1 {seeds.score(own)}" for x, own in rows if x["part"] in ("base", "family")
    )  # fmt: skip
    ablations = [row for row in rest if row[0]["part"] != "family"]
    longer = base[-1]["seconds"]
    others = [(best(own) - best(base), name_of(x), own[-1]["seconds"] / longer) for x, own in ablations]
    worst, top = min(others), max(others)
    return (
        f"The paper has nothing to compare with. {families}. Of the ablations {worst[1]} costs most ({worst[0]:+.3f} "
        f"P@1, {worst[2]:.1f} times the time) and {top[1]} does best ({top[0]:+.3f}, {top[2]:.1f} times): "
        f"{seeds.in_words(base)}."
    )


def name_points(axis, named):
    """Writes ((x, y), name) of points beside them, on a logarithmic axis, a line apart where they are close, and to
    their left where there is a point to their right."""
    written = []
    for (x, y), name in sorted(named, key=lambda point: point[0][1]):
        if any(0.3 < np.log10(other / x) < 1 and abs(height - y) < 0.02 for (other, height), _ in named):
            axis.text(x / 1.3, y - 0.012, name, fontsize=7.5, ha="right")
            continue
        near = [other for at, other in written if abs(np.log10(x / at)) < 1.5]
        written.append((x, max([y - 0.012, *(other + 0.05 for other in near)])))
        axis.text(1.3 * x, written[-1][1], name, fontsize=7.5)


def plot(records):
    data, rows = of(records, "data")[0], table(records)
    families = [row for row in rows if row[0]["part"] in ("base", "family")]
    title = f"{QUESTION}\n{data['title']}, {data['n_labels']:,} labels, {seeds.in_words(rows[0][1])}"
    figure, (left, middle, right) = draw.panels(3, title)
    of_base = records[0]["settings"]["base"]
    named = []
    for x, _ in families:
        chosen = {**of_base, **x["changes"]}
        at = max(x["retrieved"] / data["n_labels"], 1e-5), x["recall"]
        left.plot(*at, **{**draw.family(chosen["hash"]), "linestyle": "", "markersize": 7})
        named.append((at, f"{draw.FAMILIES[chosen['hash']]} K={chosen['K']}"))
    name_points(left, named)
    share = np.geomspace(1e-3, 1, 50)
    left.plot(share, share, ":", color="#888888", label="neurons drawn uniformly")
    draw.plain_log_axis(left)
    left.set(xlabel="share of the neurons that a sample's buckets hold (log scale)", ylim=(-0.03, 1.05),
             ylabel=f"recall of the true top {TOP} neurons", title="after training, tables rebuilt")  # fmt: skip
    left.legend(fontsize=8, loc="upper left")
    bars(middle, families, of_base, data)
    changes(right, rows, of_base)
    return figure


def bars(axis, families, of_base, data):
    """The best P@1 of each family."""
    names = [{**of_base, **x["changes"]} for x, _ in families]
    tops = [max(own, key=lambda line: line["p1"]) for _, own in families]
    made = axis.barh(range(len(names)), [x["p1"] for x in tops], xerr=[x["p1_spread"] for x in tops],
                     color=[draw.family(x["hash"])["color"] for x in names])  # fmt: skip
    axis.bar_label(made, [f" {x['p1']:.3f}" for x in tops], fontsize=8)
    labels = [f"{draw.FAMILIES[name['hash']]} K={name['K']} ({own[-1]['seconds']:.1f} s)"
              for name, (_, own) in zip(names, families, strict=True)]  # fmt: skip
    axis.set_yticks(range(len(names)), labels, fontsize=8)
    axis.invert_yaxis()
    axis.axvline(data["popularity"], linestyle=":", color=draw.COLOURS["popularity"])
    axis.set(xlabel="best P@1 on the test set (fraction)", title="families (seconds of training)",
             xlim=(0, 1.2 * max(x["p1"] for x in tops)))  # fmt: skip


def changes(axis, rows, of_base):
    """How far the best P@1 of each changed setting is from that of the base."""
    (_, base), *rest = rows
    ablations = [(x, own) for x, own in rest if x["part"] != "family"]
    parts = list(dict.fromkeys(x["part"] for x, _ in ablations))
    for number, (x, own) in enumerate(ablations):
        top = max(own, key=lambda line: line["p1"])
        look = draw.series(parts.index(x["part"]), None)
        axis.errorbar(top["p1"] - best(base), number, xerr=top["p1_spread"], capsize=2, **look)
    axis.axvline(0, color="#888888", linewidth=0.8)
    names = [f"{name_of(x)} ({own[-1]['seconds'] / base[-1]['seconds']:.1f} times as long)" for x, own in ablations]
    axis.set_yticks(range(len(names)), names, fontsize=7.5)
    axis.invert_yaxis()
    axis.set(xlabel="best P@1 less that of the base", title="base: {hash}, K={K}, L={L}".format(**of_base))
