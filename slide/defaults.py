"""Settings for a label space and a training set of a given size: what `python -m slide train` uses if not told."""

import math

from slide.hashing import FAMILIES, HashFamily
from slide.index import RehashSchedule
from slide.layers import Dense, Sampled
from slide.network import Network
from slide.optim import OPTIMIZERS, Schedule
from slide.plugins import find_class
from slide.settings import fields
from slide.settings.fields import Need, options
from slide.settings.network import NetworkSettings

FEW = 2_000  # labels up to which there is nothing to save: all of them are active
RETRIEVED = 1 / 3  # of an active set
LABEL_FILL = 0.5  # of those that are drawn, the share by frequency
OWN = 6  # neurons that a sample is to have in a shared active set beside its labels
CROWDED = 16  # neurons for each label of a sample, below which labels crowd an active set
WARMUP = 1_000  # batches, or a third of all where they are fewer, until logits are wholly corrected


# What is recommended for any size, and in words what depends on it: by the names of the command line.
ALWAYS = {
    "hidden": [128], "hash": "ranged", "L": 50, "optimizer": "adam", "lr": 5e-3, "schedule": "linear",
    "batch_size": 256, "dropout": 0.3,
}  # fmt: skip
BY_SIZE = {
    "sampler": f"vanilla, or full up to {FEW:,} labels", "K": "by hash and the number of labels",
    "N0": "50, or more by the number of labels", "active": "a third of min_active",
    "min_active": "0.5 to 1 % of the labels, at least 400",
    "label_fill": f"{LABEL_FILL}", "logq_correction": "where targets are not smooth",
    "logq_warmup": f"{WARMUP}, at most a third of all", "max_labels": "all, or 1 where they would crowd the set",
    "group_size": "by active and the labels per row", "epochs": "by the number of rows",
    "label_smoothing": "0.7, or 0 where labels would crowd the set",
}  # fmt: skip


def recommended(n_rows: int, n_labels: int, given=None, labels_per_row: float = 1.0) -> dict:
    """Recommended settings for n_rows training samples and n_labels labels, by the names of the command line.

    `given` holds the settings that are fixed already, on which others depend: K depends on the hash family, and
    `active` and min_active, to which an active set is filled up, on each other. labels_per_row is the mean number of
    labels of a sample.

    What is not here, of Network and Sampled, is as it is there, or has no effect beside the others.
    """
    given = given or {}
    advice = {**ALWAYS, **given}
    family = find_class("hash", advice["hash"], FAMILIES, HashFamily)
    size = given.get("min_active") or default_active(n_labels)
    if "active" in given and "min_active" not in given:
        size = min(n_labels, round(given["active"] / RETRIEVED))
    sampler = given.get("sampler", "vanilla" if n_labels > FEW else "full")
    crowded = sampler != "full" and size < CROWDED * labels_per_row
    smoothing = given.get("label_smoothing", 0.0 if crowded else 0.7)
    epochs = given.get("epochs", default_epochs(n_rows))
    batches = epochs * -(-n_rows // advice["batch_size"])
    found = {
        "hidden": advice["hidden"],
        "sampler": sampler,
        "hash": advice["hash"],
        "K": default_K(n_labels, family.bits_per_hash) + family.drops,
        "L": advice["L"],
        "N0": default_N0(n_labels),
        **active_set(size),
        **correction(sampler, smoothing, crowded, batches),
        **{name: advice[name] for name in ("optimizer", "lr", "schedule", "batch_size")},
        "group_size": crowded_group(size) if crowded else default_group(size, labels_per_row),
        "epochs": epochs,
        "dropout": advice["dropout"],
        "label_smoothing": smoothing,
    }
    unused = without_effect({**found, **given})
    return {name: value for name, value in found.items() if name not in unused}


def without_effect(settings: dict) -> dict[str, Need]:
    """Those of the settings, by the names of the command line, that have no effect beside the others, and what they
    need. Raises ValueError where a value is not one that the setting may have."""

    def of(cls):
        return {f.name: settings[name] for name, f in options(cls).items() if name in settings}

    layer = {**of(Sampled), "rehash": RehashSchedule()}
    found = fields.without_effect(Sampled, layer)
    if "rehash" in found:
        found |= dict.fromkeys(options(RehashSchedule), found.pop("rehash"))
    output = Sampled(1, **fields.with_effect(Sampled, layer))
    found |= fields.without_effect(NetworkSettings, of(NetworkSettings), (*map(Dense, settings["hidden"]), output))
    found |= fields.without_effect(Schedule, of(Schedule))
    own = options(OPTIMIZERS[settings["optimizer"]])
    for name, optimizer in OPTIMIZERS.items():
        others = {option for option in options(optimizer) if option not in own}
        found |= dict.fromkeys(others, Need(f"with optimizer={name!r}", lambda settings: False))
    return {name: need for name, need in found.items() if name in settings}


def refuse_unused(given: dict, settings: dict) -> None:
    """ValueError where one of `given`, of the settings, has no effect beside the others."""
    for name, need in without_effect(settings).items():
        if name in given:
            beside = "" if "sampler" in given else f" with sampler={settings['sampler']!r}, chosen by the labels"
            raise ValueError(f"{name}: found {given[name]!r}{beside}, where it has no effect; it belongs {need.words}")


def active_set(size: int) -> dict:
    """The settings of Sampled for active sets of so many neurons.

    A part is retrieved. Of the others some are drawn by frequency, from the labels seen last, and the rest uniformly:
    by frequency alone, neurons that are never drawn drift until they win.
    """
    return {"active": max(1, round(RETRIEVED * size)), "min_active": size, "label_fill": LABEL_FILL}


def correction(sampler: str, smoothing: float, crowded: bool, batches: int) -> dict:
    """Whether Sampled corrects logits by how probable a neuron was to be active, and how many labels a sample keeps.

    Uncorrected, neurons that are drawn often come out too small, which costs more the longer training lasts; but where
    targets are smooth, what is spread over the active set would go to what is drawn seldom. The correction grows over
    the first of so many `batches`, which teach more without it. Labels that crowd the active set are there for each
    other as negatives: of each sample one is enough, and only if corrected.
    """
    corrected = sampler != "full" and (crowded or not smoothing)
    return {
        "logq_correction": corrected,
        "logq_warmup": min(WARMUP, batches // 3) if corrected and not crowded else 0,
        "max_labels": 1 if crowded else None,
    }


def default_active(n_labels: int) -> int:
    """Active neurons, retrieved and drawn: a percent of the labels up to 2,000, then half a percent, as in the paper.

    At least 400: there is little to save where labels are few.
    """
    return min(n_labels, max(400, min(2000, n_labels // 100), n_labels // 200))


def default_epochs(n_rows: int) -> int:
    """12, and fewer from 100,000 rows on, by the root of their number, at least 4."""
    return max(4, round(12 * min(1.0, math.sqrt(100_000 / max(n_rows, 1)))))


def default_group(n_active: int, labels_per_row: float) -> int:
    """Samples that share an active set of so many neurons: 16 to 256, a power of two.

    The more, the faster a batch is done and the more negatives a sample sees; but each brings its labels, and wants
    neurons of its own: six more.
    """
    most = n_active / (labels_per_row + OWN)
    return 2 ** min(8, max(4, math.floor(math.log2(max(most, 1)))))


def crowded_group(n_active: int) -> int:
    """Samples that share an active set which their labels would crowd: half of it is drawn, in the mean or more."""
    return 2 ** min(8, math.floor(math.log2(max(n_active / 2, 1))))


def default_K(n_labels: int, bits_per_hash: int) -> int:
    """Hash functions per table, so that a bucket would hold about eight neurons if codes were uniform.

    With fewer, buckets are large and retrieve at random (SimHash at the paper's K = 9 fills every bucket of 670,091
    neurons); with more they are empty (DWTA at the paper's K = 8 has 2**24 codes).
    """
    return max(1, round((math.log2(max(n_labels, 2)) - 3) / bits_per_hash))


def default_N0(n_labels: int) -> int:
    """Batches before the first rehash: a rehash takes time by the number of labels, and a batch does not.

    Rehashing is so a tenth of the time or less, of any number of labels.
    """
    return max(50, n_labels // 5_000)


def make_network(n_features: int, n_labels: int, steps: int, settings: dict, comm=None) -> Network:
    """The network D -> hidden -> L of `settings` (see `recommended`), with a schedule over `steps` batches, shared out
    over the ranks of `comm` where there are several."""
    rest = {name: value for name, value in settings.items() if name != "epochs"}

    def taken(cls):
        return {f.name: rest.pop(option) for option, f in options(cls).items() if option in rest}

    layers: list[Dense | Sampled] = [Dense(width) for width in rest.pop("hidden")]
    layers.append(Sampled(n_labels, rehash=RehashSchedule(**taken(RehashSchedule)), **taken(Sampled)))
    optimizer = OPTIMIZERS[rest.pop("optimizer")]
    optimizer = optimizer(**taken(optimizer))
    schedule = taken(Schedule)
    schedule = Schedule(**schedule, steps=steps if schedule["kind"] in ("linear", "cosine") else None)
    network = taken(NetworkSettings)
    return Network(n_features, layers, comm=comm, optimizer=optimizer, schedule=schedule, **network, **rest)


def settings_of(network: Network) -> dict:
    """The settings of a network by the names of the command line."""
    last, optimizer = network.specs[-1], network.optimizer
    rehash = getattr(last, "rehash", None)
    owners = {Sampled: last, RehashSchedule: rehash, NetworkSettings: network, type(optimizer): optimizer,
              Schedule: network.schedule}  # fmt: skip
    names = [(name, f.name, owner) for cls, owner in owners.items() for name, f in options(cls).items()]
    own = {name: getattr(owner, attribute) for name, attribute, owner in names if hasattr(owner, attribute)}
    return {"hidden": [spec.n_neurons for spec in network.specs[:-1]], "optimizer": optimizer.name, **own}
