"""The cells of the generalization grid (paper, B.1).

Standard library only: the Snakefile imports this at every dry run.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from td_interference.errors import UserError
from td_interference.planning.digits import digits
from td_interference.planning.image_agents import AGENT_SETTINGS, AgentSettings, DoubleDQNSettings

Experiment = Literal["classification", "regression", "double_dqn", "reinforce"]
EXPERIMENTS: tuple[Experiment, ...] = ("classification", "regression", "double_dqn", "reinforce")

_LEAST = {
    "hidden": 1,
    "extra_layers": 0,
    "n_train": 2,
    "minibatch": 1,
    "steps": 1,
    "measure_every": 1,
    "samples": 2,  # one sample makes no pair
}


@dataclasses.dataclass(frozen=True)
class CellSpec:
    """One cell of the grid, a run for each seed: everything that may change their results.

    The steps of classifiers and regressions are updates, those of agents agent steps, and of an
    agent the training images are the first n_T.
    """

    dataset: str
    experiment: Experiment
    hidden: int  # n_h: width of the network
    extra_layers: int  # n_L
    n_train: int  # n_T: the first so many training samples are all that is learned from
    learning_rate: float  # of Adam
    # Samples per update, drawn uniformly with replacement; for REINFORCE the agent steps of whole
    # episodes that make an update, at least.
    minibatch: int
    steps: int
    measure_every: int  # steps between two measurements; the last one is after the last step
    samples: int  # of each split whose gradients are measured, at most; for agents, states
    evaluation_samples: int  # of each split that performance is measured on, at most
    seeds: tuple[int, ...]  # indices of the repetitions, from 0
    agent: AgentSettings | None = None  # None for classification and regression

    def __post_init__(self) -> None:
        """Check each key, and what joins several.

        Raises:
            UserError: Names the key at fault.
        """
        self._require(
            self.experiment in EXPERIMENTS, "experiment", f"is not one of {', '.join(EXPERIMENTS)}"
        )
        for name, least in _LEAST.items():
            self._require(getattr(self, name) >= least, name, f"must be at least {least}")
        self._require(0 < self.learning_rate < math.inf, "learning_rate", "must be above 0")
        self._require(
            self.steps % self.measure_every == 0,
            "measure_every",
            f"must divide the {self.steps} steps, so that the trained network is measured",
        )
        self._require(
            self.evaluation_samples >= self.samples,
            "evaluation_samples",
            f"must be at least the {self.samples} 'samples', which are among them",
        )
        self._require(
            bool(self.seeds) and self.seeds[0] >= 0 and list(self.seeds) == sorted(set(self.seeds)),
            "seeds",
            "must be numbers from 0 on, in ascending order",
        )
        kind = AGENT_SETTINGS.get(self.experiment, type(None))
        self._require(
            type(self.agent) is kind,
            "agent",
            f"does not fit the experiment {self.experiment}, which takes {kind.__name__}",
        )
        if isinstance(self.agent, DoubleDQNSettings):
            self._require(
                self.measure_every % self.agent.n_environments == 0,
                "measure_every",
                f"must be a multiple of the {self.agent.n_environments} 'agent.n_environments'",
            )
            # Pairs of different transitions are measured.
            self._require(
                min(self.measure_every, self.agent.replay_capacity) >= 2,
                "measure_every",
                "leaves no two transitions to measure; it and 'agent.replay_capacity' must be at "
                "least 2",
            )
            self._require(
                self.agent.updates_by(self.steps) >= 1,
                "steps",
                f"leave nothing to learn in after the {self.agent.learning_starts} agent steps of "
                "'agent.learning_starts'; raise the one or lower the other",
            )
        if self.experiment == "reinforce":
            self._require(
                self.minibatch <= self.steps,
                "minibatch",
                f"is more than the {self.steps} agent steps ('steps') of the whole training",
            )

    def _require(self, holds: bool, name: str, otherwise: str) -> None:
        if not holds:
            raise UserError(
                f"config key 'generalization.{name}': {getattr(self, name)!r} {otherwise}"
            )

    @property
    def group_id(self) -> str:
        """Name of the cells that differ in n_T and seeds alone: their runs can train together."""
        return (
            f"{self.dataset}-{self.experiment}-lr{digits(self.learning_rate)}"
            f"-h{self.hidden}-l{self.extra_layers}"
        )

    @property
    def cell_id(self) -> str:
        """Name of the cell in paths: fields joined by '-'; looked up, never parsed."""
        return f"{self.group_id}-n{self.n_train}"

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Names of the runs, one for each seed; also of their random streams."""
        return tuple(f"{self.cell_id}-seed{seed}" for seed in self.seeds)

    @property
    def shared(self) -> dict[str, Any]:
        """The fields on which the cells of one group agree."""
        fields = self.to_dict()
        return {name: fields[name] for name in fields if name not in ("n_train", "seeds")}

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, for Snakemake's params and for file attributes."""
        return {**dataclasses.asdict(self), "seeds": list(self.seeds)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return the cell whose `to_dict` is `fields`.

        Raises:
            UserError: If a value makes no sense, or the agent's are not those of its experiment.
        """
        agent = fields.get("agent")
        if agent is not None:
            kind = AGENT_SETTINGS.get(fields["experiment"])
            names = {field.name for field in dataclasses.fields(kind)} if kind else set()
            unknown = sorted(set(agent) - names)
            if kind is None or unknown:
                raise UserError(
                    f"config key 'generalization.agent': {fields['experiment']} has no such "
                    f"settings ({', '.join(unknown)}); leave them out"
                )
            agent = kind(**agent)
        return cls(**{**fields, "seeds": tuple(fields["seeds"]), "agent": agent})


def grouped(cells: Iterable[CellSpec]) -> dict[str, tuple[CellSpec, ...]]:
    """Return the cells that can train together, by their group's id, in the order given.

    Raises:
        UserError: If cells of one id differ in more than n_T and seeds, or one is there twice.
    """
    groups: dict[str, tuple[CellSpec, ...]] = {}
    for cell in cells:
        before = groups.get(cell.group_id, ())
        for other in before:
            if other.shared != cell.shared or other.n_train == cell.n_train:
                raise UserError(
                    f"config key 'generalization': the cell {cell.cell_id} is described twice or "
                    f"unlike {other.cell_id}; make their settings equal"
                )
        groups[cell.group_id] = (*before, cell)
    return groups
