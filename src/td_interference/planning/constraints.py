"""Which settings contradict each other across the blocks of the configuration.

What one record knows of itself its constructor checks; here is what joins several of them. Each
rule says what is wrong with a plan, in the order in which a person would look.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePath
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from td_interference import metrics, tables
from td_interference.environments.screen import FRAMESKIP
from td_interference.errors import UserError
from td_interference.planning import objectives
from td_interference.planning.grid import RunSpec
from td_interference.planning.means import Source

if TYPE_CHECKING:
    from td_interference.planning.plan import Plan

Config = Mapping[str, Any]


_MOST_RUNS = 100_000  # of one experiment; the paper's largest has some hundreds


def unmeasurable(metric: str, run: RunSpec) -> str:
    """Return why a metric cannot be measured of a run, or "" if it can.

    Of an objective of the user's own only its file would tell.
    """
    card = objectives.known().get(run.objective)
    of = SimpleNamespace(run=run, objective=card)
    rules = metrics.entry(metric).card.measurable
    return next(
        filter(None, (rule.broken(of) for rule in rules if card or rule.key.startswith("run."))),
        "",
    )


def check(plan: "Plan") -> None:
    """Check a plan against every rule.

    Raises:
        UserError: For the first that it breaks, naming the keys.
    """
    for rule in _RULES:
        for line in rule(plan):
            raise UserError(line)


def check_before(config: Config) -> None:
    """Check what a plan needs to be made at all.

    Raises:
        UserError: Names the key at fault.
    """
    for block in ("experiments", "generalization.experiments"):
        found: Any = config
        for key in block.split("."):
            found = found and found[key]
        if found is not None and not any(settings is not None for settings in found.values()):
            raise UserError(
                f"config key '{block}': all of {', '.join(found) or 'them'} are left out (null); "
                "keep at least one"
            )
    for place, grid in grids(config):
        lists = [values for name, values in grid.items() if name != "checkpoints"]
        n = math.prod(len(values) for values in lists if isinstance(values, list)) * grid["n_seeds"]
        if n > _MOST_RUNS:
            raise UserError(
                f"config key '{place}': the product of its lists and 'n_seeds' is {n:,} runs, and "
                f"more than {_MOST_RUNS:,} cannot be planned; shorten them"
            )
    for name in ("control", "random_networks", "generalization"):
        if name in config["experiments"]:
            raise UserError(
                f"config key 'experiments.{name}': a block '{name}' stands at the top already; "
                "give the experiment another name"
            )
    files = config["own_objectives"]
    names = [PurePath(file).stem for file in files]
    for file, name in zip(files, names, strict=True):
        if name == "control":  # whose runs are told by it from those that learn from D*
            raise UserError(
                f"config key 'own_objectives': {file}: no objective can be called control, for "
                "runs of it would be called like those of control; give the file another name"
            )
        if (first := files[names.index(name)]) != file:
            raise UserError(
                f"config key 'own_objectives': {first} and {file} are both called {name}; give "
                "one of the files another name"
            )
    compared = [block for block in config["experiments"].values() if block is not None]
    if files and not any(len(block["objectives"]) > 1 for block in compared):
        raise UserError(
            "config key 'own_objectives': they join experiments that list more than one of "
            "'objectives', and none does; add another objective to one of 'experiments'"
        )


def grids(config: Config) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every block that is a product of its lists, with its key."""
    cells = (config["generalization"] or {}).get("experiments", {})
    blocks = {f"experiments.{name}": block for name, block in config["experiments"].items()}
    blocks |= {f"generalization.experiments.{name}": block for name, block in cells.items()}
    blocks["control"] = config["control"]
    yield from ((key, block) for key, block in blocks.items() if block is not None)


def _metric_settings(plan: "Plan") -> Iterator[str]:
    for entry in metrics.METRICS:
        given = plan.config["metrics"][entry.name]
        for rule in entry.card.rules:
            if said := rule.broken(SimpleNamespace(**given)):
                yield f"config key 'metrics.{entry.name}.{rule.key}': {given[rule.key]} {said}"


def _episode_lengths(plan: "Plan") -> Iterator[str]:
    """Yield what is looked at along an episode that is longer than the game's limit lets it be."""
    limit = plan.config["environment"]["max_frames_per_episode"]
    of_game = math.ceil(limit / FRAMESKIP)
    in_control = min(
        (run.longest_episode for run in plan.of_kind("control").values()), default=of_game
    )
    of_control = {
        source.metric
        for entry in tables.TABLES
        for source in entry.sources
        if source.experiment == "control"
    }
    for entry in metrics.METRICS:
        longest = in_control if entry.name in of_control else of_game
        for key, setting in entry.card.settings.items():
            asked, beyond = plan.config["metrics"][entry.name][key], setting.within_episode
            if beyond is None or asked + beyond <= longest:
                continue
            cause = "'environment.max_frames_per_episode'"
            if longest < of_game:
                cause = "'control.restart_period'"
            yield (
                f"config key 'metrics.{entry.name}.{key}': {asked} agent steps never lie in "
                f"one episode, of which none has more than {longest} ({cause}); lower it to "
                f"{max(0, longest - beyond)} or less"
            )


def _measurable(plan: "Plan") -> Iterator[str]:
    for source in _sources(plan):
        for run in plan.experiment_runs(source.experiment):
            if (described := run.measured_as) and (why := unmeasurable(source.metric, described)):
                yield f"config key 'experiments.{source.experiment}': {why}"


def _last_checkpoints(plan: "Plan") -> Iterator[str]:
    """Yield where another experiment's checkpoints decide what an experiment is measured at."""
    for source in _sources(plan):
        measured = plan.config["metrics"][source.metric]["checkpoints"]
        if source.checkpoints == "common" or "last" not in (source.checkpoints, measured):
            continue
        own = plan.checkpoints(source.experiment)[-1]
        for run in plan.experiment_runs(source.experiment):
            if run.checkpoints[-1] != own:
                yield (
                    f"config key 'experiments.{source.experiment}.checkpoints': they end at {own}, "
                    f"but {run.run_id} is measured at its last checkpoint, which another "
                    f"experiment puts at {run.checkpoints[-1]}; end both alike"
                )


def _common_checkpoint(plan: "Plan") -> Iterator[str]:
    """Yield why a table could not compare experiments at a checkpoint that they have in common."""
    for entry in tables.TABLES:
        names = [source.experiment for source in entry.sources if source.checkpoints == "common"]
        if not names or not all(map(plan.includes, names)):
            continue
        common = set.intersection(*(set(plan.checkpoints(name)) for name in names))
        keys = " and ".join(f"'{plan.key(name)}.checkpoints'" for name in names)
        if not common:
            yield (
                f"config keys {keys}: they have no update step in common at which the table "
                f"{entry.name} could compare them; add one to both"
            )
            continue
        for source in entry.sources:
            if plan.config["metrics"][source.metric]["checkpoints"] == "all":
                continue
            for run in plan.source_runs(source):
                if run.checkpoints and run.checkpoints[-1] != min(common):
                    yield (
                        f"config key 'metrics.{source.metric}.checkpoints': {entry.name} is of "
                        f"update step {min(common)}, which is not the last of {run.run_id}; set it "
                        "to all"
                    )


def _sources(plan: "Plan") -> Iterable[Source]:
    """Return the sources of the tables of experiments from D* that are on."""
    own = [table for name in plan.own_experiments for table in tables.of_experiment(name)]
    sources = (source for entry in [*tables.TABLES, *own] for source in entry.sources)
    return dict.fromkeys(source for source in sources if source.experiment in plan.experiments)


_RULES: tuple[Callable[["Plan"], Iterator[str]], ...] = (
    _metric_settings,
    _episode_lengths,
    _measurable,
    _last_checkpoints,
    _common_checkpoint,
)
