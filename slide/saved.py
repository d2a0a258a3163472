"""What keeps a network: files, pickles, copies, and the network that only predicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Self

import numpy as np

from slide.distributed import ranks
from slide.hashing import HashFamily
from slide.layers import array_types
from slide.layers.frozen import Frozen, Unfilled, frozen_state
from slide.layers.sampled import SampledLayer
from slide.machine.threads import MOST
from slide.sampling import Sampler
from slide.settings.attributes import ReadOnly
from slide.settings.checks import check_flag
from slide.settings.network import check_together
from slide.state import storage
from slide.state.part import Part
from slide.typing import FilePath, Own

KEPT = ".family."  # in the names of arrays that who loads them may keep as they are: those of hash functions


class Saved:
    """Methods of a Network."""

    n_features: ReadOnly[int]
    specs: ReadOnly[tuple[Any, ...]]
    layers: ReadOnly[tuple[Any, ...]]
    frozen: ReadOnly[bool]
    _exchange: Any
    _alone: Callable[..., Any]
    _as_trainer: Callable[..., Any]

    def freeze(self) -> Self:
        """Keeps what prediction needs alone, weights and tables, brought up to date: with Adam a third of the memory.

        Training it any further raises RuntimeError. `save` and `load` keep it so. Tables are as the schedule of
        training left them: for sampled prediction call `rehash` before.

        Returns
        -------
        Network
            Itself.
        """
        self._exchange.refuse("freeze")
        if not self.frozen:
            self._as_trainer("freeze", self._alone, "freeze", self._freeze)
        return self

    def _freeze(self):
        self._settle()
        self._adopt(frozen_state(storage.state(self)))
        self._frozen = True

    def save(
        self, path: FilePath, run: dict[str, Any] | None = None, inference: bool = False,
        weight_type: str | None = None,
    ) -> None:  # fmt: skip
        """Writes everything that training needs to go on, in one .npz file, atomically; nothing in it executes.

        Parameters
        ----------
        path : str or path-like
            Of the file.
        run : dict or None
            JSON values that the file is to hold beside it, such as those with which `slide train` goes on.
        inference : bool
            Whether the file is to hold what prediction needs alone, as `freeze` leaves it. `load` maps such a file into
            memory: nothing is copied, and processes that load it share its pages. For sampled prediction call `rehash`
            before.
        weight_type : {"bfloat16"} or None
            Rounds the output layer's weights to the nearest, for half their memory: with `inference`, where that layer
            has active sets and may have such weights. None: they stay as they are.
        """
        inference = check_flag("inference", inference)
        if inference:
            self._exchange.refuse("inference")
        narrowed = self._narrows(inference, weight_type)
        self._alone("save", self._save, path, run, inference, narrowed)

    def _narrows(self, inference, weight_type):
        """Whether to store the output layer's weights, which are float32, as bfloat16."""
        if weight_type is None:
            return False
        if weight_type != "bfloat16" or not (inference or self.frozen) or not isinstance(self.layers[-1], SampledLayer):
            raise ValueError(
                f"weight_type: found {weight_type!r}, inference={inference} and {self.specs[-1]!r}, expected None, or "
                "'bfloat16' with inference=True and a last layer with active sets"
            )
        check_together(self._settings, (*self.specs[:-1], replace(self.specs[-1], weight_type=weight_type)))
        return self.specs[-1].weight_type != weight_type

    def _save(self, path, run, inference, narrowed):
        if inference:
            self._settle()
        types = array_types(self.n_features, self.specs, self.optimizer)
        storage.save(path, storage.content, self, run, inference, narrowed, exchange=self._exchange, types=types)

    def __getstate__(self) -> dict[str, Any]:
        return self._alone("pickling", self._copied)

    def _copied(self, loaded=False):
        """What `__setstate__` takes; loaded: while nobody else uses the network, which copies all but what it keeps."""
        settings = {f.name: getattr(self._settings, f.name) for f in fields(self._settings)}
        state = frozen_state(storage.state(self)) if self.frozen else storage.state(self)
        views = loaded and not self.frozen
        arrays = {name: array if views and KEPT not in name else np.array(array) for name, array in state.items()}
        return {"n_features": self.n_features, "layers": self.specs, "settings": settings, "arrays": arrays,
                "step": self.step, "samples": self.samples, "exchange": self._exchange,
                "index": {name: np.array(array) for name, array in self._index_state().items()},
                "frozen": self.frozen, "seeds": storage.layer_seeds(self)}  # fmt: skip

    def __setstate__(self, state):
        settings = state["settings"] | {"threads": min(state["settings"]["threads"], MOST)}
        made = [(Frozen if state["frozen"] else Unfilled)(seed) for seed in state["seeds"]]
        self._set_up(state["n_features"], state["layers"], settings, made, state["exchange"])
        if self.frozen:
            self._adopt(state["arrays"])
        else:
            storage.load_state(self, state["arrays"])
        self._step, self._samples = state["step"], state["samples"]
        self._load_index(state.get("index", {}))

    def __deepcopy__(self, memo) -> Self:
        twin = memo[id(self)] = type(self).__new__(type(self))
        twin.__setstate__(self.__getstate__())
        return twin

    def _twin(self) -> Self:
        """A copy, as by `copy.deepcopy`, without a second one of its arrays on the way."""
        twin = type(self).__new__(type(self))
        self._alone("copying", lambda: Saved.__setstate__(twin, self._copied(loaded=True)))
        return twin

    @classmethod
    def load(
        cls, path: FilePath, threads: int | None = None, hash: Own[HashFamily] = None, sampler: Own[Sampler] = None,
        comm: Any = None,
    ) -> Self:  # fmt: skip
        """The network that `save` wrote; training goes on bit for bit as if it had not been interrupted.

        Parameters
        ----------
        path : str or path-like
            Of the file.
        threads : int or None
            Threads of the kernels; None: all CPUs.
        hash, sampler : type, dict or None
            The class of a hash family or sampler that is not slide's own, or {path: class} where the layers' differ.
            The file holds its import path and settings. Importing a module runs it, so loading never does: without
            these the class is looked up among the modules that the program has imported already. The class is then
            constructed with the settings in the file.
        comm : mpi4py.MPI.Intracomm or None
            As for Network, of any number of ranks, each of which reads its part of the file.

        Returns
        -------
        Network
            As it was saved.

        Raises
        ------
        ValueError
            Where the file is no network, or names a class that is not found.
        """
        return storage.load(cls, path, threads, hash, sampler, ranks.make(comm))

    @classmethod
    def _of_frozen(cls, n_features, layers, settings, seeds, arrays):
        network = cls.__new__(cls)
        network._set_up(n_features, layers, settings, [Frozen(seed) for seed in seeds])
        network._adopt(arrays)
        return network

    def _adopt(self, arrays):
        for i, layer in enumerate(self.layers):
            layer.adopt(Part(arrays, f"layers.{i}."))
