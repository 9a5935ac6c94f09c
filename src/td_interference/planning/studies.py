"""Studies of networks that have learned nothing: each a frozen description of itself."""

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from td_interference.errors import UserError
from td_interference.planning.needs import Needs, study_needs
from td_interference.planning.settings import Record, check, require, setting
from td_interference.storage.identity import Identity, of_study

if TYPE_CHECKING:
    from td_interference.planning.lineage import Lineage


@dataclasses.dataclass(frozen=True)
class Study(Record):
    """Which random networks are drawn, and what is measured of them.

    The paper (section 6) gives neither network nor sizes, so all of them are choices of ours.
    """

    kind: ClassVar[str] = "random_networks"
    checkpoints: ClassVar[tuple[int, ...]] = ()
    measured_as: ClassVar[None] = None
    labels: ClassVar[Mapping[str, str]] = {}

    network: str = setting(
        "mlp",
        "mlp, smooth_mlp (tanh), both of two hidden layers, or the paper's Atari networks value "
        "and q",
        enum=["mlp", "smooth_mlp", "value", "q"],
    )
    hidden: int = setting(
        32, "units of the hidden layers of an MLP; n_h of the Atari networks", minimum=1
    )
    normal: str = setting(
        "delta",
        "what is standard normal beside the inputs: delta (the error) or target (y, where the "
        "error is f - y)",
        enum=["delta", "target"],
    )
    # Two networks, since intervals resample networks; two samples, since a pair takes two.
    networks: int = setting(200, "random networks", minimum=2)
    samples: int = setting(
        16, "inputs per network, of which all ordered pairs are taken", minimum=2
    )
    seed: int = setting(
        0, "index of the repetition, from which all random numbers follow", minimum=0
    )
    step_sizes: tuple[float, ...] = setting(
        (1e-7, 1e-6, 1e-5, 1e-4, 1e-3),
        "learning rates, ascending, of the real steps that eq. 36 is compared with",
        type="array",
        minItems=1,
        items={"type": "number", "exclusiveMinimum": 0, "description": "learning rate"},
    )
    checked_networks: int = setting(8, "first networks, on which it is compared", minimum=2)
    checked_samples: int = setting(4, "samples of each of them", minimum=2)

    def __post_init__(self) -> None:
        """Check each key, and what joins several.

        Raises:
            UserError: Names the key at fault.
        """
        check(self, "random_networks")
        demand = partial(require, self, "random_networks")
        demand(
            self.checked_networks <= self.networks,
            "checked_networks",
            f"must be at most the {self.networks} networks of the study",
        )
        demand(
            bool(self.step_sizes)
            and list(self.step_sizes) == sorted(set(self.step_sizes))
            and self.step_sizes[0] > 0
            and self.step_sizes[-1] < math.inf,
            "step_sizes",
            "must be numbers above 0 in ascending order",
        )

    @property
    def run_id(self) -> str:
        """Name of the study in paths: fields joined by '-'; looked up, never parsed."""
        return f"{self.network}-h{self.hidden}-{self.normal}-seed{self.seed}"

    def stream(self, number: int) -> str:
        """Name what the random streams of one of the networks are derived from; see `seeds`.

        It depends on the seed and the network's number alone: studies that differ in another
        setting share what they can, and a network is the same for any number of them.
        """
        return f"random_networks-seed{self.seed}-{number}"

    def identity(self, lineage: "Lineage") -> Identity:
        """Return the identity of what is measured."""
        return of_study(self, lineage.study_code())

    def products(self, _: Mapping[str, Any]) -> list[str]:
        """Return what that comes from: nothing."""
        return []

    def needs(self, _: Mapping[str, Any]) -> Needs:
        """Return what measuring asks of a cluster."""
        return study_needs(self)


def expand_studies(block: Mapping[str, Any]) -> dict[str, Study]:
    """Return the studies of the block `random_networks` by their ids, in its order.

    Its key `studies` has the fields in which they differ; those beside it they share.

    Raises:
        UserError: If a study makes no sense, or stands there twice.
    """
    shared = {name: value for name, value in block.items() if name != "studies"}
    studies: dict[str, Study] = {}
    for fields in block["studies"]:
        study = Study.from_dict({**shared, **fields})
        if study.run_id in studies:
            raise UserError(
                f"config key 'random_networks.studies': {study.run_id} stands there twice; leave "
                "one of the two, or give them different seeds"
            )
        studies[study.run_id] = study
    return studies
