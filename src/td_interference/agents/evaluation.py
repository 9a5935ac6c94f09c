"""How good an agent is: scores of whole episodes, with an interval."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from td_interference.agents.expert_file import expected_q
from td_interference.agents.rainbow_network import RainbowNetwork
from td_interference.agents.settings import ExpertSettings
from td_interference.environments.atari import AtariEnvironments, AtariSettings
from td_interference.seeds import numpy_generator, seed_for

Policy = Callable[[NDArray[np.uint8]], NDArray[np.integer]]  # [N, 4, 84, 84] -> [N] actions
QFunction = Callable[[Tensor], Tensor]  # uint8 [N, 4, 84, 84] on the CPU -> Q(s, ·), [N, A]


class EpisodeScore(NamedTuple):
    """One whole episode."""

    score: int  # undiscounted sum of raw rewards
    agent_steps: int
    truncated: bool  # cut by `max_frames_per_episode`


class Interval(NamedTuple):
    """A mean and its 95% bootstrap interval."""

    mean: float
    low: float
    high: float


class Evaluation(NamedTuple):
    """Both agents of an evaluation, under the same stickiness and limits."""

    expert: Sequence[EpisodeScore]
    expert_interval: Interval
    random: Sequence[EpisodeScore]
    random_interval: Interval

    @property
    def verdict(self) -> str:
        """One sentence that compares the two intervals."""
        expert, random = self.expert_interval, self.random_interval
        if expert.low > random.high:
            comparison = "better than random: the intervals do not overlap"
        elif expert.high < random.low:
            comparison = "WORSE than random: the intervals do not overlap"
        else:
            comparison = "not clearly better than random: the intervals overlap, or one is unknown"
        return (
            f"expert {_text(expert)} over {len(self.expert)} episodes, "
            f"random {_text(random)} over {len(self.random)}; {comparison}"
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


def play_episodes(
    policy: Policy,
    settings: AtariSettings,
    n_episodes: int,
    n_environments: int,
    seed: int,
    n_threads: int = 1,
    advance: Callable[[int], None] = lambda episodes: None,
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
        advance: Told the number of episodes that ended, after each step where some did.

    Returns:
        The episodes in the order in which they began.
    """
    n_environments = min(n_environments, n_episodes)
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
        ended = np.flatnonzero((step.terminated | step.truncated) & (episode < n_episodes))
        for n in ended:
            done[int(episode[n])] = EpisodeScore(
                int(score[n]), int(length[n]), bool(step.truncated[n])
            )
            episode[n], begun = begun, begun + 1
            score[n] = length[n] = 0
        if len(ended):
            advance(len(ended))
    environments.close()
    return [done[n] for n in range(n_episodes)]


def bootstrap_interval(scores: list[EpisodeScore], generator: np.random.Generator) -> Interval:
    """Return the mean score and its 95% interval, by the percentile bootstrap over episodes."""
    values = np.array([episode.score for episode in scores], dtype=np.float64)
    if len(values) < 2:
        return Interval(float(values.mean()), float("nan"), float("nan"))
    result = stats.bootstrap(
        (values,), np.mean, n_resamples=9999, method="percentile", rng=generator
    ).confidence_interval
    return Interval(float(values.mean()), float(result.low), float(result.high))


def evaluate_expert(
    settings: ExpertSettings,
    network: RainbowNetwork,
    n_threads: int = 1,
    advance: Callable[[int], None] = lambda episodes: None,
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
        max_frames_per_episode=settings.max_frames_per_episode,
    )
    expert = epsilon_greedy_policy(
        partial(expected_q, network),
        network.n_actions,
        settings.evaluation_epsilon,
        numpy_generator(stream, "expert_policy"),
    )
    random = random_policy(network.n_actions, numpy_generator(stream, "random_policy"))

    def play(agent: str, policy: Policy, n_episodes: int) -> tuple[list[EpisodeScore], Interval]:
        scores = play_episodes(
            policy,
            game,
            n_episodes,
            settings.evaluation_environments,
            seed_for(stream, f"{agent}_evaluation_environments"),
            n_threads,
            advance,
        )
        return scores, bootstrap_interval(scores, numpy_generator(stream, f"{agent}_bootstrap"))

    return Evaluation(
        *play("expert", expert, settings.evaluation_episodes),
        *play("random", random, settings.random_episodes),
    )


def _text(interval: Interval) -> str:
    return f"{interval.mean:.0f} [{interval.low:.0f}, {interval.high:.0f}]"
