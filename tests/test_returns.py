"""λ-returns against their definition, eq. 4 of the paper, written out term by term."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from td_interference.returns import lambda_return, monte_carlo_return


def by_definition(reward, value, terminated, *, gamma, lambda_):
    """G^λ of each step of ONE episode by eq. 4; value[t] is V(S_t), one longer than reward.

    At an episode's end the remaining weight lies on the longest return there is.
    """
    length = len(reward)
    returns = []
    for t in range(length):
        longest = length - t

        def n_step(n, t=t):
            total = sum(gamma**j * reward[t + j] for j in range(n))
            is_end = t + n == length
            return total + (0 if is_end and terminated else gamma**n * value[t + n])

        total = sum((1 - lambda_) * lambda_ ** (n - 1) * n_step(n) for n in range(1, longest))
        returns.append(total + lambda_ ** (longest - 1) * n_step(longest))
    return np.array(returns)


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    lambda_=st.sampled_from([0.0, 0.25, 0.9, 1.0]),
    gamma=st.sampled_from([0.0, 0.9, 0.99, 1.0]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_lambda_return_is_equation_4(lengths, lambda_, gamma, seed):
    generator = np.random.default_rng(seed)
    reward, next_value, expected, terminated = [], [], [], []
    for length in lengths:
        ends_in_terminal = bool(generator.integers(2))
        r, v = generator.normal(size=length), generator.normal(size=length + 1)
        expected.append(by_definition(r, v, ends_in_terminal, gamma=gamma, lambda_=lambda_))
        reward.append(r)
        next_value.append(v[1:])
        terminated.append([False] * (length - 1) + [ends_in_terminal])
    result = lambda_return(
        np.concatenate(reward),
        np.concatenate(next_value),
        np.concatenate(terminated),
        np.array(lengths),
        gamma=gamma,
        lambda_=lambda_,
    )
    np.testing.assert_allclose(result, np.concatenate(expected), rtol=2e-6, atol=2e-6)


def test_three_steps_by_hand():
    arguments = {"gamma": 0.5, "lambda_": 0.5}
    reward, lengths = np.array([1.0, 0.0, 2.0]), np.array([3])
    next_value = np.array([4.0, 8.0, 16.0])
    over = np.array([False, False, True])
    # Backwards: 2; 0 + .5 (.5 * 8 + .5 * 2) = 2.5; 1 + .5 (.5 * 4 + .5 * 2.5) = 2.625
    ended = lambda_return(reward, next_value, over, lengths, **arguments)
    assert ended.tolist() == [2.625, 2.5, 2.0]
    # Truncated: 2 + .5 * 16 = 10; .5 (4 + 5) = 4.5; 1 + .5 (2 + 2.25) = 3.125
    cut = lambda_return(reward, next_value, np.zeros(3, bool), lengths, **arguments)
    assert cut.tolist() == [3.125, 4.5, 10.0]


@pytest.mark.parametrize("gamma", [0.9, 1.0])
def test_lambda_0_is_td_0_and_lambda_1_is_monte_carlo(gamma):
    generator = np.random.default_rng(0)
    lengths = np.array([5, 1, 7])
    reward, next_value = generator.normal(size=13), generator.normal(size=13)
    ends = np.cumsum(lengths) - 1
    terminated = np.zeros(13, bool)
    terminated[ends] = True
    arguments = (reward, next_value, terminated, lengths)
    td_0 = reward + gamma * ~terminated * next_value
    np.testing.assert_allclose(
        lambda_return(*arguments, gamma=gamma, lambda_=0), td_0, rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(
        lambda_return(*arguments, gamma=gamma, lambda_=1),
        monte_carlo_return(reward, lengths, gamma=gamma),
        rtol=1e-6,
    )


def test_monte_carlo_return_by_brute_force():
    generator = np.random.default_rng(1)
    lengths = np.array([4, 9])
    reward = generator.normal(size=13)
    ends = np.repeat(np.cumsum(lengths), lengths)
    expected = [
        sum(0.9 ** (k - t) * reward[k] for k in range(t, end)) for t, end in enumerate(ends)
    ]
    np.testing.assert_allclose(
        monte_carlo_return(reward, lengths, gamma=0.9), expected, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    "lengths", [[1], [1] * 40, [300, *[2] * 30], [3] * 16, [5, 900, 7], list(range(1, 60))]
)
@pytest.mark.parametrize("lambda_", [0.0, 0.7, 1.0])
def test_the_bits_are_those_of_one_step_after_another(lengths, lambda_):
    """Whatever is computed side by side: the recursion in float64, from each episode's end."""
    generator = np.random.default_rng(len(lengths))
    n, gamma = sum(lengths), 0.99
    reward, value = generator.normal(size=(2, n)).astype(np.float32)
    last = np.isin(np.arange(n), np.cumsum(lengths) - 1)
    terminated = last & (generator.random(n) < 0.5)
    expected = np.empty(n)
    for t in reversed(range(n)):
        bootstrap = 0.0 if terminated[t] else float(value[t])
        own = float(reward[t]) + gamma * (1 - lambda_) * bootstrap
        after = bootstrap if last[t] else expected[t + 1]
        expected[t] = own + gamma * lambda_ * after
    found = lambda_return(
        reward, value, terminated, np.array(lengths), gamma=gamma, lambda_=lambda_
    )
    np.testing.assert_array_equal(found, expected.astype(np.float32))


def test_one_long_episode_costs_no_grid():
    """A grid of the longest by all would have 80 million numbers."""
    lengths = np.array([20_000, *[1] * 4000])
    n = int(lengths.sum())
    reward, over = np.ones(n, dtype=np.float32), np.zeros(n, dtype=bool)
    tracemalloc.start()
    lambda_return(reward, reward, over, lengths, gamma=0.99, lambda_=0.9)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * n
