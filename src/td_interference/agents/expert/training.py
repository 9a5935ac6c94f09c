"""Training the Atari expert: act, store, learn, evaluate, and survive being killed."""

import logging
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from td_interference.agents.expert import report
from td_interference.agents.expert.file import new_network, save_expert
from td_interference.agents.expert.learner import RainbowLearner
from td_interference.agents.expert.network import RainbowNetwork, to_pixels
from td_interference.agents.expert.prioritized_replay import PrioritizedReplay
from td_interference.agents.learning_curve import write_learning_curve
from td_interference.agents.playing import evaluate_expert
from td_interference.agents.training_loop import AtariTraining, run_until, torch_threads
from td_interference.environments.atari import AtariSettings
from td_interference.jobs.divergence import Diverged, last_good
from td_interference.jobs.progress import Progress
from td_interference.jobs.resume import ResumeState
from td_interference.planning.expert import ExpertSettings
from td_interference.seeds import torch_generator

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
    resume: ResumeState,
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Train an expert, evaluate it and a random agent, and write the results.

    On a CPU the outputs depend on `settings` and `threads` alone, however often the job was
    killed and resumed.

    Args:
        settings: Hyperparameters.
        outputs: Files to write.
        resume: Where to go on from and to save to; the heartbeat file is beside it.
        device: Of the networks.
        threads: CPU threads of torch, and of the emulators, which work at the same time.

    Raises:
        UserError: The game is unknown.
        Diverged: A loss or parameter is infinite or not a number; the last good state is kept.
    """
    files = [outputs.weights, outputs.learning_curve, outputs.evaluation, *outputs.pictures]
    if resume.finished(files):
        return
    _keep_freed_memory()
    job = f"train_expert {settings.game} seed {settings.seed}"
    with torch_threads(threads):
        training = ExpertTraining(settings, device, threads)
        try:
            run_until(training, settings.agent_steps, job, resume)
        except Diverged as error:
            line = f"{error}; {last_good(resume.last_good)}; lower 'expert.learning_rate'"
            raise Diverged(line, error.update_step) from None
        # Agent steps, since a single episode may take minutes.
        at_most = settings.evaluation_steps
        with Progress(f"{job}: evaluation", at_most, "agent steps", resume.directory) as progress:
            result = evaluate_expert(settings, training.network, threads, progress.advance)
    curve = training.curve.rows
    write_learning_curve(outputs.learning_curve, curve)
    report.write_evaluation(outputs.evaluation, result)
    title = f"{settings.game}, seed {settings.seed}"
    report.write_picture(outputs.pictures, title, curve, result)
    save_expert(outputs.weights, training.network, settings)
    logger.info("%s: %s", job, result.verdict)
    resume.finish(files)


class ExpertTraining(AtariTraining):
    """The state of a training of Rainbow and its one step.

    Args:
        settings: Hyperparameters.
        device: Of the networks.
        threads: Of the emulators.
    """

    settings: ExpertSettings
    network: RainbowNetwork
    memory: PrioritizedReplay

    def __init__(self, settings: ExpertSettings, device: str = "cpu", threads: int = 1):
        game = AtariSettings(
            settings.game,
            settings.training_repeat_action_probability,
            settings.max_frames_per_episode,
        )
        super().__init__(f"expert {settings.game}", settings, game, threads)
        stream = settings.random_stream
        self.network = new_network(settings, torch_generator(stream, "initial_weights")).to(device)
        noise = torch_generator(stream, "update_noise")
        self.learner = RainbowLearner(settings, self.network, noise)
        self._device = device
        self._acting_noise = torch_generator(stream, "acting_noise")

    @property
    def update_step(self) -> int:
        """Updates done."""
        return self.learner.update_step

    def state_dict(self) -> dict[str, Any]:
        """See `AtariTraining`."""
        return {
            **super().state_dict(),
            "memory": self.memory.state_dict(),
            "learner": self.learner.state_dict(),
            "acting_noise": self._acting_noise.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `AtariTraining`."""
        super().load_state_dict(state)
        self.memory.load_state_dict(state["memory"])
        self.learner.load_state_dict(state["learner"])
        self._acting_noise.set_state(state["acting_noise"])

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
        pixels = to_pixels(torch.from_numpy(observation).to(self._device))
        noise = self.network.sample_noise(self._acting_noise)
        return self.network.action_values(pixels, noise).argmax(1).cpu().numpy()

    def _learn(self) -> None:
        """Bring the number of updates up to `updates_per_step` per agent step."""
        settings = self.settings
        steps = self.agent_step + settings.n_environments - settings.learning_starts
        done = min(1.0, self.agent_step / settings.agent_steps)
        exponent = settings.priority_weight_start * (1 - done) + done
        while self.update_step < math.floor(steps * settings.updates_per_step):
            batch = self.memory.sample(settings.minibatch, exponent, self._minibatches)
            losses = self.learner.update(batch.to(self._device))
            self._count_loss(float(losses.mean()))
            self.memory.update_priorities(batch.leaf, losses)


def _keep_freed_memory() -> None:
    """Have the C library keep freed memory instead of giving it back to the kernel.

    An update allocates and frees tensors of some MB. glibc maps such blocks from the kernel one
    by one, each page zeroed again (3,000 page faults per update, 5 ms of 18), until a larger
    block was freed once: then it serves all smaller ones from its heap.
    """
    just_below_32_mib = 8 * 2**20 - 4096
    torch.empty(just_below_32_mib, dtype=torch.float32)
