"""Double DQN: targets and losses by hand, and a whole run again by plain PyTorch in float64."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from masked_images import DOUBLE_DQN, LEARNER, training_images

from td_interference.agents.masked_images.play import Heads, play_episodes
from td_interference.agents.masked_images.replay import Transitions
from td_interference.environments.masked_image import MaskedImageState
from td_interference.generalization.double_dqn import DoubleDQNTargets, double_dqn_target
from td_interference.generalization.double_dqn import Learner as DoubleDQN


def values(*rows):
    """Values of both heads: the given first ones, all others far below."""
    table = torch.full((len(rows), 14), -100.0)
    for row, (class_values, move_values) in enumerate(rows):
        table[row, : len(class_values)] = torch.tensor(class_values)
        table[row, 10 : 10 + len(move_values)] = torch.tensor(move_values)
    return Heads(table[:, :10], table[:, 10:])


def test_targets_by_hand():
    """A step that goes on, the same but terminal; each head chooses for itself, and online."""
    online = values(*[([1.0, 3.0, 2.0], [5.0, 4.0])] * 2)
    target = values(*[([10.0, 20.0, 40.0], [50.0, 80.0])] * 2)
    reward = torch.tensor([-0.05, 1.0])
    terminated = torch.tensor([False, True])
    both = double_dqn_target(online, target, reward, terminated, gamma=0.9)
    # Online prefers class 1 and move 0; the moving average says 20 and 50 of them.
    assert both.class_action.tolist() == pytest.approx([-0.05 + 0.9 * 20, 1.0])
    assert both.move.tolist() == pytest.approx([-0.05 + 0.9 * 50, 1.0])


def test_the_loss_is_the_sum_of_both_squared_td_errors():
    outputs = torch.arange(28.0).view(2, 14)
    targets = DoubleDQNTargets(
        torch.tensor([2, 9]),
        torch.tensor([3, 0]),
        torch.tensor([2.5, 20.0]),
        torch.tensor([10.0, 24.5]),
    )
    # Q of the classes 2 and 23, of the moves 13 and 24.
    loss = DoubleDQN.loss(outputs, targets)
    assert loss.tolist() == [0.5**2 + 3.0**2, 3.0**2 + 0.5**2]
    assert DoubleDQN.function(torch.tensor([[0.0] * 13 + [7.0], [8.0] + [0.0] * 13])).tolist() == [
        7,
        8,
    ]


def agent(**over):
    return DoubleDQN(
        training_images(), LEARNER, dataclasses.replace(DOUBLE_DQN, **over), stream="test"
    )


def test_a_truncated_step_bootstraps_and_a_terminated_one_does_not():
    """Step 20 with a wrong class has the target of step 10; with the right class, the reward."""
    run = agent()
    with torch.no_grad():
        for number, network in enumerate((run.network, run.average_network)):
            network[-1].bias.copy_(torch.arange(14.0) + number)
    image = torch.tensor([4, 4, 4])
    begun = run.images.begin(image)
    state = MaskedImageState(*begun[:4], torch.tensor([10, 19, 19]))
    label = run.images.label(image)
    actions = Heads(label + torch.tensor([1, 1, 0]), torch.zeros(3, dtype=torch.long))
    actions.class_action.remainder_(10)
    step = run.images.step(state, *actions)
    assert step.truncated.tolist() == [False, True, False]
    assert step.terminated.tolist() == [False, False, True]
    targets = run._targets(run.images, Transitions(state, actions, step))
    for target in targets[2:]:
        assert target[0] == target[1] != target[2] == 1


def float64_twin(run, until):
    """The same run by plain code: lists for the replay, one observation at a time, float64.

    Only which random numbers are drawn is taken from the agent.
    """
    settings, images = run.settings, run.images
    network = copy.deepcopy(run.network).double()
    target = copy.deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), LEARNER.learning_rate)
    draw = copy.deepcopy(run.generators)
    n = settings.n_environments
    memory, place, updates = [None] * settings.replay_capacity, 0, 0
    # The images to begin with have been drawn already.
    states = [images.begin(i[None]) for i in run._state.image]
    for agent_step in range(0, until, n):
        share = min(1, agent_step / settings.epsilon_decay_steps)
        epsilon = settings.epsilon_start * (1 - share) + settings.epsilon_end * share
        explore = draw["exploration"].random(n) < epsilon
        class_action = draw["exploration"].integers(0, 10, n)
        move = draw["exploration"].integers(0, 4, n)
        next_images = draw["episodes"].integers(0, len(images), n)
        for i in range(n):
            before = images.observation(states[i]).double()
            if not explore[i]:
                q = network(before)[0]
                class_action[i], move[i] = int(q[:10].argmax()), int(q[10:].argmax())
            step = images.step(states[i], torch.tensor([class_action[i]]), torch.tensor([move[i]]))
            after = images.observation(step.state).double()
            memory[place % len(memory)] = (
                before,
                class_action[i],
                move[i],
                float(step.reward),
                after,
                bool(step.terminated),
            )
            place += 1
            ended = step.terminated or step.truncated
            states[i] = images.begin(torch.tensor([next_images[i]])) if ended else step.state
        while (
            updates + 1 <= (agent_step + n - settings.learning_starts) * settings.updates_per_step
        ):
            index = draw["minibatches"].integers(0, min(place, len(memory)), LEARNER.minibatch)
            losses = []
            for before, c, m, reward, after, terminated in (memory[i] for i in index):
                with torch.no_grad():
                    own, theirs = network(after)[0], target(after)[0]
                q = network(before)[0]
                y_class = y_move = reward
                if not terminated:
                    y_class = reward + settings.gamma * theirs[:10][own[:10].argmax()]
                    y_move = reward + settings.gamma * theirs[10:][own[10:].argmax()]
                losses.append((y_class - q[c]) ** 2 + (y_move - q[10 + m]) ** 2)
            optimizer.zero_grad()
            torch.stack(losses).mean().backward()
            optimizer.step()
            updates += 1
            with torch.no_grad():
                for average, new in zip(target.parameters(), network.parameters(), strict=True):
                    average.copy_((1 - settings.tau) * average + settings.tau * new)
    return network, target, updates


def test_a_run_is_that_of_its_plain_twin():
    """Through a full replay, exploration, the first updates and many more."""
    run = agent()
    network, target, updates = float64_twin(run, until=120)
    while run.agent_step < 120:
        run.step()
    assert run.update_step == updates == 54 and len(run.replay) == 50
    for ours, theirs in ((run.network, network), (run.average_network, target)):
        for own, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert (own - expected).abs().max() < 2e-5
    moved = (run.network[0].weight - agent().network[0].weight).abs().max()
    assert moved > 1e-2


def test_replay_states_are_measured_with_the_targets_of_training():
    run = agent()
    for _ in range(30):
        run.step()
    measured = run.train_states(None, 20, np.random.default_rng(0))
    drawn = run.replay.sample_distinct(20, np.random.default_rng(0))
    assert torch.equal(measured.observation, run.images.observation(drawn.state))
    assert all(map(torch.equal, measured.targets[:2], drawn.actions))
    assert len(measured.observation) == 20


def test_evaluation_is_as_greedy_as_its_setting():
    run = agent()
    shown = torch.arange(20)
    for epsilon, same in ((0.0, True), (1.0, False)):
        run.settings = dataclasses.replace(run.settings, evaluation_epsilon=epsilon)
        played = [
            play_episodes(run.images, shown, run.evaluation_policy(np.random.default_rng(seed)))
            for seed in (0, 1)
        ]
        equal = torch.equal(played[0].actions.move[:20], played[1].actions.move[:20])
        assert equal is same
