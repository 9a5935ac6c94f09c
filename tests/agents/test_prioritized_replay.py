"""The replay memory against brute force over the whole stream."""

import numpy as np
import pytest
import torch
from streams import Stream

from td_interference.agents.expert import prioritized_replay
from td_interference.agents.expert.prioritized_replay import PrioritizedReplay

GAMMA = 0.9


def filled(n_rows: int, capacity: int, n_environments: int, n_step: int, life_loss=False, seed=0):
    stream = Stream(n_environments, seed)
    memory = PrioritizedReplay(capacity, n_environments, n_step, GAMMA, 0.5, life_loss)
    for _ in range(n_rows):
        memory.append(*stream.advance())
    return stream, memory


def drawable(memory: PrioritizedReplay) -> set[tuple[int, int]]:
    """Rows (counted from the first ever) and environments that can be drawn."""
    slots = np.flatnonzero(memory.state_dict()["priorities"].numpy())
    newest = memory.state_dict()["next_row"] - 1
    pairs = set()
    for slot, environment in zip(*np.divmod(slots, memory.ring.n_environments), strict=True):
        pairs.add((newest - (newest - slot) % memory.ring.n_rows, environment))
    return pairs


@pytest.mark.parametrize("life_loss", [False, True])
@pytest.mark.parametrize("n_step", [1, 3, 7])
@pytest.mark.parametrize("n_rows", [20, 100])  # before and after the ring is full
def test_batches_are_those_of_the_stream(n_rows: int, n_step: int, life_loss: bool) -> None:
    stream, memory = filled(
        n_rows, capacity=60, n_environments=2, n_step=n_step, life_loss=life_loss
    )
    pairs = sorted(drawable(memory))
    index = np.array([(t % memory.ring.n_rows) * 2 + e for t, e in pairs])
    generator = np.random.default_rng(0)
    seen = set()
    while len(seen) < len(index):
        batch = memory.sample(32, 1.0, generator)
        for b in range(32):
            t, e = pairs[int(np.flatnonzero(index == batch.leaf[b])[0])]
            seen.add((t, e))
            observation, action, step = stream.rows[t]
            assert step.valid[e]
            np.testing.assert_array_equal(batch.observation[b], observation[e])
            assert batch.action[b] == action[e]
            total, steps, discount = 0.0, 0, 1.0
            for k in range(n_step):
                step = stream.rows[t + k][2]
                assert step.valid[e]
                total += GAMMA**k * step.reward[e]
                steps += 1
                if step.terminated[e] or (life_loss and step.life_lost[e]):
                    discount = 0.0
                    break
                if step.truncated[e]:
                    break
            assert batch.n_step_return[b] == pytest.approx(total, abs=1e-6)
            assert batch.bootstrap_discount[b] == pytest.approx(discount * GAMMA**steps)
            # What the step itself returned: the last observation of an episode, not the next's.
            last = stream.rows[t + steps - 1][2].observation[e]
            np.testing.assert_array_equal(batch.bootstrap_observation[b], last)


def test_what_can_be_drawn() -> None:
    n_step = 3
    for n_rows in range(1, 80):
        stream, memory = filled(n_rows, capacity=40, n_environments=2, n_step=n_step)
        # Of the 20 newest rows the stacks of the 3 oldest may be gone, and the 3 newest are not
        # followed by n rows yet.
        rows = range(max(0, n_rows - memory.ring.n_rows + 3), n_rows - n_step)
        got = drawable(memory)
        assert got == {(t, e) for t in rows for e in range(2) if stream.rows[t][2].valid[e]}
        assert len(memory) == len(got)


def test_n_step_by_hand() -> None:
    reward = np.array([[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 1]], dtype=np.float32)
    ended = np.array([[0, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1]], dtype=bool)
    terminal = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]], dtype=bool)
    result = prioritized_replay.n_step(reward, terminal, ended, gamma=0.5)
    assert result.n_step_return.tolist() == [1.75, 1.5, 1.5, 1.75]
    assert result.bootstrap_offset.tolist() == [3, 2, 2, 3]
    # terminated: 0; truncated: bootstraps with gamma^2; a terminal behind a cut does not count
    assert result.bootstrap_discount.tolist() == [0.125, 0, 0.25, 0]


def test_draws_follow_the_priorities() -> None:
    _, memory = filled(30, capacity=200, n_environments=2, n_step=1)
    index = np.flatnonzero(memory.state_dict()["priorities"].numpy())
    priority = np.random.default_rng(1).random(len(index)).astype(np.float32) + 0.1
    memory.update_priorities(index, priority)
    generator = np.random.default_rng(2)
    draws = [memory.sample(64, 0.4, generator) for _ in range(300)]
    counts = np.bincount(np.concatenate([batch.leaf for batch in draws]), minlength=index.max() + 1)
    probability = priority.astype(np.float64) ** 0.5
    probability /= probability.sum()
    np.testing.assert_allclose(counts[index] / counts.sum(), probability, atol=0.004)
    batch = draws[0]
    chance = dict(zip(index, probability, strict=True))
    weight = np.array([(1 / chance[i]) ** 0.4 for i in batch.leaf])
    np.testing.assert_allclose(batch.importance_weight, weight / weight.max(), rtol=1e-5)


def test_new_transitions_get_the_largest_priority_so_far() -> None:
    stream, memory = filled(12, capacity=100, n_environments=1, n_step=1)
    first = np.flatnonzero(memory.state_dict()["priorities"].numpy())[:1]
    memory.update_priorities(first, np.array([9.0]))
    memory.update_priorities(first, np.array([0.0]))
    for _ in range(10):
        memory.append(*stream.advance())
    priorities = memory.state_dict()["priorities"].numpy()
    assert priorities.max() == 3.0  # 9 ** 0.5
    assert 0 < priorities[first[0]] < 0.01  # a loss of 0 stays in the draw


@pytest.mark.parametrize("first_row", [0, 40])
def test_refilled_memory_draws_the_same(first_row: int) -> None:
    stream, memory = filled(90, capacity=60, n_environments=2, n_step=3)
    generator = np.random.default_rng(0)
    memory.update_priorities(memory.sample(16, 1.0, generator).leaf, generator.random(16))
    refilled = PrioritizedReplay(60, 2, 3, GAMMA, 0.5, False, first_row)
    for row in stream.rows[first_row:]:
        refilled.append(*row)
    refilled.load_state_dict(memory.state_dict())
    for _ in range(20):
        for target in (memory, refilled):
            target.append(*stream.rows[-1])
        one, other = (
            target.sample(8, 0.5, np.random.default_rng(3)) for target in (memory, refilled)
        )
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_batch_moves_to_a_device() -> None:
    _, memory = filled(30, capacity=60, n_environments=2, n_step=3)
    batch = memory.sample(4, 1.0, np.random.default_rng(0))
    moved = batch.to("cpu")
    assert torch.equal(moved.observation, batch.observation) and moved.leaf is batch.leaf


def test_too_small_and_too_early() -> None:
    with pytest.raises(ValueError, match="too small"):
        PrioritizedReplay(14, 2, 3, GAMMA, 0.5, False)
    _, memory = filled(30, capacity=60, n_environments=2, n_step=3)
    fresh = PrioritizedReplay(60, 2, 3, GAMMA, 0.5, False)
    with pytest.raises(ValueError, match="refilled to row 0"):
        fresh.load_state_dict(memory.state_dict())
