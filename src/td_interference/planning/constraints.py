"""Which settings contradict each other across the blocks of the configuration.

What one record knows of itself its constructor checks; here is what joins several of them. Each
rule says what is wrong with a plan, in the order in which a person would look.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from td_interference import tables
from td_interference.environments.screen import FRAMESKIP
from td_interference.errors import UserError
from td_interference.planning import objectives
from td_interference.planning.grid import RunSpec

if TYPE_CHECKING:
    from td_interference.planning.plan import Plan

Config = Mapping[str, Any]


class _Span(NamedTuple):
    """A number of agent steps that must lie within one episode."""

    metric: str
    key: str
    least: int  # agent steps of an episode beyond the key's own number
    in_control: bool = False  # measured of control as well, whose episodes may be shorter


# Looked at along an episode: no episode is longer than the game's limit lets it be.
_SPANS = (
    _Span("stiffness", "anchors_per_segment", 0),
    _Span("stiffness", "half_width", 1),
    _Span("sign_variance", "steps_per_segment", 0),
    _Span("gain", "half_width", 1, in_control=True),
    _Span("gain_over_training", "half_width", 1, in_control=True),
)

_MOST_RUNS = 100_000  # of one experiment; the paper's largest has some hundreds

# Metrics of a run's last checkpoint, whichever experiment asked for it.
_OF_THE_LAST = (
    "stiffness",
    "gain",
    "singular_values",
    "sign_variance",
    "function_interference",
    "policy_score",
)
_AT_NAMED = ("second_order", "momentum")  # at the checkpoints that an experiment names
_FIGURE_12 = "singular_values_by_optimizer"  # at one that two experiments share


def unmeasurable(metric: str, run: RunSpec) -> str:
    """Return why a metric cannot be measured of a run, or "" if it can.

    Of an objective of the user's own only its file would tell.

    Args:
        metric: A name of `metrics.METRICS`.
        run: From D*.
    """
    if metric == "momentum" and (run.optimizer != "momentum_sgd" or not run.momentum):
        return (
            f"'momentum' is measured of runs with momentum_sgd in 'optimizers' and 'momentum' "
            f"above 0, not of {run.optimizer} with {run.momentum:g}"
        )
    if metric == "momentum" and run.objective == "q_learning_online":
        return "'momentum' needs targets that no update moves, unlike those of q_learning_online"
    if metric == "second_order" and run.lambda_:
        return (
            f"'second_order' knows targets of one step (eq. 17): 'lambdas' 0, not {run.lambda_:g}"
        )
    card = objectives.known().get(run.objective)
    if metric == "policy_score" and card is not None and card.learns == "V":
        return (
            f"'policy_score' needs values of actions, and {run.objective} learns V; take one of Q"
        )
    return ""


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
    for place, grid in _grids(config):
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


def _grids(config: Config) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every block that is a product of its lists, with its key."""
    parts = {"": config, "generalization.": config["generalization"] or {"experiments": {}}}
    blocks = {
        f"{above}experiments.{name}": block
        for above, part in parts.items()
        for name, block in part["experiments"].items()
    }
    blocks["control"] = config["control"]
    yield from ((key, block) for key, block in blocks.items() if block is not None)


def _metric_settings(plan: "Plan") -> Iterator[str]:
    metrics = plan.config["metrics"]
    stiffness, signs = metrics["stiffness"], metrics["sign_variance"]
    anchors, each = stiffness["anchors"], stiffness["anchors_per_segment"]
    if anchors % each:
        near = max(1, round(anchors / each)) * each
        yield (
            f"config key 'metrics.stiffness.anchors': {anchors} is no multiple of the {each} of "
            f"'metrics.stiffness.anchors_per_segment'; take {near}"
        )
    if signs["window"] > signs["steps_per_segment"]:
        yield (
            f"config key 'metrics.sign_variance.window': {signs['window']} does not fit into the "
            f"{signs['steps_per_segment']} of 'metrics.sign_variance.steps_per_segment'"
        )


def _episode_lengths(plan: "Plan") -> Iterator[str]:
    limit = plan.config["environment"]["max_frames_per_episode"]
    of_game = math.ceil(limit / FRAMESKIP)
    in_control = min(
        (run.longest_episode for run in plan.of_kind("control").values()), default=of_game
    )
    for span in _SPANS:
        asked = plan.config["metrics"][span.metric][span.key]
        longest = in_control if span.in_control else of_game
        if asked + span.least > longest:
            cause = "'environment.max_frames_per_episode'"
            if longest < of_game:
                cause = "'control.restart_period'"
            yield (
                f"config key 'metrics.{span.metric}.{span.key}': {asked} agent steps never lie in "
                f"one episode, of which none has more than {longest} ({cause}); lower it to "
                f"{max(0, longest - span.least)} or less"
            )


def _control(plan: "Plan") -> Iterator[str]:
    for run in plan.of_kind("control").values():
        if run.epsilon_end > run.epsilon_start:
            yield (
                f"config key 'control.epsilon_end': {run.epsilon_end:g} is above the "
                f"{run.epsilon_start:g} of 'control.epsilon_start', from which it falls"
            )
        if run.window > (played := run.learning_starts + run.agent_steps):
            yield (
                f"config key 'control.window': {run.window} is more than the {played} agent steps "
                f"of a whole run ({run.learning_starts} of 'control.learning_starts', "
                f"{run.agent_steps} of 'control.agent_steps')"
            )


def _measurable(plan: "Plan") -> Iterator[str]:
    for source in _sources(plan):
        for run in plan.experiment_runs(source.experiment):
            if (described := run.measured_as) and (why := unmeasurable(source.metric, described)):
                yield f"config key 'experiments.{source.experiment}': {why}"


def _last_checkpoints(plan: "Plan") -> Iterator[str]:
    """Yield where another experiment's checkpoints decide what an experiment is measured at."""
    for source in _sources(plan, _FIGURE_12):
        settings = plan.config["metrics"][source.metric]
        named = source.metric in _AT_NAMED and settings["checkpoints"] == "last"
        if source.metric not in _OF_THE_LAST and not named:
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
    """Yield why figure 12 could not compare control with policy evaluation."""
    entry = tables.entry(_FIGURE_12)
    steps: list[Sequence[int]] = []
    for source in entry.sources:
        if not plan.includes(source.experiment):
            return
        steps.append(plan.checkpoints(source.experiment))
    common = set.intersection(*map(set, steps))
    if not common:
        yield (
            "config keys 'experiments.policy_evaluation.checkpoints' and 'control.checkpoints': "
            "they have no update step in common at which figure 12 could compare the two; add one "
            "to both"
        )
    elif plan.config["metrics"]["singular_values"]["checkpoints"] == "last":
        step = min(common)
        for source in entry.sources:
            for run in plan.source_runs(source):
                if run.checkpoints[-1] != step:
                    yield (
                        "config key 'metrics.singular_values.checkpoints': figure 12 is of update "
                        f"step {step}, which is not the last of {run.run_id}; set it to all"
                    )


def _sources(plan: "Plan", *without: str) -> Iterable[tables.Source]:
    """Return the sources of the tables of experiments from D* that are on, but for some tables."""
    shipped = [entry for entry in tables.TABLES if entry.name not in without]
    own = [table for name in plan.own_experiments for table in tables.of_experiment(name)]
    sources = (source for entry in [*shipped, *own] for source in entry.sources)
    return dict.fromkeys(source for source in sources if source.experiment in plan.experiments)


_RULES: tuple[Callable[["Plan"], Iterator[str]], ...] = (
    _metric_settings,
    _episode_lengths,
    _control,
    _measurable,
    _last_checkpoints,
    _common_checkpoint,
)
