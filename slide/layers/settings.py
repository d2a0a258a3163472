"""What a layer is to be: settings, checked where they are given."""

import inspect
import math
from dataclasses import dataclass, field, replace

from slide.bfloat16 import check_types
from slide.checks import check_integer, check_number
from slide.hashing import FAMILIES, HashFamily
from slide.index import RehashSchedule
from slide.plugins import find_class
from slide.sampling import SAMPLERS, Sampler


def _check_std(init_std):
    if init_std is not None:
        check_number("init_std", init_std, "[0, inf)")


@dataclass(frozen=True)
class Dense:
    """A layer that computes all of its neurons.

    n_neurons    its width
    init_std     standard deviation of the normal initial weights; None: see `default_std`
    """

    n_neurons: int
    init_std: float | None = None

    def __post_init__(self):
        check_integer("n_neurons", self.n_neurons)
        _check_std(self.init_std)


@dataclass(frozen=True)
class Sampled:
    """A layer that computes the neurons that its hash tables retrieve for the input (MLSys 2020, section 3.1).

    n_neurons    its width
    sampler      "vanilla", "topk", "threshold"; the baselines "uniform" (sampled softmax) and "full"; or one's own: a
                 Sampler, a subclass, or its "package.module:Class". A Sampler brings its own `active` and `m`.
    active       target number of retrieved neurons of a group of samples (the paper's beta)
    min_active   a group that has fewer active neurons, labels included, is filled up to so many with neurons drawn
                 uniformly; None: as many as `active`. Differs from the paper, which does not fill.
    label_fill   the share, 0 to 1, of that fill which is drawn from the labels seen last, so that a label is drawn by
                 its frequency; the rest is uniform. Of the last layer alone.
    m            collisions that the "threshold" sampler asks for
    hash         "simhash", "wta", "dwta", "minhash", "cross-polytope", "mips" or "ranged"; or one's own: a HashFamily,
                 a subclass, or its "package.module:Class". A HashFamily brings its own K, L and seed.
    K, L         hash functions a table, and tables
    bucket_size, policy   entries a bucket keeps, and which: "fifo" the newest, "reservoir" a uniform sample
    rehash       when the tables are rebuilt: a RehashSchedule
    reinsert     whether the neurons that a batch touched move to their new buckets after that batch
    logq_correction   whether a neuron that was drawn, or is a label of another sample, counts in the softmax as often
                 as there are neurons that it stands for: 1 / (its probability to be active; see `inclusion_weights`).
                 Differs from the paper, whose softmax is over the active set as it is. Of the last layer alone.
    logq_warmup  batches in which that correction grows from none to all of the logarithm: without it training is the
                 faster at first and the worse in the end
    max_labels   labels of a sample that join the active set and are its target, drawn anew in every batch; None: all
    labels       whether the true labels join the active set in training. Differs from the paper, not from its code.
    init_std     standard deviation of the normal initial weights; None: see `default_std`
    weight_type  how weights are stored: "float32" or "bfloat16", in half the memory and rounded at random. bfloat16
                 needs a sampler other than "full", a dense layer before it, and update="rows".
    moment_type  how Adam's moments are: "float32" or, where the weights are too, "bfloat16"
    """

    n_neurons: int
    sampler: str | type[Sampler] | Sampler = "vanilla"
    active: int = 1000
    min_active: int | None = None
    label_fill: float = 0.0
    m: int = 2
    hash: str | type[HashFamily] | HashFamily = "simhash"
    K: int = 9
    L: int = 50
    bucket_size: int = 128
    policy: str = "fifo"
    rehash: RehashSchedule = field(default_factory=RehashSchedule)
    reinsert: bool = False
    logq_correction: bool = False
    logq_warmup: int = 0
    max_labels: int | None = None
    labels: bool = True
    init_std: float | None = None
    weight_type: str = "float32"
    moment_type: str = "float32"

    def __post_init__(self):
        for name in ("n_neurons", "active", "m", "K", "L", "bucket_size"):
            check_integer(name, getattr(self, name))
        if self.min_active is not None:
            check_integer("min_active", self.min_active, 0)
        check_number("label_fill", self.label_fill, "[0, 1]")
        check_integer("logq_warmup", self.logq_warmup, 0)
        if self.max_labels is not None:
            check_integer("max_labels", self.max_labels)
        if not isinstance(self.rehash, RehashSchedule):
            raise ValueError(f"rehash: found {self.rehash!r}, expected a RehashSchedule")
        if self.policy not in ("fifo", "reservoir"):
            raise ValueError(f"policy: found {self.policy!r}, expected one of 'fifo', 'reservoir'")
        for name, known, base in (("sampler", SAMPLERS, Sampler), ("hash", FAMILIES, HashFamily)):
            given = getattr(self, name)
            if not isinstance(given, base):
                found = find_class(name, given, known, base)
                object.__setattr__(self, name, given if given in known else found)
        _check_std(self.init_std)
        check_types(self.weight_type, self.moment_type)

    def make_sampler(self) -> Sampler:
        """The sampler; of a class, with those of these settings that its constructor takes."""
        if isinstance(self.sampler, Sampler):
            return self.sampler
        cls = SAMPLERS.get(self.sampler, self.sampler)
        taken = inspect.signature(cls).parameters
        return cls(**{name: getattr(self, name) for name in ("active", "m") if name in taken})

    def grown(self, factor: float) -> "Sampled":
        """The same settings with active sets `factor` times as large, of the same parts."""

        def scaled(n):
            return None if n is None else min(self.n_neurons, max(1, round(factor * n)))

        sampler = self.sampler
        if isinstance(sampler, Sampler) and "active" in sampler.config():
            sampler = type(sampler)(**{**sampler.config(), "active": scaled(sampler.config()["active"])})
        return replace(self, active=scaled(self.active), min_active=scaled(self.min_active), sampler=sampler)

    def make_family(self, n_inputs: int, seed: int) -> HashFamily:
        """The hash family for rows of n_inputs columns; raises ValueError where `hash` is one for another width."""
        given = self.hash
        if not isinstance(given, HashFamily):
            return FAMILIES.get(given, given)(n_inputs, self.K, self.L, seed=seed)
        if given.dim != n_inputs:
            raise ValueError(f"hash: found {given!r}, expected dim={n_inputs}, the inputs of the layer")
        return given.reseeded(seed)


def default_std(n_inputs: int, n_neurons: int, first: bool, last: bool) -> float:
    """0.1 for the first of several layers, whose rows of unit norm have few non-zeros; Glorot & Bengio 2010 for the
    softmax, sqrt(2 / (n_inputs + n_neurons)); He et al. 2015 between them, sqrt(2 / n_inputs)."""
    if first and not last:
        return 0.1
    return math.sqrt(2.0 / (n_inputs + n_neurons)) if last else math.sqrt(2.0 / n_inputs)
