"""Masked images: against a plain one-image twin, at the borders, at the ends, on the splits."""

import itertools

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from td_interference.datasets.arrays import DatasetArrays, Split
from td_interference.environments.masked_image import (
    MOVES,
    MaskedImages,
    MaskedImageSettings,
    check_actions,
)
from td_interference.environments.masked_image_vector import MaskedImageVectorEnv

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
    images = MaskedImages.of(Split(inputs, targets), device)
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
    images = MaskedImages.of(dataset().train)
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
    images = MaskedImages.of(dataset().train)
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


def test_settings_are_the_rules():
    images = MaskedImages.of(dataset().train, settings=MaskedImageSettings(2, 4, 6, 1, 5.0, -2.0))
    state = images.begin(torch.tensor([0]))
    label = images.label(state.image)
    right, wrong = (images.step(state, label + k, torch.tensor([DOWN])) for k in (0, 1))
    assert (float(right.reward), float(wrong.reward)) == (5.0, -2.0)
    assert bool(wrong.truncated) and not right.truncated
    plane = images.observation(wrong.state)[0, 0]
    assert extent(plane, 0) == (9, 10) and extent(plane, 1) == (5, 6)


def test_a_step_leaves_the_state_before_it_alone():
    """What a replay memory holds must not become the next frame."""
    images = MaskedImages.of(dataset().train)
    state = images.begin(torch.arange(5))
    observation, copy = images.observation(state), [part.clone() for part in state]
    step = images.step(state, torch.zeros(5, dtype=torch.long), torch.arange(5) % 4)
    images.observation(step.state)
    assert all(torch.equal(*parts) for parts in zip(state, copy, strict=True))
    assert torch.equal(images.observation(state), observation)


def test_where_mixes_rows():
    images = MaskedImages.of(dataset().train)
    one, other = images.begin(torch.tensor([1, 2])), images.begin(torch.tensor([7, 8]))
    other = images.step(other, torch.tensor([0, 0]), torch.tensor([UP, UP])).state
    mixed = one.where(torch.tensor([False, True]), other)
    for name, part in mixed._asdict().items():
        assert torch.equal(part[0], getattr(one, name)[0])
        assert torch.equal(part[1], getattr(other, name)[1])


def plain_images(first, count):
    """Images each of one grey that is its own: `first`, `first` + 1, ..."""
    grey = np.arange(first, first + count, dtype=np.uint8)
    return Split(np.ones((count, 3, 32, 32), np.uint8) * grey[:, None, None, None], grey % 10)


def test_training_shows_its_first_images_and_never_a_test_image():
    data = DatasetArrays(plain_images(1, 60), plain_images(101, 20))
    seen = {}
    for name, split in (("train", data.train.first(20)), ("test", data.test)):
        environment = MaskedImageVectorEnv(MaskedImages.of(split), 16)
        observation, _ = environment.reset(seed=5)
        environment.action_space.seed(6)
        greys = set()
        for _ in range(200):
            greys |= set(np.unique(np.rint(observation[:, 1:] * 255)).astype(int)) - {0}
            observation, *_ = environment.step(environment.action_space.sample())
        seen[name] = greys
    assert seen["train"] == set(range(1, 21))  # seeds 0..n_T-1, all of them
    assert seen["test"] == set(range(101, 121))


def test_there_is_no_image_beyond_the_split():
    images = MaskedImages.of(dataset().train.first(20))
    assert len(images) == 20
    with pytest.raises(IndexError):
        images.observation(images.begin(torch.tensor([20])))


@pytest.mark.parametrize(
    ("action", "name"), [((10, 0), "class"), ((0, 4), "move"), ((-1, 0), "class")]
)
def test_actions_outside_the_space(action, name):
    class_action, move = (torch.tensor([0, part]) for part in action)
    with pytest.raises(ValueError, match=f"{name} actions span"):
        check_actions(class_action, move)
    environment = MaskedImageVectorEnv(MaskedImages.of(dataset().train), 1)
    environment.reset(seed=0)
    with pytest.raises(ValueError, match=f"{name} actions span"):
        environment.step(np.array([action]))


def test_vector_environment_resets_at_the_next_step():
    data = plain_images(1, 30)
    environment = MaskedImageVectorEnv(MaskedImages.of(data), 3)
    assert environment.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.NEXT_STEP
    observation, _ = environment.reset(seed=28)
    assert observation in environment.observation_space
    # The seed is the image; after the last one it goes on with the first.
    np.testing.assert_allclose(observation[:, 1:].max(axis=(1, 2, 3)) * 255, [29, 30, 1])
    right = np.array([9, 0, 1])
    wrong = (right + 1) % 10
    actions = np.stack([np.array([right[0], *wrong[1:]]), [UP, UP, UP]], axis=1)
    final, reward, terminated, truncated, _ = environment.step(actions)
    assert terminated.tolist() == [True, False, False] and not truncated.any()
    np.testing.assert_allclose(reward, [1, -0.05, -0.05])
    assert (final[0, 1] > 0).sum() == 128  # of the episode that ended
    # The old image's right class would be rewarded if the step were one.
    actions[:, 0] = right
    actions[1:, 0] = wrong[1:]
    observation, reward, terminated, truncated, _ = environment.step(actions)
    np.testing.assert_allclose(reward, [0, -0.05, -0.05])
    assert not terminated.any() and not truncated.any()
    assert (observation[:, 1] > 0).sum(axis=(1, 2)).tolist() == [64, 160, 160]
    assert environment.state.steps.tolist() == [0, 2, 2]


def test_vector_environment_works_with_gymnasiums_wrappers():
    environment = RecordEpisodeStatistics(MaskedImageVectorEnv(MaskedImages.of(dataset().train), 2))
    environment.reset(seed=[4, 9])
    labels = dataset().train.targets[[4, 9]]
    actions = np.stack([(labels + 1) % 10, [LEFT, RIGHT]], axis=1)
    for _ in range(19):
        *_, info = environment.step(actions)
        assert "episode" not in info
    *_, truncated, info = environment.step(actions)
    assert truncated.all() and info["episode"]["l"].tolist() == [20, 20]
    np.testing.assert_allclose(info["episode"]["r"], -1)
    _, reward, terminated, truncated, _ = environment.step(actions)
    assert environment.unwrapped.state.steps.tolist() == [0, 0]
    assert reward.tolist() == [0, 0] and not terminated.any() and not truncated.any()


def test_same_seed_same_episodes():
    streams = []
    for _ in range(2):
        environment = MaskedImageVectorEnv(MaskedImages.of(dataset().train), 4)
        environment.reset(seed=np.int64(2))
        environment.action_space.seed(0)
        images = []
        for _ in range(100):
            environment.step(environment.action_space.sample())
            images.append(environment.state.image.tolist())
        streams.append(images)
    assert streams[0] == streams[1]
    assert len({image for images in streams[0] for image in images}) > 10


@pytest.mark.parametrize("seed", [[1], [0, 30], [-1, 0]])
def test_seeds_that_are_no_images(seed):
    environment = MaskedImageVectorEnv(MaskedImages.of(dataset().train), 2)
    with pytest.raises(ValueError, match=r"need 2 images of 0\.\.29"):
        environment.reset(seed=seed)
