"""SampledSoftmax: cross entropy over many classes, of which a batch computes few."""

from typing import Any, NamedTuple

import numpy as np
import torch

from slide.settings.checks import Choice, check_integer
from slide.torch.module import WideModule, refuse_more
from slide.torch.targets import as_labels
from slide.wide import SampledSoftmax as Core

REDUCTIONS = Choice(("mean", "sum", "none"))


class Output(NamedTuple):
    """What `SampledSoftmax` gives, as nn.AdaptiveLogSoftmaxWithLoss does.

    Parameters
    ----------
    output : Tensor
        The logarithm of the probability of each target, of the shape of `loss` without reduction; 0 where there is
        none.
    loss : Tensor
        The cross entropy, reduced.
    """

    output: torch.Tensor
    loss: torch.Tensor


class SampledSoftmax(WideModule):
    """The last linear layer and its cross entropy, trained on few of the classes at a time.

    It takes the place of nn.Linear and nn.CrossEntropyLoss, or of nn.AdaptiveLogSoftmaxWithLoss.

    In training the loss is over an active set, drawn anew in each step; in evaluation (`eval()`) it is over all
    classes, and has no gradient. Without a backward pass, or where the gradient that comes in is zero, nothing moves.
    requires_grad_(False) freezes the layer; gradients of hidden states go on.

    `weight` (n_classes, in_features) and `bias` (n_classes,) are tensors on the layer's memory. A body may read
    `weight`, as a tied embedding does by torch.nn.functional.embedding(ids, head.weight, sparse=True): its gradient is
    a step of its own of the same optimizer. After writing to them call `rehash`.

    The layer stays on the CPU, in float32: `to`, `cuda`, `half` and `double` of a model leave it as it is, and hidden
    states of another kind are converted, their gradients back. A gradient that is scaled for mixed precision would be
    taken as it comes: use bfloat16, which needs no scaler.

    Parameters
    ----------
    in_features : int
        Columns of hidden states.
    n_classes : int
        Classes.
    weight : Tensor of shape (n_classes,) or None
        Factors of the loss by class, as for nn.CrossEntropyLoss; single targets only.
    ignore_index : int
        The class number that is none.
    reduction : {"mean", "sum", "none"}
        "mean" is over targets that are not ignored, by their weights.
    steps_in : {"backward", "step"}
        "backward": each backward pass ends in a step of the layer's optimizer, by the gradient that came in. "step":
        `step` makes one, of all backward passes since the last: gradients are accumulated, and one step is made of
        several uses in a graph.
    **settings
        Those of `slide.SampledSoftmax`.

    Raises
    ------
    RuntimeError
        Where a backward pass is made twice, or in evaluation, or is differentiated.

    Examples
    --------
    >>> head = slide.torch.SampledSoftmax(128, n_classes, optimizer=slide.Adam(lr=1e-3, beta1=0.0))
    >>> head(body(x), target).loss.backward()      # and the layer has made its step
    >>> optimizer_of_the_body.step()
    """

    def __init__(self, in_features: int, n_classes: int, *, weight: Any = None, ignore_index: int = -100,
                 reduction: str = "mean", steps_in: str = "backward", **settings: Any) -> None:  # fmt: skip
        super().__init__()
        self.in_features, self.n_classes = in_features, n_classes
        self.ignore_index, self.reduction = ignore_index, REDUCTIONS.check("reduction", reduction)
        self._set_up(Core(in_features, n_classes, **settings), steps_in)
        self.register_buffer("class_weight", None if weight is None else _class_weight(weight, n_classes))

    @torch.compiler.disable
    def forward(self, hidden: torch.Tensor, target: Any) -> Output:
        """The loss of hidden states and their targets.

        Parameters
        ----------
        hidden : Tensor of shape (..., in_features)
            Floating point.
        target : Tensor or list
            Integers of shape (...,); or several classes: integers (..., m), padded by ignore_index, of which the loss
            is the mean; an indicator (n, n_classes), boolean or float, sparse or not; or a list of lists.

        Returns
        -------
        Output
            (output, loss).
        """
        labels, kept = as_labels(target, hidden.shape, self.n_classes, self.ignore_index)
        shape, rows = hidden.shape[:-1], hidden.reshape(-1, hidden.shape[-1])
        n, rows = len(rows), rows if kept is None else rows[torch.from_numpy(kept).to(hidden.device)]
        weight = self._weights_of(labels)
        losses, loss = _Loss.apply(rows, self.weight, self, labels, weight)
        weighted = losses if weight is None else losses * torch.from_numpy(weight).to(losses)
        return Output(_scattered(-losses, kept, n).reshape(shape),
                      _scattered(weighted, kept, n).reshape(shape) if self.reduction == "none" else loss)  # fmt: skip

    def _weights_of(self, labels):
        """float32 (n,) of single labels, or None."""
        if self.class_weight is None:
            return None
        if len(labels.ids) > len(labels):
            raise ValueError("target: found several classes of one sample beside weight=, expected one of each")
        return self.class_weight.numpy()[labels.ids]

    def log_prob(self, hidden: torch.Tensor, target: Any = None) -> torch.Tensor:
        """Logarithms of probabilities over all classes, without gradient.

        Parameters
        ----------
        hidden : Tensor of shape (..., in_features)
            Floating point.
        target : Tensor of shape (...,) or (..., m), or None
            Classes; None: all, which are n_classes numbers per hidden state.

        Returns
        -------
        Tensor of shape (..., n_classes), or that of target
            Logarithms.
        """
        x = self._as_numpy(hidden)
        if target is not None:
            if target.dim() not in (hidden.dim() - 1, hidden.dim()):
                raise ValueError(f"target: found shape {tuple(target.shape)} for hidden states {tuple(hidden.shape)}")
            labels = target.detach().cpu().numpy().reshape(len(x), *target.shape[hidden.dim() - 1 :])
            return self._like(self.core.log_prob(x, labels), hidden, target.shape)
        return self._like(self.core.log_prob(x), hidden, (*hidden.shape[:-1], self.n_classes))

    def predict(self, hidden: torch.Tensor) -> torch.Tensor:
        """The most probable class of each hidden state.

        Parameters
        ----------
        hidden : Tensor of shape (..., in_features)
            Floating point.

        Returns
        -------
        Tensor of shape (...,), int64
            Classes.
        """
        return self.topk(hidden, 1)[1][..., 0]

    def topk(
        self, hidden: torch.Tensor, k: int = 5, sampled: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        """The logits and classes of the k most probable, best first, as torch.topk.

        Parameters
        ----------
        hidden : Tensor of shape (..., in_features)
            Floating point.
        k : int
            How many.
        sampled : bool
            Among those that the hash tables retrieve, for a layer that has them; -1 where they are fewer.

        Returns
        -------
        values : Tensor of shape (..., k)
            Logits.
        indices : Tensor of shape (..., k), int64
            Classes.
        """
        ids, values = self.core.topk(self._as_numpy(hidden), check_integer("k", k), sampled)
        shape = (*hidden.shape[:-1], ids.shape[1])
        indices = torch.from_numpy(ids.astype(np.int64)).reshape(shape)
        return self._like(values, hidden, shape), indices.to(hidden.device)

    @classmethod
    def from_linear(cls, linear: torch.nn.Linear, **settings: Any) -> "SampledSoftmax":
        """A layer with copies of the weights of an nn.Linear.

        Parameters
        ----------
        linear : nn.Linear
            Whose weights are copied.
        **settings
            As for the class.

        Returns
        -------
        SampledSoftmax
            A new layer.
        """
        return cls(linear.in_features, linear.out_features, **settings)._take_weights(linear)

    def extra_repr(self) -> str:
        """What `repr` shows between the brackets.

        Returns
        -------
        str
            Widths, layer and optimizer.
        """
        return f"{self.in_features}, {self.n_classes}, {self.core.layer!r}, {self.core.optimizer}"


class _Loss(torch.autograd.Function):
    """(losses, loss) of hidden rows, weight, module, labels, class weights: cross entropies, and the weighted mean, or
    sum where the module says so.

    `weight` is there so that a result has a gradient where the hidden states have none.
    """

    @staticmethod
    def forward(ctx, hidden, weight, module, labels, sample_weight):
        ctx.set_materialize_grads(False)
        ctx.module, ctx.batch, ctx.device, ctx.dtype = module, None, hidden.device, hidden.dtype
        dtype = hidden.dtype if hidden.dtype == torch.float64 else torch.float32
        reduction, x = "mean" if module.reduction == "mean" else "sum", module._as_numpy(hidden)
        if module.training:
            number = len(module._batches)
            Y = labels.ids if len(labels.ids) == len(labels) else labels  # one of each takes a short way
            ctx.batch = batch = module.core.forward(x, Y, sample_weight, reduction, number)
            losses, loss = batch.losses, batch.loss
        else:
            losses = module.core.losses(x, labels)
            total = 1 if reduction == "sum" else max(len(x) if sample_weight is None else sample_weight.sum(), 1e-38)
            loss = (losses if sample_weight is None else losses * sample_weight).sum() / total
        return (torch.from_numpy(losses).to(hidden.device, dtype),
                torch.tensor(loss, dtype=dtype, device=hidden.device))  # fmt: skip

    @staticmethod
    def backward(ctx, d_losses, d_loss):
        module, batch = ctx.module, ctx.batch
        if batch is None:
            raise RuntimeError("backward: found a loss of evaluation, which has no gradient; call train() before")
        refuse_more(batch)
        factors = np.zeros(batch.n, np.float32)
        if d_loss is not None:
            factors += float(d_loss)
        if d_losses is not None:
            own = ctx.batch._pass.scale
            given = d_losses.detach().cpu().numpy().astype(np.float32)
            if (given[own == 0] != 0).any():
                raise RuntimeError("backward: found a gradient of a class whose weight is 0")
            factors += np.divide(given, own, out=np.zeros_like(given), where=own != 0)
        if not factors.any():
            batch._differentiated = True
            module.core.discard(batch)
            return torch.zeros(batch.n, module.in_features, device=ctx.device, dtype=ctx.dtype), None, None, None, None
        dh = module.core.backward(batch, factors)
        if ctx.needs_input_grad[1]:
            module._take_batch(batch)
        else:
            module.core.discard(batch)
        ctx.module = None
        return torch.from_numpy(dh).to(ctx.device, ctx.dtype), None, None, None, None


def _scattered(values, kept, n):
    """values at places `kept` (None: all) of n, zeros elsewhere."""
    if kept is None:
        return values
    return values.new_zeros(n).index_put((torch.from_numpy(kept).to(values.device),), values)


def _class_weight(weight, n_classes):
    weight = torch.as_tensor(weight, dtype=torch.float32).detach().cpu().clone()
    if weight.shape != (n_classes,) or not bool((weight >= 0).all()) or not bool(torch.isfinite(weight).all()):
        raise ValueError(f"weight: found shape {tuple(weight.shape)}, expected {n_classes} finite numbers, at least 0")
    return weight
