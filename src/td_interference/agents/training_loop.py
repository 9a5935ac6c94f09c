"""The loop around every agent that learns while it acts: go on, step, save, say how far."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch

from td_interference.jobs.progress import Progress
from td_interference.jobs.resume import ResumeState


class Training(Protocol):
    """What `run_until` needs of a training."""

    agent_step: int

    def step(self) -> int:
        """Act and learn once; return the agent steps taken."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs to go on with the same bits."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict` of a training with the same settings."""


def run_until(
    training: Training,
    agent_steps: int,
    job: str,
    resume: ResumeState | None,
    progress_directory: Path | None,
) -> None:
    """Step a training to its end, from its resume state if there is one.

    The state saved at the end stays: a job killed while it writes its results only writes again.

    Args:
        training: Newly made.
        agent_steps: Of all environments together, after which the training ends.
        job: The job's name as a person should read it.
        resume: Where to go on from and to save to; None to do neither.
        progress_directory: Where the heartbeat file goes; None for no file.
    """
    if resume is not None and (state := resume.load()) is not None:
        training.load_state_dict(state)
    done = training.agent_step
    with Progress(job, agent_steps, "agent steps", progress_directory, done) as progress:
        while training.agent_step < agent_steps:
            progress.advance(training.step())
            if resume is not None and resume.due():
                resume.save(training.state_dict())
    if resume is not None:
        resume.save(training.state_dict())


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let torch use `threads` CPU threads within the block, and as many as before after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
