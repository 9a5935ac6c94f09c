"""An image to classify that shows itself window by window (paper, section 3), N at a time.

What varies is a small state (which image, where the window is, what it has shown, how many steps
were taken) and every step is a function of it, so that states can be kept, replayed and compared.
Images, which do not vary, stay in `MaskedImages`, on the CPU or a GPU.
"""

from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from td_interference.datasets.arrays import IMAGE_SHAPE, Split

MOVES = ("up", "down", "left", "right")
SIZE = IMAGE_SHAPE[1]  # rows, and columns, of an image
N_PLANES = 1 + IMAGE_SHAPE[0]  # of an observation: where the window is, and the colours
_ROW_SIGN, _COLUMN_SIGN = (-1, 1, 0, 0), (0, 0, -1, 1)  # of each move


# The rules: the paper's and its authors' code's.
WINDOW = 8  # side of the window, pixels; even
STRIDE = 8  # how far a move goes, pixels
START = 16  # row and column of the window's centre at the start
MAX_STEPS = 20  # agent steps after which an episode is truncated
RIGHT_REWARD = 1.0  # for the right class, which ends the episode
STEP_REWARD = -0.05  # for each step with a wrong class


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
    """The images that episodes may show, and what an action does.

    Training and testing have an object each, so that neither can show an image of the other.

    Args:
        split: The images: for training `dataset.train.first(n_T)`, whose images are the seeds
            0..n_T-1; for testing `dataset.test`.
        device: Where they go.
    """

    def __init__(self, split: Split, device: torch.device | str = "cpu"):
        images, labels = (torch.from_numpy(np.ascontiguousarray(array)) for array in split)
        self._images, self._labels = images.to(device), labels.to(device)
        self._pixel = torch.arange(SIZE, device=device)
        moves = STRIDE * torch.tensor((_ROW_SIGN, _COLUMN_SIGN), device=device)
        self._row_change, self._column_change = moves

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
        centre = torch.full_like(image, START)
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
        row = (state.row + self._row_change[move]).clamp(0, SIZE - 1)
        column = (state.column + self._column_change[move]).clamp(0, SIZE - 1)
        revealed = state.revealed | self._window(row, column)
        steps = state.steps + 1
        right = class_action == self.label(state.image)
        reward = torch.where(right, RIGHT_REWARD, STEP_REWARD)
        after = MaskedImageState(state.image, row, column, revealed, steps)
        return MaskedImageStep(after, reward, right, ~right & (steps >= MAX_STEPS))

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
        half = WINDOW // 2
        from_row, from_column = self._pixel - row[:, None], self._pixel - column[:, None]
        rows = (from_row >= -half) & (from_row < half)
        columns = (from_column >= -half) & (from_column < half)
        return rows[:, :, None] & columns[:, None, :]
