"""How good an agent is: scores of whole episodes, with an interval."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from td_interference.agents.expert.file import expected_q
from td_interference.agents.expert.network import RainbowNetwork
from td_interference.environments.atari import AtariEnvironments, AtariSettings
from td_interference.environments.screen import FRAMESKIP
from td_interference.planning.expert import ExpertSettings
from td_interference.seeds import numpy_generator, seed_for
from td_interference.statistics import Estimate, difference_of_means, mean_interval

Policy = Callable[[NDArray[np.uint8]], NDArray[np.integer]]  # [N, 4, 84, 84] -> [N] actions
QFunction = Callable[[Tensor], Tensor]  # uint8 [N, 4, 84, 84] on the CPU -> Q(s, ·), [N, A]


CONFIDENCE = 0.95  # of all intervals here
_RESAMPLES = 9999


class EpisodeScore(NamedTuple):
    """One whole episode."""

    score: int  # undiscounted sum of raw rewards
    agent_steps: int
    truncated: bool  # cut by `max_frames_per_episode`


class Scores(NamedTuple):
    """What an agent scored."""

    episodes: Sequence[EpisodeScore]
    mean: Estimate

    def __str__(self) -> str:
        """Name the mean, its interval and the number of episodes."""
        return f"{_text(self.mean)} over {len(self.episodes)}"


class Evaluation(NamedTuple):
    """Both agents of an evaluation, under the same stickiness and limits."""

    expert: Scores
    random: Scores

    @property
    def verdict(self) -> str:
        """One sentence: both means, and what their difference (Welch's interval) says."""
        difference = difference_of_means(
            *([episode.score for episode in scores.episodes] for scores in self),
            confidence=CONFIDENCE,
        )
        if difference.low > 0:
            comparison = "the expert is better than random"
        elif difference.high < 0:
            comparison = "the expert is below random, as one is that has hardly learned"
        else:
            comparison = "the expert cannot be told from random by so few episodes"
        return (
            f"expert {self.expert} episodes, random {self.random}, "
            f"difference {_text(difference)}; {comparison}"
        )


def epsilon_greedy_policy(
    q_function: QFunction, n_actions: int, epsilon: float, generator: np.random.Generator
) -> Policy:
    """Return the policy that takes the action of the largest value.

    Args:
        q_function: Gives the values, on any device.
        n_actions: A.
        epsilon: Probability of a uniformly random action instead, for each observation.
        generator: Source of the random actions; asked as often whatever is done.
    """
    random = random_policy(n_actions, generator)

    def act(observation: NDArray[np.uint8]) -> NDArray[np.integer]:
        explore, uniform = generator.random(len(observation)) < epsilon, random(observation)
        if explore.all():
            return uniform
        with torch.no_grad():
            best = q_function(torch.from_numpy(observation)).argmax(1).cpu().numpy()
        return np.where(explore, uniform, best)

    return act


def random_policy(n_actions: int, generator: np.random.Generator) -> Policy:
    """Return the policy that takes each action with the same probability."""
    return lambda observation: generator.integers(n_actions, size=len(observation))


def max_agent_steps(settings: AtariSettings) -> int:
    """Return the agent steps after which an episode is truncated."""
    return math.ceil(settings.max_frames_per_episode / FRAMESKIP)


def play_episodes(
    policy: Policy,
    settings: AtariSettings,
    n_episodes: int,
    n_environments: int,
    seed: int,
    n_threads: int = 1,
    advance: Callable[[int], None] = lambda agent_steps: None,
) -> list[EpisodeScore]:
    """Play whole episodes in several environments at once.

    The episodes that count are the first `n_episodes` begun, not the first to end, which would
    favour short ones.

    Args:
        policy: Who plays.
        settings: The game.
        n_episodes: Episodes.
        n_environments: Environments that step together.
        seed: Seed of the emulators.
        n_threads: Threads of the emulators.
        advance: Told the agent steps of the episodes that count, after each step; when an episode
            ends, also those that it was short of `max_agent_steps`.

    Returns:
        The episodes in the order in which they began.
    """
    n_environments = min(n_environments, n_episodes)
    longest = max_agent_steps(settings)
    # A restart would cut episodes; none can last longer than this evaluation's limit.
    no_restart = n_episodes * settings.max_frames_per_episode
    environments = AtariEnvironments(
        settings, n_environments, seed, n_threads, restart_period=no_restart
    )
    episode = np.arange(n_environments)  # which one each environment plays
    begun = n_environments
    score = np.zeros(n_environments, dtype=np.int64)
    length = np.zeros(n_environments, dtype=np.int64)
    done: dict[int, EpisodeScore] = {}
    while len(done) < n_episodes:
        step = environments.step(policy(environments.observation))
        score += step.raw_reward
        length += step.valid
        played = int((step.valid & (episode < n_episodes)).sum())
        ended = np.flatnonzero((step.terminated | step.truncated) & (episode < n_episodes))
        for n in ended:
            done[int(episode[n])] = EpisodeScore(
                int(score[n]), int(length[n]), bool(step.truncated[n])
            )
            played += max(0, longest - int(length[n]))
            episode[n], begun = begun, begun + 1
            score[n] = length[n] = 0
        if played:
            advance(played)
    environments.close()
    return [done[n] for n in range(n_episodes)]


def mean_score(scores: Sequence[EpisodeScore], generator: np.random.Generator) -> Estimate:
    """Return the mean score with its 95% interval over episodes (`statistics.mean_interval`).

    Args:
        scores: At least one.
        generator: For the bootstrap of many episodes.
    """
    mean = mean_interval(
        [episode.score for episode in scores],
        confidence=CONFIDENCE,
        resamples=_RESAMPLES,
        generator=generator,
    )
    return Estimate(float(mean.mean), float(mean.low), float(mean.high))


def evaluate_expert(
    settings: ExpertSettings,
    network: RainbowNetwork,
    n_threads: int = 1,
    advance: Callable[[int], None] = lambda agent_steps: None,
) -> Evaluation:
    """Play the expert and a uniformly random agent, under the same rules.

    Args:
        settings: How many episodes, and the game.
        network: The expert.
        n_threads: Threads of the emulators.
        advance: As in `play_episodes`.
    """
    stream = settings.random_stream
    game = AtariSettings(
        settings.game,
        settings.evaluation_repeat_action_probability,
        settings.max_frames_per_episode,
    )
    expert = epsilon_greedy_policy(
        partial(expected_q, network),
        network.n_actions,
        settings.evaluation_epsilon,
        numpy_generator(stream, "expert_policy"),
    )
    random = random_policy(network.n_actions, numpy_generator(stream, "random_policy"))

    def play(agent: str, policy: Policy, n_episodes: int) -> Scores:
        scores = play_episodes(
            policy,
            game,
            n_episodes,
            settings.evaluation_environments,
            seed_for(stream, f"{agent}_evaluation_environments"),
            n_threads,
            advance,
        )
        return Scores(scores, mean_score(scores, numpy_generator(stream, f"{agent}_bootstrap")))

    return Evaluation(
        play("expert", expert, settings.evaluation_episodes),
        play("random", random, settings.random_episodes),
    )


def _text(estimate: Estimate) -> str:
    value, low, high = estimate
    return f"{value:.0f}" + (f" [{low:.0f}, {high:.0f}]" if np.isfinite(low) else "")
