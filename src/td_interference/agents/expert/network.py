"""Rainbow's network: convolutions, then two noisy streams, joined into value distributions.

Noise is an argument, not a state of the layers: whoever calls the network says which noise, or
none for the mean weights.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from td_interference.environments.screen import FRAME_SIZE, STACK
from td_interference.planning.expert import ExpertSettings


class LayerNoise(NamedTuple):
    """Factorised noise of one layer: f(x) = sign(x) sqrt(|x|) of normal numbers."""

    inputs: Tensor  # [in]
    outputs: Tensor  # [out]


Noise = tuple[LayerNoise, ...]  # in the order of `RainbowNetwork.noisy_layers`


@dataclass(frozen=True)
class Convolution:
    """Shape of one convolution with square kernels and no padding."""

    channels: int
    kernel: int
    stride: int


# van Hasselt et al. (2019) and Mnih et al. (2015)
BODIES = {
    "data_efficient": (Convolution(32, 5, 5), Convolution(64, 5, 5)),
    "canonical": (Convolution(32, 8, 4), Convolution(64, 4, 2), Convolution(64, 3, 1)),
}


class NoisyLinear(nn.Module):
    """y = (mu_w + sigma_w * eps_w) x + mu_b + sigma_b * eps_b, with eps_w = f(eps_out) f(eps_in)^T.

    Args:
        n_inputs: Size of x.
        n_outputs: Size of y.
        sigma: sigma_0, initial scale of the noise.
        generator: Source of the initial weights.

    Source:
        Fortunato et al. (2018), equations 9-11 and section 3.2 (factorised Gaussian noise).
    """

    def __init__(self, n_inputs: int, n_outputs: int, sigma: float, generator: torch.Generator):
        super().__init__()
        self.n_inputs, self.n_outputs = n_inputs, n_outputs
        bound, scale = n_inputs**-0.5, sigma * n_inputs**-0.5
        self.weight = nn.Parameter(_uniform((n_outputs, n_inputs), bound, generator))
        self.bias = nn.Parameter(_uniform((n_outputs,), bound, generator))
        self.weight_sigma = nn.Parameter(torch.full((n_outputs, n_inputs), scale))
        self.bias_sigma = nn.Parameter(torch.full((n_outputs,), scale))

    def sample_noise(self, generator: torch.Generator) -> LayerNoise:
        """Draw noise, on the generator's device, the CPU."""
        normal = torch.randn(self.n_inputs + self.n_outputs, generator=generator)
        inputs, outputs = (normal.sign() * normal.abs().sqrt()).split(
            [self.n_inputs, self.n_outputs]
        )
        return LayerNoise(inputs, outputs)

    def forward(self, x: Tensor, noise: LayerNoise | None) -> Tensor:
        """Map [B, in] to [B, out], with `noise`, or with the mean weights where it is None."""
        if noise is None:
            return functional.linear(x, self.weight, self.bias)
        weight = torch.addcmul(
            self.weight, self.weight_sigma * noise.outputs[:, None], noise.inputs
        )
        bias = torch.addcmul(self.bias, self.bias_sigma, noise.outputs)
        return functional.linear(x, weight, bias)


class RainbowNetwork(nn.Module):
    """Value distributions of all actions, from stacks of frames.

    Args:
        settings: Of the expert.
        n_actions: A.
        generator: Source of the initial weights: uniform within 1 / sqrt(fan-in).
    """

    def __init__(self, settings: ExpertSettings, n_actions: int, generator: torch.Generator):
        super().__init__()
        self.n_actions, self.n_atoms = n_actions, settings.n_atoms
        layers: list[nn.Module] = []
        channels = STACK
        for shape in BODIES[settings.architecture]:
            # skip_init: the constructor would draw from the global generator.
            convolution = nn.utils.skip_init(
                nn.Conv2d, channels, shape.channels, shape.kernel, shape.stride
            )
            bound = (channels * shape.kernel**2) ** -0.5
            with torch.no_grad():
                for parameter in (convolution.weight, convolution.bias):
                    parameter.copy_(_uniform(parameter.shape, bound, generator))
            layers += [convolution, nn.ReLU()]
            channels = shape.channels
        self.body = nn.Sequential(*layers, nn.Flatten())
        with torch.no_grad():
            features = self.body(torch.zeros(1, STACK, FRAME_SIZE, FRAME_SIZE)).shape[1]
        hidden, n_atoms, sigma = settings.hidden, settings.n_atoms, settings.noisy_sigma
        self.value_hidden = NoisyLinear(features, hidden, sigma, generator)
        self.value = NoisyLinear(hidden, n_atoms, sigma, generator)
        self.advantage_hidden = NoisyLinear(features, hidden, sigma, generator)
        self.advantage = NoisyLinear(hidden, n_actions * n_atoms, sigma, generator)
        self.support: Tensor  # z, [atoms]
        self.register_buffer("support", torch.linspace(settings.v_min, settings.v_max, n_atoms))
        # On CPUs, convolutions and their gradients run 1.7 times as fast in this layout.
        self.to(memory_format=torch.channels_last)

    @property
    def noisy_layers(self) -> tuple[NoisyLinear, ...]:
        """The layers that take noise."""
        return self.value_hidden, self.value, self.advantage_hidden, self.advantage

    def sample_noise(self, generator: torch.Generator) -> Noise:
        """Draw noise for all layers, on the CPU, and move it to the network's device."""
        device = self.support.device
        return tuple(
            LayerNoise(*(part.to(device) for part in layer.sample_noise(generator)))
            for layer in self.noisy_layers
        )

    def forward(self, pixels: Tensor, noise: Noise | None) -> Tensor:
        """Return logits of the atoms.

        Args:
            pixels: From `to_pixels`, float32 [B, 4, 84, 84].
            noise: From `sample_noise`; None for the mean weights.

        Returns:
            float32 [B, A, atoms]; softmax over the last axis gives the distributions.

        Source:
            Wang et al. (2016), equation 9, per atom as in Hessel et al. (2018).
        """
        value_hidden, value, advantage_hidden, advantage = noise or (None,) * 4
        features = self.body(pixels)
        v = self.value(functional.relu(self.value_hidden(features, value_hidden)), value)
        a = self.advantage(
            functional.relu(self.advantage_hidden(features, advantage_hidden)), advantage
        ).view(-1, self.n_actions, self.n_atoms)
        return v[:, None] + a - a.mean(1, keepdim=True)

    def action_values(self, pixels: Tensor, noise: Noise | None) -> Tensor:
        """Return Q(s, a) = sum_i p_i z_i, float32 [B, A]; arguments as `forward`."""
        return self(pixels, noise).softmax(-1) @ self.support


def to_pixels(observation: Tensor) -> Tensor:
    """Scale observations, uint8 [B, 4, 84, 84], to float32 in [0, 1], as the network wants them."""
    return (observation * (1 / 255)).contiguous(memory_format=torch.channels_last)


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)
