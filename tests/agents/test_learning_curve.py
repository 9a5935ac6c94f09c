"""Learning curves by hand, and across a resume."""

from pathlib import Path

import numpy as np
import polars
import pytest

from td_interference.agents.learning_curve import (
    LearningCurve,
    TrainingEpisode,
    write_learning_curve,
)
from td_interference.environments.atari import AtariStep
from td_interference.jobs.resume import ResumeState


def step(raw_reward, terminated=(0, 0), truncated=(0, 0), valid=(1, 1)) -> AtariStep:
    """One step of two environments."""
    return AtariStep(
        observation=np.zeros((2, 4, 84, 84), dtype=np.uint8),
        reward=np.sign(np.array(raw_reward, dtype=np.float32)),
        raw_reward=np.array(raw_reward, dtype=np.int32),
        terminated=np.array(terminated, dtype=bool),
        truncated=np.array(truncated, dtype=bool),
        life_lost=np.zeros(2, dtype=bool),
        valid=np.array(valid, dtype=bool),
    )


STEPS = [  # with the losses of the updates before each
    ([], step([10, 200])),
    ([1.0, 3.0], step([-5, 0], terminated=(1, 0))),
    ([4.0], step([0, 0], valid=(0, 1))),  # the step after an end is none
    ([], step([50, 300], truncated=(1, 0), terminated=(0, 1))),
    ([], step([0, 0], valid=(0, 0))),
    ([0.5], step([7, 9], truncated=(1, 1))),
]
ROWS = [
    TrainingEpisode(4, 20, 5, 2, False, 2.0),
    TrainingEpisode(8, 40, 50, 1, True, 4.0),  # raw rewards, not clipped ones
    TrainingEpisode(8, 40, 500, 4, False, None),  # no update since the row before
    TrainingEpisode(12, 60, 7, 1, True, 0.5),
    TrainingEpisode(12, 60, 9, 1, True, None),
]


@pytest.mark.parametrize("killed_after", [None, 0, 1, 2, 3, 5])
def test_rows_by_hand(killed_after: int | None, tmp_path: Path) -> None:
    curve = LearningCurve(2)
    for number, (losses, answer) in enumerate(STEPS):
        if number == killed_after:
            resume = ResumeState(tmp_path, {})
            resume.save(curve.state_dict())
            curve = LearningCurve(2)
            curve.load_state_dict(resume.load())
        curve.losses += losses
        curve.count(answer, 2 * (number + 1), 10 * (number + 1))
    assert curve.rows == ROWS


def test_state_is_of_its_moment() -> None:
    curve = LearningCurve(2)
    curve.losses.append(1.0)
    curve.count(STEPS[0][1], 2, 1)
    state = curve.state_dict()
    curve.losses.append(2.0)
    curve.count(STEPS[1][1], 4, 2)
    assert state == {"rows": [], "losses": [1.0], "score": [10, 200], "length": [1, 1]}


def test_csv_has_a_row_per_episode(tmp_path: Path) -> None:
    write_learning_curve(tmp_path / "curve.csv", ROWS)
    written = polars.read_csv(tmp_path / "curve.csv")
    assert tuple(written.columns) == TrainingEpisode._fields
    assert written.rows() == [tuple(row) for row in ROWS]
    write_learning_curve(tmp_path / "none.csv", [])
    assert (tmp_path / "none.csv").read_text().splitlines() == [",".join(TrainingEpisode._fields)]
