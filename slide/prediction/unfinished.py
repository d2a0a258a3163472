"""A checkpoint of training on held-out rows: beside the networks the best one so far, and what was measured."""

from dataclasses import dataclass

from slide.activations import alone
from slide.network import Network
from slide.prediction.ensemble import Ensemble
from slide.state import storage
from slide.state.part import prefixed


@dataclass
class Unfinished:
    """Networks of which one is being trained, with validation.

    networks  as training left them
    number    of the one that is trained
    progress  see `slide.validation.Watch.progress`
    best      that network at its best evaluation; None where it is the same, or where there was none
    """

    networks: list[Network]
    number: int
    progress: dict
    best: Network | None

    def chosen(self) -> Network | Ensemble:
        """The model that it would be if training ended now."""
        networks = list(self.networks)
        if self.best is not None:
            networks[self.number] = self.best
        return networks[0] if len(networks) == 1 else Ensemble(networks)

    def save(self, path, run: dict | None = None) -> None:
        """As `Network.save`: `slide.load` gives `chosen`, and `slide train --resume` goes on."""
        networks = [*self.networks, *([self.best] if self.best is not None else [])]
        alone(networks, "save", storage.save, path, self.content, run)

    def content(self, run=None) -> dict:
        header = storage.make_header(kind="unfinished", networks=len(self.networks), number=self.number,
                                     progress=self.progress, run=run)  # fmt: skip
        named = {f"networks.{i}.": network for i, network in enumerate(self.networks)}
        if self.best is not None:
            named["best."] = self.best
        parts = [prefixed(prefix, storage.content(network)) for prefix, network in named.items()]
        return {"header": header, **{name: array for part in parts for name, array in part.items()}}
