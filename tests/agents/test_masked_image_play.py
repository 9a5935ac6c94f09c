"""Policies of two heads, and episodes played side by side against episodes played alone."""

import numpy as np
import pytest
import torch
from masked_images import training_images

from td_interference.agents.masked_images.play import (
    Heads,
    epsilon_greedy_policy,
    heads,
    play_episodes,
    softmax_policy,
)


def observations(numbers):
    """Observations in which each number is the first pixel, for `Table`."""
    seen = torch.zeros(len(numbers), 4, 32, 32)
    seen[:, 0, 0, 0] = torch.as_tensor(numbers, dtype=torch.float32)
    return seen


class Table(torch.nn.Module):
    """Outputs looked up by the first pixel; keeps what it was asked."""

    def __init__(self, outputs):
        super().__init__()
        self.rows, self.asked = outputs, []

    def forward(self, observation):
        index = observation[:, 0, 0, 0].long()
        self.asked.append(index)
        return self.rows[index]


def table(n=50):
    return Table(torch.randn(n, 14, generator=torch.Generator().manual_seed(3)))


def test_the_heads_are_ten_classes_and_four_moves():
    outputs = torch.arange(28.0).view(2, 14)
    assert heads(outputs).class_action.tolist() == [list(range(10)), list(range(14, 24))]
    assert heads(outputs).move.tolist() == [[10, 11, 12, 13], [24, 25, 26, 27]]


def test_greedy_is_the_largest_value_of_each_head():
    network = table()
    actions = epsilon_greedy_policy(network, 0.0, np.random.default_rng(0))(observations(range(50)))
    for row, class_action, move in zip(network.rows.tolist(), *actions, strict=True):
        assert class_action == int(np.argmax(row[:10])) and move == int(np.argmax(row[10:]))


def test_both_heads_explore_at_once_with_probability_epsilon():
    """Greedy actions are 0 and 0 everywhere, so that any other was random."""
    outputs = torch.zeros(1, 14)
    outputs[0, 0] = outputs[0, 10] = 1
    n, epsilon = 8_000, 0.3
    policy = epsilon_greedy_policy(Table(outputs), epsilon, np.random.default_rng(0))
    class_action, move = policy(observations(np.zeros(n)))
    both = ((class_action > 0) & (move > 0)).double().mean().item()
    assert both == pytest.approx(epsilon * 0.9 * 0.75, abs=0.015)
    for action, count in ((class_action, 10), (move, 4)):
        shares = torch.bincount(action, minlength=count) / n
        expected = torch.full((count,), epsilon / count)
        expected[0] += 1 - epsilon
        assert (shares - expected).abs().max() < 0.015


def test_only_greedy_rows_ask_the_network():
    network = table()
    actions = epsilon_greedy_policy(network, 0.5, np.random.default_rng(0))(observations(range(50)))
    (asked,) = network.asked
    greedy = np.flatnonzero(np.random.default_rng(0).random(50) >= 0.5)
    assert asked.tolist() == greedy.tolist() and 10 < len(asked) < 40
    assert torch.equal(actions.class_action[asked], network.rows[asked, :10].argmax(1))
    network.asked.clear()
    epsilon_greedy_policy(network, 1.0, np.random.default_rng(0))(observations(range(50)))
    assert network.asked == []


def test_softmax_draws_as_often_as_it_should():
    logits = torch.cat([torch.linspace(-2, 1, 10), torch.tensor([0.5, -1.0, 2.0, 0.0])])[None]
    n = 15_000
    policy = softmax_policy(Table(logits), np.random.default_rng(0))
    drawn = policy(observations(np.zeros(n)))
    for action, own in zip(drawn, heads(logits), strict=True):
        shares = torch.bincount(action, minlength=own.shape[1]) / n
        assert (shares - own[0].softmax(0)).abs().max() < 0.015
    class_action, move = (action.double() for action in drawn)
    assert abs(np.corrcoef(class_action, move)[0, 1]) < 0.03


def test_certain_and_unknown_logits_still_give_an_action():
    outputs = torch.full((2, 14), -1e30)
    outputs[0, [9, 13]] = 0
    outputs[1] = torch.nan
    policy = softmax_policy(Table(outputs), np.random.default_rng(0))
    class_action, move = policy(observations([0, 0, 1]))
    assert class_action[:2].tolist() == [9, 9] and move[:2].tolist() == [3, 3]
    assert 0 <= class_action[2] < 10 and 0 <= move[2] < 4


def plan(seed):
    """Actions that follow from what is seen alone, right now and then."""
    weights = torch.rand(4, 32, 32, generator=torch.Generator().manual_seed(seed))

    def policy(observation):
        # Integer arithmetic, which does not depend on the company.
        seen = ((observation * 255).round() * (weights * 100).round()).long().sum((1, 2, 3))
        return Heads(seen % 10, seen // 10 % 4)

    return policy


def test_episodes_side_by_side_are_those_played_alone():
    images, policy = training_images(), plan(0)
    shown = torch.tensor([3, 0, 3, *range(4, 20)])
    together = play_episodes(images, shown, policy)
    lengths = torch.bincount(together.episode)
    assert set(lengths.tolist()) > {20} and len(set(lengths.tolist())) > 3
    for number, image in enumerate(shown):
        state, total, steps = images.begin(image[None]), 0.0, 0
        mine = torch.nonzero(together.episode == number).flatten()
        while True:
            actions = policy(images.observation(state))
            for name, part in state._asdict().items():
                assert torch.equal(part[0], getattr(together.state, name)[mine[steps]])
            for ours, theirs in zip(actions, together.actions, strict=True):
                assert ours[0] == theirs[mine[steps]]
            step = images.step(state, *actions)
            total, steps, state = total + float(step.reward), steps + 1, step.state
            if step.terminated or step.truncated:
                break
        assert steps == len(mine)
        assert together.reward[number].item() == pytest.approx(total)
