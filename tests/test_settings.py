"""Settings of records: the schema says what the record says, and each default is a right value."""

import dataclasses

import pytest
from jsonschema import Draft202012Validator
from tree import ROOT

from td_interference.errors import UserError
from td_interference.planning.config import complete, read_schema
from td_interference.planning.control import ControlSettings
from td_interference.planning.expert import ExpertSettings
from td_interference.planning.grid import RunSpec
from td_interference.planning.learners import settings_record
from td_interference.planning.reference import pages
from td_interference.planning.replay import Environment, ReplaySpec
from td_interference.planning.settings import check, of_record, properties, same, setting
from td_interference.planning.studies import Study

AGENTS = [settings_record("double_dqn"), settings_record("reinforce")]
RECORDS = [ExpertSettings, ControlSettings, Study, Environment, ReplaySpec, RunSpec, *AGENTS]


@dataclasses.dataclass(frozen=True)
class Toy:
    name: str
    size: int = setting(100_000, "rows of it", "ours", minimum=1)
    rate: float = setting(1.5e-4, "step size", exclusiveMinimum=0, maximum=1)
    kind: str = setting("a", "a or b", enum=["a", "b"])
    on: bool = setting(True, "whether it is on")
    elsewhere: int = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sharing:
    size: int = same(Toy, "size", "toy")
    depth: int = setting(dataclasses.MISSING, "layers", minimum=0)


def test_a_block_follows_from_its_record():
    assert properties(Toy) == {
        "size": {"description": "rows of it; default 100000", "type": "integer", "minimum": 1},
        "rate": {
            "description": "step size; default 0.00015",
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 1,
        },
        "kind": {"description": "a or b; default a", "enum": ["a", "b"]},
        "on": {"description": "whether it is on; default true", "type": "boolean"},
    }
    assert dataclasses.asdict(Toy("x"))["rate"] == 1.5e-4  # an ordinary record otherwise
    with pytest.raises(dataclasses.FrozenInstanceError):
        Toy("x").size = 2


def test_a_shared_setting_has_one_declaration_and_is_named_by_its_own_block():
    assert properties(Sharing) == {
        "depth": {"description": "layers", "type": "integer", "minimum": 0}
    }
    with pytest.raises(UserError, match=r"'toy\.size': 0 must be at least 1"):
        check(Sharing(size=0, depth=1), "sharing")
    with pytest.raises(UserError, match=r"'sharing\.depth': -1 must be at least 0"):
        check(Sharing(depth=-1), "sharing")
    assert Sharing(depth=1).size == Toy("x").size


@pytest.mark.parametrize("record", RECORDS)
def test_every_default_is_a_right_value(record):
    rules = properties(record)
    assert len(rules) >= 2
    for field in dataclasses.fields(record):
        if field.name in rules:
            Draft202012Validator.check_schema(rules[field.name])
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            Draft202012Validator(rules[field.name]).validate(default)
            assert isinstance(default, list) or type(default) is field.type, field.name


@pytest.mark.parametrize("key", sorted(properties(ExpertSettings)))
def test_a_wrong_value_is_named_with_what_its_key_means(key):
    meaning = of_record(ExpertSettings)[key].description
    with pytest.raises(UserError) as error:
        complete({"scale": "smoke", "expert": {key: ["x", "y"]}}, ROOT / "workflow")
    line = str(error.value)
    assert line.startswith(f"config key 'expert.{key}': ['x', 'y'] is not ")
    assert meaning in line and "; default " in line and "\n" not in line


def wrong(rules):
    """Values just outside of each bound."""
    bounds = {"minimum": -1e-9, "exclusiveMinimum": 0.0, "maximum": 1e-9, "exclusiveMaximum": 0.0}
    found = [rules[rule] + beyond for rule, beyond in bounds.items() if rule in rules]
    return found + (["c"] if "enum" in rules else [])


def test_a_record_is_checked_by_the_rules_that_the_schema_has():
    """For each setting: its bounds are held, what is beyond them is named, as is no number."""
    check(Toy("x", size=1, rate=1, kind="b", elsewhere=-5), "toy")
    rules = properties(Toy)
    beyond = [(key, value) for key in rules for value in wrong(rules[key])]
    assert not any(Draft202012Validator(rules[key]).is_valid(value) for key, value in beyond)
    beyond += [("size", float("inf")), ("size", float("nan")), ("rate", float("nan"))]
    assert len(beyond) == 7
    for key, value in beyond:
        with pytest.raises(UserError, match=rf"^config key 'toy\.{key}': .* (must be|is not)"):
            check(Toy("x", **{key: value}), "toy")


def test_agents_settings_say_of_which_agent_they_are():
    schema = read_schema(ROOT / "workflow")["$defs"]["generalization_experiment"]
    agent = schema["properties"]["agent"]["properties"]
    assert agent["tau"]["description"].startswith("double_dqn: share of the network in each")
    assert agent["entropy_weight"]["description"].startswith("reinforce: ")
    assert agent["n_environments"]["description"] == "episodes played side by side; default 1"
    both = {key for agent in AGENTS for key in properties(agent)}
    assert set(agent) == both and len(both) == 11


@pytest.mark.parametrize(
    "name", ["settings", "metrics", "objectives", "figures", "learners", "datasets"]
)
def test_the_pages_of_reference_are_what_the_cards_say(name):
    assert (ROOT / "docs" / f"{name}.md").read_text() == pages()[f"{name}.md"]


def test_the_page_of_settings_has_a_row_for_each():
    page = pages()["settings.md"]
    row = (
        "| `tau` | 0.1 | share of the network in each update of its moving average, which gives the"
    )
    assert row in page and "| `n_step` | 20 | agent steps of the multi-step return" in page
