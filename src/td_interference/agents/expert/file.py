"""The expert on disk: weights with the settings that made them, and what is asked of it."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from td_interference.agents.expert.network import RainbowNetwork, to_pixels
from td_interference.environments.atari import n_actions
from td_interference.errors import UserError, rebuild
from td_interference.planning.expert import ExpertSettings
from td_interference.seeds import torch_generator
from td_interference.storage.files import atomic_path
from td_interference.storage.identity import Identity, check, of_expert
from td_interference.storage.recognition import EXPERT_KEY, look, refusal

FORMAT_VERSION = 3


def new_network(settings: ExpertSettings, generator: torch.Generator) -> RainbowNetwork:
    """Return a network with fresh weights for a game's minimal action set."""
    return RainbowNetwork(settings, n_actions(settings.game), generator)


def save_expert(path: Path | str, network: RainbowNetwork, settings: ExpertSettings) -> None:
    """Write an expert's weights, with its settings as metadata, atomically."""
    tensors = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    fields = dataclasses.asdict(settings)
    digest = _digest(fields, tensors)
    description = {"version": FORMAT_VERSION, "settings": fields, "sha256": digest}
    metadata = {EXPERT_KEY: json.dumps(description, sort_keys=True)}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata)


def _digest(settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of settings and weights, for safetensors has no checksum of its own."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class Expert(NamedTuple):
    """An expert as it was read."""

    network: RainbowNetwork  # without gradients
    settings: ExpertSettings  # that it was trained with
    sha256: str  # of settings and weights


def load_expert(
    path: Path | str, device: str | torch.device = "cpu", wanted: Identity | None = None
) -> Expert:
    """Read an expert.

    Args:
        path: From `save_expert`.
        device: Where the network goes.
        wanted: Whose it must be, see `identity.of_expert`; None to take any.

    Raises:
        UserError: There is no such file, it is damaged, or it is not an expert of this version, or
            another one than is wanted.
    """
    if look(path).own != "expert":
        raise refusal(path, "an expert")
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {}).get(EXPERT_KEY, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{path}: not a readable safetensors file ({error}); {rebuild(path)}"
        ) from error
    if not isinstance(description, dict) or description.get("version") != FORMAT_VERSION:
        raise UserError(f"{path}: not an expert of version {FORMAT_VERSION}; {rebuild(path)}")
    fields = description.get("settings")
    if not isinstance(fields, dict) or description.get("sha256") != _digest(fields, tensors):
        raise UserError(
            f"{path}: damaged: settings and weights have not the SHA-256 that was written with "
            f"them; {rebuild(path)}"
        )
    try:
        settings = ExpertSettings(**fields)
        if wanted is not None:
            check(path, of_expert(fields), wanted)
        _check_widths(settings, tensors)
        network = new_network(settings, torch_generator("load_expert", "overwritten"))
        network.load_state_dict(tensors)
    except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{path}: settings and weights do not fit ({error}); {rebuild(path)}"
        ) from error
    network = network.to(device).requires_grad_(False).eval()
    return Expert(network, settings, description["sha256"])


def _check_widths(settings: ExpertSettings, tensors: Mapping[str, Tensor]) -> None:
    """Compare the widths of the settings with the weights, before memory is taken for a network.

    Raises:
        ValueError: If they differ.
    """
    sizes = {size for tensor in tensors.values() if tensor.ndim == 2 for size in tensor.shape}
    for name in ("hidden", "n_atoms"):
        if getattr(settings, name) not in sizes:
            raise ValueError(f"size mismatch: no weights of {name} = {getattr(settings, name)}")


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
