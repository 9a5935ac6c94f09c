"""The C51 projection against Bellemare et al.'s double loop, and its borders."""

import numpy as np
import pytest
import torch
from torch import Tensor

from td_interference.agents.expert import categorical


def project_slowly(probability: Tensor, reward: Tensor, discount: Tensor, support: Tensor):
    """Algorithm 1, sample by sample and atom by atom."""
    n_atoms = len(support)
    v_min, v_max = float(support[0]), float(support[-1])
    spacing = (v_max - v_min) / (n_atoms - 1)
    result = torch.zeros_like(probability)
    for b in range(len(probability)):
        for j in range(n_atoms):
            moved = min(max(float(reward[b] + discount[b] * support[j]), v_min), v_max)
            position = (moved - v_min) / spacing
            low = min(int(position), n_atoms - 2)
            share = position - low
            result[b, low] += (1 - share) * probability[b, j]
            result[b, low + 1] += share * probability[b, j]
    return result


@pytest.mark.parametrize("n_steps", [1, 3, 20])
def test_projection_is_the_double_loop(n_steps: int) -> None:
    random = torch.Generator().manual_seed(n_steps)
    support = torch.linspace(-10, 10, 51, dtype=torch.float64)
    probability = torch.randn(64, 51, dtype=torch.float64, generator=random).softmax(-1)
    reward = 30 * torch.rand(64, dtype=torch.float64, generator=random) - 15
    terminal = torch.rand(64, generator=random) < 0.3
    discount = torch.where(terminal, 0.0, 0.99**n_steps).to(torch.float64)
    projected = categorical.project(probability, reward, discount, support)
    torch.testing.assert_close(
        projected,
        project_slowly(probability, reward, discount, support),
        atol=1e-12,
        rtol=0,
    )
    torch.testing.assert_close(projected.sum(-1), torch.ones(64, dtype=torch.float64))


def test_hand_made_projections() -> None:
    support = torch.tensor([-1.0, 0.0, 1.0])
    probability = torch.tensor([[0.2, 0.5, 0.3]])

    def project(reward: float, discount: float) -> list[float]:
        result = categorical.project(
            probability, torch.tensor([reward]), torch.tensor([discount]), support
        )
        return result[0].tolist()

    assert project(0, 1) == pytest.approx([0.2, 0.5, 0.3])  # nothing moves
    assert project(0.25, 0) == pytest.approx([0, 0.75, 0.25])  # terminal: the reward alone
    assert project(1, 0) == pytest.approx([0, 0, 1])  # all mass at the border
    assert project(-7, 1) == pytest.approx([1, 0, 0])  # clamped
    assert project(0, 0.5) == pytest.approx([0.1, 0.75, 0.15])  # shrunk by gamma^n
    assert project(1, 1) == pytest.approx([0, 0.2, 0.8])  # one atom up, the last clamped


def test_projection_keeps_the_mean_inside_the_support() -> None:
    support = torch.linspace(-10, 10, 51, dtype=torch.float64)
    probability = torch.zeros(1, 51, dtype=torch.float64)
    probability[0, 20:30] = 0.1
    reward, discount = torch.tensor([0.73]).double(), torch.tensor([0.9]).double()
    projected = categorical.project(probability, reward, discount, support)
    torch.testing.assert_close(projected @ support, reward + discount * (probability @ support))


def test_kl_divergence() -> None:
    target = torch.tensor([[0.0, 0.25, 0.75], [0.2, 0.3, 0.5]])
    other = torch.tensor([[0.2, 0.3, 0.5], [0.2, 0.3, 0.5]])
    expected = 0.25 * np.log(0.25 / 0.3) + 0.75 * np.log(0.75 / 0.5)
    divergence = categorical.kl_divergence(target, other.log())
    assert divergence.tolist() == pytest.approx([expected, 0.0], abs=1e-7)
