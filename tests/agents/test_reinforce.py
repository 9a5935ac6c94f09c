"""REINFORCE: its loss by hand, and updates again by plain PyTorch in float64."""

import copy
import math

import pytest
import torch
from masked_images import LEARNER, REINFORCE, training_images

from td_interference.agents.masked_images.play import play_episodes
from td_interference.generalization import reinforce
from td_interference.generalization.reinforce import Learner as Reinforce
from td_interference.generalization.reinforce import ReinforceTargets


def agent(**over):
    return Reinforce(training_images(), LEARNER._replace(**over), REINFORCE, stream="test")


def test_the_loss_by_hand():
    """All classes alike, and moves with shares 1/2, 1/4, 1/8, 1/8."""
    logits = torch.zeros(1, 14)
    logits[0, 10:] = torch.tensor([4.0, 2.0, 1.0, 1.0]).log()
    targets = ReinforceTargets(
        torch.tensor([7]), torch.tensor([1]), torch.tensor([0.8]), torch.tensor([0.1])
    )
    entropy = math.log(10) + 1.75 * math.log(2)
    expected = 0.8 * (math.log(10) + math.log(4)) - 0.1 * entropy
    assert Reinforce.loss(logits, targets).item() == pytest.approx(expected, rel=1e-6)
    assert Reinforce.function(torch.arange(28.0).view(2, 14)).tolist() == [6.5, 20.5]


def test_updates_are_those_of_a_plain_twin(monkeypatch):
    """Episode by episode, step by step, in float64, from the actions that were drawn."""
    played = []

    def noted(*arguments):
        played.append(play_episodes(*arguments))
        return played[-1]

    monkeypatch.setattr(reinforce, "play_episodes", noted)
    run = agent(minibatch=60)
    network = copy.deepcopy(run.network).double()
    optimizer = torch.optim.Adam(network.parameters(), LEARNER.learning_rate)
    for _ in range(3):
        played.clear()
        before = run.agent_step
        run.step()
        assert run.agent_step - before == sum(len(part.episode) for part in played) >= 60
        assert sum(len(part.episode) for part in played[:-1]) < 60
        terms = []
        for part in played:
            for number in part.episode.unique():
                state = run.images.begin(part.state.image[part.episode == number][:1])
                steps, total = [], 0.0
                for c, m in zip(*(a[part.episode == number] for a in part.actions), strict=True):
                    steps.append((run.images.observation(state).double(), c, m))
                    step = run.images.step(state, c[None], m[None])
                    total, state = total + step.reward.double(), step.state
                assert step.terminated or step.truncated
                for observation, c, m in steps:
                    outputs = network(observation)[0]
                    probability = [outputs[:10].softmax(0), outputs[10:].softmax(0)]
                    entropy = -sum((p * p.log()).sum() for p in probability)
                    log_policy = (probability[0][c] * probability[1][m]).log()
                    terms.append(-log_policy * total - REINFORCE.entropy_weight * entropy)
        optimizer.zero_grad()
        (sum(terms) / len(terms)).backward()
        optimizer.step()
    assert run.update_step == 3
    for ours, theirs in zip(run.network.parameters(), network.parameters(), strict=True):
        assert (ours - theirs).abs().max() < 1e-5
    assert (run.network[0].weight - agent().network[0].weight).abs().max() > 2e-3


def test_entropy_alone_makes_the_policy_even():
    """With no reward to tell actions apart, the bonus pulls every policy towards uniform."""
    logits = torch.randn(1, 14, generator=torch.Generator().manual_seed(0)).requires_grad_()
    one = torch.zeros(1, dtype=torch.long)
    targets = ReinforceTargets(one, one, torch.zeros(1), torch.ones(1))
    optimizer = torch.optim.SGD([logits], 1.0)
    for _ in range(500):
        optimizer.zero_grad()
        Reinforce.loss(logits, targets).sum().backward()
        optimizer.step()
    assert torch.allclose(logits[0, :10].softmax(0), torch.full((10,), 0.1), atol=1e-3)
    assert torch.allclose(logits[0, 10:].softmax(0), torch.full((4,), 0.25), atol=1e-3)


def test_a_loss_that_was_not_finite_is_remembered():
    """The weights are sound again afterwards, but the run is not."""
    run = agent()
    sound = copy.deepcopy(run.network.state_dict())
    assert run.finite
    run.loss = lambda outputs, targets: Reinforce.loss(outputs, targets) * torch.inf
    run.step()
    del run.loss
    run.network.load_state_dict(sound)
    run.step()
    assert not run.finite
