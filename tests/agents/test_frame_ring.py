"""The ring of frames against the whole stream, before and after it has wrapped."""

import numpy as np
import pytest
from streams import Stream, identity

from td_interference.agents.frame_ring import FrameRing
from td_interference.environments.atari import AtariStep

KEPT = ("reward", "raw_reward", "terminated", "truncated", "life_lost", "valid")


def filled(n_appended: int, n_rows: int, n: int) -> tuple[Stream, FrameRing]:
    stream, ring = Stream(n, seed=0, period=23), FrameRing(n_rows, n)
    for _ in range(n_appended):
        ring.append(*stream.advance())
    return stream, ring


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("appended", [1, 20, 21, 95])  # around and beyond the 20 rows
def test_rows_are_those_of_the_stream(n: int, appended: int) -> None:
    stream, ring = filled(appended, 20, n)
    assert (ring.oldest, ring.next_row) == (max(0, appended - 20), appended)
    for row in range(ring.oldest, appended):
        observation, action, step = stream.rows[row]
        np.testing.assert_array_equal(ring.frame[row % 20], observation[:, -1])
        np.testing.assert_array_equal(ring.action[row % 20], action)
        for name in KEPT:
            kept, said = getattr(ring, name)[row % 20], getattr(step, name)
            np.testing.assert_array_equal(kept, said, err_msg=name)


def test_the_stream_says_something_of_each_kind() -> None:
    stream, _ = filled(95, 20, 3)
    for name in KEPT:
        assert len(np.unique([getattr(step, name) for *_, step in stream.rows])) > 1, name


@pytest.mark.parametrize("appended", [9, 95])
def test_stacks_are_the_observations(appended: int) -> None:
    stream, ring = filled(appended, 20, 3)
    rows = np.arange(ring.oldest + (3 if ring.oldest else 0), appended)
    for environment in range(3):
        for row, stack in zip(rows, ring.stack(rows, environment).numpy(), strict=True):
            np.testing.assert_array_equal(stack, stream.rows[row][0][environment])
    environments = np.arange(len(rows)) % 3  # one for each row
    shown = [identity(stack) for stack in ring.stack(rows, environments).numpy()]
    assert shown == list(zip(rows, environments, strict=True))


def test_a_step_costs_a_frame_and_14_bytes() -> None:
    ring = FrameRing(50, 3)
    arrays = [value for value in vars(ring).values() if getattr(value, "shape", ())[:2] == (50, 3)]
    assert sum(array.nbytes for array in arrays) == 50 * 3 * (84 * 84 + 14)
    assert set(KEPT) <= set(AtariStep._fields)
