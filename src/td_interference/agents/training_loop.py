"""The training of an Atari agent that learns while it acts: step, save, go on, say how far."""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from td_interference.agents.control.replay import UniformReplay
from td_interference.agents.expert.prioritized_replay import PrioritizedReplay
from td_interference.agents.learning_curve import LearningCurve
from td_interference.environments.atari import AtariEnvironments, AtariSettings
from td_interference.jobs.divergence import Diverged, all_finite
from td_interference.jobs.progress import Progress
from td_interference.jobs.resume import ResumeState
from td_interference.planning.control import ControlSettings
from td_interference.planning.expert import ExpertSettings
from td_interference.seeds import numpy_generator, seed_for

logger = logging.getLogger(__name__)


class AtariTraining(ABC):
    """The state of a training and its one step.

    Where an exact resume comes from: parameters, optimizer, priorities and generators are saved as
    they are; emulators and stored frames are brought back by playing the saved actions again.

    Args:
        name: For messages.
        settings: Hyperparameters.
        game: What is played.
        threads: Of the emulators.
    """

    settings: ExpertSettings | ControlSettings
    network: nn.Module  # the one that learns

    def __init__(
        self,
        name: str,
        settings: ExpertSettings | ControlSettings,
        game: AtariSettings,
        threads: int,
    ):
        self._name, self.settings = name, settings
        self.agent_step = 0
        self.curve = LearningCurve(settings.n_environments)
        self.memory = self._new_memory(first_row=0)
        stream = settings.random_stream
        self._environments = AtariEnvironments(
            game,
            settings.n_environments,
            seed_for(stream, "training_environments"),
            threads,
            settings.restart_period,
            kept_periods=math.ceil(self.memory.ring.n_rows / (settings.restart_period + 1)),
        )
        self._exploration = numpy_generator(stream, "exploration")
        self._minibatches = numpy_generator(stream, "minibatches")

    @property
    @abstractmethod
    def update_step(self) -> int:
        """Updates done."""

    @abstractmethod
    def _new_memory(self, first_row: int) -> UniformReplay | PrioritizedReplay: ...

    @abstractmethod
    def _act(self, observation: NDArray[np.uint8]) -> NDArray[np.integer]:
        """Choose the actions, [N]."""

    @abstractmethod
    def _learn(self) -> None:
        """Do the updates that are due by the end of the step, from what is stored already."""

    def step(self) -> int:
        """Act once in each environment, and learn meanwhile.

        Returns:
            Agent steps taken.

        Raises:
            Diverged: A loss, or a parameter at a checkpoint, is infinite or not a number.
        """
        observation = self._environments.observation
        actions = self._act(observation)
        self._environments.send(actions)
        self._learn()
        answer = self._environments.receive()
        self.memory.append(observation, actions, answer)
        self.agent_step += self.settings.n_environments
        self.curve.count(answer, self.agent_step, self.update_step)
        return self.settings.n_environments

    def check_finite(self) -> None:
        """See that what is to be kept is worth keeping.

        Raises:
            Diverged: A parameter is infinite or not a number.
        """
        if not all_finite(self.network.parameters()):
            raise self._diverged("a parameter is infinite or not a number")

    def _count_loss(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss}")
        self.curve.losses.append(loss)

    def _diverged(self, what: str) -> Diverged:
        return Diverged(
            f"{self._name} diverged: {what}, at update step {self.update_step} (agent step "
            f"{self.agent_step}) with learning rate {self.settings.learning_rate:g}",
            self.update_step,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs to go on with the same bits.

        Raises:
            Diverged: As `check_finite`.
        """
        self.check_finite()
        return {
            "agent_step": self.agent_step,
            "curve": self.curve.state_dict(),
            "environments": self._environments.state_dict(),
            "exploration": self._exploration.bit_generator.state,
            "minibatches": self._minibatches.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict` of a training with the same settings."""
        self.agent_step = state["agent_step"]
        self.curve.load_state_dict(state["curve"])
        logger.info("playing the stored actions again to bring back emulators and frames")
        self.memory = self._new_memory(first_row=state["environments"]["first_step"])
        for played in self._environments.play_again(state["environments"]):
            self.memory.append(*played)
        self._exploration.bit_generator.state = state["exploration"]
        self._minibatches.bit_generator.state = state["minibatches"]


def run_until(
    training: AtariTraining,
    agent_steps: int,
    job: str,
    resume: ResumeState,
) -> None:
    """Step a training to its end, from its resume state if there is one.

    The state saved at the end stays: a job killed while it writes its results only writes again.

    Args:
        training: Newly made.
        agent_steps: Of all environments together, after which the training ends.
        job: The job's name as a person should read it.
        resume: Where to go on from and to save to; the heartbeat file is beside it.
    """
    if (state := resume.load()) is not None:
        training.load_state_dict(state)
    done = training.agent_step
    with Progress(job, agent_steps, "agent steps", resume.directory, done) as progress:
        while training.agent_step < agent_steps:
            progress.advance(training.step())
            if resume.due():
                resume.save(training.state_dict())
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
