"""What a layer is to be: settings, checked where they are given."""

import inspect
import math
from collections.abc import Callable
from dataclasses import MISSING, dataclass, replace

from slide.bfloat16 import TYPES
from slide.hashing import FAMILIES, HashFamily
from slide.index import TABLES, RehashSchedule
from slide.optim import Adam
from slide.sampling import SAMPLERS, Sampler
from slide.settings.checks import Choice, Flag, Instance, Integer, Number, Plugin
from slide.settings.fields import Need, Settings, documented, setting
from slide.tables import POLICIES

MOST = 2**31 - 1
SETS, SOFTMAX, WEIGHTS = "active sets", "softmax", "weights"  # groups of settings, as TABLES


@dataclass(frozen=True)
class Place:
    """Where in a network a layer stands, as far as it decides which of its settings have an effect."""

    last: bool
    optimizer: object


def sampler_of(layer):
    """The Sampler of a layer's settings, or its class."""
    return layer.sampler if isinstance(layer.sampler, Sampler) else SAMPLERS.get(layer.sampler, layer.sampler)


def _taken(layer) -> set:
    """Which of the settings the constructor of a sampler takes that is given as a class."""
    sampler = sampler_of(layer)
    return set() if isinstance(sampler, Sampler) else {"active", "m"} & set(inspect.signature(sampler).parameters)


def _fills_to_active(layer):
    return layer.min_active is None and getattr(sampler_of(layer), "active", None) is None


def _fills(layer):
    """Whether small sets are filled up; what draws uniformly has `active` neurons without."""
    return layer.min_active != 0 and not (layer.min_active is None and sampler_of(layer).draws_uniformly)


LAST = Need("in the output layer", lambda place: place.last, "network")
MOMENTS = Need("with Adam", lambda place: isinstance(place.optimizer, Adam), "network")
HAS_SETS = Need("with a sampler that leaves neurons out", lambda layer: not sampler_of(layer).dense)
HAS_TABLES = Need("with a sampler that reads hash tables", lambda layer: sampler_of(layer).needs_tables)
OF_A_CLASS = Need(
    "with a hash family by name or class (an instance has its own)",
    lambda layer: not isinstance(layer.hash, HashFamily),
)
TAKES_M = Need(
    "with a sampler by name or class that takes it, as 'threshold' does (an instance has its own)",
    lambda layer: "m" in _taken(layer),
)
ACTIVE = Need(
    "with a sampler by name or class that takes it (an instance has its own), or where min_active is None",
    lambda layer: sampler_of(layer).dense or "active" in _taken(layer) or _fills_to_active(layer),
)
FILL = Need("where min_active is not 0 and, with a sampler that draws uniformly, is given", _fills)
CORRECTED = Need("with logq_correction=True", lambda layer: layer.logq_correction)
NARROW = Need("with weight_type='bfloat16'", lambda layer: layer.weight_type == "bfloat16")


def _width():
    return setting(MISSING, Integer(1, MOST), "its width", option=None)


def _smoothing():
    return setting(
        0.0, Number("[0, 1)"), "share of the target that is spread evenly over the active neurons", needs=(LAST,),
        group=SOFTMAX,
    )  # fmt: skip


def _init_std():
    return setting(
        None, Number("[0, inf)", optional=True), "standard deviation of the normal initial weights", group=WEIGHTS,
        none="by the widths", more="See `default_std`.",
    )  # fmt: skip


@documented()
@dataclass(frozen=True, repr=False)
class Dense(Settings):
    """A layer that computes all of its neurons.

    Parameters
    ----------
    {settings}
    """

    n_neurons: int = _width()
    init_std: float | None = _init_std()
    label_smoothing: float = _smoothing()

    @property
    def dense(self) -> bool:
        """Whether every neuron is always active."""
        return True

    def shared(self, count: Callable[[int], int]) -> "Dense":
        """Those of a share of the layer.

        Parameters
        ----------
        count : callable
            count(n) is how many of n neurons are in it.

        Returns
        -------
        Dense
            The same but for the number of neurons.
        """
        return replace(self, n_neurons=count(self.n_neurons))


@documented()
@dataclass(frozen=True, repr=False)
class Sampled(Settings):
    """A layer that computes the neurons that its hash tables retrieve for the input (MLSys 2020, section 3.1).

    A class of one's own as `sampler` is constructed with those of `active` and `m` that it takes, as `hash` with
    (dim, K, L, seed); one with settings of its own is given as an instance.

    Parameters
    ----------
    {settings}

    Raises
    ------
    ValueError
        Where a setting has no effect beside the others, here or, where it depends on the place in the network, in
        Network.
    """

    n_neurons: int = _width()
    sampler: str | type[Sampler] | Sampler = setting(
        "vanilla", Plugin(SAMPLERS, Sampler), "how active neurons are chosen", group=SETS,
        more="'uniform' (sampled softmax) and 'full' are baselines. One's own is a Sampler, a subclass, or its path.",
    )
    active: int = setting(
        1000, Integer(), "neurons retrieved per group of samples, the paper's beta", needs=(ACTIVE,), group=SETS,
        more="With sampler='full' all are active; it may be given all the same, for one loop over samplers.",
    )
    min_active: int | None = setting(
        None, Integer(0, optional=True), "active neurons, labels included, that a group is filled up to by drawing",
        needs=(HAS_SETS,), group=SETS, none="as many as active", more="Differs from the paper, which does not fill.",
    )
    label_fill: float = setting(
        0.0, Number("[0, 1]"), "share of that fill drawn by the frequency of labels, from those seen last; the rest is "
        "uniform", needs=(HAS_SETS, FILL, LAST), group=SETS,
    )
    m: int = setting(
        2, Integer(), "collisions that the threshold sampler asks for", needs=(TAKES_M,), group=SETS
    )
    hash: str | type[HashFamily] | HashFamily = setting(
        "simhash", Plugin(FAMILIES, HashFamily), "hash family", needs=(HAS_TABLES,), group=TABLES,
        more="One's own is a HashFamily, a subclass, or its path.",
    )
    K: int = setting(
        9, Integer(1, 31), "hash functions per table", needs=(HAS_TABLES, OF_A_CLASS), group=TABLES
    )
    L: int = setting(50, Integer(1, 2**20), "hash tables", needs=(HAS_TABLES, OF_A_CLASS), group=TABLES)
    bucket_size: int = setting(
        128, Integer(1, MOST), "neurons that a bucket keeps", needs=(HAS_TABLES,), group=TABLES
    )
    policy: str = setting(
        "fifo", Choice(POLICIES), "which ones a full bucket keeps: the newest, or a uniform sample",
        needs=(HAS_TABLES,), group=TABLES,
    )
    rehash: RehashSchedule = setting(
        RehashSchedule, Instance((RehashSchedule,)), "when the tables are rebuilt", needs=(HAS_TABLES,), option=None
    )
    reinsert: bool = setting(
        False, Flag(), "whether neurons that a batch touched move to their new buckets after it", needs=(HAS_TABLES,),
        more="An ablation: it costs more time than it saves.", option=None,
    )
    logq_correction: bool = setting(
        False, Flag(), "whether logits are corrected by how probable a neuron was to be active",
        needs=(HAS_SETS, LAST), group=SOFTMAX,
        more="A neuron that was drawn, or is a label of another sample, counts in the softmax as often as there are "
        "neurons that it stands for: 1 / (its probability to be active; see `inclusion_weights`). Differs from the "
        "paper, whose softmax is over the active set as it is.",
    )
    logq_warmup: int = setting(
        0, Integer(0), "batches in which that correction grows from none to all of the logarithm",
        needs=(CORRECTED, LAST), group=SOFTMAX,
        more="Without it training is faster at first and worse in the end.",
    )
    max_labels: int | None = setting(
        None, Integer(optional=True), "labels per sample that join the active set and are its target, drawn anew in "
        "every batch", needs=(HAS_SETS, LAST), group=SOFTMAX, none="all",
    )
    labels: bool = setting(
        True, Flag(), "whether the true labels join the active set in training", needs=(HAS_SETS, LAST), group=SOFTMAX,
        more="Differs from the paper, not from its code.",
    )
    init_std: float | None = _init_std()
    weight_type: str = setting(
        "float32", Choice(tuple(TYPES)), "how weights are stored; bfloat16 takes half the memory", needs=(HAS_SETS,),
        group=WEIGHTS, more="bfloat16 is rounded at random, and needs a dense layer before it and update='rows'.",
    )
    moment_type: str = setting(
        "float32", Choice(tuple(TYPES)), "how Adam's moments are stored", needs=(NARROW, MOMENTS), group=WEIGHTS
    )  # fmt: skip
    label_smoothing: float = _smoothing()

    @property
    def dense(self) -> bool:
        """Whether every neuron is always active."""
        return sampler_of(self).dense

    def make_sampler(self) -> Sampler:
        """The sampler; of a class, with those of these settings that its constructor takes.

        Returns
        -------
        Sampler
            The instance that was given, or a new one.
        """
        made = sampler_of(self)
        return made if isinstance(made, Sampler) else made(**{name: getattr(self, name) for name in _taken(self)})

    def grown(self, factor: float) -> "Sampled":
        """The same settings with larger active sets, of the same parts.

        Parameters
        ----------
        factor : float
            How many times as large they are.

        Returns
        -------
        Sampled
            New settings.
        """

        def scaled(n):
            return None if n is None else max(1, round(min(factor * n, self.n_neurons)))

        return replace(self, **self._sized(scaled))

    def shared(self, count: Callable[[int], int]) -> "Sampled":
        """Those of a share of the layer.

        Parameters
        ----------
        count : callable
            count(n) is how many of n neurons, of the layer or of active ones, are in it.

        Returns
        -------
        Sampled
            The same but for the numbers of neurons; at least one is active.
        """

        def part(n):
            return n and max(1, count(n))

        return replace(self, n_neurons=count(self.n_neurons), **self._sized(part))

    def _sized(self, scaled) -> dict:
        """The settings that say how large active sets are, scaled."""
        sampler = self.sampler
        if isinstance(sampler, Sampler) and "active" in sampler.config():
            sampler = type(sampler)(**{**sampler.config(), "active": scaled(sampler.config()["active"])})
        active = scaled(self.active) if ACTIVE.met(self) else self.active
        return {"active": active, "min_active": scaled(self.min_active), "sampler": sampler}

    def make_family(self, n_inputs: int, seed: int) -> HashFamily:
        """The hash family for the layer's inputs.

        Parameters
        ----------
        n_inputs : int
            Columns of a row.
        seed : int
            Of its random numbers.

        Returns
        -------
        HashFamily
            Of class `hash`.

        Raises
        ------
        ValueError
            Where `hash` is an instance for another width.
        """
        given = self.hash
        if not isinstance(given, HashFamily):
            family = FAMILIES[given] if isinstance(given, str) else given
            return family(n_inputs, self.K, self.L, seed=seed)
        if given.dim != n_inputs:
            raise ValueError(f"hash: found {given!r}, expected dim={n_inputs}, the inputs of the layer")
        return given.reseeded(seed)


def default_std(n_inputs: int, n_neurons: int, first: bool, last: bool) -> float:
    """0.1 for the first of several layers, whose rows of unit norm have few non-zeros; Glorot & Bengio 2010 for the
    softmax, sqrt(2 / (n_inputs + n_neurons)); He et al. 2015 between them, sqrt(2 / n_inputs)."""
    if first and not last:
        return 0.1
    return math.sqrt(2.0 / (n_inputs + n_neurons)) if last else math.sqrt(2.0 / n_inputs)
