"""What the shipped scales promise."""

import dataclasses
import hashlib
import json

import pytest
from tree import ROOT

from td_interference.errors import UserError
from td_interference.generalization.double_dqn import updates_by
from td_interference.planning.config import SCALES, complete, read_yaml
from td_interference.planning.control import ControlSettings
from td_interference.planning.expert import ExpertSettings
from td_interference.planning.grid import RunSpec
from td_interference.planning.learners import settings_record
from td_interference.planning.plan import make_plan
from td_interference.planning.replay import Environment, ReplaySpec

DoubleDQNSettings = settings_record("double_dqn")
ReinforceSettings = settings_record("reinforce")

WORKFLOW = ROOT / "workflow"

# Of the completed blocks, by `digest`. A number that is changed on purpose changes one of them.
COMPLETED = {
    "smoke": {
        "environment": "cc5fbf7a",
        "expert": "e7b45739",
        "replay": "6dc635fc",
        "training": "44f31b0a",
        "experiments": "29077cbc",
        "control": "d988b418",
        "random_networks": "d27e80b0",
        "metrics": "21c1f53b",
        "statistics": "d60e9b92",
        "datasets": "ea18341e",
        "generalization": "53c8bc63",
    },
    "laptop": {
        "environment": "9a4d1347",
        "expert": "c692a751",
        "replay": "aba00196",
        "training": "1102082e",
        "experiments": "0f2f8018",
        "control": "3fb49e30",
        "random_networks": "2d2fd761",
        "metrics": "46228691",
        "statistics": "07c48124",
        "datasets": "ea18341e",
        "generalization": "28e24942",
    },
    "paper": {
        "environment": "9a4d1347",
        "expert": "84565e49",
        "replay": "8605cc1f",
        "training": "e8767e89",
        "experiments": "772748c4",
        "control": "1ef0a6c9",
        "random_networks": "671c75f2",
        "metrics": "3bdf9b15",
        "statistics": "07c48124",
        "datasets": "022cce43",
        "generalization": "ea8163c2",
    },
}


def test_the_paper_scale_sets_what_the_records_call_the_papers():
    """Both say what the paper has: the scale by a value, the record by its default."""
    config = complete({"scale": "paper"}, WORKFLOW)
    experiments = config["generalization"]["experiments"].values()
    blocks = [
        ("control", config["control"], ControlSettings),
        ("environment", config["environment"], Environment),
        ("replay", config["replay"], ReplaySpec),
        ("training", config["training"], RunSpec),
    ]
    blocks += [
        ("agent", settings["agent"], kind)
        for settings in experiments
        for experiment, kind in (
            ("double_dqn", DoubleDQNSettings),
            ("reinforce", ReinforceSettings),
        )
        if settings["task"] == experiment
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
    assert all(run.updates >= run.checkpoints[-1] for run in plan.of_kind("control").values())
    cells = [cell for group in plan.of_kind("generalization").values() for cell in group.cells]
    for cell in cells:
        if cell.task == "double_dqn":
            assert updates_by(cell.agent, cell.agent_steps) >= 1
    assert all(ExpertSettings(**plan.expert(game)).updates >= 1 for game in plan.games)


def test_an_agent_that_never_serves_ends_soon_at_smoke_scale():
    """Breakout waits for FIRE, which a greedy agent that has learned nothing may never choose."""
    plan = make_plan({"scale": "smoke", "control": {"games": ["breakout"]}}, WORKFLOW)
    expert = ExpertSettings(**plan.expert("breakout"))
    assert expert.evaluation_steps <= 8 * 3000
    assert plan.metric_settings("policy_score")["max_frames_per_episode"] <= 12_000
    assert all(run.max_frames_per_episode <= 12_000 for run in plan.of_kind("control").values())


def digest(values):
    """The first digits of the SHA-256 of a block, for which 1 and 1.0 are the same number."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(below) for key, below in value.items()}
        if isinstance(value, list):
            return [plain(below) for below in value]
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    text = json.dumps(plain(values), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@pytest.mark.parametrize("scale", SCALES)
def test_no_number_of_a_scale_changes_unnoticed(scale):
    """A number of paper.yaml is one of every scale that does not set it itself."""
    config = complete({"scale": scale}, WORKFLOW)
    found = {key: digest(values) for key, values in config.items() if isinstance(values, dict)}
    assert found == COMPLETED[scale]


def leaves(values, path=()):
    """Every value of a block that is no block itself, by its path."""
    if not isinstance(values, dict):
        return {path: values}
    return {
        place: leaf
        for key, below in values.items()
        for place, leaf in leaves(below, (*path, key)).items()
    }


@pytest.mark.parametrize("scale", [scale for scale in SCALES if scale != "paper"])
def test_a_scale_holds_only_what_it_changes(scale):
    paper = complete({"scale": "paper"}, WORKFLOW)
    own = read_yaml(WORKFLOW / "scales" / f"{scale}.yaml")
    expert = {("expert", f.name): f.default for f in dataclasses.fields(ExpertSettings)}
    there = expert | leaves(paper)
    for path, value in leaves(own).items():
        if value is None:  # leaves out what the paper has
            assert any(place[: len(path)] == path for place in there), f"{scale}.yaml: {path}"
        else:
            assert path not in there or there[path] != value, f"{scale}.yaml repeats {path}"


def test_a_scale_is_laid_over_the_papers_and_the_user_over_both(tmp_path, monkeypatch):
    """Lists replace lists, blocks join blocks; null in a scale drops the key, a user's stays."""
    scales = tmp_path / "scales"
    scales.mkdir()
    (scales / "paper.yaml").write_text("a: {x: 1, y: [1, 2], z: 3}\nb: {c: {d: 1}, e: {f: 2}}\n")
    (scales / "smoke.yaml").write_text("a: {y: [5]}\nb: {c: null}\n")
    monkeypatch.setattr("td_interference.planning.config.read_schema", lambda _: {})
    monkeypatch.setattr("td_interference.metrics.defaults", lambda: {"gain": {"h": 1}})
    own = {"scale": "smoke", "a": {"z": None}, "b": {"c": {"g": 7}}}
    assert complete(own, tmp_path) == {
        "scale": "smoke",
        "device": "auto",
        "a": {"x": 1, "y": [5], "z": None},
        "b": {"c": {"g": 7}, "e": {"f": 2}},
        "metrics": {"gain": {"h": 1}},
    }
    paper = complete({"scale": "paper"}, tmp_path)
    assert paper["a"] == {"x": 1, "y": [1, 2], "z": 3} and paper["b"]["c"] == {"d": 1}


def test_what_a_scale_leaves_out_is_missing_under_its_own_name():
    """Not completed by what the paper has for another data set or more compute."""
    over = {"generalization": {"experiments": {"california": {"n_seeds": 1}}}}
    with pytest.raises(UserError, match=r"'generalization.experiments.california.dataset' is mis"):
        complete({"scale": "smoke", **over}, WORKFLOW)
