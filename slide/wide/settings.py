"""Settings of wide layers: which there are, and which are recommended."""

from dataclasses import fields

from slide.defaults import RETRIEVED, WARMUP, active_set, default_K, default_N0
from slide.hashing import FAMILIES, HashFamily
from slide.index import RehashSchedule
from slide.layers.settings import Sampled
from slide.settings.checks import Plugin
from slide.settings.fields import with_effect
from slide.settings.network import NetworkSettings

SHARED = ("optimizer", "schedule", "group_size", "update", "seed", "threads", "huge_pages")  # of NetworkSettings
HASH = "ranged"
SHARING = 1024  # samples that share an active set of a softmax: of most batches all
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
    a deep body are dense, and tables tell fewer of their neurons apart.
    """
    given = checked(given)
    size = given.get("min_active") or round(given.get("active", 0) / RETRIEVED) or default_size(n_labels)
    size = min(size, n_labels)
    family = Plugin(FAMILIES, HashFamily).class_of("hash", given.get("hash", HASH))
    sampler = given.get("sampler", "full" if size == n_labels and "active" not in given else "vanilla")
    sizes = active_set(size) if sampler != "uniform" else {"active": size}
    return {
        "sampler": sampler, "hash": HASH, "K": default_K(n_labels, family.bits_per_hash) + family.drops, **sizes,
        "rehash": RehashSchedule(N0=default_N0(n_labels)), "logq_correction": True, "logq_warmup": WARMUP,
        "group_size": SHARING,
    }  # fmt: skip


def default_size(n_labels: int) -> int:
    """Active neurons, retrieved and drawn: an eighth of the labels, 1,000 to 5,000."""
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
