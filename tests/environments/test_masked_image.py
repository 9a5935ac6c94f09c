"""Masked images: against a plain one-image twin, at the borders, at the ends, on the splits."""

import itertools

import numpy as np
import pytest
import torch

from td_interference.datasets.arrays import DatasetArrays, Split
from td_interference.environments.masked_image import (
    MOVES,
    MaskedImages,
)

UP, DOWN, LEFT, RIGHT = range(4)
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible")
    ),
]


def dataset(n_train=30, n_test=10):
    """Noise in which no pixel is black, so that what is revealed shows."""
    generator = np.random.default_rng(0)
    splits = (
        Split(
            generator.integers(1, 256, (count, 3, 32, 32), dtype=np.uint8),
            generator.integers(0, 10, count),
        )
        for count in (n_train, n_test)
    )
    return DatasetArrays(*splits)


class OneImage:
    """The slow twin: one image, one array that fills, plain arithmetic."""

    def __init__(self, image, label):
        self.image, self.label = image.astype(np.float64) / 255, label
        self.row = self.column = 16
        self.steps = 0
        self.seen = np.zeros((4, 32, 32))
        self.look()

    def look(self):
        top, bottom = max(self.row - 4, 0), min(self.row + 4, 32)
        left, right = max(self.column - 4, 0), min(self.column + 4, 32)
        self.seen[0] = 0
        for row in range(top, bottom):
            for column in range(left, right):
                self.seen[0, row, column] = 1
                self.seen[1:, row, column] = self.image[:, row, column]

    def step(self, class_action, move):
        if MOVES[move] == "up":
            self.row = max(self.row - 8, 0)
        elif MOVES[move] == "down":
            self.row = min(self.row + 8, 31)
        elif MOVES[move] == "left":
            self.column = max(self.column - 8, 0)
        else:
            self.column = min(self.column + 8, 31)
        self.look()
        self.steps += 1
        if class_action == self.label:
            return 1.0, True, False
        return -0.05, False, self.steps == 20


@pytest.mark.parametrize("device", DEVICES)
def test_random_play_is_that_of_the_twin(device):
    generator = np.random.default_rng(1)
    inputs, targets = dataset().train
    images = MaskedImages(Split(inputs, targets), device)
    n = 40
    shown = generator.integers(0, len(images), n)
    state = images.begin(torch.from_numpy(shown))
    twins = [OneImage(inputs[image], targets[image]) for image in shown]
    ends = {"terminated": 0, "truncated": 0}
    for _ in range(70):
        observation = images.observation(state).cpu().numpy()
        np.testing.assert_allclose(observation, [twin.seen for twin in twins], atol=1e-7)
        # Mostly wrong, and now and then a long way in one direction.
        right = generator.random(n) < 0.03
        class_action = np.where(right, targets[shown], generator.integers(0, 10, n))
        move = np.where(generator.random(n) < 0.5, generator.integers(0, 4), 0)
        move = np.where(generator.random(n) < 0.5, generator.integers(0, 4, n), move)
        step = images.step(
            state, *(torch.from_numpy(part).to(device) for part in (class_action, move))
        )
        expected = [
            twin.step(*actions) for twin, *actions in zip(twins, class_action, move, strict=True)
        ]
        rewards, terminated, truncated = (
            np.array(column) for column in zip(*expected, strict=True)
        )
        np.testing.assert_allclose(step.reward.cpu(), rewards)
        np.testing.assert_array_equal(step.terminated.cpu(), terminated)
        np.testing.assert_array_equal(step.truncated.cpu(), truncated)
        ends["terminated"] += terminated.sum()
        ends["truncated"] += truncated.sum()
        ended = terminated | truncated
        shown = np.where(ended, generator.integers(0, len(images), n), shown)
        state = step.state.where(
            torch.from_numpy(ended).to(device), images.begin(torch.from_numpy(shown))
        )
        for copy in np.flatnonzero(ended):
            twins[copy] = OneImage(inputs[shown[copy]], targets[shown[copy]])
    assert min(ends.values()) > 10


def walk(*moves):
    """The observations of one episode with wrong classes, [steps + 1, 4, 32, 32]."""
    images = MaskedImages(dataset().train)
    state = images.begin(torch.tensor([3]))
    wrong = (images.label(state.image) + 1) % 10
    seen = [images.observation(state)]
    for move in moves:
        state = images.step(state, wrong, torch.tensor([move])).state
        seen.append(images.observation(state))
    return torch.cat(seen)


def extent(plane, dim):
    """First and last row (dim 0) or column (dim 1) in which a plane is not 0."""
    shown = torch.nonzero(plane)[:, dim]
    return int(shown.min()), int(shown.max())


def test_an_episode_begins_with_the_central_window():
    (first,) = walk()
    assert extent(first[0], 0) == extent(first[0], 1) == (12, 19)
    for colour in range(1, 4):
        assert torch.equal(first[colour] > 0, first[0] == 1)
    image = torch.from_numpy(dataset().train.inputs[3]).float() / 255
    assert torch.equal(first[1:, 12:20, 12:20], image[:, 12:20, 12:20])


@pytest.mark.parametrize(
    ("move", "back", "dim"), [(UP, DOWN, 0), (LEFT, RIGHT, 1)], ids=["rows", "columns"]
)
def test_windows_are_clipped_at_the_borders(move, back, dim):
    planes = walk(move, move, move, back, back, back, back, back, move)[:, 0]
    assert [extent(plane, dim) for plane in planes] == [
        (12, 19),  # centre 16
        (4, 11),
        (0, 3),  # centre 0: half of the window is outside
        (0, 3),
        (4, 11),
        (12, 19),
        (20, 27),
        (27, 31),  # centre 31, not 32
        (27, 31),
        (19, 26),
    ]
    assert all(extent(plane, 1 - dim) == (12, 19) for plane in planes)


def test_what_was_revealed_stays():
    seen = walk(UP, LEFT, LEFT, DOWN)
    for before, after in itertools.pairwise(seen):
        assert torch.equal(after[1:][before[1:] > 0], before[1:][before[1:] > 0])
    assert [int((plane > 0).sum()) for plane in seen[:, 1]] == [64, 128, 192, 224, 256]


def play(class_actions):
    images = MaskedImages(dataset().train)
    state = images.begin(torch.tensor([0]))
    label = images.label(state.image)
    steps = []
    for is_right in class_actions:
        action = label if is_right else (label + 3) % 10
        steps.append(images.step(state, action, torch.tensor([UP])))
        state = steps[-1].state
    return steps


def flags(steps):
    return [(bool(step.terminated), bool(step.truncated)) for step in steps]


def test_twenty_wrong_steps_truncate():
    steps = play([False] * 20)
    assert flags(steps) == [(False, False)] * 19 + [(False, True)]
    assert sum(float(step.reward) for step in steps) == pytest.approx(-1.0)


def test_the_right_class_terminates_even_at_the_last_step():
    assert flags(play([False, True])) == [(False, False), (True, False)]
    steps = play([False] * 19 + [True])
    assert flags(steps)[-1] == (True, False)
    assert float(steps[-1].reward) == 1.0


def test_a_step_leaves_the_state_before_it_alone():
    """What a replay memory holds must not become the next frame."""
    images = MaskedImages(dataset().train)
    state = images.begin(torch.arange(5))
    observation, copy = images.observation(state), [part.clone() for part in state]
    step = images.step(state, torch.zeros(5, dtype=torch.long), torch.arange(5) % 4)
    images.observation(step.state)
    assert all(torch.equal(*parts) for parts in zip(state, copy, strict=True))
    assert torch.equal(images.observation(state), observation)


def test_where_mixes_rows():
    images = MaskedImages(dataset().train)
    one, other = images.begin(torch.tensor([1, 2])), images.begin(torch.tensor([7, 8]))
    other = images.step(other, torch.tensor([0, 0]), torch.tensor([UP, UP])).state
    mixed = one.where(torch.tensor([False, True]), other)
    for name, part in mixed._asdict().items():
        assert torch.equal(part[0], getattr(one, name)[0])
        assert torch.equal(part[1], getattr(other, name)[1])


def test_there_is_no_image_beyond_the_split():
    images = MaskedImages(dataset().train.first(20))
    assert len(images) == 20
    with pytest.raises(IndexError):
        images.observation(images.begin(torch.tensor([20])))
