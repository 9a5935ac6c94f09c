"""The masked-image environment behind Gymnasium's interface, for agents of other libraries."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from td_interference.datasets.arrays import N_CLASSES
from td_interference.environments.masked_image import (
    MOVES,
    N_PLANES,
    SIZE,
    MaskedImages,
    MaskedImageState,
    check_actions,
)

Observations = NDArray[np.float32]
Flags = NDArray[np.bool_]


class MaskedImageVectorEnv(VectorEnv[Observations, NDArray[np.integer], NDArray[Any]]):
    """N masked images stepped together, with Gymnasium's NEXT_STEP autoreset.

    The step after an end begins a new episode: its action is ignored, its reward 0. An episode's
    seed is its image: `reset(seed=k)` shows image k + i in copy i (counting on from 0 after the
    last), `reset(seed=[...])` the images named. Without a seed, and after an end, images are
    drawn uniformly, from a generator that the last seed given (of a list, its first entry) starts.

    Args:
        images: The environment; training images or test images, never both.
        num_envs: N.

    Attributes:
        state: Of the N episodes.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 - theirs

    def __init__(self, images: MaskedImages, num_envs: int):
        """See the class."""
        self.num_envs, self._images = num_envs, images
        self.single_observation_space = gymnasium.spaces.Box(
            0, 1, (N_PLANES, SIZE, SIZE), np.float32
        )
        self.single_action_space = gymnasium.spaces.MultiDiscrete([N_CLASSES, len(MOVES)])
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.state: MaskedImageState
        self._ended: Tensor  # bool [N], the next step begins an episode

    def reset(
        self,
        *,
        seed: int | Sequence[int] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observations, dict[str, Any]]:
        """Begin N episodes; see the class for what `seed` means. There are no options.

        Raises:
            ValueError: If a list of seeds has not N entries, or names an image there is not.
        """
        if seed is None:
            image = self._draw()
        elif isinstance(seed, int | np.integer):
            super().reset(seed=int(seed))
            image = (int(seed) + torch.arange(self.num_envs)) % len(self._images)
        else:
            image = torch.tensor(list(seed))
            outside = ((image < 0) | (image >= len(self._images))).any()
            if len(image) != self.num_envs or outside:
                raise ValueError(
                    f"{seed=}: need {self.num_envs} images of 0..{len(self._images) - 1}"
                )
            super().reset(seed=int(seed[0]))
        self.state = self._images.begin(image)
        self._ended = torch.zeros(self.num_envs, dtype=torch.bool, device=self._images.device)
        return self._observation(), {}

    def step(
        self, actions: NDArray[np.integer]
    ) -> tuple[Observations, NDArray[np.float32], Flags, Flags, dict[str, Any]]:
        """Take one agent step in each copy, or begin its next episode.

        Args:
            actions: Integers [N, 2]: class 0..9, move 0..3 (`masked_image.MOVES`).

        Raises:
            ValueError: If an action is outside the space.
        """
        both = torch.as_tensor(np.asarray(actions, dtype=np.int64), device=self._images.device)
        class_action, move = both.unbind(dim=1)
        check_actions(class_action, move)
        step = self._images.step(self.state, class_action, move)
        began = self._ended
        self.state = step.state
        if began.any():
            self.state = step.state.where(began, self._images.begin(self._draw()))
        terminated, truncated = step.terminated & ~began, step.truncated & ~began
        self._ended = terminated | truncated
        reward = step.reward.masked_fill(began, 0).cpu().numpy()
        ends = terminated.cpu().numpy(), truncated.cpu().numpy()
        return self._observation(), reward, *ends, {}

    def _draw(self) -> Tensor:
        return torch.from_numpy(self.np_random.integers(0, len(self._images), self.num_envs))

    def _observation(self) -> Observations:
        return self._images.observation(self.state).cpu().numpy()
