"""Evaluation: which episodes count, what their scores are, and the interval."""

import re
from functools import partial

import numpy as np
import pytest
import torch

from td_interference.agents import playing
from td_interference.agents.expert.file import expected_q, new_network
from td_interference.agents.playing import EpisodeScore
from td_interference.environments.atari import AtariEnvironments, AtariSettings, AtariStep
from td_interference.planning.expert import ExpertSettings

GAME = AtariSettings("asterix")
LIMITED = AtariSettings("asterix", max_frames_per_episode=240)


def random_policy(seed: int = 0) -> playing.Policy:
    return playing.random_policy(9, np.random.default_rng(seed))


def test_scores_are_the_sums_of_raw_rewards() -> None:
    """One environment, played by hand over the same stream."""
    scores = playing.play_episodes(random_policy(), GAME, 3, 1, seed=4)
    environments, policy = AtariEnvironments(GAME, 1, seed=4), random_policy()
    expected, total, length = [], 0, 0
    while len(expected) < 3:
        step = environments.step(policy(environments.observation))
        total, length = total + int(step.raw_reward[0]), length + int(step.valid[0])
        if step.terminated[0]:
            expected.append(EpisodeScore(total, length, False))
            total = length = 0
    assert scores == expected
    assert any(score.score > 0 for score in scores)


class Script:
    """Stands in for `AtariEnvironments`: two copies, with episodes of 1 and of 4 steps."""

    observation = np.zeros((2, 4, 84, 84), dtype=np.uint8)

    def __init__(self, *_args, **_kwargs):
        self.clock = -1
        self.lengths = ([1] * 20, [4] * 20)
        self.position = [0, 0]

    def step(self, actions: np.ndarray) -> AtariStep:
        valid, terminated = np.ones(2, dtype=bool), np.zeros(2, dtype=bool)
        for n in range(2):
            self.position[n] += 1
            if self.position[n] > self.lengths[n][0]:
                valid[n], self.position[n] = False, 0
            elif self.position[n] == self.lengths[n][0]:
                terminated[n] = True
        zero = np.zeros(2, dtype=np.int32)
        return AtariStep(
            self.observation, zero, valid.astype(np.int32), terminated, terminated & False,
            valid & False, valid,
        )  # fmt: skip

    def close(self) -> None:
        pass


def test_first_begun_episodes_count_not_first_ended(monkeypatch) -> None:
    monkeypatch.setattr(playing, "AtariEnvironments", Script)
    scores = playing.play_episodes(random_policy(), GAME, 3, 2, seed=0)
    # Copy 0 begins episodes 0, 2, ...; copy 1 begins 1. To stop at the first three that end would
    # count three short ones.
    assert [score.score for score in scores] == [1, 4, 1]
    assert [score.agent_steps for score in scores] == [1, 4, 1]


def test_time_limit_and_progress() -> None:
    told: list[int] = []
    scores = playing.play_episodes(random_policy(), LIMITED, 5, 2, seed=0, advance=told.append)
    assert len(scores) == 5 and sum(told) == 5 * playing.max_agent_steps(LIMITED) == 5 * 60
    assert max(told) <= 2  # heard of at each step, long before an episode ends
    assert all(score.truncated and score.agent_steps == 60 for score in scores)


def test_progress_counts_the_rest_of_an_episode_that_ends_early(monkeypatch) -> None:
    monkeypatch.setattr(playing, "AtariEnvironments", Script)
    told: list[int] = []
    playing.play_episodes(random_policy(), LIMITED, 3, 2, seed=0, advance=told.append)
    assert sum(told) == 3 * 60 and len(told) == 4


def test_more_environments_than_episodes() -> None:
    assert len(playing.play_episodes(random_policy(), LIMITED, 2, 8, seed=0)) == 2


def test_deterministic_by_seed_and_threads() -> None:
    def scores(seed: int, n_threads: int) -> list[EpisodeScore]:
        return playing.play_episodes(random_policy(), GAME, 2, 2, seed, n_threads)

    assert scores(0, 1) == scores(0, 2) != scores(1, 1)


@pytest.mark.parametrize("epsilon", [0.0, 1.0])
def test_epsilon_greedy_policy(epsilon: float) -> None:
    settings = ExpertSettings("asterix", hidden=8, n_atoms=5)
    network = new_network(settings, torch.Generator().manual_seed(0))
    values = partial(expected_q, network)
    policy = playing.epsilon_greedy_policy(values, 9, epsilon, np.random.default_rng(0))
    observation = np.random.default_rng(1).integers(0, 256, (64, 4, 84, 84), dtype=np.uint8)
    best = expected_q(network, torch.from_numpy(observation)).argmax(1).numpy()
    agreement = (policy(observation) == best).mean()
    assert agreement == 1 if epsilon == 0 else agreement < 0.4


def episodes(scores) -> list[EpisodeScore]:
    return [EpisodeScore(int(score), 10, False) for score in scores]


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize("n", [3, 5, 10, 20])
def test_nominal_95_percent_of_mean_scores_cover_93_to_98(n, skewed, monkeypatch) -> None:
    """Of normal scores, and of such of skewness 0.8; both of mean 1000 and deviation 300."""
    monkeypatch.setattr(playing, "_RESAMPLES", 499)  # fast
    generator = np.random.default_rng(n)
    shape = (1500, n)
    if skewed:
        scores = generator.gamma(6.25, 120, shape) + 250
    else:
        scores = generator.normal(1000, 300, shape)
    found = [playing.mean_score(episodes(own.round()), generator) for own in scores]
    covered = np.mean([mean.low <= 1000 <= mean.high for mean in found])
    assert 0.93 <= covered <= 0.98


def test_one_episode_has_no_interval() -> None:
    mean = playing.mean_score(episodes([5]), np.random.default_rng())
    assert mean.value == 5 and np.isnan(mean.low) and np.isnan(mean.high)


SPREAD = np.linspace(-100, 100, 20)


@pytest.mark.parametrize(
    ("expert", "random", "said"),
    [
        # Both means' intervals overlap; that of their difference leaves 0 out.
        (SPREAD + 150, SPREAD + 100, "difference 50 [10, 90]; the expert is better than random"),
        (SPREAD + 120, SPREAD + 100, "cannot be told from random"),
        (SPREAD + 100, SPREAD + 300, "the expert is below random"),
        ([900], [0, 10], "difference 895; the expert cannot be told from random"),
        ([21, 21], [-21, -21, -21], "difference 42 [42, 42]; the expert is better than random"),
    ],
)
def test_the_verdict_is_of_the_difference_and_calm(expert, random, said: str) -> None:
    generator = np.random.default_rng(0)
    both = [
        playing.Scores(scores, playing.mean_score(scores, generator))
        for scores in (episodes(expert), episodes(random))
    ]
    verdict = playing.Evaluation(*both).verdict
    assert said in verdict and not re.search("[A-Z]{2}", verdict) and "nan" not in verdict
    assert verdict.startswith("expert ") and f"over {len(random)}" in verdict
