"""Cells check themselves, name their runs, and group."""

import json

import pytest
from cells import cell_spec

from td_interference.errors import UserError
from td_interference.generalization.group_training import generalization_gap
from td_interference.planning.cells import CellSpec, grouped
from td_interference.planning.learners import settings_record

DoubleDQNSettings = settings_record("double_dqn")
ReinforceSettings = settings_record("reinforce")


def test_ids_name_what_differs():
    cell = cell_spec()
    assert cell.group_id == "noise-regression-lr0.01-h6-l1"
    assert cell.cell_id == "noise-regression-lr0.01-h6-l1-n12"
    assert cell.run_ids == tuple(f"{cell.cell_id}-seed{seed}" for seed in (0, 1, 2))


AGENTS = [
    {},
    {
        "task": "double_dqn",
        "agent": DoubleDQNSettings(tau=0.2, learning_starts=9, n_environments=5),
    },
    {"task": "reinforce", "agent": ReinforceSettings(entropy_weight=0.1)},
]


@pytest.mark.parametrize("over", AGENTS)
def test_the_dictionary_survives_json(over):
    cell = cell_spec(**over)
    assert CellSpec.from_dict(json.loads(json.dumps(cell.to_dict()))) == cell


@pytest.mark.parametrize(
    ("experiment", "agent"),
    [
        ("regression", {"tau": 0.2}),
        ("reinforce", {"tau": 0.2}),
        ("double_dqn", {"entropy_weight": 0.2}),
    ],
)
def test_settings_of_another_agent_are_refused(experiment, agent):
    fields = {**cell_spec().to_dict(), "task": experiment, "agent": agent}
    with pytest.raises(UserError, match=rf"'generalization\.agent': {experiment}.*{min(agent)}"):
        CellSpec.from_dict(fields)


@pytest.mark.parametrize(
    ("experiment", "agent"),
    [
        ("regression", ReinforceSettings()),
        ("reinforce", DoubleDQNSettings()),
        ("double_dqn", None),
    ],
)
def test_the_agent_is_that_of_the_experiment(experiment, agent):
    with pytest.raises(UserError, match=r"'generalization\.agent'.*does not fit"):
        cell_spec(task=experiment, agent=agent)


def test_measured_steps_are_steps_of_all_environments():
    agent = DoubleDQNSettings(n_environments=4)
    with pytest.raises(UserError, match=r"'generalization\.measure_every': 10 .* 4 "):
        cell_spec(task="double_dqn", agent=agent)


def test_agents_that_differ_cannot_share_a_group():
    cells = [
        cell_spec(task="reinforce", agent=ReinforceSettings(entropy_weight=weight), n_train=size)
        for weight, size in ((0.1, 5), (0.2, 6))
    ]
    with pytest.raises(UserError, match="described twice or unlike"):
        grouped(cells)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("task", "ddqn"),
        ("hidden", 0),
        ("extra_layers", -1),
        ("n_train", 1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("minibatch", 0),
        ("updates", 0),
        ("measure_every", 0),
        ("measure_every", 7),  # 30 steps: the last update would not be measured
        ("samples", 1),
        ("evaluation_samples", 6),
        ("seeds", ()),
        ("seeds", (1, 0)),
        ("seeds", (0, 0)),
        ("seeds", (-1,)),
    ],
)
def test_what_makes_no_sense_is_named(key, value):
    with pytest.raises(UserError, match=rf"config key 'generalization\.{key}'"):
        cell_spec(**{key: value})


def test_sizes_and_seeds_share_a_group():
    small, large, wide = cell_spec(), cell_spec(n_train=20, seeds=(0,)), cell_spec(hidden=7)
    assert grouped([small, wide, large]) == {
        small.group_id: (small, large),
        wide.group_id: (wide,),
    }


@pytest.mark.parametrize("over", [{}, {"n_train": 20, "updates": 60}])
def test_a_cell_described_twice_is_refused(over):
    with pytest.raises(UserError, match="described twice"):
        grouped([cell_spec(), cell_spec(**over)])


def test_a_larger_gap_is_worse_generalization():
    """Accuracy (or reward) 0.9 against 0.6, error 0.1 against 0.5: both do worse on test."""
    for experiment in ("classification", "double_dqn", "reinforce"):
        assert generalization_gap(experiment, train=0.9, test=0.6) == pytest.approx(0.3)
    assert generalization_gap("regression", train=0.1, test=0.5) == pytest.approx(0.4)
