"""The replay of masked-image agents: what a transition follows from, 140 bytes of it.

The rules are deterministic, so a state and the two actions give the reward, the successor and the
end; what the agent saw follows from the image and from which pixels were revealed, kept as bits.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from td_interference.agents.masked_images.play import Heads
from td_interference.environments.masked_image import (
    SIZE,
    MaskedImages,
    MaskedImageState,
    MaskedImageStep,
)

_BYTES = SIZE * SIZE // 8  # of the revealed pixels of one state, as bits


class Transitions(NamedTuple):
    """M transitions."""

    state: MaskedImageState  # the actions were taken in
    actions: Heads  # int64 [M] each
    step: MaskedImageStep  # what they did


class MaskedImageReplay:
    """The last `capacity` transitions, any of which can be asked for.

    Args:
        images: What they are of; the replay is on its device.
        capacity: Transitions.
    """

    def __init__(self, images: MaskedImages, capacity: int):
        self._images, self._capacity = images, capacity
        self._appended = 0  # ever
        device = images.device
        self._rows = {
            "image": torch.zeros(capacity, dtype=torch.int32, device=device),
            "steps": torch.zeros(capacity, dtype=torch.int32, device=device),
            "revealed": torch.zeros(capacity, _BYTES, dtype=torch.uint8, device=device),
        }
        for name in ("row", "column", "class_action", "move"):
            self._rows[name] = torch.zeros(capacity, dtype=torch.uint8, device=device)
        self._bits = 2 ** torch.arange(8, dtype=torch.uint8, device=device)

    def __len__(self) -> int:
        """Number of transitions held."""
        return min(self._appended, self._capacity)

    def append(self, state: MaskedImageState, actions: Heads) -> None:
        """Add N transitions, at most `capacity`, in place of the oldest.

        Args:
            state: In which the actions were taken; not kept, so it may change after.
            actions: int64 [N] each.
        """
        added = len(state.image)
        place = (self._appended + torch.arange(added, device=self._images.device)) % self._capacity
        values = {**state._asdict(), **actions._asdict()}
        pixels = state.revealed.view(added, _BYTES, 8)
        values["revealed"] = (pixels * self._bits).sum(2, dtype=torch.uint8)
        for name, rows in self._rows.items():
            rows[place] = values[name].to(rows.dtype)
        self._appended += added

    def sample(self, size: int, generator: np.random.Generator) -> Transitions:
        """Draw transitions uniformly, with replacement.

        Args:
            size: M.
            generator: On the CPU, so that every machine draws the same.
        """
        return self.transitions(torch.from_numpy(generator.integers(0, len(self), size)))

    def sample_distinct(self, most: int, generator: np.random.Generator) -> Transitions:
        """Draw transitions uniformly, without replacement; all, if there are no more than `most`.

        Args:
            most: M, at most.
            generator: On the CPU.
        """
        return self.transitions(torch.from_numpy(generator.permutation(len(self))[:most]))

    def transitions(self, index: Tensor) -> Transitions:
        """Return transitions by their place.

        Args:
            index: int64 [M], 0..len - 1.
        """
        index = index.to(self._images.device)
        rows = {name: rows[index] for name, rows in self._rows.items()}
        revealed = (rows.pop("revealed")[:, :, None] & self._bits) != 0
        numbers = {name: part.long() for name, part in rows.items()}
        actions = Heads(numbers.pop("class_action"), numbers.pop("move"))
        state = MaskedImageState(revealed=revealed.view(-1, SIZE, SIZE), **numbers)
        return Transitions(state, actions, self._images.step(state, *actions))

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to hold the same."""
        held = {name: rows[: len(self)].clone() for name, rows in self._rows.items()}
        return {"appended": self._appended, "rows": held}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Hold what a replay of the same capacity held at `state_dict`."""
        self._appended = state["appended"]
        for name, rows in self._rows.items():
            rows[: len(self)] = state["rows"][name].to(rows.device)
