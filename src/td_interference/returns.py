"""Returns of whole episodes, all steps at once by backward recursion (paper, section 2, eq. 4)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class EpisodeGrid(NamedTuple):
    """Where each step of E episodes stands in a [longest, E] grid, all last steps in its last row.

    Right-aligned ends let one backward pass over the rows serve every episode: T_max vector
    operations of width E instead of N scalar ones.
    """

    row: NDArray[np.int64]  # [N]
    column: NDArray[np.int64]  # [N]
    shape: tuple[int, int]

    def spread(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return `values` [N] in the grid [longest, E], 0 where there is no step."""
        grid = np.zeros(self.shape)
        grid[self.row, self.column] = values
        return grid


def episode_grid(lengths: NDArray[np.int64]) -> EpisodeGrid:
    """Return the grid of episodes that follow one another.

    Args:
        lengths: Agent steps of each episode, [E], each at least 1.
    """
    longest = int(lengths.max(initial=0))
    column = np.repeat(np.arange(len(lengths)), lengths)
    starts = np.cumsum(lengths) - lengths
    step = np.arange(int(lengths.sum())) - starts[column]
    return EpisodeGrid(step + (longest - lengths)[column], column, (longest, len(lengths)))


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
    grid = episode_grid(lengths)
    bootstrap = np.where(terminated, 0.0, next_value.astype(np.float64))
    immediate = grid.spread(reward.astype(np.float64) + gamma * (1 - lambda_) * bootstrap)
    # In the last row the "return after it" is the bootstrap itself, so that λ's share of it is
    # added to the (1 - λ) above; before it, the recursion's own value.
    last = np.cumsum(lengths) - 1
    following = bootstrap[last]
    returns = np.empty(grid.shape)
    for row in reversed(range(grid.shape[0])):
        following = immediate[row] + gamma * lambda_ * following
        returns[row] = following
    return returns[grid.row, grid.column].astype(np.float32)


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
