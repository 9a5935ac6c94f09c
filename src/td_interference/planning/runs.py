"""What runs of every kind have in common, so that nobody need ask which kind one is of.

To add a kind: a frozen record with what `Run` names, in its own module, which the plan expands.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from td_interference.planning.control import ControlSettings
from td_interference.planning.grid import RunSpec
from td_interference.planning.needs import Needs
from td_interference.storage.identity import Described, Identity

if TYPE_CHECKING:
    from td_interference.planning.lineage import Lineage


class Run(Described, Protocol):
    """One run: a frozen description of everything that may change its result.

    Its `run_id` is no other run's of the plan.
    """

    kind: ClassVar[str]  # the block of the configuration that it is of

    def __hash__(self) -> int:
        """Return a number that equal runs share: what is made of a run is kept by it."""
        ...

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """Update steps after which its state is kept; none where it is measured as it goes."""
        ...

    @property
    def measured_as(self) -> RunSpec | None:
        """The training from D* as which its checkpoints are measured; None where it has none."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """What tables call it, beside what its identity says."""
        ...

    def identity(self, lineage: "Lineage") -> Identity:
        """Return the identity of its checkpoints; where it has none, of its measurement."""
        ...

    def products(self, config: Mapping[str, Any]) -> list[str]:
        """Return what a measurement of it comes from, below the scale's directory, oldest first."""
        ...

    def needs(self, config: Mapping[str, Any]) -> Needs:
        """Return what its job asks of a cluster, by the complete configuration."""
        ...


Trained = RunSpec | ControlSettings  # the kinds that leave checkpoints


def run_of(identity: Identity, own_objectives: Sequence[str] = ()) -> Trained:
    """Return the run that an identity of `identity.of_run` or `identity.of_control` describes.

    Args:
        identity: Of the run, or of what was measured of it.
        own_objectives: Files of the user's own objectives; an identity holds their content alone.

    Raises:
        KeyError, TypeError: If it describes none.
    """
    if "control" in identity:
        return ControlSettings.from_dict(identity["control"])
    run = RunSpec.from_dict(identity["run"])
    files = [file for file in own_objectives if PurePath(file).stem == run.objective]
    return dataclasses.replace(run, objective_file=files[0]) if files else run
