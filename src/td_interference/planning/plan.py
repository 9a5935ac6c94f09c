"""The plan: the whole configuration and the descriptions of all jobs. Imported by the Snakefile."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from td_interference import metrics, objectives, tables
from td_interference.environments.roms import check_game
from td_interference.planning import config as configuration
from td_interference.planning import constraints
from td_interference.planning.control import ControlSettings, control_grid
from td_interference.planning.expert import ExpertSettings
from td_interference.planning.generalization import CellGroup, expand_generalization
from td_interference.planning.grid import RunSpec, expand_experiments
from td_interference.planning.replay import ReplaySpec
from td_interference.planning.studies import Study, expand_studies
from td_interference.tables import Source

# Kinds of runs; all but the first are experiments with keys of their own.
TRAINING, CONTROL = RunSpec.kind, ControlSettings.kind
RANDOM_NETWORKS, GENERALIZATION = Study.kind, CellGroup.kind
OWN_KEYS = (CONTROL, RANDOM_NETWORKS, GENERALIZATION)

# Frozen descriptions of everything that may change a result, whose `run_id` is no other run's.
Run = RunSpec | ControlSettings | Study | CellGroup

# Experiments that figures are of; any other is a user's own.
_OF_FIGURES = frozenset(source.experiment for table in tables.TABLES for source in table.sources)


class Plan(NamedTuple):
    """What is to be computed at one scale."""

    config: configuration.Config  # complete and valid
    runs: dict[str, Run]  # every run of any kind, by run_id
    by_experiment: dict[str, list[Run]]  # the runs of each experiment that is not left out

    @property
    def scale(self) -> str:
        """Name of the scale."""
        return self.config["scale"]

    @property
    def experiments(self) -> list[str]:
        """Every experiment of runs from D* that is not left out."""
        return [name for name in self.by_experiment if name not in OWN_KEYS]

    @property
    def own_experiments(self) -> list[str]:
        """Those of them that are a user's own."""
        return [name for name in self.experiments if name not in _OF_FIGURES]

    @property
    def games(self) -> list[str]:
        """Every game that some run plays."""
        return sorted({run.game for run in self.of_kind(TRAINING, CONTROL).values()})

    def of_kind(self, *kinds: str) -> dict[str, Any]:
        """Return the runs of some kinds, by run_id; which records they are, follows from these."""
        return {run_id: run for run_id, run in self.runs.items() if run.kind in kinds}

    def includes(self, experiment: str) -> bool:
        """Return whether an experiment, as `experiment_runs` takes it, is not left out (null)."""
        return experiment in self.by_experiment

    def key(self, experiment: str) -> str:
        """Return the key of the configuration under which an experiment's block stands."""
        return experiment if experiment in OWN_KEYS else f"experiments.{experiment}"

    def experiment_runs(self, experiment: str) -> list[Run]:
        """Return the runs of one of `experiments` or `OWN_KEYS`, as trained for all of them."""
        return self.by_experiment.get(experiment, [])

    def source_runs(self, source: Source) -> list[Run]:
        """Return the runs whose measurements a table's source is."""
        runs = self.experiment_runs(source.experiment)
        trained = [described for run in runs if (described := run.measured_as)]
        if not trained:  # studies, groups
            return runs
        games = {run.game for run in (trained[:1] if source.first_game else trained)}
        optimizers = source.optimizers or {run.optimizer for run in trained}
        return [
            run
            for run, described in zip(runs, trained, strict=True)
            if described.game in games and described.optimizer in optimizers
        ]

    def measured_runs(self, table: str) -> list[tuple[Run, Source]]:
        """Return each run that a table reduces with the source it is of, in the table's order."""
        sources = tables.entry(table).sources
        return [(run, source) for source in sources for run in self.source_runs(source)]

    def measured_by(self, table: str) -> list[tuple[str, dict[str, Any], int]]:
        """Return each run's metric, that metric's settings, and the number of checkpoints."""
        measured = []
        for run, source in self.measured_runs(table):
            settings = self.config["metrics"].get(source.metric, {})
            last = settings.get("checkpoints") == "last"
            measured.append((source.metric, settings, 1 if last else len(run.checkpoints) or 1))
        return measured

    def checkpoints(self, experiment: str) -> list[int]:
        """Return the update steps that an experiment looks at, ascending; of some kinds none."""
        blocks = self.config if experiment in OWN_KEYS else self.config["experiments"]
        return list(blocks[experiment].get("checkpoints", ()))

    def metric_settings(self, metric: str) -> dict[str, Any]:
        """Return how much a metric looks at; with the game's rules where it plays."""
        rules = metrics.entry(metric).card.environment
        return self.config["metrics"][metric] | {
            rule: self.config["environment"][rule] for rule in rules
        }

    @property
    def keeps_parameters(self) -> bool:
        """Whether the parameters of the generalization experiments' networks are kept."""
        return self.includes(GENERALIZATION) and self.config[GENERALIZATION]["keep_checkpoints"]

    @property
    def datasets(self) -> list[str]:
        """Every data set that some run learns from."""
        return sorted({group.dataset for group in self.of_kind(GENERALIZATION).values()})

    def dataset_settings(self, dataset: str) -> dict[str, Any]:
        """Return the settings of a data set; none for one that is only asked for."""
        return dict(self.config["datasets"].get(dataset, {}))

    def statistics(self, sources: Iterable[Source]) -> dict[str, Any]:
        """Return the settings of the intervals of a table with these sources."""
        settings = dict(self.config["statistics"])
        if any(source.experiment == GENERALIZATION for source in sources):
            settings["confidence"] = self.config[GENERALIZATION]["confidence"]
        return settings

    def expert(self, game: str) -> dict[str, Any]:
        """Return the fields of a game's `ExpertSettings`."""
        environment = self.config["environment"]
        own = {
            "game": game,
            "gamma": environment["gamma"],
            "max_frames_per_episode": environment["max_frames_per_episode"],
            "evaluation_repeat_action_probability": environment["repeat_action_probability"],
        }
        return ExpertSettings.from_dict(self.config["expert"] | own).to_dict()

    def replay(self, game: str, seed: int) -> dict[str, Any]:
        """Return the fields of the `ReplaySpec` of a game and seed."""
        fields = {**self.config["environment"], **self.config["replay"]}
        return ReplaySpec.from_dict({**fields, "game": game, "seed": seed}).to_dict()


def make_plan(user: Mapping[str, Any], workflow_directory: Path | str) -> Plan:
    """Return the plan for what the user set.

    Args:
        user: The user's configuration, to be put over that of its scale.
        workflow_directory: The directory that holds `scales/` and `schemas/`.

    Raises:
        UserError: If the configuration is wrong.
    """
    config = configuration.complete(user, workflow_directory)
    constraints.check_before(config)
    for key, block in constraints.grids(config):
        for game in block.get("games", ()):
            check_game(game, f"config key '{key}.games'")
    for file in config["own_objectives"]:
        objectives.check_own(file)
    by_experiment: dict[str, list[Run]] = {
        name: [*grid] for name, grid in expand_experiments(config).items()
    }
    if config[CONTROL]:
        by_experiment[CONTROL] = [*control_grid(config).values()]
    if config[RANDOM_NETWORKS]:
        by_experiment[RANDOM_NETWORKS] = [*expand_studies(config[RANDOM_NETWORKS]).values()]
    if config[GENERALIZATION]:
        groups = expand_generalization(config[GENERALIZATION], config["datasets"])
        by_experiment[GENERALIZATION] = [*groups.values()]
    # Names of different kinds differ in form; see also `constraints.check_before`.
    runs = {run.run_id: run for of_it in by_experiment.values() for run in of_it}
    plan = Plan(config, runs, by_experiment)
    for game in plan.games:
        plan.expert(game)  # checks what joins several of the expert's keys
    constraints.check(plan)
    return plan


def files_of_the_user(config: Mapping[str, Any]) -> list[Path]:
    """Return the files outside of the results that jobs read: data sets' and objectives'."""
    named = [own.get("path") for own in config["datasets"].values()]
    return [Path(name).expanduser() for name in [*named, *config["own_objectives"]] if name]
