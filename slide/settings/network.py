"""Settings of a network beside those of its layers, and which of all of them do not go together."""

from dataclasses import dataclass, fields

from slide.index import RehashSchedule
from slide.layers.settings import Dense, Place, Sampled
from slide.layers.weights import UPDATES
from slide.machine.threads import check_threads
from slide.optim import OPTIMIZERS, SGD, Adam, Schedule
from slide.settings.checks import Choice, Flag, Instance, Integer, Number
from slide.settings.fields import Need, Settings, documented, refuse_unused, setting

TRAINING = "training"  # the group of these settings

HAS_SETS = Need(
    "with a Sampled layer whose sampler leaves neurons out", lambda specs: any(not x.dense for x in specs), "network"
)
HAS_ROWS = Need(
    "with a Sampled layer, or a Dense one below others",
    lambda specs: len(specs) > 1 or not specs[0].dense, "network",
)  # fmt: skip
HAS_HIDDEN = Need("with a hidden layer", lambda specs: len(specs) > 1, "network")


class Threads(Integer):
    def check(self, name, value):
        return check_threads(value)


@documented()
@dataclass(frozen=True, repr=False)
class NetworkSettings(Settings):
    """Settings of a network beside those of its layers.

    Parameters
    ----------
    {settings}
    """

    optimizer: Adam | SGD = setting(
        Adam, Instance(tuple(OPTIMIZERS.values())), "how weights follow gradients", option=None
    )
    schedule: Schedule = setting(Schedule, Instance((Schedule,)), "factor on the learning rate", option=None)
    batch_size: int = setting(256, Integer(), "samples between two updates", group=TRAINING)
    group_size: int = setting(
        16, Integer(1, 2**20), "consecutive samples of a batch that share an active set, at most", needs=(HAS_SETS,),
        group=TRAINING,
        more="1 is the paper's. A batch makes as few groups as it can, of even size.",
    )  # fmt: skip
    update: str = setting(
        "rows", Choice(UPDATES), "who writes a row of weights", needs=(HAS_ROWS,), group=TRAINING,
        more="'rows': one owner per row, bit for bit the same on any number of threads. 'hogwild': the paper's "
        "unsynchronised accumulation of gradients.",
    )  # fmt: skip
    dropout: float = setting(
        0.0, Number("[0, 1)"), "share of the last hidden layer's activations set to zero in training, the others "
        "scaled up", needs=(HAS_HIDDEN,), group=TRAINING,
    )  # fmt: skip
    normalize: bool = setting(True, Flag(), "whether rows of X are scaled to unit Euclidean norm first", group=TRAINING)
    seed: int = setting(0, Integer(0), "of everything random", group=TRAINING)
    threads: int | None = setting(
        None, Threads(optional=True), "threads of the kernels", none="all CPUs", group=TRAINING
    )
    huge_pages: bool = setting(True, Flag(), "whether weights and moments ask for huge pages", group=TRAINING)


def check_names(settings) -> None:
    """TypeError where a keyword is no setting of a network, saying whose it is."""
    for name in settings.keys() - {f.name for f in fields(NetworkSettings)}:
        others = (Dense, Sampled, RehashSchedule, Schedule, *OPTIMIZERS.values())
        owners = [cls.__name__ for cls in others if name in {f.name for f in fields(cls)}]
        belongs = f"it belongs to {' and '.join(owners)}" if owners else "it is no setting"
        raise TypeError(f"{name}: found among the settings of Network; {belongs}")


def check_layers(layers) -> tuple:
    """The layers of a network as a tuple; ValueError where they are not a non-empty list of Dense and Sampled."""
    if not isinstance(layers, list | tuple) or not layers or not all(isinstance(x, Dense | Sampled) for x in layers):
        raise ValueError(f"layers: found {layers!r}, expected a non-empty list of Dense and Sampled")
    return tuple(layers)


def check_together(settings: NetworkSettings, specs: tuple) -> None:
    """ValueError where a setting of a network or of one of its layers has no effect there, or cannot be."""
    refuse_unused(settings, "Network", specs)
    for i, spec in enumerate(specs):
        refuse_unused(spec, f"layers[{i}], {spec!r}", Place(i == len(specs) - 1, settings.optimizer))
        if getattr(spec, "weight_type", "float32") == "float32":
            continue
        if i == 0 or not specs[i - 1].dense:
            raise ValueError(
                f"weight_type: found {spec.weight_type!r} in layers[{i}], whose inputs are sparse, expected 'float32'"
            )
        if settings.update != "rows":
            raise ValueError(
                f"update: found {settings.update!r}, expected 'rows', for weights that are {spec.weight_type!r}"
            )
