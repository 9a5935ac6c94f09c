"""Linear layers of several networks of one shape as a single layer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class StackedLinear(nn.Module):
    """R linear layers with a bias as one batched matrix product."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        """Copy the parameters of layers of one shape."""
        super().__init__()
        weights = torch.stack([layer.weight.detach().T for layer in layers])
        biases = torch.stack([layer.bias.detach()[None] for layer in layers])
        self.weight = nn.Parameter(weights.contiguous())  # [R, I, O]
        self.bias = nn.Parameter(biases)  # [R, 1, O]

    def forward(self, inputs: Tensor, layers: slice = slice(None)) -> Tensor:
        """Return the outputs of some or all layers for their own inputs, [R, N, I] to [R, N, O]."""
        return torch.baddbmm(self.bias[layers], inputs, self.weight[layers])
