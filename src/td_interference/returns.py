"""Returns of whole episodes, all steps at once by backward recursion (paper, section 2, eq. 4)."""

import numpy as np
from numpy.typing import NDArray


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
    # Steps stand in a grid [longest, E], all last ones in its last row: one backward pass over the
    # rows serves every episode, in vector operations of width E instead of N scalar ones.
    end = np.cumsum(lengths)
    episode = np.repeat(np.arange(len(lengths)), lengths)
    row = int(lengths.max(initial=0)) - end[episode] + np.arange(len(episode))
    grid = np.zeros((int(lengths.max(initial=0)), len(lengths)))
    grid[row, episode] = reward.astype(np.float64) + gamma * (1 - lambda_) * bootstrap
    # In the last row the "return after it" is the bootstrap itself, so that λ's share of it is
    # added to the (1 - λ) above; before it, the recursion's own value.
    following = bootstrap[end - 1]
    for immediate in grid[::-1]:
        immediate += gamma * lambda_ * following
        following = immediate
    return grid[row, episode].astype(np.float32)


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
