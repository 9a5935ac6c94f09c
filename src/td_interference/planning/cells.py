"""The cells of the generalization grid (paper, B.1)."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import MISSING
from functools import partial
from typing import Any, Self

from td_interference.errors import UserError
from td_interference.planning import learners
from td_interference.planning.digits import digits
from td_interference.planning.settings import Record, check, require, setting

AXES = ("hidden", "extra_layers", "n_train")  # of the grid, beside seeds


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellSpec(Record):
    """One cell of the grid, a run for each seed: everything that may change their results.

    Of an agent the training images are the first n_T.
    """

    dataset: str
    task: str  # name of a learner, a file of generalization/
    hidden: int = setting(MISSING, "width n_h", minimum=1)
    extra_layers: int = setting(MISSING, "layers", minimum=0)
    # The first so many are all that is learned from.
    n_train: int = setting(MISSING, "training samples or images", minimum=2)
    learning_rate: float = setting(MISSING, "of Adam", exclusiveMinimum=0)
    # Drawn uniformly with replacement.
    minibatch: int = setting(
        MISSING,
        "samples per update; of REINFORCE, agent steps at least, in whole episodes",
        minimum=1,
    )
    # The last one is at the end.
    measure_every: int = setting(
        MISSING,
        "updates or agent steps between two measurements; divides the length of training",
        minimum=1,
    )
    # At most; one sample makes no pair.
    samples: int = setting(
        MISSING, "samples of each split whose gradients are measured; of agents states", minimum=2
    )
    evaluation_samples: int = setting(
        MISSING,
        "samples of each split that performance is measured on; of agents images",
        minimum=2,
    )
    seeds: tuple[int, ...]  # indices of the repetitions, from 0
    updates: int | None = setting(
        None, "length of training, of learners that play nothing", type="integer", minimum=1
    )
    agent_steps: int | None = setting(
        None, "length of training, of agents", type="integer", minimum=1
    )
    agent: Any = None  # `learners.settings_record` of an agent; None for any other learner

    def __post_init__(self) -> None:
        """Check each key, and what joins several.

        Raises:
            UserError: Names the key at fault.
        """
        known = learners.known()
        demand = partial(require, self, "generalization")
        demand(self.task in known, "task", f"is not one of {', '.join(known)}")
        check(self, "generalization")
        counted, other = self._counted
        demand(
            getattr(self, other) is None,
            other,
            f"is not what the training of {self.task} is counted in; write '{counted}'",
        )
        if getattr(self, counted) is None:
            raise UserError(f"config key 'generalization.{counted}' is missing")
        demand(
            self.duration % self.measure_every == 0,
            "measure_every",
            f"must divide the {self.duration} {counted}, so that the trained network is measured",
        )
        demand(
            self.evaluation_samples >= self.samples,
            "evaluation_samples",
            f"must be at least the {self.samples} 'samples', which are among them",
        )
        demand(
            bool(self.seeds) and self.seeds[0] >= 0 and list(self.seeds) == sorted(set(self.seeds)),
            "seeds",
            "must be numbers from 0 on, in ascending order",
        )
        kind = learners.settings_record(self.task)
        demand(
            type(self.agent) is kind,
            "agent",
            f"does not fit the task {self.task}, which takes {kind.__name__}",
        )
        learners.check_rules(self)

    @property
    def _counted(self) -> tuple[str, str]:
        """The field that the length of training is in, and the one that it is not."""
        acts = learners.known()[self.task].acts
        return ("agent_steps", "updates") if acts else ("updates", "agent_steps")

    @property
    def duration(self) -> int:
        """Length of training: updates, or of an agent agent steps."""
        return getattr(self, self._counted[0])

    @property
    def group_id(self) -> str:
        """Name of the cells that differ in n_T and seeds alone: their runs can train together."""
        return (
            f"{self.dataset}-{self.task}-lr{digits(self.learning_rate)}"
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

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return the cell with these fields, see `Record`.

        Raises:
            UserError: If a value makes no sense, or the agent's are not those of its task.
        """
        agent = fields.get("agent")
        if agent is not None:
            card = learners.known().get(fields["task"])
            unknown = sorted(set(agent) - set(card.settings if card else ()))
            if card is None or not card.acts or unknown:
                raise UserError(
                    f"config key 'generalization.agent': {fields['task']} has no such "
                    f"settings ({', '.join(unknown)}); leave them out"
                )
            agent = learners.settings_record(fields["task"])(**agent)
        return super().from_dict({**fields, "agent": agent})


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
