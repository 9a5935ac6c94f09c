"""The learner: double, dueling, distributional targets on hand-made numbers."""

import copy
import dataclasses

import numpy as np
import torch
from torch import nn

from td_interference.agents.expert.learner import Noises, RainbowLearner, rainbow_loss
from td_interference.agents.expert.network import RainbowNetwork
from td_interference.agents.expert.prioritized_replay import ReplayBatch
from td_interference.planning.expert import ExpertSettings

QUIET = Noises(None, None, None)
SUPPORT = torch.tensor([0.0, 1.0, 2.0])


class Table(nn.Module):
    """Logits [2 states, 2 actions, 3 atoms]; the state is the observation's first pixel."""

    def __init__(self, probability: list):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(probability).log())
        self.support = SUPPORT

    def forward(self, pixels, noise):
        state = (pixels[:, 0, 0, 0] * 255).round().long()
        return self.logits[state]

    def action_values(self, pixels, noise):
        return self(pixels, noise).softmax(-1) @ self.support


def batch(action: int, n_step_return: float, discount: float) -> ReplayBatch:
    observation = torch.zeros(1, 4, 84, 84, dtype=torch.uint8)
    return ReplayBatch(
        observation=observation,
        action=torch.tensor([action]),
        n_step_return=torch.tensor([n_step_return]),
        bootstrap_observation=observation + 1,
        bootstrap_discount=torch.tensor([discount]),
        importance_weight=torch.ones(1),
        leaf=np.zeros(1, dtype=np.int64),
    )


# At state 1 the online network prefers action 1 (value 1.6 to 0.4), the frozen network action 0.
ONLINE = Table([[[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]], [[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]]])
TARGET = Table([[[0.3, 0.3, 0.4], [0.3, 0.3, 0.4]], [[0.05, 0.05, 0.9], [0.6, 0.3, 0.1]]])


def test_online_chooses_and_target_evaluates() -> None:
    # Nothing moves: the target distribution is the frozen network's for action 1.
    loss = rainbow_loss(ONLINE, TARGET, batch(0, 0.0, 1.0), QUIET)
    target, prediction = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5])
    np.testing.assert_allclose(
        loss.detach(), [(target * np.log(target / prediction)).sum()], rtol=1e-5
    )


def test_terminal_forgets_the_bootstrap() -> None:
    loss = rainbow_loss(ONLINE, TARGET, batch(1, 1.0, 0.0), QUIET)
    np.testing.assert_allclose(loss.detach(), [-np.log(0.8)], rtol=1e-5)


def test_discounted_target() -> None:
    # y = 1 + 0.5 z = [1, 1.5, 2]: mass 0.6 + 0.15 on 1, 0.15 + 0.1 on 2.
    loss = rainbow_loss(ONLINE, TARGET, batch(0, 1.0, 0.5), QUIET)
    expected = 0.75 * np.log(0.75 / 0.3) + 0.25 * np.log(0.25 / 0.5)
    np.testing.assert_allclose(loss.detach(), [expected], rtol=1e-5)


def test_gradient_flows_through_the_prediction_alone() -> None:
    ONLINE.zero_grad()
    rainbow_loss(ONLINE, TARGET, batch(0, 0.0, 1.0), QUIET).sum().backward()
    assert TARGET.logits.grad is None
    gradient = ONLINE.logits.grad
    # of cross entropy by logits: prediction minus target
    expected = torch.tensor([0.2, 0.3, 0.5]) - torch.tensor([0.6, 0.3, 0.1])
    torch.testing.assert_close(gradient[0, 0], expected)
    assert not gradient[1].any() and not gradient[0, 1].any()


SETTINGS = ExpertSettings("asterix", hidden=8, n_atoms=5, frozen_period=3, learning_rate=1e-3)


def learner(settings: ExpertSettings = SETTINGS, seed: int = 0) -> RainbowLearner:
    random = torch.Generator().manual_seed(seed)
    return RainbowLearner(settings, RainbowNetwork(settings, 3, random), random)


def many(seed: int = 0, weight: float = 1.0) -> ReplayBatch:
    random = np.random.default_rng(seed)

    def observation() -> torch.Tensor:
        return torch.from_numpy(random.integers(0, 256, (4, 4, 84, 84), dtype=np.uint8))

    return ReplayBatch(
        observation=observation(),
        action=torch.from_numpy(random.integers(0, 3, 4)),
        n_step_return=torch.from_numpy(random.normal(size=4).astype(np.float32)),
        bootstrap_observation=observation(),
        bootstrap_discount=torch.full((4,), 0.9),
        importance_weight=torch.full((4,), weight),
        leaf=np.arange(4),
    )


def test_frozen_network_is_copied_every_period() -> None:
    agent = learner()
    for update_step in range(1, 8):
        old = agent.target.value.weight.clone()
        agent.update(many(update_step))
        new = agent.target.value.weight
        if update_step % 3 == 0:
            assert torch.equal(new, agent.online.value.weight) and not torch.equal(new, old)
        else:
            assert torch.equal(new, old)


def test_losses_returned_are_unweighted_and_before_the_step() -> None:
    heavy, light = (learner().update(many(weight=weight)) for weight in (1.0, 0.1))
    np.testing.assert_array_equal(heavy, light)
    assert heavy.shape == (4,) and (heavy > 0).all()


def test_importance_weights_scale_the_gradient() -> None:
    gradients = []
    for weight in (1.0, 0.5):
        agent = learner(dataclasses.replace(SETTINGS, gradient_clip_norm=1e9))
        agent.update(many(weight=weight))
        gradients.append(agent.online.value.weight.grad)
    torch.testing.assert_close(gradients[1], gradients[0] / 2)


def test_gradient_norm_is_clipped() -> None:
    agent = learner(dataclasses.replace(SETTINGS, gradient_clip_norm=1e-3))
    agent.update(many())
    norm = torch.cat([p.grad.flatten() for p in agent.online.parameters()]).norm()
    torch.testing.assert_close(norm, torch.tensor(1e-3))


def test_loss_falls_on_one_minibatch() -> None:
    agent = learner(dataclasses.replace(SETTINGS, frozen_period=10**6))
    losses = [agent.update(many()).mean() for _ in range(60)]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_goes_on_with_the_same_bits() -> None:
    one = learner()
    for n in range(4):
        one.update(many(n))
    other = learner(seed=9)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    for n in range(4, 8):
        np.testing.assert_array_equal(one.update(many(n)), other.update(many(n)))
    for a, b in zip(one.online.parameters(), other.online.parameters(), strict=True):
        assert torch.equal(a, b)
