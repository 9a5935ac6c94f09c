"""Training the Atari expert: act, store, learn, evaluate, and survive being killed.

Where an exact resume comes from: parameters, optimizer, priorities and generators are saved as
they are; emulators and stored frames are brought back by playing the saved actions again.
"""

import logging
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from td_interference.agents.expert import report
from td_interference.agents.expert.file import new_network, save_expert
from td_interference.agents.expert.learner import RainbowLearner
from td_interference.agents.expert.network import to_pixels
from td_interference.agents.expert.prioritized_replay import PrioritizedReplay
from td_interference.agents.learning_curve import LearningCurve, write_learning_curve
from td_interference.agents.playing import evaluate_expert
from td_interference.agents.training_loop import run_until, torch_threads
from td_interference.environments.atari import AtariEnvironments, AtariSettings
from td_interference.jobs.divergence import Diverged, all_finite, last_good
from td_interference.jobs.progress import Progress
from td_interference.jobs.resume import ResumeState
from td_interference.planning.expert import ExpertSettings
from td_interference.seeds import numpy_generator, seed_for, torch_generator

logger = logging.getLogger(__name__)

# CPU threads of every expert, however many cores a job is given: the order in which torch adds up,
# and with it the last bits, depend on their number. A second one takes 1.9 times the processor time
# and makes a training 1.1 times as fast: a second expert beside it is the better use of a core.
THREADS = 1


class ExpertOutputs(NamedTuple):
    """Where the results go."""

    weights: Path  # .safetensors
    learning_curve: Path  # .csv
    evaluation: Path  # .csv
    pictures: tuple[Path, ...]  # .png, .pdf


def train_expert(
    settings: ExpertSettings,
    outputs: ExpertOutputs,
    resume: ResumeState | None = None,
    progress_directory: Path | None = None,
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Train an expert, evaluate it and a random agent, and write the results.

    On a CPU the outputs depend on `settings` and `threads` alone, however often the job was
    killed and resumed.

    Args:
        settings: Hyperparameters.
        outputs: Files to write.
        resume: Where to go on from and to save to; None to do neither.
        progress_directory: Where the heartbeat file goes; None for no file.
        device: Of the networks.
        threads: CPU threads of torch, and of the emulators, which work at the same time.

    Raises:
        UserError: The game is unknown.
        Diverged: A loss or parameter is infinite or not a number; the last good state is kept.
    """
    files = [outputs.weights, outputs.learning_curve, outputs.evaluation, *outputs.pictures]
    if resume is not None and resume.finished(files):
        return
    _keep_freed_memory()
    job = f"train_expert {settings.game} seed {settings.seed}"
    with torch_threads(threads):
        training = ExpertTraining(settings, device, threads)
        try:
            run_until(training, settings.agent_steps, job, resume, progress_directory)
            training.check_finite()
        except Diverged as error:
            kept = last_good(None if resume is None else resume.last_good)
            line = f"{error}; {kept}; lower 'expert.learning_rate'"
            raise Diverged(line, error.update_step) from None
        # Agent steps, since a single episode may take minutes.
        at_most = settings.evaluation_steps
        with Progress(f"{job}: evaluation", at_most, "agent steps", progress_directory) as progress:
            result = evaluate_expert(settings, training.learner.online, threads, progress.advance)
    curve = training.curve.rows
    write_learning_curve(outputs.learning_curve, curve)
    report.write_evaluation(outputs.evaluation, result)
    title = f"{settings.game}, seed {settings.seed}"
    report.write_picture(outputs.pictures, title, curve, result)
    save_expert(outputs.weights, training.learner.online, settings)
    logger.info("%s: %s", job, result.verdict)
    if resume is not None:
        resume.finish(files)


class ExpertTraining:
    """The state of a training and its one step.

    Args:
        settings: Hyperparameters.
        device: Of the networks.
        threads: Of the emulators.
    """

    def __init__(self, settings: ExpertSettings, device: str = "cpu", threads: int = 1):
        """See the class."""
        stream = settings.random_stream
        self.settings = settings
        self.agent_step = 0
        self.curve = LearningCurve(settings.n_environments)
        game = AtariSettings(
            settings.game,
            settings.training_repeat_action_probability,
            max_frames_per_episode=settings.max_frames_per_episode,
        )
        rows = settings.replay_capacity // settings.n_environments
        self._environments = AtariEnvironments(
            game,
            settings.n_environments,
            seed_for(stream, "training_environments"),
            threads,
            settings.restart_period,
            kept_periods=math.ceil(rows / (settings.restart_period + 1)),
        )
        self._memory = self._new_memory(first_row=0)
        network = new_network(settings, torch_generator(stream, "initial_weights")).to(device)
        self.learner = RainbowLearner(settings, network, torch_generator(stream, "update_noise"))
        self._device = device
        self._acting_noise = torch_generator(stream, "acting_noise")
        self._exploration = numpy_generator(stream, "exploration")
        self._minibatches = numpy_generator(stream, "minibatches")

    def step(self) -> int:
        """Act once in each environment; learn meanwhile from what is stored already.

        Returns:
            Agent steps taken.

        Raises:
            Diverged: The loss is infinite or not a number.
        """
        observation = self._environments.observation
        actions = self._act(observation)
        self._environments.send(actions)
        for _ in range(self._updates_due()):
            self._update()
        answer = self._environments.receive()
        self._memory.append(observation, actions, answer)
        self.agent_step += self.settings.n_environments
        self.curve.count(answer, self.agent_step, self.learner.update_step)
        return self.settings.n_environments

    def check_finite(self) -> None:
        """See that what is to be kept is worth keeping.

        Raises:
            Diverged: A parameter is infinite or not a number.
        """
        if not all_finite(self.learner.online.parameters()):
            raise self._diverged("a parameter is infinite or not a number")

    def _diverged(self, what: str) -> Diverged:
        settings, step = self.settings, self.learner.update_step
        return Diverged(
            f"expert {settings.game} diverged: {what}, at update step {step} (agent step "
            f"{self.agent_step}) with learning rate {settings.learning_rate:g}",
            step,
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
            "memory": self._memory.state_dict(),
            "learner": self.learner.state_dict(),
            "acting_noise": self._acting_noise.get_state(),
            "exploration": self._exploration.bit_generator.state,
            "minibatches": self._minibatches.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict` of a training with the same settings."""
        self.agent_step = state["agent_step"]
        self.curve.load_state_dict(state["curve"])
        logger.info("playing the stored actions again to bring back emulators and frames")
        self._memory = self._new_memory(first_row=state["environments"]["first_step"])
        for before, actions, step in self._environments.play_again(state["environments"]):
            self._memory.append(before, actions, step)
        self._memory.load_state_dict(state["memory"])
        self.learner.load_state_dict(state["learner"])
        self._acting_noise.set_state(state["acting_noise"])
        self._exploration.bit_generator.state = state["exploration"]
        self._minibatches.bit_generator.state = state["minibatches"]

    def _new_memory(self, first_row: int) -> PrioritizedReplay:
        settings = self.settings
        return PrioritizedReplay(
            settings.replay_capacity,
            settings.n_environments,
            settings.n_step,
            settings.gamma,
            settings.priority_exponent,
            settings.life_loss_terminal,
            first_row,
        )

    @torch.no_grad()
    def _act(self, observation: np.ndarray) -> np.ndarray:
        if self.agent_step < self.settings.learning_starts:
            return self._exploration.integers(
                self._environments.n_actions, size=self.settings.n_environments
            )
        online = self.learner.online
        pixels = to_pixels(torch.from_numpy(observation).to(self._device))
        noise = online.sample_noise(self._acting_noise)
        return online.action_values(pixels, noise).argmax(1).cpu().numpy()

    def _updates_due(self) -> int:
        """Updates that bring their number up to `updates_per_step` per agent step."""
        steps = self.agent_step + self.settings.n_environments - self.settings.learning_starts
        return max(0, math.floor(steps * self.settings.updates_per_step) - self.learner.update_step)

    def _update(self) -> None:
        settings = self.settings
        done = min(1.0, self.agent_step / settings.agent_steps)
        exponent = settings.priority_weight_start * (1 - done) + done
        batch = self._memory.sample(settings.minibatch, exponent, self._minibatches)
        losses = self.learner.update(batch.to(self._device))
        loss = float(losses.mean())
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss}")
        self._memory.update_priorities(batch.leaf, losses)
        self.curve.losses.append(loss)


def _keep_freed_memory() -> None:
    """Have the C library keep freed memory instead of giving it back to the kernel.

    An update allocates and frees tensors of some MB. glibc maps such blocks from the kernel one
    by one, each page zeroed again (3,000 page faults per update, 5 ms of 18), until a larger
    block was freed once: then it serves all smaller ones from its heap.
    """
    just_below_32_mib = 8 * 2**20 - 4096
    torch.empty(just_below_32_mib, dtype=torch.float32)
