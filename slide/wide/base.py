"""What wide layers by themselves share: settings, steps, turns, and everything that a file keeps."""


import weakref
from collections.abc import Mapping
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from slide import matrices
from slide.hashing import HashFamily
from slide.layers.base import Context
from slide.layers.sampled import SampledLayer
from slide.layers.settings import Place, Sampled, default_std
from slide.machine.memory import Scratch
from slide.machine.threads import MOST, one_blas_thread
from slide.machine.turns import Turns, refuse_within
from slide.optim import SGD, Adam, Schedule
from slide.sampling import Sampler
from slide.settings.attributes import Attributes, ReadOnly
from slide.settings.checks import check_integer
from slide.settings.fields import refuse_unused
from slide.settings.network import NetworkSettings
from slide.state import storage
from slide.state.commit import Commit
from slide.typing import FilePath, Own
from slide.wide.settings import SHARED

KINDS = ("constant", "linear", "cosine")  # of schedules that need no held-out rows
DRAWN = ("seed", "huge_pages")
WEIGHTS = 1  # the stream of random numbers that initial weights are drawn from, as in a Network


class Setting:
    """A setting of NetworkSettings as an attribute of a wide layer."""

    def __init__(self, name, text=""):
        self.name, self.__doc__ = name, f"{text[:1].upper()}{text[1:]}."

    def __get__(self, wide, cls=None):
        return self if wide is None else getattr(wide._settings, self.name)

    def __set__(self, wide, value):
        if self.name in DRAWN:
            raise AttributeError(f"{type(wide).__name__}.{self.name} cannot be set: weights are made with it")
        wide._change(**{self.name: value})


class Batch:
    """What `forward` computed of a batch: `backward` and `update` take it. Nothing was changed yet."""

    def __init__(self, owner, passed, commit, scratch):
        self.n = passed.block.n
        self._pass, self._commit, self._scratch = passed, commit, scratch
        self._differentiated = self._updated = False
        self._owner = weakref.ref(owner)
        self._return = weakref.finalize(self, owner._free.append, scratch)
        self._return.atexit = False

    def _close(self):
        """Its arrays are another batch's from now on."""
        self._updated, self._pass, self._scratch = True, None, None
        self._return()


class WideLayer(Attributes):
    """A sampled layer with an optimizer, a schedule and a count of steps of its own: see its subclasses."""

    # Settings of NetworkSettings are attributes, too: see below.
    optimizer: Adam | SGD
    schedule: Schedule
    group_size: int
    seed: int
    threads: int
    huge_pages: bool

    n_inputs: ReadOnly[int] = ReadOnly("make a new one", doc="Columns of its input.")
    layer: ReadOnly[SampledLayer] = ReadOnly("make a new one", doc="The sampled layer.")
    step: ReadOnly[int] = ReadOnly("it counts the updates; make a new one to begin anew", doc="Updates.")
    samples: ReadOnly[int] = ReadOnly("it counts the samples of all updates", doc="Samples of all updates.")

    @ReadOnly("its settings are attributes")
    def context(self) -> Context:
        """What the layer works with: threads, optimizer, clock."""
        return self._context

    _last = True

    def _set_up(self, n_inputs, spec, settings):
        self._n_inputs = check_integer("n_inputs", n_inputs, 1, matrices.MOST)
        self._settings = settings
        self._check(settings, spec)
        self._context = Context.of(settings)
        rng = np.random.default_rng((WEIGHTS, settings.seed, 0))
        std = default_std(n_inputs, spec.n_neurons, False, self._last) if spec.init_std is None else spec.init_std
        self._layer = SampledLayer(n_inputs, spec, self._context, rng, std)
        self._step = self._samples = 0
        self._turns, self._free = Turns(), []

    def _check(self, settings, spec):
        refuse_unused(settings, type(self).__name__, (spec,))
        refuse_unused(spec, repr(spec), Place(self._last, settings.optimizer))
        if settings.schedule.kind not in KINDS:
            raise ValueError(f"schedule: found {settings.schedule!r}, expected one of kind {', '.join(KINDS)}")
        if spec.weight_type != "float32" and settings.update != "rows":
            raise ValueError(
                f"update: found {settings.update!r}, expected 'rows', for weights that are {spec.weight_type!r}"
            )

    @property
    def weights(self) -> np.ndarray:
        """The weights themselves: writing to them changes the layer, and `rehash` is due.

        float32 (n_neurons, n_inputs). Of weights stored as bfloat16 a copy, which cannot be written to.
        """
        return self.layer.weights

    @property
    def bias(self) -> np.ndarray:
        """The biases themselves, float32 (n_neurons,)."""
        return self.layer.bias

    @property
    def active(self) -> float:
        """Mean active neurons per sample, of the batch that was updated last."""
        return float(self.layer.active)

    def __repr__(self) -> str:
        shape = f"{self.n_inputs:,} -> {self.layer.n_neurons:,}"
        return f"{type(self).__name__} {shape}: {self.step:,} updates\n  {self.layer!r}\n  {self.optimizer}"

    def _change(self, **changes):
        settings, optimizer = replace(self._settings, **changes), type(self.optimizer)
        if type(settings.optimizer) is not optimizer:
            raise ValueError(f"optimizer: found {settings.optimizer!r}, expected {optimizer.__name__}, as it was made")
        self._check(settings, self.layer.spec)
        self._alone("a new setting", self._go_on_with, settings)

    def _go_on_with(self, settings):
        commit, context = Commit(), Context.of(settings, self._context.clock)
        commit.set(self, _settings=settings, _context=context)
        self.layer.use(context, commit)
        commit.run()

    def rehash(self) -> None:
        """Rebuilds the hash tables from the weights as they are now: due after the weights were written to."""
        self._alone("rehash", self._rehash)

    def _rehash(self):
        self.layer.settle(self.step)
        if self.layer.index is not None:
            self.layer.index.build(self.layer.parameters.w)

    def _alone(self, what, do, *args):
        """do(*args) while nobody else uses the layer."""
        refuse_within(WideLayer._in_turn.__code__, self, what)
        with self._turns.waiting:
            return self._in_turn(do, *args)

    def _in_turn(self, do, *args):
        with self._turns.state, one_blas_thread():
            return do(*args)

    def _as_inputs(self, h, name="h") -> np.ndarray:
        """float32 (n, n_inputs), C-contiguous; ValueError where h is not that, or not finite."""
        try:
            found = np.asarray(h)
        except ValueError:
            raise ValueError(f"{name}: found {type(h).__name__}, expected an array") from None
        if found.ndim != 2 or found.shape[1] != self.n_inputs or found.dtype.kind not in "biuf":
            raise ValueError(
                f"{name}: found {found.dtype} of shape {found.shape}, expected real numbers, (n, {self.n_inputs})"
            )
        found = np.ascontiguousarray(found, np.float32)
        if not np.isfinite(np.dot(found.ravel(), found.ravel())) and not np.isfinite(found).all():
            raise ValueError(f"{name}: found numbers that are not finite (as float32)")
        return found

    def _borrowed(self) -> Scratch:
        return self._free.pop() if self._free else Scratch()

    def _mine(self, batch, what) -> None:
        """ValueError where a batch is not one of this layer's that still waits for its update."""
        if not isinstance(batch, Batch) or batch._owner() is not self:
            raise ValueError(f"{what}: found {batch!r}, expected what `forward` of this layer returned")
        if batch._updated:
            raise ValueError(f"{what}: found a batch that was updated, or discarded, already")

    def update(self, *batches: Batch) -> None:
        """One step of the optimizer by the gradients of some batches together, after `backward` of each.

        Parameters
        ----------
        *batches
            Of `forward`.

        Raises
        ------
        FloatingPointError
            Where weights might become infinite. Then nothing has changed.
        ValueError
            Where a batch is not one of this layer's, or was updated already. Then nothing has changed.
        """
        for batch in batches:
            self._mine(batch, "update")
            if not batch._differentiated:
                raise ValueError("update: found a batch whose `backward` was not called")
        if len({id(batch) for batch in batches}) < len(batches) or not batches:
            raise ValueError(f"update: found {len(batches)} batches, expected different ones, at least one")
        self._alone("update", self._update, batches)

    def _update(self, batches):
        self.layer.settle(self.step)
        step, commit = self.step + 1, Commit()
        for batch in batches:
            commit.add(batch._commit)
            commit.set(batch, _updated=True)
        self._remember(batches, commit)
        self.layer.add_update([b._pass for b in batches], step, self._rate(step), commit)
        commit.set(self, _step=step, _samples=self.samples + sum(batch.n for batch in batches))
        commit.run()
        for batch in batches:
            batch._close()

    def _rate(self, step):
        """The factor on the learning rate at a step; ValueError where nothing would be learnt."""
        rate = self.schedule.rate(step)
        if not rate:
            raise ValueError(
                f"schedule: found {self.schedule!r}, whose rate is 0 at update {step}, expected one that is longer; to "
                "go on, assign another schedule"
            )
        return rate

    def _remember(self, batches, commit):
        """What else an update keeps of its batches."""

    def discard(self, *batches: Batch) -> None:
        """Forgets batches that are not to be updated; one that nobody holds any more is forgotten by itself.

        Parameters
        ----------
        *batches
            Of `forward`.
        """
        for batch in batches:
            self._mine(batch, "discard")
            batch._close()

    def update_rows(self, ids: ArrayLike, gradients: ArrayLike) -> None:
        """A step of the optimizer on some rows of weights by gradients from elsewhere; biases stay as they are.

        It is not counted: the bias corrections of Adam are those of the last update.

        Parameters
        ----------
        ids : (n,) integers
            They may repeat: gradients of one row are summed.
        gradients : (n, n_inputs) array
            Of a body that reads the weights, such as a tied embedding.
        """
        ids = np.asarray(ids)
        if ids.ndim != 1 or ids.dtype.kind not in "iu" or (len(ids) and not 0 <= ids.min() <= ids.max() < self.n_rows):
            raise ValueError(f"ids: found {ids!r}, expected integers from 0 to {self.n_rows - 1}, (n,)")
        gradients = self._as_inputs(gradients, "gradients")
        if len(gradients) != len(ids):
            raise ValueError(f"gradients: found {len(gradients)} rows, expected {len(ids)}")
        if self.layer.parameters.w.dtype != np.float32:
            raise ValueError("update_rows: found weights stored as bfloat16, expected float32")
        if len(ids):
            self._alone("update_rows", self._update_rows, ids.astype(np.int32), gradients)

    @property
    def n_rows(self) -> int:
        """Neurons, each a row of the weights."""
        return self.layer.n_neurons

    def _update_rows(self, ids, gradients):
        step, commit = max(self.step, 1), Commit()
        rate = self._rate(step)
        self.layer._check_gradients(1.0, float(np.dot(gradients.ravel(), gradients.ravel())), step, rate)
        self.layer.parameters.update_by_rows(ids, gradients, step, rate, self.threads, commit)
        commit.run()

    def save(self, path: FilePath) -> None:
        """Writes everything that training needs to go on, in one .npz file, atomically; nothing in it executes.

        Parameters
        ----------
        path : str or path-like
            Of the file.
        """
        self._alone("save", storage.save, path, lambda: storage.content(self._as_network()))

    def _as_network(self):
        """What `storage` reads of a network of this one layer."""
        settings = {f.name: getattr(self._settings, f.name) for f in fields(self._settings)}
        return SimpleNamespace(
            n_features=self.n_inputs, specs=(self.layer.spec,), layers=(self.layer,), step=self.step,
            samples=self.samples, _index_state=lambda narrowed: {}, **settings,
        )  # fmt: skip

    def state(self) -> dict[str, np.ndarray]:
        """What training goes on from beside `step` and `samples`: copies.

        Returns
        -------
        dict
            {name: array}.
        """
        return self._alone("state", lambda: {k: np.array(a) for k, a in storage.state(self._as_network()).items()})

    def load_state(self, state: Mapping[str, np.ndarray], step: int, samples: int = 0) -> None:
        """Takes over what `state` gave of a layer of the same settings.

        Parameters
        ----------
        state : dict
            {name: array}.
        step, samples : int
            Counts of that layer.

        Raises
        ------
        ValueError
            Naming the array, where it is no such state.
        """
        step, samples = check_integer("step", step, 0, storage.MOST_STEPS), check_integer("samples", samples, 0)
        self._alone("load_state", storage.load_state, self._as_network(), state)
        self._step, self._samples = step, samples

    def __getstate__(self) -> dict:
        settings = {f.name: getattr(self._settings, f.name) for f in fields(self._settings)}
        return {"n_inputs": self.n_inputs, "spec": self.layer.spec, "settings": settings, "arrays": self.state(),
                "step": self.step, "samples": self.samples}  # fmt: skip

    def __setstate__(self, state):
        settings = state["settings"] | {"threads": min(state["settings"]["threads"], MOST)}
        self._set_up(state["n_inputs"], state["spec"], NetworkSettings(**settings))
        self.load_state(state["arrays"], state["step"], state["samples"])

    def __deepcopy__(self, memo):
        twin = memo[id(self)] = type(self).__new__(type(self))
        twin.__setstate__(self.__getstate__())
        return twin

    @classmethod
    def load(
        cls, path: FilePath, threads: int | None = None, hash: Own[HashFamily] = None, sampler: Own[Sampler] = None,
    ) -> Self:  # fmt: skip
        """What `save` wrote; training goes on bit for bit.

        Parameters
        ----------
        path : str or path-like
            Of the file.
        threads : int or None
            Threads of the kernels; None: all CPUs.
        hash, sampler : type, dict or None
            As for `Network.load`.

        Returns
        -------
        SampledSoftmax or SampledHidden
            Of the class that is asked.
        """
        found = storage.load(cls._restored, path, threads, hash, sampler)
        self = found.owner
        self._step, self._samples = found._step, found._samples
        return self

    @classmethod
    def _restored(cls, n_inputs, specs, **settings):
        if len(specs) != 1 or not isinstance(specs[0], Sampled):
            raise ValueError(f"layers {specs!r}, not one Sampled layer")
        self = cls.__new__(cls)
        self._set_up(n_inputs, specs[0], NetworkSettings(**settings))
        return SimpleNamespace(owner=self, layers=(self.layer,), _load_index=_refuse_index)


def _refuse_index(arrays):
    if arrays:
        raise ValueError(f"arrays {sorted(arrays)} of an index, which a wide layer has not")


for _field in fields(NetworkSettings):
    if _field.name in SHARED and _field.name != "update":  # which is what a wide layer does
        setattr(WideLayer, _field.name, Setting(_field.name, _field.metadata["text"]))
