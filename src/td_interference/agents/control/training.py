"""Control: Q-learning from scratch, with checkpoints and the play that led to each of them.

Exact resume works as for the expert: parameters, optimizer and generators are saved as they are;
emulators and stored frames are brought back by playing the saved actions again.
"""

import copy
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from td_interference.agents.control.outputs import checkpoint_name, write_outputs
from td_interference.agents.control.replay import UniformReplay, write_window
from td_interference.agents.learning_curve import LearningCurve
from td_interference.agents.playing import Policy, epsilon_greedy_policy, play_episodes
from td_interference.agents.training_loop import run_until, torch_threads
from td_interference.environments.atari import AtariEnvironments, AtariSettings
from td_interference.jobs.divergence import Diverged, all_finite, left_out
from td_interference.jobs.kept_files import Parts
from td_interference.jobs.resume import ResumeState
from td_interference.networks.atari import initialise, q_network
from td_interference.objectives.losses import pointwise_loss
from td_interference.optimizers import make_optimizer
from td_interference.planning.control import ControlOutputs, ControlSettings, window_name
from td_interference.replay import TransitionBatch
from td_interference.seeds import numpy_generator, seed_for, torch_generator
from td_interference.storage.checkpoints import Checkpoint, write_checkpoint
from td_interference.storage.identity import of_control, of_window

logger = logging.getLogger(__name__)
Device = str | torch.device


def train_control(
    settings: ControlSettings,
    outputs: ControlOutputs,
    resume: ResumeState,
    progress_directory: Path | None = None,
    device: Device = "cpu",
    threads: int = 1,
    on_divergence: str = "stop",
) -> None:
    """Learn to play a game, and write checkpoints, recent play, curve and evaluation.

    On a CPU the outputs depend on `settings` and `threads` alone, however often the job was
    killed and resumed.

    A run that diverges stops the job, or is left out: its files then hold what it reached, and the
    checkpoints' attributes say at which update step it diverged ("diverged_at") and how.

    Args:
        settings: Hyperparameters.
        outputs: Files to write, all at the end.
        resume: Where to go on from and to save to; checkpoints and windows lie in its directory
            until the end.
        progress_directory: Where the heartbeat file goes; None for no file.
        device: Of the networks.
        threads: CPU threads of torch, and of the emulators, which work at the same time.
        on_divergence: "stop" or "leave_out".

    Raises:
        UserError: The game, optimizer or loss is unknown.
        Diverged: A loss or parameter is infinite or not a number, and the run is not to be left
            out; the last good state is kept.
    """
    if resume.finished(outputs):
        return
    steps = settings.learning_starts + settings.agent_steps
    with torch_threads(threads):
        training = ControlTraining(settings, resume.parts, device, threads)
        job = f"train_control {settings.run_id}"
        reached, diverged = settings.checkpoints, {}
        try:
            run_until(training, steps, job, resume, progress_directory)
        except Diverged as error:
            reached = error.reached(settings.checkpoints)
            newest = resume.parts.at(checkpoint_name(reached[-1])) if reached else None
            kept = resume.last_good or newest
            diverged = left_out(error, kept, "control.learning_rates", on_divergence)
    write_outputs(
        outputs,
        resume.parts,
        reached,
        training.curve.rows,
        training.evaluation,
        of_control(settings),
        diverged,
    )
    if diverged:  # whether such runs are left out may be asked for otherwise the next time
        resume.remove()
    else:
        resume.finish(outputs)


def td_error(
    network: nn.Module, frozen_network: nn.Module, batch: TransitionBatch, gamma: float
) -> Tensor:
    """Return δ = R + γ max_a Q_frozen(S', a) - Q(S, A) of each transition, [B].

    The target has no second term where S' is terminal. A truncated step bootstraps like any
    other: the game would have gone on.

    Args:
        network: To Q(s, ·), [B, A]; the gradient is with respect to it alone.
        frozen_network: An earlier copy of it.
        batch: B transitions.
        gamma: Discount per agent step.

    Source:
        Mnih et al. (2015), algorithm 1.
    """
    with torch.no_grad():
        successor = frozen_network(batch.next_observation).amax(1)
        target = batch.reward + gamma * ~batch.terminated * successor
    return target - network(batch.observation).gather(1, batch.action[:, None])[:, 0]


class ControlTraining:
    """The state of a run and its one step.

    Args:
        settings: Hyperparameters.
        parts: Takes checkpoints and windows on the way.
        device: Of the networks.
        threads: Of the emulators.

    Raises:
        UserError: The game, optimizer or loss is unknown.
    """

    def __init__(self, settings: ControlSettings, parts: Parts, device: Device, threads: int):
        """See the class."""
        self.settings, self._parts, self._device, self._threads = settings, parts, device, threads
        self.agent_step = self.update_step = 0
        self.curve = LearningCurve(settings.n_environments)
        self.evaluation: list[dict[str, Any]] = []
        stream, n = settings.random_stream, settings.n_environments
        self._game = AtariSettings(
            settings.game,
            settings.repeat_action_probability,
            max_frames_per_episode=settings.max_frames_per_episode,
        )
        self.memory = UniformReplay(settings.replay_capacity, n)
        self._environments = AtariEnvironments(
            self._game,
            n,
            seed_for(stream, "training_environments"),
            threads,
            settings.restart_period,
            kept_periods=math.ceil(self.memory.ring.n_rows / (settings.restart_period + 1)),
        )
        network = q_network(self._environments.n_actions, settings.hidden)
        initialise(network, torch_generator(stream, "initial_weights"))
        self.network = network.to(device)
        self.frozen_network = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = make_optimizer(
            settings.optimizer,
            self.network.parameters(),
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            momentum=settings.momentum,
        )
        self._loss = pointwise_loss(settings.loss)
        self._exploration = numpy_generator(stream, "exploration")
        self._minibatches = numpy_generator(stream, "minibatches")

    def step(self) -> int:
        """Act once in each environment; learn meanwhile from what is stored already.

        Returns:
            Agent steps taken.

        Raises:
            Diverged: A loss, or a parameter at a checkpoint, is infinite or not a number.
        """
        observation = self._environments.observation
        act = self._policy(self.settings.epsilon(self.agent_step), self._exploration)
        actions = act(observation)
        self._environments.send(actions)
        steps = self.settings.n_environments
        while self.update_step < self.settings.updates_by(self.agent_step + steps):
            self._update()
            if self.update_step in self.settings.checkpoints:
                self._keep_checkpoint()
        answer = self._environments.receive()
        self.memory.append(observation, actions, answer)
        self.agent_step += steps
        self.curve.count(answer, self.agent_step, self.update_step)
        return steps

    def check_finite(self) -> None:
        """See that what is to be kept is worth keeping.

        Raises:
            Diverged: A parameter is infinite or not a number.
        """
        if not all_finite(self.network.parameters()):
            raise self._diverged("a parameter is infinite or not a number")

    def _diverged(self, what: str) -> Diverged:
        settings, step = self.settings, self.update_step
        return Diverged(
            f"control of {settings.game} diverged: {what}, at update step {step} (agent step "
            f"{self.agent_step}) of {settings.run_id} with learning rate "
            f"{settings.learning_rate:g}",
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
            "update_step": self.update_step,
            "curve": self.curve.state_dict(),
            "evaluation": self.evaluation,
            "environments": self._environments.state_dict(),
            "network": self.network.state_dict(),
            "frozen_network": self.frozen_network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "exploration": self._exploration.bit_generator.state,
            "minibatches": self._minibatches.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict` of a run with the same settings."""
        settings, played = self.settings, state["environments"]
        self.agent_step, self.update_step = state["agent_step"], state["update_step"]
        self.evaluation = list(state["evaluation"])
        logger.info("playing the stored actions again to bring back emulators and frames")
        self.memory = UniformReplay(
            settings.replay_capacity, settings.n_environments, played["first_step"]
        )
        for before, actions, step in self._environments.play_again(played):
            self.memory.append(before, actions, step)
        for name in ("curve", "network", "frozen_network", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self._exploration.bit_generator.state = state["exploration"]
        self._minibatches.bit_generator.state = state["minibatches"]

    def _policy(self, epsilon: float, generator: np.random.Generator) -> Policy:
        """Return the policy of the present network: greedy but for a share `epsilon`."""
        n_actions = self._environments.n_actions
        return epsilon_greedy_policy(self._q_values, n_actions, epsilon, generator)

    @torch.no_grad()
    def _q_values(self, observation: Tensor) -> Tensor:
        return self.network(observation.to(self._device))

    def _update(self) -> None:
        settings = self.settings
        if self.update_step % settings.frozen_period == 0:
            self.frozen_network.load_state_dict(self.network.state_dict())
        drawn = self.memory.sample(settings.minibatch, self._minibatches)
        batch = TransitionBatch(*(tensor.to(self._device) for tensor in drawn))
        delta = td_error(self.network, self.frozen_network, batch, settings.gamma)
        loss = self._loss(delta).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.update_step += 1
        self.curve.losses.append(float(loss.detach()))
        if not math.isfinite(self.curve.losses[-1]):
            raise self._diverged(f"the loss is {self.curve.losses[-1]}")

    def _keep_checkpoint(self) -> None:
        self.check_finite()
        settings, step = self.settings, self.update_step
        identity = of_control(settings)
        checkpoint = Checkpoint.of(step, self.network, self.frozen_network, self.optimizer)
        with self._parts.new(checkpoint_name(step)) as path:
            write_checkpoint(path, checkpoint, identity)
        steps, gamma = settings.window_per_environment, settings.gamma
        play, said = of_window(identity, step), {"agent_step": self.agent_step}
        with self._parts.new(window_name(step)) as path:
            write_window(path, self.memory, steps, gamma, self._q_values, play, said)
        # The same emulators and draws at every checkpoint: what differs is what was learned.
        stream, n = settings.random_stream, settings.evaluation_environments
        draws = numpy_generator(stream, "evaluation_policy")
        policy = self._policy(settings.evaluation_epsilon, draws)
        seed = seed_for(stream, "evaluation_environments")
        scores = play_episodes(
            policy, self._game, settings.evaluation_episodes, n, seed, self._threads
        )
        self.evaluation += [
            {"update_step": step, "episode": number, **score._asdict()}
            for number, score in enumerate(scores)
        ]
