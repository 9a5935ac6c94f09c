"""The expert on disk: weights with the settings that made them, and what is asked of it."""

import dataclasses
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from td_interference.agents.rainbow_network import RainbowNetwork, to_pixels
from td_interference.agents.settings import ExpertSettings
from td_interference.environments.atari import n_actions
from td_interference.errors import UserError
from td_interference.files import atomic_path
from td_interference.seeds import torch_generator

# One key of metadata: safetensors writes several in an order that changes from run to run.
METADATA_KEY = "td_interference.expert"
FORMAT_VERSION = 1


def new_network(settings: ExpertSettings, generator: torch.Generator) -> RainbowNetwork:
    """Return a network with fresh weights for a game's minimal action set."""
    return RainbowNetwork(
        settings.architecture,
        n_actions(settings.game),
        settings.hidden,
        settings.n_atoms,
        settings.v_min,
        settings.v_max,
        settings.noisy_sigma,
        generator,
    )


def save_expert(path: Path | str, network: RainbowNetwork, settings: ExpertSettings) -> None:
    """Write an expert's weights, with its settings as metadata, atomically."""
    tensors = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    description = {"version": FORMAT_VERSION, "settings": dataclasses.asdict(settings)}
    metadata = {METADATA_KEY: json.dumps(description, sort_keys=True)}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata)


def load_expert(
    path: Path | str, device: str | torch.device = "cpu"
) -> tuple[RainbowNetwork, ExpertSettings]:
    """Read an expert.

    Args:
        path: From `save_expert`.
        device: Where the network goes.

    Returns:
        The network, without gradients, and the settings that it was trained with.

    Raises:
        UserError: There is no such file, it is damaged, or it is not an expert of this version.
    """
    advice = "delete it and run the workflow again to train the expert anew"
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; train the expert first") from error
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not a readable safetensors file ({error}); {advice}") from error
    if description.get("version") != FORMAT_VERSION:
        raise UserError(f"{path}: not an expert of version {FORMAT_VERSION}; {advice}")
    try:
        settings = ExpertSettings(**description["settings"])
        network = new_network(settings, torch_generator("load_expert", "overwritten"))
        network.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: settings and weights do not fit ({reason}); {advice}") from error
    return network.to(device).requires_grad_(False).eval(), settings


@torch.no_grad()
def expected_q(network: RainbowNetwork, observations: Tensor, minibatch: int = 256) -> Tensor:
    """Return Q*(s, a) = sum_i p_i z_i under the mean weights (noise off).

    Args:
        network: The expert.
        observations: uint8 [N, 4, 84, 84], raw pixels, on any device.
        minibatch: Observations per forward pass; bounds the memory needed.

    Returns:
        float32 [N, A], on the device of `observations`, in units of discounted clipped reward.
    """
    device = network.support.device
    parts = [
        network.action_values(to_pixels(part.to(device)), noise=None).to(observations.device)
        for part in observations.split(minibatch)
    ]
    return torch.cat(parts)
