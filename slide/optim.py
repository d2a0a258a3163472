"""Optimizers and learning-rate schedules: settings only; the arithmetic is in the kernels."""

import math
from dataclasses import dataclass
from typing import ClassVar

from slide.checks import check_integer, check_number

FLOAT32_TINY = 1.1754943508222875e-38  # the kernels' smallest normal number: less may be zero to them


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015) on the rows that a batch touches.

    lr             learning rate, above 0
    beta1, beta2   decay of the moments, in [0, 1)
    eps            added to the root of the second moment; at least the smallest normal float32, about 1.2e-38
    weight_decay   decoupled (AdamW, Loshchilov & Hutter 2019): a touched row shrinks by lr * weight_decay a step;
                   biases do not
    moments        what happens to the moments of a row while it is not touched: "frozen" leaves them as they are
                   (as PyTorch's SparseAdam), "decayed" lets them decay as if its gradients had been zero, applied
                   when the row is touched again. Either way the weights of an untouched row do not move.

    Differs from the paper: the released code sweeps every weight and moment of the network after every batch.
    """

    name: ClassVar[str] = "adam"
    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    moments: str = "frozen"

    def __post_init__(self):
        check_number("lr", self.lr, "(0, inf)")
        check_number("beta1", self.beta1, "[0, 1)")
        check_number("beta2", self.beta2, "[0, 1)")
        check_number("eps", self.eps, f"[{FLOAT32_TINY}, inf)")
        check_number("weight_decay", self.weight_decay, "[0, inf)")
        if self.moments not in ("frozen", "decayed"):
            raise ValueError(f"moments: found {self.moments!r}, expected 'frozen' or 'decayed'")

    def hyper(self, step: int, rate: float) -> tuple:
        """(lr, beta1, beta2, eps, decay) of a 1-based step, both bias corrections folded into lr and eps."""
        root = math.sqrt(1 - self.beta2**step)
        lr = self.lr * rate
        return (lr * root / (1 - self.beta1**step), self.beta1, self.beta2, self.eps * root, lr * self.weight_decay)


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent: w -= lr * (gradient + weight_decay * w) on the rows that a batch touches."""

    name: ClassVar[str] = "sgd"
    lr: float = 0.1
    weight_decay: float = 0.0

    def __post_init__(self):
        check_number("lr", self.lr, "(0, inf)")
        check_number("weight_decay", self.weight_decay, "[0, inf)")

    def hyper(self, step: int, rate: float) -> tuple:
        lr = self.lr * rate
        return (lr, 0.0, 0.0, 1.0, lr * self.weight_decay)


OPTIMIZERS = {optimizer.name: optimizer for optimizer in (Adam, SGD)}


@dataclass(frozen=True)
class Schedule:
    """The factor on the learning rate at each step.

    kind     "constant", "linear" (reaches `final` after `steps`) or "cosine" (the same along half a cosine)
    warmup   steps over which the rate first rises linearly from zero
    steps    the length of the schedule; later steps stay at `final`. Needed by "linear" and "cosine".
    final    the factor at the end, in [0, 1]
    """

    kind: str = "constant"
    warmup: int = 0
    steps: int | None = None
    final: float = 0.0

    def __post_init__(self):
        if self.kind not in ("constant", "linear", "cosine"):
            raise ValueError(f"kind: found {self.kind!r}, expected 'constant', 'linear' or 'cosine'")
        if self.kind != "constant" or self.steps is not None:
            check_integer("steps", self.steps)
        check_integer("warmup", self.warmup, 0)
        check_number("final", self.final, "[0, 1]")

    def rate(self, step: int) -> float:
        """The factor at a 1-based step."""
        if step <= self.warmup:
            return step / (self.warmup + 1)
        if self.kind == "constant":
            return 1.0
        span = max(self.steps - self.warmup, 1)
        done = min((step - self.warmup - 1) / span, 1.0)
        shape = 1 - done if self.kind == "linear" else 0.5 * (1 + math.cos(math.pi * done))
        return self.final + (1 - self.final) * shape
