"""Settings for a label space and a training set of a given size: what `python -m slide train` uses if not told."""

import math

from slide.hashing import FAMILIES, HashFamily
from slide.index import RehashSchedule
from slide.layers import Dense, Sampled
from slide.network import Network
from slide.optim import OPTIMIZERS, Schedule
from slide.plugins import find_class

FEW = 2_000  # labels up to which there is nothing to save: all of them are active
RETRIEVED = 1 / 3  # of an active set
LABEL_FILL = 0.5  # of those that are drawn, the share by frequency
OWN = 6  # neurons that a sample is to have in a shared active set beside its labels
SMALL = 50_000  # training rows below which a network of this kind overfits without smooth targets
CROWDED = 16  # neurons for each label of a sample, below which labels crowd an active set
WARMUP = 1_000  # batches, or a third of all where they are fewer, until logits are wholly corrected


def recommended(n_rows: int, n_labels: int, given=None, labels_a_row: float = 1.0) -> dict:
    """Recommended settings for n_rows training samples and n_labels labels, by the names of the command line.

    `given` holds the settings that are fixed already, on which others depend: K depends on the hash family, and
    `active` and min_active, to which an active set is filled up, on each other. labels_a_row is the mean number of
    labels of a sample.

    What is not here, of Network and Sampled, is as it is there.
    """
    given = given or {}
    hash = given.get("hash", "ranged")
    family = find_class("hash", hash, FAMILIES, HashFamily)
    size = given.get("min_active") or default_active(n_labels)
    if "active" in given and "min_active" not in given:
        size = min(n_labels, round(given["active"] / RETRIEVED))
    sampler = given.get("sampler", "vanilla" if n_labels > FEW else "full")
    crowded = sampler != "full" and size < CROWDED * labels_a_row
    smoothing = given.get("label_smoothing", 0.7 if n_rows < SMALL and not crowded else 0.0)
    batch_size = given.get("batch_size", 256)
    epochs = given.get("epochs", min(max(4, round(250_000 / max(n_rows, 1))), 50))
    batches = epochs * -(-n_rows // batch_size)
    return {
        "hidden": [128],
        "sampler": sampler,
        "hash": hash,
        "K": default_K(n_labels, family.bits_per_hash) + family.drops,
        "L": 50,
        "N0": default_N0(n_labels),
        **active_set(size),
        **correction(sampler, smoothing, crowded, batches),
        "optimizer": "adam",
        "lr": 5e-3,
        "batch_size": batch_size,
        "group_size": crowded_group(size) if crowded else default_group(size, labels_a_row),
        "epochs": epochs,
        "dropout": 0.3,
        "label_smoothing": smoothing,
    }


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


def default_group(n_active: int, labels_a_row: float) -> int:
    """Samples that share an active set of so many neurons: 16 to 256, a power of two.

    The more, the sooner a batch is done and the more negatives a sample sees; but each brings its labels, and wants
    neurons of its own: six more.
    """
    most = n_active / (labels_a_row + OWN)
    return 2 ** min(8, max(4, math.floor(math.log2(max(most, 1)))))


def crowded_group(n_active: int) -> int:
    """Samples that share an active set which their labels would crowd: half of it is drawn, in the mean or more."""
    return 2 ** min(8, math.floor(math.log2(max(n_active / 2, 1))))


def default_K(n_labels: int, bits_per_hash: int) -> int:
    """Hash functions a table, so that a bucket would hold about eight neurons if codes were uniform.

    With fewer, buckets are large and retrieve at random (SimHash at the paper's K = 9 fills every bucket of 670,091
    neurons); with more they are empty (DWTA at the paper's K = 8 has 2**24 codes).
    """
    return max(1, round((math.log2(max(n_labels, 2)) - 3) / bits_per_hash))


def default_N0(n_labels: int) -> int:
    """Batches before the first rehash: a rehash takes time by the number of labels, and a batch does not.

    Rehashing is so a tenth of the time or less, of any number of labels.
    """
    return max(50, n_labels // 5_000)


def make_network(n_features: int, n_labels: int, steps: int, settings: dict) -> Network:
    """The network D -> hidden -> L of `settings` (see `recommended`), with a linear schedule over `steps`."""
    settings = dict(settings)
    names = ("N0", "growth", "renew_every")
    rehash = RehashSchedule(**{name: settings.pop(name) for name in names if name in settings})
    names = (
        "sampler", "hash", "K", "L", "active", "min_active", "label_fill", "logq_correction", "logq_warmup",
        "max_labels", "m", "bucket_size", "policy", "reinsert", "weight_type", "moment_type",
    )  # fmt: skip
    output = {name: settings.pop(name) for name in names if name in settings}
    layers = [Dense(width) for width in settings.pop("hidden")]
    optimizer = OPTIMIZERS[settings.pop("optimizer")](lr=settings.pop("lr"))
    schedule = Schedule(settings.pop("schedule", "linear"), steps=steps)
    settings.pop("epochs", None)
    return Network(
        n_features, [*layers, Sampled(n_labels, rehash=rehash, **output)], optimizer=optimizer, schedule=schedule,
        **settings,
    )  # fmt: skip
