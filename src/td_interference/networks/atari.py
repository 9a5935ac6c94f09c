"""The paper's Atari networks (appendix B.2) and their initialisation."""

import math

import torch
from torch import Tensor, nn

from td_interference.environments.screen import FRAME_SIZE, STACK

NEGATIVE_SLOPE = 0.01  # of every leaky ReLU in the paper


class ScalePixels(nn.Module):
    """Pixels 0..255 to 0..1 in channels-last memory, the layout CPU convolutions are fastest in."""

    def forward(self, observation: Tensor) -> Tensor:
        """Return the scaled observation.

        Args:
            observation: [..., C, H, W], uint8, or a floating dtype, which is kept.
        """
        dtype = observation.dtype if observation.is_floating_point() else torch.float32
        # Turned by hand, since `torch.channels_last` is refused under `torch.func.vmap`, where a
        # tensor has one more dimension than it shows.
        turned = observation.movedim(-3, -1)
        pixels = turned.to(dtype, memory_format=torch.contiguous_format, copy=True)
        return pixels.div_(255).movedim(-1, -3)


def q_network(n_outputs: int, hidden: int = 32) -> nn.Sequential:
    """Return the DQN network of the paper: three convolutions, two linear layers, leaky ReLUs.

    With padding of half the kernel the flat size is 2·hidden·12·12 (9216 at hidden = 32).

    Args:
        n_outputs: Actions of a Q network, or 1 for V.
        hidden: n_h; layers are n_h, 2 n_h, 2 n_h channels and 16 n_h units wide.

    Returns:
        A network from observations [N, 4, 84, 84] to [N, n_outputs] float32, its weights not yet
        initialised as the paper does: see `initialise`.
    """
    body = nn.Sequential(
        ScalePixels(),
        nn.Conv2d(STACK, hidden, kernel_size=8, stride=4, padding=4),
        nn.LeakyReLU(NEGATIVE_SLOPE),
        nn.Conv2d(hidden, 2 * hidden, kernel_size=4, stride=2, padding=2),
        nn.LeakyReLU(NEGATIVE_SLOPE),
        nn.Conv2d(2 * hidden, 2 * hidden, kernel_size=3, stride=1, padding=1),
        nn.LeakyReLU(NEGATIVE_SLOPE),
        nn.Flatten(),
    )
    with torch.no_grad():
        n_flat = body(torch.zeros(1, STACK, FRAME_SIZE, FRAME_SIZE)).shape[1]
    return nn.Sequential(
        *body,
        nn.Linear(n_flat, 16 * hidden),
        nn.LeakyReLU(NEGATIVE_SLOPE),
        nn.Linear(16 * hidden, n_outputs),
    )


def value_network(hidden: int = 32) -> nn.Sequential:
    """Return the network of V(s), [N, 1]: the body of the Q network with one output."""
    return q_network(1, hidden)


def last_hidden_layer(network: nn.Module) -> nn.Linear:
    """Return the linear layer before the output layer (512 x 9216 in the paper, figure 13).

    Raises:
        ValueError: If the network has fewer than two linear layers.
    """
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if len(linear) < 2:
        raise ValueError("the network has no hidden linear layer")
    return linear[-2]


@torch.no_grad()
def initialise(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """Draw weights from uniform(-k, k) in place, biases 0; return the network.

    k is Glorot's sqrt(6 / (fan_in + fan_out)) for linear layers, and
    sqrt(6 / ((channels_in + channels_out) · kernel_height · kernel_width)) for convolutions
    (authors' settings).

    Args:
        network: On the CPU; drawn there so that every machine gets the same weights.
        generator: A CPU generator.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            fans = module.weight.shape[0] + module.weight.shape[1]
            receptive_field = module.weight[0, 0].numel()
            k = math.sqrt(6 / (fans * receptive_field))
            # Drawn flat, so that the values do not depend on the weights' memory format.
            drawn = torch.rand(module.weight.shape, generator=generator)
            module.weight.copy_(drawn.mul_(2 * k).sub_(k))
            if module.bias is not None:
                module.bias.zero_()
    return network
