"""Optimizers and learning-rate schedules: settings only; the arithmetic is in the kernels."""

import math
from dataclasses import dataclass
from typing import ClassVar

from slide.settings.checks import Choice, Integer, Number, check_integer
from slide.settings.fields import Need, Settings, documented, setting

FLOAT32_TINY = 1.1754943508222875e-38  # the kernels' smallest normal number: less may be zero to them
OPTIMIZER = "optimizer"  # the group of these settings


@documented()
@dataclass(frozen=True, repr=False)
class Adam(Settings):
    """Adam (Kingma & Ba 2015) on the rows that a batch touches.

    Weight decay is decoupled (AdamW, Loshchilov & Hutter 2019): a touched row shrinks by lr * weight_decay per step;
    biases do not.

    Differs from the paper: the released code sweeps every weight and moment of the network after every batch. Here the
    weights and moments of a row that no batch touches stay as they are, as with PyTorch's SparseAdam.

    Parameters
    ----------
    {settings}
    """

    name: ClassVar[str] = "adam"
    lr: float = setting(1e-3, Number("(0, inf)"), "learning rate at the start", group=OPTIMIZER)
    beta1: float = setting(0.9, Number("[0, 1)"), "decay of Adam's first moment", group=OPTIMIZER)
    beta2: float = setting(0.999, Number("[0, 1)"), "decay of Adam's second moment", group=OPTIMIZER)
    eps: float = setting(
        1e-8, Number(f"[{FLOAT32_TINY}, inf)"), "added to the root of Adam's second moment", group=OPTIMIZER,
        more="At least the smallest normal float32.",
    )  # fmt: skip
    weight_decay: float = setting(0.0, Number("[0, inf)"), "decay of weights", group=OPTIMIZER)

    def hyper(self, step: int, rate: float) -> tuple:
        """The numbers that the kernels take in one step, both bias corrections folded into lr and eps.

        Parameters
        ----------
        step : int
            From 1.
        rate : float
            The factor of the schedule.

        Returns
        -------
        tuple of float
            (lr, beta1, beta2, eps, decay).
        """
        root = math.sqrt(1 - self.beta2**step)
        lr = self.lr * rate
        return (lr * root / (1 - self.beta1**step), self.beta1, self.beta2, self.eps * root, lr * self.weight_decay)


@documented()
@dataclass(frozen=True, repr=False)
class SGD(Settings):
    """Stochastic gradient descent: w -= lr * (gradient + weight_decay * w) on the rows that a batch touches.

    Parameters
    ----------
    {settings}
    """

    name: ClassVar[str] = "sgd"
    lr: float = setting(0.1, Number("(0, inf)"), "learning rate at the start", group=OPTIMIZER)
    weight_decay: float = setting(0.0, Number("[0, inf)"), "decay of weights", group=OPTIMIZER)

    def hyper(self, step: int, rate: float) -> tuple:
        """The numbers that the kernels take in one step.

        Parameters
        ----------
        step : int
            From 1; of no effect.
        rate : float
            The factor of the schedule.

        Returns
        -------
        tuple of float
            (lr, beta1, beta2, eps, decay), as `Adam.hyper`.
        """
        lr = self.lr * rate
        return (lr, 0.0, 0.0, 1.0, lr * self.weight_decay)


OPTIMIZERS = {optimizer.name: optimizer for optimizer in (Adam, SGD)}


FALLS = Need("with kind 'linear' or 'cosine'", lambda schedule: schedule.kind in ("linear", "cosine"))
ENDS = Need("with a kind other than 'constant'", lambda schedule: schedule.kind != "constant")


@documented()
@dataclass(frozen=True, repr=False)
class Schedule(Settings):
    """The factor on the learning rate at each step.

    Parameters
    ----------
    {settings}
    """

    kind: str = setting(
        "constant", Choice(("constant", "linear", "cosine", "plateau")), "how the learning rate falls",
        option="schedule", group=OPTIMIZER,
        more="'linear' reaches `final` after `steps`, 'cosine' the same along half a cosine. 'plateau' is for an "
        "unknown end: constant until the validation of `Network.fit` stops rising, and from the best "
        "network on linear, over a third as many batches as there were.",
    )  # fmt: skip
    warmup: int = setting(0, Integer(0), "steps over which the rate first rises linearly from zero", group=OPTIMIZER)
    steps: int | None = setting(
        None, Integer(optional=True), "length; later steps stay at `final`", none="it has none", needs=(FALLS,),
        option=None,
    )  # fmt: skip
    hold: float = setting(
        0.0, Number("[0, 1)"), "share of the steps before the rate begins to fall", needs=(FALLS,), group=OPTIMIZER
    )  # fmt: skip
    final: float = setting(0.0, Number("[0, 1]"), "factor on the rate at the end", needs=(ENDS,), group=OPTIMIZER)

    def __post_init__(self):
        super().__post_init__()
        if FALLS.met(self):
            if check_integer("steps", self.steps) <= self.warmup:
                raise ValueError(f"warmup: found {self.warmup} in {self!r}, expected fewer than steps")

    def rate(self, step: int) -> float:
        """The factor on the learning rate at a step.

        Parameters
        ----------
        step : int
            From 1.

        Returns
        -------
        float
            From 0 to 1.
        """
        check_integer("step", step, 0)
        if step <= self.warmup:
            return step / (self.warmup + 1)
        if self.steps is None or not FALLS.met(self):
            return 1.0
        first = max(self.warmup, round(self.hold * self.steps))
        if step <= first:
            return 1.0
        done = min((step - first - 1) / max(self.steps - first, 1), 1.0)
        shape = 1 - done if self.kind == "linear" else 0.5 * (1 + math.cos(math.pi * done))
        return self.final + (1 - self.final) * shape
