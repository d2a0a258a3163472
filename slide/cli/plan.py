"""What a training is to be: its settings, given, tuned or by the rule of thumb, and its length."""

from dataclasses import asdict, dataclass

from slide.cli.arguments import FIELDS, given_settings
from slide.cli.resuming import Run, summary
from slide.defaults import make_network, recommended, refuse_unused
from slide.distributed import launch
from slide.network import Network
from slide.prediction.mixing import Mixing
from slide.tuning import tune
from slide.tuning.search import BUDGET, MONITOR

OTHERS = ("hidden", "optimizer", "epochs")  # settings of a training that are no fields
NEUTRAL = {"seed", "threads", "huge_pages"}  # settings that leave open what tuning chooses


@dataclass
class Plan:
    """Complete settings, the batch that training ends after, what to say, and what a model file keeps of it."""

    settings: dict
    end: int
    run: Run
    said: list

    def make(self, shape: tuple[int, int], number: int) -> Network:
        """The network of that number: networks differ by their seeds."""
        seed = self.settings.get("seed", 0) + number
        n_features, n_labels = shape
        return make_network(n_features, n_labels, self.end, {**self.settings, "seed": seed}, launch.world())


def given_to(options) -> dict:
    return given_settings(options, (*FIELDS, *OTHERS))


def is_tuned(options, given) -> bool:
    """Whether held-out rows are to choose: where that is asked, or where nothing is said of how to train."""
    others = (options.steps, options.grow, options.validation)
    if options.tune is None and launch.world().size > 1:
        return False
    if options.tune is None:
        return not given.keys() - NEUTRAL and all(x is None for x in others)
    names = ("--steps", "--grow", "--validation")
    for name, value in [*zip(names, others, strict=True), ("--epochs", given.get("epochs"))]:
        if options.tune and value is not None:
            raise ValueError(f"{name}: found {value} with --tune, which holds rows out and chooses the length itself")
    return options.tune


def make_plan(options, X, Y, output) -> Plan:
    """Of a training that begins. Tuning says what it tries as it goes."""
    given = given_to(options)
    tuned = is_tuned(options, given)
    if not tuned and options.tune_budget is not None:
        found = f"found {options.tune_budget} without tuning, where it has no effect"
        raise ValueError(f"--tune-budget: {found}; it belongs with --tune")
    plan = _tuned(options, given, X, Y, output) if tuned else _by_rule(options, given, X, Y)
    plan.run.networks = options.networks or 1
    return plan


def _by_rule(options, given, X, Y):
    n_rows, n_labels = Y.shape
    chosen = {**recommended(n_rows, n_labels, given, Y.nnz / max(n_rows, 1)), **given}
    refuse_unused(given, chosen)
    end = options.steps or chosen["epochs"] * -(-n_rows // chosen["batch_size"])
    run = Run(chosen, summary(X, Y), None if options.steps else chosen["epochs"], options.steps, options.grow)
    if options.grow_at is not None:
        run.grow_at = options.grow_at
    if options.neighbours:
        mixing = asdict(Mixing(k=options.neighbours))
        run.mixings = {"hidden": mixing, "input": mixing}
    return Plan(chosen, end, run, [])


def _tuned(options, given, X, Y, output):
    cache = f"{options.save}.tuning.jsonl" if options.save else None
    budget = BUDGET if options.tune_budget is None else options.tune_budget
    output.say("tuning: settings race on a part of the training rows, the others choose")
    found = tune(
        X, Y, given, budget=budget, neighbours=options.neighbours, seed=given.get("seed", 0), cache=cache,
        monitor=options.monitor or MONITOR, mask_seen=options.mask_seen, report=output.say,
    )  # fmt: skip
    output.log(event="tuning", records=found.records, scores=found.scores, rows=found.rows, cost=found.cost,
               why=found.why)  # fmt: skip
    settings = {name: value for name, value in found.settings.items() if name != "epochs"}
    run = Run(settings, summary(X, Y), steps=found.steps, scores=found.scores or None)
    if found.grow != 1:
        run.grow = found.grow
    run.mixings = {name: asdict(mixing) for name, mixing in found.mixings.items()}
    said = []
    if found.rows:
        scores = " ".join(f"{name} {found.scores[name]:.4f}" for name in ("P@1", "P@3", "P@5"))
        said.append(f"tuned on {found.rows:,} held-out rows: {scores}; trials cost {found.cost:.2f} trainings; "
                    f"now all {X.shape[0]:,} rows are trained on")  # fmt: skip
    return Plan(settings, found.steps, run, said)
