"""An image to classify that shows itself window by window (paper, section 3), N at a time.

What varies is a small state (which image, where the window is, what it has shown, how many steps
were taken) and every step is a function of it, so that states can be kept, replayed and compared.
Images, which do not vary, stay in `MaskedImages`, on the CPU or a GPU.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from td_interference.datasets.arrays import IMAGE_SHAPE, N_CLASSES, Split

MOVES = ("up", "down", "left", "right")
SIZE = IMAGE_SHAPE[1]  # rows, and columns, of an image
N_PLANES = 1 + IMAGE_SHAPE[0]  # of an observation: where the window is, and the colours
_ROW_SIGN, _COLUMN_SIGN = (-1, 1, 0, 0), (0, 0, -1, 1)  # of each move


@dataclass(frozen=True)
class MaskedImageSettings:
    """What the environment is; defaults from the paper and its authors' code.

    Attributes:
        window: Side of the window, pixels; even.
        stride: How far a move goes, pixels.
        start: Row and column of the window's centre at the start.
        max_steps: Agent steps after which an episode is truncated.
        right_reward: For the right class, which ends the episode.
        step_reward: For each step with a wrong class.
    """

    window: int = 8
    stride: int = 8
    start: int = 16
    max_steps: int = 20
    right_reward: float = 1.0
    step_reward: float = -0.05


class MaskedImageState(NamedTuple):
    """N episodes under way; one row each, so that rows can be stored, gathered and mixed."""

    image: Tensor  # int64 [N], the image shown, an index into MaskedImages: the episode's seed
    row: Tensor  # int64 [N], the window's centre, pixels
    column: Tensor  # int64 [N]
    revealed: Tensor  # bool [N, 32, 32], pixels that a window has shown
    steps: Tensor  # int64 [N], agent steps taken

    def where(self, chosen: Tensor, other: Self) -> Self:
        """Return the rows of `other` where `chosen`, bool [N], is true, and one's own elsewhere."""
        return type(self)(
            *(
                torch.where(chosen.view(-1, *[1] * (own.ndim - 1)), new, own)
                for own, new in zip(self, other, strict=True)
            )
        )


class MaskedImageStep(NamedTuple):
    """What one agent step did in each of N episodes.

    `state` is the state after the step, the last one of the episode where `terminated` or
    `truncated`. A step never begins an episode: that is for the caller to do, with
    `state.where(ended, images.begin(image))`, before the next step.
    """

    state: MaskedImageState
    reward: Tensor  # float32 [N]
    terminated: Tensor  # bool [N], the class was right
    truncated: Tensor  # bool [N], the class was wrong and it was the last step allowed


class MaskedImages:
    """The images that episodes may show, and the rules.

    Training and testing have an object each, so that neither can show an image of the other.

    Args:
        images: uint8 [M, 3, 32, 32].
        labels: int64 [M], 0..9; on the same device.
        settings: The rules.
    """

    def __init__(self, images: Tensor, labels: Tensor, settings: MaskedImageSettings | None = None):
        """See the class."""
        self.settings = settings or MaskedImageSettings()
        self._images, self._labels = images, labels
        self._pixel = torch.arange(SIZE, device=images.device)
        moves = self.settings.stride * torch.tensor((_ROW_SIGN, _COLUMN_SIGN), device=images.device)
        self._row_change, self._column_change = moves

    @classmethod
    def of(
        cls,
        split: Split,
        device: torch.device | str = "cpu",
        settings: MaskedImageSettings | None = None,
    ) -> Self:
        """Return the environment of a data set's split.

        For training this is `dataset.train.first(n_T)`, whose images are the seeds 0..n_T-1; for
        testing it is `dataset.test`.
        """
        images, labels = (torch.from_numpy(np.ascontiguousarray(array)) for array in split)
        return cls(images.to(device), labels.to(device), settings)

    def __len__(self) -> int:
        """Return M, the number of images."""
        return len(self._images)

    @property
    def device(self) -> torch.device:
        """Where the images are, and all that is returned."""
        return self._images.device

    def label(self, image: Tensor) -> Tensor:
        """Return the right class of each image, int64 [N]."""
        return self._labels[image]

    def begin(self, image: Tensor) -> MaskedImageState:
        """Return the states in which episodes of the given images begin.

        Args:
            image: int64 [N], 0..M-1; the same one may stand there several times.
        """
        image = image.to(self.device)
        centre = torch.full_like(image, self.settings.start)
        shown = self._window(centre, centre)
        return MaskedImageState(image, centre, centre.clone(), shown, torch.zeros_like(image))

    def step(self, state: MaskedImageState, class_action: Tensor, move: Tensor) -> MaskedImageStep:
        """Take one agent step in each episode: name a class and move the window, both at once.

        The window's centre stays on the image; of a window that sticks out, the part on the image
        is shown.

        Args:
            state: Of episodes that have not ended.
            class_action: int64 [N], 0..9.
            move: int64 [N], an index into `MOVES`.
        """
        rules = self.settings
        row = (state.row + self._row_change[move]).clamp(0, SIZE - 1)
        column = (state.column + self._column_change[move]).clamp(0, SIZE - 1)
        revealed = state.revealed | self._window(row, column)
        steps = state.steps + 1
        right = class_action == self.label(state.image)
        reward = torch.where(right, rules.right_reward, rules.step_reward)
        after = MaskedImageState(state.image, row, column, revealed, steps)
        return MaskedImageStep(after, reward, right, ~right & (steps >= rules.max_steps))

    def observation(self, state: MaskedImageState) -> Tensor:
        """Return what the agent sees of each episode, float32 [N, 4, 32, 32], 0..1.

        Plane 0 is 1 where the window is and 0 elsewhere; planes 1 to 3 are the colours of revealed
        pixels, 0 elsewhere.
        """
        seen = torch.empty(len(state.image), N_PLANES, SIZE, SIZE, device=self.device)
        seen[:, 0] = self._window(state.row, state.column)
        seen[:, 1:] = self._images[state.image] * state.revealed[:, None]
        seen[:, 1:] /= 255
        return seen

    def _window(self, row: Tensor, column: Tensor) -> Tensor:
        """Return which pixels the window around each centre shows, bool [N, 32, 32]."""
        half = self.settings.window // 2
        from_row, from_column = self._pixel - row[:, None], self._pixel - column[:, None]
        rows = (from_row >= -half) & (from_row < half)
        columns = (from_column >= -half) & (from_column < half)
        return rows[:, :, None] & columns[:, None, :]


def check_actions(class_action: Tensor, move: Tensor) -> None:
    """Check actions that come from outside; on a GPU this waits for it.

    Raises:
        ValueError: If a class is not 0..9, or a move not 0..3.
    """
    for name, action, count in (("class", class_action, N_CLASSES), ("move", move, len(MOVES))):
        if ((action < 0) | (action >= count)).any():
            raise ValueError(f"{name} actions span {action.min()}..{action.max()}, need < {count}")
