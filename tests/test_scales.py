"""What the shipped scales promise, and one source for what is stated more than once."""

import dataclasses
import re

import pytest
from tree import ROOT

from td_interference.planning.config import SCALES, complete, read_yaml
from td_interference.planning.control import ControlSettings
from td_interference.planning.expert import ExpertSettings
from td_interference.planning.image_agents import DoubleDQNSettings, ReinforceSettings
from td_interference.planning.plan import make_plan
from td_interference.planning.studies import Study

WORKFLOW = ROOT / "workflow"
SCHEMA = read_yaml(WORKFLOW / "schemas" / "config.schema.yaml")


def block(*path):
    node = SCHEMA
    for key in path:
        node = node[key]
    return node["properties"]


# Where the schema states defaults, and the record that they are of.
STATED = {
    "expert": (block("properties", "expert"), (ExpertSettings,)),
    "control": (block("properties", "control"), (ControlSettings,)),
    "random_networks": (block("properties", "random_networks"), (Study,)),
    "agent": (
        block("$defs", "generalization_experiment", "properties", "agent"),
        (DoubleDQNSettings, ReinforceSettings),
    ),
}
# Fields whose value comes from another key, or whose key is required and so has no default.
NOT_STATED = {"hidden", "steps", "checkpoints", "architecture", "network", "step_sizes"}


def stated(description):
    """The default that a description names, or None."""
    found = re.search(r"; default (\S+)$", description)
    return found and found[1]


@pytest.mark.parametrize("name", STATED)
def test_every_default_that_the_schema_states_is_the_one_used(name):
    properties, records = STATED[name]
    defaults = {
        field.name: field.default
        for record in records
        for field in dataclasses.fields(record)
        if field.default is not dataclasses.MISSING
    }
    compared = 0
    for key, node in properties.items():
        said = stated(node.get("description", ""))
        if said is None:
            assert key not in defaults or key in NOT_STATED, f"{name}.{key} states no default"
            continue
        used = defaults[key]
        shown = str(used).lower() if isinstance(used, bool) else used
        assert said == shown or float(said) == used, f"{name}.{key}: {said} is not {used}"
        compared += 1
    assert compared >= 5


def test_the_paper_scale_sets_what_the_records_call_the_papers():
    """Both say what the paper has: the scale by a value, the record by its default."""
    config = complete({"scale": "paper"}, WORKFLOW)
    experiments = config["generalization"]["experiments"].values()
    blocks = [("control", config["control"], ControlSettings)]
    blocks += [
        ("agent", settings["agent"], kind)
        for settings in experiments
        for experiment, kind in (
            ("double_dqn", DoubleDQNSettings),
            ("reinforce", ReinforceSettings),
        )
        if settings["experiment"] == experiment
    ]
    ours = {"checkpoints"}  # of the record's own choice, as it says
    for name, values, record in blocks:
        defaults = {field.name: field.default for field in dataclasses.fields(record)}
        for key, value in values.items():
            if key in defaults and key not in ours and not isinstance(value, list):
                assert value == defaults[key], f"{name}.{key}"


@pytest.mark.parametrize("scale", SCALES)
def test_no_agent_is_left_unmeasured_or_untrained(scale):
    plan = make_plan({"scale": scale}, WORKFLOW)
    assert all(run.updates >= run.checkpoints[-1] for run in plan.control_runs.values())
    cells = [cell for group in plan.groups.values() for cell in group.cells]
    for cell in cells:
        if isinstance(cell.agent, DoubleDQNSettings):
            assert cell.agent.updates_by(cell.steps) >= 1
    assert all(ExpertSettings(**plan.expert(game)).updates >= 1 for game in plan.games)


def test_an_agent_that_never_serves_ends_soon_at_smoke_scale():
    """Breakout waits for FIRE, which a greedy agent that has learned nothing may never choose."""
    plan = make_plan({"scale": "smoke", "control": {"games": ["breakout"]}}, WORKFLOW)
    expert = ExpertSettings(**plan.expert("breakout"))
    assert expert.evaluation_steps <= 8 * 3000
    assert plan.metric_settings("policy_score")["max_frames_per_episode"] <= 12_000
    assert all(run.max_frames_per_episode <= 12_000 for run in plan.control_runs.values())
