"""Settings of wide layers: which there are, and which are recommended."""

from dataclasses import fields

from slide.defaults import RETRIEVED, WARMUP, active_set, default_K, default_N0
from slide.hashing import FAMILIES, HashFamily
from slide.index import RehashSchedule
from slide.layers.settings import HAS_TABLES, Sampled
from slide.optim import Adam
from slide.settings.checks import Plugin
from slide.settings.fields import with_effect
from slide.settings.network import NetworkSettings

SHARED = ("optimizer", "schedule", "group_size", "update", "seed", "threads", "huge_pages")  # of NetworkSettings
HASH = "ranged"
SHARING = 1024  # samples that share an active set of a softmax: of most batches all
BY_FREQUENCY = 0.75  # of the neurons that are drawn
SHARE = 0.1  # of the neurons of a hidden layer that are active


def split(cls, n_neurons, settings, recommended) -> tuple:
    """(Sampled, NetworkSettings) of the keywords of a wide layer; what is not given is `recommended`, as far as it has
    an effect. TypeError where a keyword is neither's."""
    own = {f.name for f in fields(Sampled)} - {"n_neurons"}
    for name in settings:
        if name not in own and name not in SHARED:
            belongs = "RehashSchedule: give rehash=" if name in {f.name for f in fields(RehashSchedule)} else "none"
            raise TypeError(f"{name}: found among the settings of {cls.__name__}, expected one of "
                            f"{', '.join(sorted([*own, *SHARED]))} (it belongs to {belongs})")  # fmt: skip
    layer = {name: value for name, value in settings.items() if name in own}
    advised = {name: value for name, value in recommended.items() if name in own and name not in layer}
    values = {"n_neurons": n_neurons, **advised, **layer}
    for _ in range(2):  # some have an effect but for others that have none
        effective = with_effect(Sampled, values)
        values = {name: v for name, v in values.items() if name in effective or name in layer}
    spec = Sampled(**values)
    shared = {name: value for name, value in settings.items() if name in SHARED}
    advised = {name: value for name, value in recommended.items() if name in SHARED and name not in shared}
    advised = with_effect(NetworkSettings, advised, (spec,))
    return spec, NetworkSettings(**shared, **advised)


def checked(given) -> dict:
    """The settings of Sampled that are given; ValueError where one is not what it may be."""
    kinds = {f.name: f.metadata["kind"] for f in fields(Sampled)}
    return {name: kinds[name].check(name, value) for name, value in (given or {}).items() if name in kinds}


def recommended_softmax(n_labels: int, given=None) -> dict:
    """Settings of `SampledSoftmax` for so many labels, beside those that are `given`; some may have no effect there.

    Active sets are larger, and shared by more samples, than `slide.defaults` recommends for sparse rows: hidden rows of
    a deep body are dense, and tables find little in them that draws do not. So there are tables where one of their
    settings is given, and otherwise none: neurons are drawn, most of them by the frequency of labels, the others
    uniformly (by frequency alone, neurons that are never drawn drift until they win).

    Adam has no first moment: what that has still to move waits until a batch has the row again, and then is late.
    """
    given = checked(given)
    size = given.get("min_active") or round(given.get("active", 0) / RETRIEVED) or default_size(n_labels)
    size = min(size, n_labels)
    family = Plugin(FAMILIES, HashFamily).class_of("hash", given.get("hash", HASH))
    chosen = "full" if size == n_labels and "active" not in given else "vanilla" if of_tables(given) else "uniform"
    sampler = given.get("sampler", chosen)
    drawn = {} if "active" in given else drawn_set(size)
    return {
        "optimizer": Adam(beta1=0.0), "sampler": sampler, "hash": HASH,
        "K": default_K(n_labels, family.bits_per_hash) + family.drops,
        **(drawn if sampler == "uniform" else active_set(size)), "rehash": RehashSchedule(N0=default_N0(n_labels)),
        "logq_correction": True, "logq_warmup": WARMUP, "group_size": SHARING,
    }  # fmt: skip


def of_tables(given) -> bool:
    """Whether a setting is given that has an effect with tables alone, or how many neurons these retrieve."""
    own = {f.name for f in fields(Sampled) if HAS_TABLES in f.metadata["needs"]} | {"active", "m"}
    return not own.isdisjoint(given)


def drawn_set(size: int) -> dict:
    """The settings of Sampled for active sets of so many neurons that are drawn."""
    uniform = max(1, round((1 - BY_FREQUENCY) * size))
    return {"active": uniform, "min_active": size, "label_fill": 1.0}


def default_size(n_labels: int) -> int:
    """Active neurons: an eighth of the labels, 1,000 to 5,000."""
    return min(n_labels, max(1000, min(5000, n_labels // 8)))


def recommended_hidden(n_neurons: int, given=None) -> dict:
    """Settings of `SampledHidden` for so many neurons, beside those that are `given`."""
    given = checked(given)
    size = given.get("min_active") or given.get("active") or max(1, round(SHARE * n_neurons))
    family = Plugin(FAMILIES, HashFamily).class_of("hash", given.get("hash", HASH))
    return {
        "hash": HASH, "K": default_K(n_neurons, family.bits_per_hash) + family.drops, "active": max(1, size // 2),
        "min_active": size, "rehash": RehashSchedule(N0=default_N0(n_neurons)),
    }  # fmt: skip
