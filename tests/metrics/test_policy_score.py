"""Scores of the learned policy: against a hand-played game, and what they depend on."""

import numpy as np
import pytest
import torch
from problems import run_spec
from subjects import subject_of, trainer_of

from td_interference import metrics
from td_interference.environments.atari import AtariEnvironments, AtariSettings
from td_interference.errors import UserError
from td_interference.seeds import seed_for

SETTINGS = {
    "episodes": 2,
    "n_environments": 2,
    "epsilon": 0.0,
    "repeat_action_probability": 0.25,
    "max_frames_per_episode": 400,
}


def subject_for(replay, seed=0, objective="q_learning"):
    lambda_ = 0.9 if objective == "td_lambda" else None
    run = run_spec(objective=objective, lambda_=lambda_, seed=seed)
    return subject_of(trainer_of(run, replay, updates=2))


def measure(subject, **settings):
    return metrics.load("policy_score")(subject, {**SETTINGS, **settings})


def scores(measured):
    return {name: array.tolist() for name, array in measured.items()}


def test_score_is_that_of_greedy_play(replay):
    """One environment, played by hand over the same stream."""
    subject = subject_for(replay)
    measured = measure(subject, n_environments=1)
    game = AtariSettings(subject.run.game, 0.25, max_frames_per_episode=400)
    seed = seed_for(subject.run.random_stream, "policy_score_environments")
    environments = AtariEnvironments(game, 1, seed)
    expected, total, length = [], 0, 0
    while len(expected) < 2:
        with torch.no_grad():
            q = subject.objective.network(torch.from_numpy(environments.observation))
        step = environments.step(q.argmax(1).numpy())
        total, length = total + int(step.raw_reward[0]), length + int(step.valid[0])
        if step.terminated[0] or step.truncated[0]:
            expected.append((total, length, bool(step.truncated[0])))
            total = length = 0
    environments.close()
    assert list(zip(*scores(measured).values(), strict=True)) == expected
    assert sum(measured["score"]) > 0 and measured["truncated"].all()
    assert (measured["agent_steps"] == 100).all()  # four frames each


def test_a_seed_decides_and_another_differs(replay):
    subject = subject_for(replay)
    once, again = measure(subject), measure(subject)
    assert scores(once) == scores(again)
    # Another run's emulators with the same network, so that only the seed can tell.
    run = subject_for(replay, seed=1).run
    assert scores(measure(subject._replace(run=run))) != scores(once)


def test_random_actions_are_drawn_by_the_run(replay):
    subject = subject_for(replay)
    random = measure(subject, epsilon=1.0)
    assert scores(random) == scores(measure(subject, epsilon=1.0)) != scores(measure(subject))


def test_settings_reach_the_emulator(replay):
    subject = subject_for(replay)
    short = measure(subject, episodes=3, max_frames_per_episode=40)
    assert short["agent_steps"].tolist() == [10, 10, 10] and short["score"].dtype == np.float32
    sticky, not_sticky = (
        scores(measure(subject, epsilon=1.0, repeat_action_probability=p)) for p in (0.25, 0.0)
    )
    assert sticky != not_sticky


def test_values_of_states_have_no_policy(replay):
    subject = subject_for(replay, objective="td_lambda")
    with pytest.raises(UserError, match=r"td_lambda0\.9-.*needs a value of each of 9 actions"):
        measure(subject)
