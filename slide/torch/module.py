"""What slide's modules for PyTorch share: weights on slide's own memory, their optimizer, and their state."""

import warnings
from typing import Any

import numpy as np
import torch
from torch import nn

from slide.settings.checks import Choice

UPDATES = Choice(("backward", "step"))
# PyTorch has few operations of unsigned numbers.
SIGNED = {np.dtype(f"uint{bits}"): np.dtype(f"int{bits}") for bits in (16, 32, 64)}
OWN_TENSORS = ("layers.0.neurons.w",)  # of the state: they are `weight`


class WideModule(nn.Module):
    """A wide layer of slide as a module. `core` is the layer, `weight` and `bias` are tensors on its memory.

    The layer steps by itself, with its own optimizer, which visits but the rows that a batch touched. An optimizer over
    `parameters()` leaves `weight` and `bias` alone, since their `grad` is always None.
    """

    def _set_up(self, core, steps_in):
        self.core, self.steps_in = core, UPDATES.check("steps_in", steps_in)
        self._batches, self._rows, self._warned = [], [], False
        bits = core.layer.parameters.w.dtype
        self.weight = nn.Parameter(torch.empty(0, dtype=torch.float32 if bits == np.float32 else torch.bfloat16))
        self.bias = nn.Parameter(torch.empty(0), requires_grad=False)
        self._share()

    def _share(self):
        """Puts `weight` and `bias` on the core's memory; parameters that other modules share stay what they are."""
        own = self.core.layer.parameters
        narrow = own.w.dtype != np.float32
        w = torch.from_numpy(own.w.view(np.int16)).view(torch.bfloat16) if narrow else torch.from_numpy(own.w)
        self.weight.data = w
        self.bias.data = torch.from_numpy(self.core.bias)
        self.weight.register_post_accumulate_grad_hook(self._take_gradient)

    def _take_gradient(self, weight):
        """The gradient of what else reads `weight`, such as a tied embedding."""
        grad, weight.grad = weight.grad, None
        if grad is None:
            return
        if grad.is_sparse:
            grad = grad.coalesce()
            ids, values = grad.indices()[0], grad.values()
        else:
            ids = grad.any(dim=1).nonzero()[:, 0]
            values = grad[ids]
        self._rows.append((ids.numpy(), values.float().numpy()))
        if self.steps_in == "backward":
            self._step_rows()

    def _take_batch(self, batch):
        """A batch whose gradients are known."""
        self._batches.append(batch)
        if self.steps_in == "backward":
            self._step_batches()

    def step(self) -> None:
        """One step by the gradients of all backward passes since the last; for steps_in="step"."""
        self._step_batches()
        self._step_rows()

    def _step_batches(self):
        batches, self._batches = self._batches, []
        if batches:
            self.core.update(*batches)
            self._changed()

    def _step_rows(self):
        rows, self._rows = self._rows, []
        if rows:
            self.core.update_rows(*(np.concatenate(part) for part in zip(*rows, strict=True)))
            self._changed()

    def _changed(self):
        # Autograd counts changes of tensors, to refuse a backward pass that would read a value that is gone.
        self.weight.detach()[:0].zero_()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets gradients that no step was taken by.

        Parameters
        ----------
        set_to_none : bool
            As of nn.Module.
        """
        super().zero_grad(set_to_none)
        if self._batches:
            self.core.discard(*self._batches)
        self._batches, self._rows = [], []

    def rehash(self) -> None:
        """Rebuilds the hash tables: due after `weight` was written to."""
        self.core.rehash()

    def _as_numpy(self, hidden, name="hidden"):
        """float32 (n, in_features) of hidden states (..., in_features), on their own memory where that can be."""
        if not isinstance(hidden, torch.Tensor) or not hidden.is_floating_point():
            found = hidden.dtype if isinstance(hidden, torch.Tensor) else type(hidden).__name__
            raise TypeError(f"{name}: found {found}, expected a tensor of floating-point numbers")
        if hidden.dim() == 0 or hidden.shape[-1] != self.in_features:
            raise ValueError(f"{name}: found shape {tuple(hidden.shape)}, expected (..., {self.in_features})")
        if hidden.device.type != "cpu" and not self._warned:
            self._warned = True
            warnings.warn(
                f"slide: {name} is on {hidden.device}; it is copied to the CPU, where this layer is, and its gradient "
                "back", stacklevel=4,
            )  # fmt: skip
        return hidden.detach().reshape(-1, self.in_features).to("cpu", torch.float32).contiguous().numpy()

    def _like(self, array, hidden, shape):
        """An array as a tensor of the dtype and on the device of `hidden`."""
        return torch.from_numpy(array).reshape(shape).to(hidden.device, hidden.dtype)

    def _apply(self, fn, recurse=True):
        """What `to`, `cuda`, `double` and others do to every module: this one stays float32 on the CPU."""
        if fn(torch.zeros(1)).is_shared():
            raise RuntimeError("share_memory: found a layer of slide, which processes cannot share")
        return self

    def get_extra_state(self) -> dict[str, Any]:
        """What training goes on from beside `weight` and `bias`: tensors, and counts.

        Returns
        -------
        dict
            Part of `state_dict`.
        """
        arrays = {name: a for name, a in self.core.state().items() if name not in OWN_TENSORS}
        tensors = {name: torch.from_numpy(a.view(SIGNED.get(a.dtype, a.dtype))) for name, a in arrays.items()}
        return {"step": self.core.step, "samples": self.core.samples, "arrays": tensors}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Takes over what `get_extra_state` gave; `load_state_dict` calls it.

        Parameters
        ----------
        state : dict
            Of a layer of the same settings.
        """
        own = self.core.state()
        arrays = {name: own[name] for name in OWN_TENSORS}
        for name, tensor in state["arrays"].items():
            array = tensor.cpu().numpy()
            dtype = own[name].dtype if name in own else array.dtype
            arrays[name] = array.view(dtype) if SIGNED.get(dtype) == array.dtype else array
        bias = self.core.bias.copy()
        self.core.load_state(arrays, state["step"], state["samples"])
        self.core.bias[...] = bias

    def _load_from_state_dict(self, state_dict, prefix, *args):
        self.zero_grad()
        super()._load_from_state_dict(state_dict, prefix, *args)
        if prefix + "_extra_state" not in state_dict:
            self.rehash()

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name not in ("_batches", "_rows")}

    def __setstate__(self, state):
        super().__setstate__(state)
        self._batches, self._rows = [], []
        self._share()

    def _take_weights(self, linear):
        """Those of an nn.Linear, and tables for them."""
        with torch.no_grad():
            self.weight.copy_(linear.weight)
            if linear.bias is not None:
                self.bias.copy_(linear.bias)
            else:
                self.bias.zero_()
        self.rehash()
        return self

    def to_linear(self) -> nn.Linear:
        """An nn.Linear with copies of the weights.

        Returns
        -------
        nn.Linear
            A new layer.
        """
        linear = nn.Linear(self.core.n_inputs, self.core.n_rows)
        with torch.no_grad():
            linear.weight.copy_(self.weight)
            linear.bias.copy_(self.bias)
        return linear


def refuse_more(batch) -> None:
    """RuntimeError where a backward pass is not the first of its batch, or is to be differentiated itself."""
    if torch.is_grad_enabled():
        raise RuntimeError("backward: found create_graph=True, but gradients of this layer have no gradient themselves")
    if batch._differentiated:
        raise RuntimeError("backward: found a second one through the same forward pass, expected one of each")
