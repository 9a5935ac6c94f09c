"""Studies of networks that have learned nothing: each a frozen description of itself.

Standard library only: the Snakefile imports this at every dry run.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Self

from td_interference.errors import UserError

NETWORKS = ("mlp", "smooth_mlp", "value", "q")
NORMALS = ("delta", "target")

# Two networks, since intervals resample networks; two samples, since a pair takes two.
_AT_LEAST = {"hidden": 1, "networks": 2, "samples": 2, "seed": 0, "checked_samples": 2}


@dataclasses.dataclass(frozen=True)
class Study:
    """Which random networks are drawn, and what is measured of them.

    The paper (section 6) gives neither network nor sizes, so all of them are choices of ours.

    Attributes:
        network: "mlp" or "smooth_mlp" (two hidden layers, leaky ReLU or tanh), "value" or "q" (the
            paper's Atari networks).
        hidden: Units of each of an MLP's two hidden layers; n_h of the Atari networks.
        normal: What is standard normal beside the inputs. "delta": δ itself. "target": y, and
            δ = f - y.
        networks: How many are drawn, at least 2.
        samples: Inputs per network, at least 2; ρ' is taken of all ordered pairs of two of them.
        seed: Index of the repetition; drives weights, inputs, errors and actions.
        step_sizes: Learning rates α, ascending, of the steps that eq. 36 is compared with.
        checked_networks: For how many of the networks it is, the first ones; at least 2.
        checked_samples: With how many samples of each, at least 2.
    """

    network: str = "mlp"
    hidden: int = 32
    normal: str = "delta"
    networks: int = 200
    samples: int = 16
    seed: int = 0
    step_sizes: tuple[float, ...] = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3)
    checked_networks: int = 8
    checked_samples: int = 4

    def __post_init__(self) -> None:
        """Check each key, and what joins several.

        Raises:
            UserError: Names the key at fault.
        """
        for name, known in (("network", NETWORKS), ("normal", NORMALS)):
            chosen = getattr(self, name)
            self._require(chosen in known, name, f"is not one of {', '.join(known)}")
        for name, least in _AT_LEAST.items():
            self._require(getattr(self, name) >= least, name, f"must be at least {least}")
        self._require(
            2 <= self.checked_networks <= self.networks,
            "checked_networks",
            f"must be at least 2 and at most the {self.networks} networks of the study",
        )
        self._require(
            bool(self.step_sizes)
            and list(self.step_sizes) == sorted(set(self.step_sizes))
            and self.step_sizes[0] > 0
            and self.step_sizes[-1] < math.inf,
            "step_sizes",
            "must be numbers above 0 in ascending order",
        )

    def _require(self, holds: bool, name: str, otherwise: str) -> None:
        if not holds:
            raise UserError(
                f"config key 'random_networks': {name} {getattr(self, name)!r} {otherwise}"
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

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, for Snakemake's params and for file attributes."""
        return {**dataclasses.asdict(self), "step_sizes": list(self.step_sizes)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return the study whose `to_dict` is `fields`."""
        steps = tuple(float(step) for step in fields["step_sizes"])
        return cls(**{**fields, "step_sizes": steps})


def expand_studies(block: Mapping[str, Any]) -> dict[str, Study]:
    """Return the studies of a configuration by their ids, in its order.

    Args:
        block: Its key random_networks: "studies", a list of the fields in which they differ, and
            beside it the fields that they share.

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
