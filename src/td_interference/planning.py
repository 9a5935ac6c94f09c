"""The plan: the whole configuration and the descriptions of all jobs. Imported by the Snakefile."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from td_interference import config as configuration
from td_interference.agents.settings import ExpertSettings
from td_interference.environments.roms import check_game
from td_interference.grid import RunSpec, all_runs, expand_grid, replay_spec


class Plan(NamedTuple):
    """What is to be computed at one scale."""

    config: configuration.Config  # complete and valid
    runs: dict[str, RunSpec]  # every training run, by run_id

    @property
    def scale(self) -> str:
        """Name of the scale."""
        return self.config["scale"]

    @property
    def games(self) -> list[str]:
        """Every game that some run plays."""
        return sorted({run.game for run in self.runs.values()})

    def experiment_runs(self, experiment: str) -> list[RunSpec]:
        """Return the runs of one experiment."""
        return list(expand_grid(self.config, experiment))

    def expert(self, game: str) -> dict[str, Any]:
        """Return the fields of a game's `ExpertSettings`."""
        environment = self.config["environment"]
        settings = ExpertSettings(
            game=game,
            gamma=float(environment["gamma"]),
            max_frames_per_episode=environment["max_frames_per_episode"],
            evaluation_repeat_action_probability=float(environment["repeat_action_probability"]),
            **self.config["expert"],
        )
        return dataclasses.asdict(settings)

    def replay(self, game: str, seed: int) -> dict[str, Any]:
        """Return the fields of the `ReplaySpec` of a game and seed."""
        return dataclasses.asdict(replay_spec(self.config, game, seed))


def make_plan(user: Mapping[str, Any], workflow_directory: Path | str) -> Plan:
    """Return the plan for what the user set.

    Args:
        user: The user's configuration, to be put over that of its scale.
        workflow_directory: The directory that holds `scales/` and `schemas/`.

    Raises:
        UserError: If the configuration is wrong.
    """
    config = configuration.complete(user, workflow_directory)
    plan = Plan(config, all_runs(config))
    for game in plan.games:
        check_game(game)
        plan.expert(game)  # checks what joins several of the expert's keys
    return plan
