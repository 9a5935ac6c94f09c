"""The replay memory and the windows written from it, against the whole stream as it was played."""

import numpy as np
import pytest
import torch
from streams import Stream, identity

from td_interference.agents.control.replay import UniformReplay, write_window
from td_interference.replay import Replay
from td_interference.storage import hdf5, kinds

GAMMA = 0.9


def played(n_rows: int, capacity: int, n: int, seed: int = 0, **stream_options):
    stream, memory = Stream(n, seed, **stream_options), UniformReplay(capacity, n)
    for _ in range(n_rows):
        memory.append(*stream.advance())
    return stream, memory


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("rows", [7, 20, 97, 300])  # 300 rows: the ring of 40 has wrapped 7 times
def test_batches_are_those_of_the_stream(n: int, rows: int) -> None:
    stream, memory = played(rows, capacity=40 * n, n=n, period=23)
    expected = {
        (t, e)
        for t in range(max(0, rows - 40 + 3), rows - 1)
        for e in range(n)
        if stream.rows[t][2].valid[e]
    }
    assert len(memory) == len(expected)
    seen, generator = set(), np.random.default_rng(1)
    for _ in range(60):
        batch = memory.sample(32, generator)
        for b in range(32):
            t, e = identity(batch.observation[b].numpy())
            seen.add((t, e))
            observation, action, step = stream.rows[t]
            np.testing.assert_array_equal(batch.observation[b], observation[e])
            # What the step itself returned: an episode's last observation, not the next's first.
            np.testing.assert_array_equal(batch.next_observation[b], step.observation[e])
            assert batch.action[b] == action[e] and batch.reward[b] == step.reward[e]
            assert batch.terminated[b] == step.terminated[e]
            assert batch.truncated[b] == step.truncated[e]
    assert seen == expected
    assert batch.action.dtype == torch.int64 and batch.observation.dtype == torch.uint8


def test_draw_is_uniform() -> None:
    _, memory = played(60, capacity=80, n=2, end=0.2)
    counts: dict[tuple[int, int], int] = {}
    generator = np.random.default_rng(0)
    for _ in range(20):
        for observation in memory.sample(500, generator).observation.numpy():
            where = identity(observation)
            counts[where] = counts.get(where, 0) + 1
    assert len(counts) == len(memory)
    expected = 10_000 / len(memory)
    chi_squared = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_squared < len(memory) + 5 * np.sqrt(2 * len(memory))


def test_too_small_and_too_early() -> None:
    with pytest.raises(ValueError, match="too small"):
        UniformReplay(8, 2)
    _, memory = played(1, capacity=40, n=2)
    with pytest.raises(ValueError, match="nothing to draw"):
        memory.sample(1, np.random.default_rng(0))


@pytest.mark.parametrize("first_row", [0, 24, 48])  # where periods of 23 steps begin
def test_refilled_memory_is_the_same(first_row: int, tmp_path) -> None:
    stream, memory = played(130, capacity=120, n=2, period=23)
    refilled = UniformReplay(120, 2, first_row)
    for row in stream.rows[first_row:]:
        refilled.append(*row)
    for k, target in enumerate((memory, refilled)):
        write_window(tmp_path / f"{k}.h5", target, 20, GAMMA, brightness, {})
    assert (tmp_path / "0.h5").read_bytes() == (tmp_path / "1.h5").read_bytes()
    for one, other in zip(
        *(target.sample(64, np.random.default_rng(3)) for target in (memory, refilled)),
        strict=True,
    ):
        assert torch.equal(one, other)


def brightness(observation: torch.Tensor) -> torch.Tensor:
    """Stand in for Q(s, ·): different for any two observations of a stream, [B, 9]."""
    pixels = observation.flatten(1).double()
    weights = torch.arange(1, pixels.shape[1] + 1).double()
    return torch.stack([pixels @ (weights + action) for action in range(9)], dim=1).float()


def episodes(stream: Stream, environment: int, until: int) -> list[list[int]]:
    """Rows of each episode of the stream in which `until` frames were seen."""
    found: list[list[int]] = [[]]
    for t in range(until - 1):
        if stream.rows[t][2].valid[environment]:
            found[-1].append(t)
        else:
            found.append([])
    return [rows for rows in found if rows]


@pytest.mark.parametrize("end", [0.02, 0.15])
@pytest.mark.parametrize(("n", "rows"), [(1, 50), (1, 300), (3, 61), (3, 300)])
def test_window_is_what_was_played(n: int, rows: int, end: float, tmp_path) -> None:
    wanted, n_rows = 30, 80
    stream, memory = played(rows, capacity=n_rows * n, n=n, period=37, end=end)
    path = tmp_path / "window.h5"
    write_window(path, memory, wanted, GAMMA, brightness, {"game": "none"})
    window = Replay.load(path)
    arrays = hdf5.read(path, kinds.REPLAY)
    expected = []
    for e in range(n):
        mine = [r for r in episodes(stream, e, rows) if r[0] >= rows - n_rows]
        while sum(map(len, mine[1:])) >= wanted:
            mine.pop(0)
        assert sum(map(len, mine)) >= wanted
        expected += [(e, r) for r in mine]
    np.testing.assert_array_equal(window.episode_length, [len(r) for _, r in expected])
    np.testing.assert_array_equal(
        arrays["episode_start"], np.cumsum(window.episode_length) - window.episode_length
    )
    i = 0
    for number, (e, episode) in enumerate(expected):
        steps = [stream.rows[t][2] for t in episode]
        for k, t in enumerate(episode):
            one = window.transitions(torch.tensor([i]))
            observation, action, step = stream.rows[t]
            np.testing.assert_array_equal(one.observation[0], observation[e])
            np.testing.assert_array_equal(one.next_observation[0], step.observation[e])
            assert one.action == action[e] and one.reward == step.reward[e]
            assert arrays["raw_reward"][i] == step.raw_reward[e]
            assert one.terminated == step.terminated[e]
            last = k == len(episode) - 1
            assert one.truncated == (last and not step.terminated[e])
            seen = sum(GAMMA**j * s.reward[e] for j, s in enumerate(steps[k:]))
            assert arrays["monte_carlo_return"][i] == pytest.approx(seen, abs=1e-5)
            q = brightness(torch.from_numpy(observation[e])[None])
            np.testing.assert_array_equal(arrays["expert_q"][i], q[0])
            i += 1
        assert arrays["episode_score"][number] == sum(s.raw_reward[e] for s in steps)
    assert i == len(window)
    # Neighbours at offsets are neighbours in play, and none is in another episode.
    offsets = window.window(torch.arange(len(window)), 5)
    for centre in range(len(window)):
        for position in torch.nonzero(offsets.valid[centre])[:, 0].tolist():
            other = int(offsets.index[centre, position])
            t, e = identity(window.observation(torch.tensor([centre]))[0].numpy())
            shown = identity(window.observation(torch.tensor([other]))[0].numpy())
            assert shown == (t + position - 5, e)


def test_an_episode_whose_beginning_is_gone_is_left_out() -> None:
    stream, memory = played(60, capacity=20, n=1, end=0.0)
    assert not list(memory.recent_episodes(5))
    # Two rows that are no transitions (an end, and a restart right after it), then a new episode.
    end = stream.rows[-1][2]._replace(terminated=np.array([True]))
    memory.append(*stream.rows[-1][:2], end)
    nothing = end._replace(terminated=np.array([False]), valid=np.array([False]))
    memory.append(*stream.rows[-1][:2], nothing)
    memory.append(*stream.rows[-1][:2], nothing)
    assert not list(memory.recent_episodes(5))
    for _ in range(3):
        memory.append(*stream.advance())
    assert [(rows.first, rows.length) for rows in memory.recent_episodes(5)] == [(63, 2)]


def test_a_window_says_what_it_is(tmp_path) -> None:
    _, memory = played(40, capacity=60, n=1)
    write_window(tmp_path / "w.h5", memory, 10, GAMMA, brightness, {"update_step": 7})
    attributes = hdf5.read_attributes(tmp_path / "w.h5", kinds.REPLAY)
    assert attributes["identity"] == {"update_step": 7}
    assert "agent" in attributes["expert_q"] and "agent under training" in attributes["title"]
