"""Gain against the definition, loss by loss, and the step it measures against training's own."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from problems import replay_arrays, run_spec
from subjects import DoubleReplay, drawing, subject_of, trainer_of

from td_interference import metrics, objectives
from td_interference.metrics import gain
from td_interference.metrics.subject import Subject
from td_interference.optimizers import OPTIMIZERS
from td_interference.replay import Replay
from td_interference.storage.checkpoints import read_checkpoint, write_checkpoint
from td_interference.updates import update

OBJECTIVES = ("td_lambda", "monte_carlo", "q_learning", "q_learning_ema", "q_learning_online")
SETTINGS = {"minibatches": 3, "half_width": 4, "unrelated": 5}
LENGTHS = np.array([12, 9, 14])  # agent steps; the second episode is truncated
LAST, FIRST, CUT = 11, 12, 20  # last steps of the first two episodes, and a first one


def spec(objective, **over):
    lambda_ = 0.9 if objective == "td_lambda" else None
    return run_spec(objective=objective, lambda_=lambda_, frozen_period=10, **over)


@pytest.fixture(scope="module", params=OBJECTIVES)
def subject(request):
    replay = DoubleReplay(replay_arrays(LENGTHS))
    return subject_of(trainer_of(spec(request.param), replay, updates=8))


@pytest.fixture(scope="module")
def replay():
    return Replay(replay_arrays(LENGTHS))


def losses(objective):
    """The pointwise TD loss of each transition of D*, in its order."""
    index = torch.arange(len(objective.replay))
    with torch.no_grad():
        outputs = objective.network(objective.replay.observation(index))
        return objective.td_loss(outputs, index).numpy()


def test_gain_is_loss_before_minus_after_the_step(subject):
    before_measuring = copy.deepcopy(subject.objective.network.state_dict())
    measured = metrics.load("gain")(subject, SETTINGS)
    for name, tensor in subject.objective.network.state_dict().items():
        assert torch.equal(tensor, before_measuring[name]), "measuring must not train"

    objective, replay = subject.objective, subject.replay
    generator = subject.generator("gain")
    before = losses(objective)
    assert measured["offset"].tolist() == list(range(-4, 5))
    for step in range(3):
        minibatch = replay.draw(subject.run.minibatch, generator)
        unrelated = replay.draw(5, generator)
        update(objective, subject.optimizer(), minibatch)
        expected = before - losses(objective)
        subject.restore_network()
        for sample, centre in enumerate(minibatch.tolist()):
            for column, offset in enumerate(range(-4, 5)):
                found, there = measured["gain"][step, sample, column], centre + offset
                if 0 <= there < len(replay) and replay.episode[there] == replay.episode[centre]:
                    assert found == pytest.approx(expected[there], rel=1e-9, abs=1e-13)
                else:
                    assert np.isnan(found)
        np.testing.assert_allclose(
            measured["gain_unrelated"][step], expected[unrelated.numpy()], rtol=1e-9, atol=1e-13
        )


def test_losses_that_overflow_are_infinite_gains_not_missing_ones(subject, monkeypatch):
    """Infinity minus infinity is NaN, which is for what lies beyond an episode's end."""
    monkeypatch.setattr(
        gain, "_losses", lambda objective, index, target: torch.full((len(index),), torch.inf)
    )
    measured = metrics.load("gain")(subject, SETTINGS)
    assert np.isinf(measured["gain_unrelated"]).all()
    beyond = np.isnan(measured["gain"])
    assert beyond.any() and not beyond[:, :, 4].any() and np.isinf(measured["gain"][~beyond]).all()


def test_a_step_lowers_the_loss_it_was_taken_on(subject):
    """Not that of a network that bootstraps from itself, whose TD loss moves otherwise."""
    if not subject.objective.td_target_moves:
        assert metrics.load("gain")(subject, SETTINGS)["gain"][:, :, 4].mean() > 0


def test_no_gain_across_episode_ends(subject):
    """By hand: the episodes' first and last steps, where terminated and where truncated."""
    centres = [LAST, FIRST, CUT, 0, len(subject.replay) - 1, LAST - 2]
    settings = {"minibatches": 1, "half_width": 3, "unrelated": 1}
    run = dataclasses.replace(subject.run, minibatch=len(centres))
    at_the_ends = drawing(subject._replace(run=run), centres)
    present = ~np.isnan(metrics.load("gain")(at_the_ends, settings)["gain"][0])
    assert present.astype(int).tolist() == [
        [1, 1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 1, 1],
        [1, 1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 1, 1],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 0],
    ]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_what_no_step_changes_is_computed_once(replay, monkeypatch, objective):
    """Targets of each transition looked at: once, or again after each step that moves them."""
    subject = subject_of(trainer_of(spec(objective), replay, updates=1))
    asked = []
    target = type(subject.objective).td_target

    def counted(self, index):
        asked.extend(index.tolist())
        return target(self, index)

    monkeypatch.setattr(type(subject.objective), "td_target", counted)
    # What the steps themselves ask, which is of the minibatches alone, is not counted.
    monkeypatch.setattr(gain, "update", lambda *_: None)
    # The same windows for each of three steps; they end with the second episode.
    metrics.load("gain")(drawing(subject, list(range(10, 18))), SETTINGS)
    n_targets = 1 + 3 if subject.objective.td_target_moves else 1
    assert sorted(asked) == sorted(n_targets * list(range(6, CUT + 1)))


def test_only_self_bootstrapping_moves_the_td_target(replay):
    moves = {
        name: objectives.load(name)(spec(name), replay).td_target_moves
        for name in objectives.known()
    }
    for name, moving in moves.items():
        trainer = trainer_of(spec(name), replay, updates=1)
        index = torch.arange(len(replay))
        before = trainer.objective.td_target(index)
        update(trainer.objective, trainer.optimizer, index[:8])
        assert torch.equal(trainer.objective.td_target(index), before) != moving, name


class NextStep(Subject):
    """A subject whose metrics draw what training would draw next."""

    def generator(self, metric):
        return copy.deepcopy(self.stream)


@pytest.mark.parametrize("objective", ["td_lambda", "q_learning", "q_learning_online"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_step_is_trainings_next(replay, tmp_path, monkeypatch, optimizer, objective):
    """Bit for bit, from a checkpoint that went through its file, momenta and all."""
    run = spec(objective, optimizer=optimizer)
    trainer = trainer_of(run, replay, updates=8)
    write_checkpoint(tmp_path / "checkpoint.h5", trainer.checkpoint(), {})
    checkpoint = read_checkpoint(tmp_path / "checkpoint.h5", 8)
    measured = objectives.load(objective)(run, replay)
    measured.restore(checkpoint.parameters, checkpoint.frozen_parameters)
    subject = NextStep(run, measured, checkpoint)
    subject.stream = copy.deepcopy(trainer.minibatches)

    after = {}

    def recorded(objective, optimizer, index):
        result = update(objective, optimizer, index)
        after["network"] = copy.deepcopy(objective.network.state_dict())
        after["optimizer"] = copy.deepcopy(optimizer.state_dict())
        return result

    monkeypatch.setattr(gain, "update", recorded)
    metrics.load("gain")(subject, {"minibatches": 1, "half_width": 1, "unrelated": 1})
    trainer.advance()
    network, state = trainer.objective.network.state_dict(), trainer.optimizer.state_dict()
    assert not torch.equal(network["1.weight"], checkpoint.parameters["1.weight"])
    assert network.keys() == after["network"].keys()
    assert all(torch.equal(after["network"][name], network[name]) for name in network)
    assert after["optimizer"]["param_groups"] == state["param_groups"]
    for position, tensors in state["state"].items():
        for name, tensor in tensors.items():
            found = after["optimizer"]["state"].get(position, {}).get(name)
            assert found is tensor or torch.equal(found, tensor), name
