"""Properties of D* in memory: no stack and no window crosses an episode."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peak_memory import peak_memory
from problems import LENGTHS, replay_arrays

from td_interference.errors import UserError
from td_interference.replay import Replay
from td_interference.storage import hdf5, kinds


def stacks_by_loop(arrays):
    """S_t and S_{t+1} of each transition, frame by frame, from what the file says."""
    observation, next_observation = [], []
    first_frame = 0
    for length in arrays["episode_length"]:
        frames = arrays["frames"][first_frame : first_frame + length + 1]
        black = np.zeros((3, *frames.shape[1:]), dtype=np.uint8)
        padded = np.concatenate([black, frames])
        for t in range(length):
            observation.append(padded[t : t + 4])
            next_observation.append(padded[t + 1 : t + 5])
        first_frame += length + 1
    return np.stack(observation), np.stack(next_observation)


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5), seed=st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_stacks_are_those_of_the_episode(lengths, seed):
    arrays = replay_arrays(np.array(lengths), truncated_episode=None, seed=seed)
    replay = Replay(arrays)
    observation, next_observation = stacks_by_loop(arrays)
    index = torch.randperm(len(replay), generator=torch.Generator().manual_seed(seed))
    assert np.array_equal(replay.observation(index).numpy(), observation[index.numpy()])
    assert np.array_equal(replay.next_observation(index).numpy(), next_observation[index.numpy()])


@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=5), half_width=st.integers(0, 30))
@settings(max_examples=30, deadline=None)
def test_windows_stay_in_their_episode(lengths, half_width):
    replay = Replay(replay_arrays(np.array(lengths), truncated_episode=None))
    episode = np.repeat(np.arange(len(lengths)), lengths)
    index, valid = replay.window(torch.arange(len(replay)), half_width)
    for centre in range(len(replay)):
        for column, offset in enumerate(range(-half_width, half_width + 1)):
            there = centre + offset
            same = 0 <= there < len(replay) and episode[there] == episode[centre]
            assert bool(valid[centre, column]) == same
            assert int(index[centre, column]) == (there if same else centre)


def test_transitions_carry_the_file(arrays, replay):
    index = torch.tensor([0, 39, 40, 64, 124])
    batch = replay.transitions(index)
    assert batch.observation.shape == (5, 4, 84, 84) and batch.observation.dtype == torch.uint8
    for name in ("action", "reward", "terminated", "truncated"):
        assert np.array_equal(getattr(batch, name), arrays[name][index.numpy()])
    assert batch.terminated.tolist() == [False, True, False, False, True]
    assert batch.truncated.tolist() == [False, False, False, True, False]


def test_draw_is_uniform_and_seeded(replay):
    drawn = replay.draw(20_000, np.random.default_rng(0))
    assert torch.equal(drawn, replay.draw(20_000, np.random.default_rng(0)))
    counts = torch.bincount(drawn, minlength=len(replay))
    assert len(counts) == len(replay) and counts.min() > 100 and counts.max() < 230


def test_segments_lie_in_one_episode(replay):
    first = replay.segments(200, 30, np.random.default_rng(0)).numpy()
    ends = np.cumsum(LENGTHS)
    assert np.array_equal(
        np.searchsorted(ends, first, side="right"), np.searchsorted(ends, first + 29, side="right")
    )
    assert {int(episode) for episode in replay.episode[first]} == {0, 2}  # 25 steps are too few


@pytest.mark.parametrize("anchors", [61, 125, 126, 400])  # beyond the longest episode; beyond D*
def test_segments_longer_than_every_episode_name_the_settings(replay, anchors):
    assert len(replay.segments(3, LENGTHS.max(), np.random.default_rng(0))) == 3
    with pytest.raises(UserError, match=r"has 60; .*'anchors_per_segment' or 'steps_per_segment'"):
        replay.segments(3, anchors, np.random.default_rng(0))


def test_load_reads_what_was_written(replay, replay_path):
    loaded = Replay.load(replay_path)
    index = torch.arange(len(replay))
    assert torch.equal(loaded.observation(index), replay.observation(index))
    assert torch.equal(loaded.expert_q, replay.expert_q)
    assert loaded.n_actions == 9


@pytest.mark.parametrize("lengths", [[600] * 20, [3000, 1, 8999]], ids=["many", "few"])
def test_load_holds_the_frames_once(lengths, tmp_path):
    lengths = np.array(lengths)
    arrays = replay_arrays(np.array([4]), truncated_episode=None)
    arrays |= {
        name: np.zeros((lengths.sum(), *arrays[name].shape[1:]), arrays[name].dtype)
        for name, field in kinds.REPLAY.fields.items()
        if field.dimensions[0] == "transition"
    }
    arrays |= {
        "frames": np.ones((int((lengths + 1).sum()), 84, 84), dtype=np.uint8),
        "episode_start": lengths.cumsum() - lengths,
        "episode_length": lengths,
        "episode_score": np.zeros(len(lengths), dtype=np.float32),
    }
    hdf5.write(tmp_path / "d.h5", kinds.REPLAY, arrays, {})
    frames_mb = arrays["frames"].nbytes / 1e6
    del arrays
    with peak_memory() as peak:
        Replay.load(tmp_path / "d.h5")
    assert frames_mb > 80 and peak.megabytes < 1.15 * frames_mb
