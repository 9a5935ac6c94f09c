"""The loop around a training: where it goes on, what it saves, where it ends."""

from pathlib import Path
from typing import Any

import pytest
import torch

from td_interference.agents.training_loop import run_until, torch_threads
from td_interference.jobs.resume import ResumeState


class Counting:
    """A training that learns nothing, three agent steps at a time."""

    def __init__(self, dies_at: int | None = None):
        self.agent_step, self.first, self._dies_at = 0, None, dies_at

    def step(self) -> int:
        if self.first is None:
            self.first = self.agent_step
        if self.agent_step == self._dies_at:
            raise RuntimeError("killed")
        self.agent_step += 3
        return 3

    def state_dict(self) -> dict[str, Any]:
        return {"agent_step": self.agent_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.agent_step = state["agent_step"]


@pytest.mark.parametrize(("interval", "first"), [(0.0, 6), (60.0, 0)])
def test_goes_on_from_the_newest_state(interval: float, first: int, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="killed"):
        run_until(Counting(dies_at=6), 10, "job", ResumeState(tmp_path, {}, interval))
    resumed = Counting()
    run_until(resumed, 10, "job", ResumeState(tmp_path, {}, interval))
    assert (resumed.first, resumed.agent_step) == (first, 12)


def test_a_finished_training_is_only_written_again(tmp_path: Path) -> None:
    run_until(Counting(), 12, "job", ResumeState(tmp_path, {}))
    assert ResumeState(tmp_path, {}).load() == {"agent_step": 12}
    again = Counting()
    run_until(again, 12, "job", ResumeState(tmp_path, {}))
    assert again.first is None and again.agent_step == 12


def test_progress_counts_from_where_it_went_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ResumeState(tmp_path, {}).save({"agent_step": 9})
    with caplog.at_level("INFO"):
        run_until(Counting(), 15, "a job", ResumeState(tmp_path, {}))
    assert "goes on from 9 of 15 agent steps" in caplog.text
    assert "a job: 15/15 agent steps" in caplog.text


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError), torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise RuntimeError
    assert torch.get_num_threads() == before
