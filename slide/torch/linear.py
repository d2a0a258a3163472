"""SampledLinear: a wide hidden layer whose active neurons hash tables choose."""

from typing import Any

import torch

from slide.torch.module import WideModule, refuse_more
from slide.wide import SampledHidden


class SampledLinear(WideModule):
    """ReLU of a wide linear layer, in training of the neurons that hash tables retrieve: the others are 0.

    In evaluation every neuron is computed, and gradients reach the input alone. Its weights, optimizer and device are
    as for `SampledSoftmax`. Active sets are those of groups of consecutive samples, and the output is dense: (n,
    out_features) numbers.

    Parameters
    ----------
    in_features : int
        Columns of its input.
    out_features : int
        Its width.
    steps_in : {"backward", "step"}
        As for `SampledSoftmax`.
    **settings
        Those of `slide.SampledHidden`.
    """

    def __init__(self, in_features: int, out_features: int, *, steps_in: str = "backward", **settings: Any) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self._set_up(SampledHidden(in_features, out_features, **settings), steps_in)

    @torch.compiler.disable
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """The activations of hidden states.

        Parameters
        ----------
        hidden : Tensor of shape (..., in_features)
            Floating point.

        Returns
        -------
        Tensor of shape (..., out_features)
            Of the same dtype and device.
        """
        shape = (*hidden.shape[:-1], self.out_features)
        if self.training:
            return _Activations.apply(hidden, self.weight, self).reshape(shape)
        x = hidden.to("cpu", torch.float32)
        z = torch.nn.functional.linear(x, self.weight.detach().float(), self.bias.detach())
        return torch.relu(z).to(hidden.device, hidden.dtype)

    @classmethod
    def from_linear(cls, linear: torch.nn.Linear, **settings: Any) -> "SampledLinear":
        """A layer with copies of the weights of an nn.Linear.

        Parameters
        ----------
        linear : nn.Linear
            Whose weights are copied.
        **settings
            As for the class.

        Returns
        -------
        SampledLinear
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
        return f"{self.in_features}, {self.out_features}, {self.core.layer!r}, {self.core.optimizer}"


class _Activations(torch.autograd.Function):
    """(n, out_features) of hidden states, weight, module; `weight` is there for hidden states without gradient."""

    @staticmethod
    def forward(ctx, hidden, weight, module):
        ctx.set_materialize_grads(False)
        ctx.module, ctx.like = module, (hidden.device, hidden.dtype, hidden.shape)
        ctx.batch = module.core.forward(module._as_numpy(hidden))
        return torch.from_numpy(ctx.batch.output).to(hidden.device, hidden.dtype)

    @staticmethod
    def backward(ctx, dy):
        module, batch, (device, dtype, shape) = ctx.module, ctx.batch, ctx.like
        refuse_more(batch)
        if dy is None or not dy.any():
            batch._differentiated = True
            module.core.discard(batch)
            return None, None, None
        dh = module.core.backward(batch, dy.cpu().float().numpy())
        if ctx.needs_input_grad[1]:
            module._take_batch(batch)
        else:
            module.core.discard(batch)
        return torch.from_numpy(dh).reshape(shape).to(device, dtype), None, None
