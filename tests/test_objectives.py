"""Targets of the Q objectives by hand, and when their networks move."""

import dataclasses

import numpy as np
import pytest
import torch

from td_interference import objectives
from td_interference.errors import UserError
from td_interference.planning.grid import RunSpec, expand_grid
from td_interference.training import Trainer

Q_OBJECTIVES = [name for name in objectives.known() if name != "td_lambda"]
TERMINAL, TRUNCATED = 39, 64  # last steps of the first two episodes of the made-up D*
INDEX = torch.tensor([0, 5, TERMINAL, TRUNCATED, 65, 124])


def varied(run, objective, **over) -> RunSpec:
    return RunSpec.from_dict({**run.to_dict(), "objective": objective, "lambda_": None, **over})


def trained(run, replay, objective, updates=7, **over):
    trainer = Trainer(varied(run, objective, **over), replay)
    for _ in range(updates):
        trainer.advance()
    return trainer.objective


def td_target(arrays, replay, network, gamma, index):
    """R + γ max Q(S') transition by transition, in plain numpy."""
    with torch.no_grad():
        next_q = network(replay.next_observation(index)).numpy().max(axis=1)
    targets = []
    for row, value in zip(index.tolist(), next_q, strict=True):
        bootstrap = 0.0 if arrays["terminated"][row] else gamma * value
        targets.append(arrays["reward"][row] + bootstrap)
    return np.array(targets)


@pytest.mark.parametrize("name", Q_OBJECTIVES)
def test_prediction_is_q_of_the_action_taken(run, replay, arrays, name):
    objective = objectives.load(name)(varied(run, name), replay)
    outputs = torch.arange(6 * 9.0).view(6, 9)
    expected = outputs[torch.arange(6), torch.from_numpy(arrays["action"][INDEX.numpy()]).long()]
    assert torch.equal(objective.prediction(outputs, INDEX), expected)


def test_regressions_by_hand(run, replay, arrays):
    def target(name):
        objective = objectives.load(name)(varied(run, name), replay)
        return objective.target(INDEX).numpy()

    rows = INDEX.numpy()
    assert np.array_equal(target("monte_carlo"), arrays["monte_carlo_return"][rows])
    own = arrays["expert_q"][rows, arrays["action"][rows]]
    assert np.array_equal(target("expert_q"), own)
    expected = []
    for row, own_q in zip(rows, own, strict=True):
        if row == TRUNCATED:
            expected.append(own_q)  # Q* of the state after it is not in D*
        elif arrays["terminated"][row]:
            expected.append(arrays["reward"][row])
        else:
            expected.append(arrays["reward"][row] + run.gamma * arrays["expert_q"][row + 1].max())
    np.testing.assert_allclose(target("td_star"), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["q_learning", "q_learning_ema", "q_learning_online"])
def test_q_targets_bootstrap_from_the_right_network(run, replay, arrays, name):
    objective = trained(run, replay, name)
    network = objective.network if name == "q_learning_online" else objective.frozen_network
    expected = td_target(arrays, replay, network, run.gamma, INDEX)
    np.testing.assert_allclose(objective.target(INDEX), expected, rtol=1e-5, atol=1e-6)
    # The truncated step bootstraps, the terminal one does not.
    assert expected[2] == arrays["reward"][TERMINAL] and expected[3] != arrays["reward"][TRUNCATED]
    assert not objective.target(INDEX).requires_grad


@pytest.mark.parametrize("name", ["monte_carlo", "expert_q", "td_star"])
def test_regressions_are_measured_by_the_td_loss_of_the_network_itself(run, replay, arrays, name):
    objective = trained(run, replay, name)
    with torch.no_grad():
        outputs = objective.network(replay.observation(INDEX))
        measured = objective.td_loss(outputs, INDEX).numpy()
    target = td_target(arrays, replay, objective.network, run.gamma, INDEX)
    td_error = target - objective.prediction(outputs, INDEX).numpy()
    np.testing.assert_allclose(
        measured, np.minimum(abs(td_error), td_error**2), rtol=1e-4, atol=1e-5
    )


def test_moving_average_follows_its_formula(run, replay):
    trainer = Trainer(varied(run, "q_learning_ema", tau=0.1), replay)
    trainer.advance()  # the average starts at the initial weights, before the first update
    expected = [p.detach().clone() for p in trainer.objective.frozen_network.parameters()]
    for _ in range(3):
        network = [p.detach().clone() for p in trainer.objective.network.parameters()]
        trainer.advance()
        expected = [0.9 * old + 0.1 * new for old, new in zip(expected, network, strict=True)]
        averages = trainer.objective.frozen_network.parameters()
        for average, value in zip(averages, expected, strict=True):
            torch.testing.assert_close(average, value, rtol=1e-5, atol=1e-7)


def test_frozen_copy_moves_every_period(run, replay):
    trainer = Trainer(varied(run, "q_learning", frozen_period=5), replay)
    copies = []
    for _ in range(11):
        before = next(trainer.objective.network.parameters()).detach().clone()
        trainer.advance()
        frozen = next(trainer.objective.frozen_network.parameters())
        copies.append(torch.equal(frozen, before))
    assert [step for step, copied in enumerate(copies) if copied] == [0, 5, 10]


def test_lambdas_without_td_lambda_are_refused():
    block = {"objectives": ["q_learning"], "lambdas": [0.5]}
    with pytest.raises(UserError, match=r"experiments\.x\.lambdas': only the objective td_lambda"):
        expand_grid({"training": {}, "experiments": {"x": block}}, "x")


OWN = '''
"""Half Monte Carlo, half Q-learning."""

from td_interference.objectives.q_base import QLearningObjective


class Objective(QLearningObjective):
    @property
    def bootstrap_network(self):
        return self.frozen_network

    def target(self, index):
        return 0.5 * (self.td_target(index) + self.replay.monte_carlo_return[index])
'''


def test_an_objective_from_outside_the_package(run, replay, tmp_path):
    file = tmp_path / "half_way.py"
    file.write_text(OWN)
    own = dataclasses.replace(
        run,
        objective="half_way",
        lambda_=None,
        objective_file=str(file),
        updates=3,
        checkpoints=(3,),
    )
    trainer = Trainer(own, replay)
    for _ in range(3):
        trainer.advance()
    index = torch.arange(10)
    objective = trainer.objective
    next_q = objective.frozen_network(replay.next_observation(index)).amax(1)
    td_target = replay.reward[index] + run.gamma * ~replay.terminated[index] * next_q
    expected = (td_target + replay.monte_carlo_return[index]) / 2
    torch.testing.assert_close(objective.target(index), expected.detach())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class Objective(:", "cannot be imported (SyntaxError"),
        ("import no_such_module", "cannot be imported (ModuleNotFoundError"),
        ("Objective = 3", "defines no class 'Objective'"),
        (None, "no such file"),
    ],
)
def test_a_bad_objective_from_outside_is_named(tmp_path, text, message):
    file = tmp_path / "mine.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError) as error:
        objectives.load("mine", str(file))
    assert str(error.value).startswith(str(file)) and message in str(error.value)
    assert "\n" not in str(error.value)
