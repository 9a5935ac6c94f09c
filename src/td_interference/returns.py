"""Returns of whole episodes, all steps at once by backward recursion (paper, section 2, eq. 4)."""

import itertools

import numpy as np
from numpy.typing import NDArray

_FEW = 16  # episodes at once, below which numbers one by one are faster than short arrays


def lambda_return(
    reward: NDArray[np.floating],
    next_value: NDArray[np.floating],
    terminated: NDArray[np.bool_],
    lengths: NDArray[np.int64],
    *,
    gamma: float,
    lambda_: float,
) -> NDArray[np.float32]:
    """Return G^λ of every step by G^λ_t = R_t + γ ((1 - λ) V(S_{t+1}) + λ G^λ_{t+1}).

    A terminated step has no successor and bootstraps 0. The last step of an episode that did not
    terminate (it was truncated) bootstraps V(S_{t+1}) alone.

    Args:
        reward: R_t, [N], clipped game score; episodes follow one another.
        next_value: V(S_{t+1}), [N]; at an episode's last step, of the observation after it.
        terminated: Whether S_{t+1} is terminal, [N].
        lengths: Agent steps of each episode, [E], with sum N.
        gamma: Discount per agent step.
        lambda_: Weight of the longer returns; 0 gives TD(0), 1 Monte Carlo.

    Returns:
        G^λ, [N] float32 (accumulated in float64).

    Source:
        Paper, eq. 4 (forward view); Sutton and Barto (2018), section 12.1.
    """
    bootstrap = np.where(terminated, 0.0, next_value.astype(np.float64))
    returns = reward.astype(np.float64) + gamma * (1 - lambda_) * bootstrap
    # At the last step the "return after it" is the bootstrap itself, so that λ's share of it is
    # added to the (1 - λ) above; before it, the recursion's own value.
    last = np.cumsum(lengths) - 1
    returns[last] += gamma * lambda_ * bootstrap[last]
    _add_what_follows(returns, lengths, gamma * lambda_)
    return returns.astype(np.float32)


def _add_what_follows(
    values: NDArray[np.float64], lengths: NDArray[np.int64], decay: float
) -> None:
    """Add to each step's value `decay` times the sum of the step after it in its episode, in place.

    Backwards from the ends of all episodes at once, the longest first, so that those still under
    way come first; where few are, one after another.

    Args:
        values: [N], episodes that follow one another.
        lengths: Steps of each episode, [E], each at least 1.
        decay: Weight of what follows.
    """
    longest_first = np.argsort(-lengths, kind="stable")
    ends, lengths = np.cumsum(lengths)[longest_first], lengths[longest_first]
    shared = int(lengths[_FEW - 1]) if len(lengths) >= _FEW else 1
    # How many episodes have a step so far from their end.
    under_way = len(lengths) - np.searchsorted(lengths[::-1], np.arange(shared), side="right")
    following = values[ends - 1]
    for back in range(1, shared):
        place = ends[: under_way[back]] - 1 - back
        following = values[place] + decay * following[: len(place)]
        values[place] = following
    for end, length in zip(ends[:_FEW].tolist(), lengths[:_FEW].tolist(), strict=True):
        if length > shared:
            rest = slice(end - length, end - shared + 1)  # and the step after it, done already
            backwards = values[rest][::-1].tolist()
            summed = itertools.accumulate(backwards, lambda after, own: own + decay * after)
            values[rest] = list(summed)[::-1]


def monte_carlo_return(
    reward: NDArray[np.floating], lengths: NDArray[np.int64], *, gamma: float
) -> NDArray[np.float32]:
    """Return the discounted sum of the rewards from each step to its episode's end.

    Nothing is added past a truncation: this is what was seen, not an estimate.

    Args:
        reward: R_t, [N], clipped game score; episodes follow one another.
        lengths: Agent steps of each episode, [E], with sum N.
        gamma: Discount per agent step.

    Returns:
        G, [N] float32 (accumulated in float64).
    """
    nothing = np.zeros(len(reward))
    over = np.ones(len(reward), dtype=bool)
    return lambda_return(reward, nothing, over, lengths, gamma=gamma, lambda_=1.0)
