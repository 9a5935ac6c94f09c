"""The grid: which runs an experiment consists of, each a frozen description of itself."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar, Self

from td_interference.errors import UserError
from td_interference.planning.digits import digits
from td_interference.planning.layout import Result
from td_interference.planning.needs import Needs, run_needs
from td_interference.planning.objectives import known, takes_lambda
from td_interference.planning.replay import Environment
from td_interference.planning.settings import Record, check, of_record, same, setting
from td_interference.storage.identity import Identity, of_run

if TYPE_CHECKING:
    from td_interference.planning.lineage import Lineage


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSpec(Record):
    """One training run from D*: everything that may change its result, and nothing else."""

    kind: ClassVar[str] = "training"
    labels: ClassVar[Mapping[str, str]] = {}

    game: str  # name of the ROM, e.g. "ms_pacman"
    objective: str  # name of a file of objectives/, or of `objective_file`
    lambda_: float | None  # weight of the longer returns, for TD(λ) alone
    loss: str = setting(
        "capped",
        "capped (the smaller of abs(d) and d squared) or squared",
        "code; paper squared",
        enum=["capped", "squared"],
    )
    gamma: float = same(Environment, "gamma", "environment")
    hidden: int  # n_h: channels of the first convolution
    optimizer: str  # name in optimizers.OPTIMIZERS
    learning_rate: float
    weight_decay: float = setting(1e-4, "L2 coefficient", "paper", minimum=0)
    momentum: float = setting(
        0.9, "beta of momentum SGD, in [0, 1)", "paper; code 0.99", minimum=0, exclusiveMaximum=1
    )
    minibatch: int = setting(32, "transitions per update", "paper", minimum=1)
    updates: int = setting(500_000, "updates from D*", "paper", minimum=1)
    frozen_period: int = setting(
        10_000, "updates between two copies to the frozen network", "paper", minimum=1
    )
    tau: float = setting(
        0.01,
        "share of the network in a moving-average target per update, in (0, 1]",
        "ours",
        exclusiveMinimum=0,
        maximum=1,
    )
    checkpoints: tuple[int, ...]  # update steps after which the state is kept
    seed: int  # index of the repetition, from 0; names the D* file too
    objective_file: str | None = None  # where an objective of the user's own is defined

    def __post_init__(self) -> None:
        """Check each setting, and what joins several keys and so does not fit a schema.

        Raises:
            UserError: Names the key at fault.
        """
        check(self, "training")
        bootstraps_by_lambda = takes_lambda(self.objective)
        if bootstraps_by_lambda != (self.lambda_ is not None):
            state = "needs" if bootstraps_by_lambda else "takes no"
            raise UserError(f"config key 'lambdas': the objective {self.objective} {state} lambda")
        if self.lambda_ is not None and not 0 <= self.lambda_ <= 1:
            raise UserError(f"config key 'lambdas': {self.lambda_:g} is outside [0, 1]")
        late = [step for step in self.checkpoints if step > self.updates]
        if late:
            raise UserError(
                f"config key 'checkpoints': {late[0]} is after the last of {self.updates} updates"
            )
        if list(self.checkpoints) != sorted(set(self.checkpoints)):
            raise UserError(
                "config key 'checkpoints': the steps must be in ascending order, each once"
            )

    @property
    def run_id(self) -> str:
        """Name of the run in paths: fields joined by '-'; looked up, never parsed."""
        lambda_ = "" if self.lambda_ is None else digits(self.lambda_)
        return (
            f"{self.game}-{self.objective}{lambda_}-{self.optimizer}"
            f"-lr{digits(self.learning_rate)}-h{self.hidden}-seed{self.seed}"
        )

    @property
    def random_stream(self) -> str:
        """Name of the run's random streams.

        Runs of one game, width and seed share their initial weights and minibatches, so that
        what differs between two objectives is the objective (common random numbers).
        """
        return f"{self.game}-h{self.hidden}-seed{self.seed}"

    @property
    def measured_as(self) -> Self:
        """What measuring its checkpoints needs to know: itself."""
        return self

    @property
    def play(self) -> str:
        """Where the transitions lie that it is trained and measured on: D* of its game and seed."""
        return Result.REPLAY.format(game=self.game, seed=self.seed)

    def transitions(self, config: Mapping[str, Any]) -> int:
        """Return how many transitions that are, about."""
        return config["replay"]["transitions"]

    def identity(self, lineage: "Lineage") -> Identity:
        """Return the identity of its checkpoints."""
        played = lineage.replay(self.game, self.seed)
        return of_run(self, played["replay"], played["expert"])

    def products(self, _: Mapping[str, Any]) -> list[str]:
        """Return what a measurement of it comes from."""
        expert = Result.EXPERT.format(game=self.game)
        return [expert, self.play, Result.CHECKPOINTS.format(run_id=self.run_id)]

    def needs(self, config: Mapping[str, Any]) -> Needs:
        """Return what training it asks of a cluster."""
        return run_needs(self, self.transitions(config), config["device"])


# The key of each axis of a grid of runs, and the field that its values are of.
AXES = {
    "games": "game",
    "optimizers": "optimizer",
    "learning_rates": "learning_rate",
    "hidden": "hidden",
    "n_seeds": "seed",
}


def product(block: Mapping[str, Any], axes: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the fields of each place in a grid, the product of some lists, the last one fastest.

    Args:
        block: Of the configuration; where an axis is a number, it has as many repetitions.
        axes: The keys of the lists, and the field that the values of each are of.
    """
    lists = [range(block[key]) if type(block[key]) is int else block[key] for key in axes]
    shared = {key: value for key, value in block.items() if key not in axes}
    for place in itertools.product(*lists):
        yield shared | dict(zip(axes.values(), place, strict=True))


def q_learning_of(control: Mapping[str, Any], updates: int) -> RunSpec:
    """Return the run as which one with these settings of control is measured: as if from a window.

    The random streams are those of policy evaluation: what is drawn to be measured is drawn alike
    in both.
    """
    shared = {name: control[name] for name in RunSpec.__dataclass_fields__ if name in control}
    # There is no moving average, and so no share of it.
    own = {"objective": "q_learning", "lambda_": None, "tau": 1.0, "updates": updates}
    return RunSpec.from_dict({**shared, **own})


def expand_grid(config: Mapping[str, Any], experiment: str) -> list[RunSpec]:
    """Return the runs of one experiment: the product of its axes, in the order of the config.

    An experiment that compares objectives (lists several) compares the user's own ones as well.

    Raises:
        UserError: If a combination of keys makes no sense.
    """
    block = {**config["training"], **config["experiments"][experiment]}
    lambdas = block.get("lambdas", [])
    if lambdas and not any(map(takes_lambda, block["objectives"])):
        takers = ", ".join(filter(takes_lambda, known()))
        raise UserError(
            f"config key 'experiments.{experiment}.lambdas': only the objective {takers} takes them"
        )
    targets = [
        {"objective": objective, "lambda_": lambda_}
        for objective in block["objectives"]
        for lambda_ in (lambdas if takes_lambda(objective) and lambdas else [None])
    ]
    if len(block["objectives"]) > 1:
        for file in config.get("own_objectives", []):
            own = {"objective": PurePath(file).stem, "lambda_": None, "objective_file": file}
            targets.append(own)
    grid = {name: block[name] for name in ("checkpoints", *of_record(RunSpec), *AXES)}
    grid |= {"targets": targets, "gamma": config["environment"]["gamma"]}
    places = product(grid, {"games": "game", "targets": "target", **AXES})
    try:
        return [RunSpec.from_dict({**place.pop("target"), **place}) for place in places]
    except UserError as error:
        raise UserError(
            str(error).replace("config key '", f"config key 'experiments.{experiment}.")
        ) from None


def expand_experiments(config: Mapping[str, Any]) -> dict[str, list[RunSpec]]:
    """Return the runs of each experiment that is not left out, by its name.

    A run that several experiments want is trained once, and keeps the checkpoints of all of them.

    Raises:
        UserError: If two experiments describe the same run id differently.
    """
    blocks = config["experiments"].items()
    grids = {name: expand_grid(config, name) for name, block in blocks if block is not None}
    runs: dict[str, RunSpec] = {}
    for experiment, grid in grids.items():
        for run in grid:
            known = runs.get(run.run_id, run)
            checkpoints = tuple(sorted({*known.checkpoints, *run.checkpoints}))
            runs[run.run_id] = dataclasses.replace(known, checkpoints=checkpoints)
            if dataclasses.replace(run, checkpoints=checkpoints) != runs[run.run_id]:
                raise UserError(
                    f"config key 'experiments.{experiment}': the run {run.run_id} stands in "
                    "another experiment with other settings; make their settings equal"
                )
    return {name: [runs[run.run_id] for run in grid] for name, grid in grids.items()}
