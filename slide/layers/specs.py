"""What a layer is to be: settings, checked where they are given."""

import inspect
import math
from dataclasses import dataclass, field

from slide.checks import check_integer, check_number
from slide.hashing import FAMILIES
from slide.index import RehashSchedule
from slide.sampling import SAMPLERS


def _one_of(name, value, known):
    if value not in known:
        raise ValueError(f"{name}: found {value!r}, expected one of {', '.join(map(repr, known))}")


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
    sampler      "vanilla", "topk", "threshold"; the baselines "uniform" (sampled softmax) and "full"
    active       target number of retrieved neurons of a group of samples (the paper's beta)
    min_active   a group that has fewer active neurons, labels included, is filled up to so many with neurons drawn
                 uniformly; None: as many as `active`. Differs from the paper, which does not fill.
    m            collisions that the "threshold" sampler asks for
    hash         "simhash", "wta", "dwta" or "minhash"
    K, L         hash functions a table, and tables
    bucket_size, policy   entries a bucket keeps, and which: "fifo" the newest, "reservoir" a uniform sample
    rehash       when the tables are rebuilt: a RehashSchedule
    reinsert     whether the neurons that a batch touched move to their new buckets after that batch
    labels       whether the true labels join the active set in training. Differs from the paper, not from its code.
    init_std     standard deviation of the normal initial weights; None: see `default_std`
    """

    n_neurons: int
    sampler: str = "vanilla"
    active: int = 1000
    min_active: int | None = None
    m: int = 2
    hash: str = "simhash"
    K: int = 9
    L: int = 50
    bucket_size: int = 128
    policy: str = "fifo"
    rehash: RehashSchedule = field(default_factory=RehashSchedule)
    reinsert: bool = False
    labels: bool = True
    init_std: float | None = None

    def __post_init__(self):
        for name in ("n_neurons", "active", "m", "K", "L", "bucket_size"):
            check_integer(name, getattr(self, name))
        if self.min_active is not None:
            check_integer("min_active", self.min_active, 0)
        if not isinstance(self.rehash, RehashSchedule):
            raise ValueError(f"rehash: found {self.rehash!r}, expected a RehashSchedule")
        _one_of("sampler", self.sampler, list(SAMPLERS))
        _one_of("hash", self.hash, list(FAMILIES))
        _one_of("policy", self.policy, ["fifo", "reservoir"])
        _check_std(self.init_std)

    def make_sampler(self):
        """The sampler with those of these settings that its constructor takes."""
        cls = SAMPLERS[self.sampler]
        taken = inspect.signature(cls).parameters
        return cls(**{name: getattr(self, name) for name in ("active", "m") if name in taken})


def default_std(n_inputs: int, n_neurons: int, first: bool, last: bool) -> float:
    """0.1 for the first of several layers, whose rows of unit norm have few non-zeros; Glorot & Bengio 2010 for the
    softmax, sqrt(2 / (n_inputs + n_neurons)); He et al. 2015 between them, sqrt(2 / n_inputs)."""
    if first and not last:
        return 0.1
    return math.sqrt(2.0 / (n_inputs + n_neurons)) if last else math.sqrt(2.0 / n_inputs)
