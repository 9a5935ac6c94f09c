"""Control: Q-learning from scratch, with checkpoints and the play that led to each of them."""

import copy
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from td_interference.agents.control.replay import UniformReplay, write_window
from td_interference.agents.learning_curve import write_learning_curve
from td_interference.agents.playing import Policy, epsilon_greedy_policy, play_episodes
from td_interference.agents.training_loop import AtariTraining, run_until, torch_threads
from td_interference.environments.atari import AtariSettings
from td_interference.jobs.divergence import Diverged, left_out
from td_interference.jobs.kept_files import Parts
from td_interference.jobs.resume import ResumeState
from td_interference.networks.atari import initialise, q_network
from td_interference.objectives.losses import LOSSES
from td_interference.optimizers import make_optimizer
from td_interference.planning.control import ControlOutputs, ControlSettings, window_name
from td_interference.replay import TransitionBatch
from td_interference.seeds import numpy_generator, seed_for, torch_generator
from td_interference.storage.checkpoints import Checkpoint, merge_checkpoints, write_checkpoint
from td_interference.storage.files import atomic_path
from td_interference.storage.identity import of_control, of_window
from td_interference.storage.seal import sealed_digest

Device = str | torch.device

_EVALUATION_SCHEMA = {
    "update_step": polars.Int64,
    "episode": polars.Int64,
    "score": polars.Int64,
    "agent_steps": polars.Int64,
    "truncated": polars.Boolean,
}


def train_control(
    settings: ControlSettings,
    outputs: ControlOutputs,
    resume: ResumeState,
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
        resume: Where to go on from and to save to; checkpoints, windows and the heartbeat file lie
            in its directory until the end.
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
            run_until(training, steps, job, resume)
        except Diverged as error:
            reached = error.reached(settings.checkpoints)
            newest = resume.parts.at(_checkpoint_name(reached[-1])) if reached else None
            kept = resume.last_good or newest
            diverged = left_out(error, kept, "control.learning_rates", on_divergence)
    _write_outputs(outputs, training, resume.parts, reached, diverged)
    if diverged:  # whether such runs are left out may be asked for otherwise the next time
        resume.remove()
    else:
        resume.finish(outputs)


def _write_outputs(
    outputs: ControlOutputs,
    training: "ControlTraining",
    parts: Parts,
    steps: Sequence[int],
    diverged: Mapping[str, Any],
) -> None:
    """Put the files together from the parts of the checkpoints that the run reached."""
    outputs.windows.mkdir(parents=True, exist_ok=True)  # also where there is none
    for step in steps:
        # Not moved: a job killed on the way must find them again.
        with atomic_path(outputs.windows / window_name(step)) as temporary:
            shutil.copyfile(parts.path(window_name(step)), temporary)
    windows = {str(step): sealed_digest(outputs.windows / window_name(step)) for step in steps}
    merge_checkpoints(
        outputs.checkpoints,
        [parts.path(_checkpoint_name(step)) for step in steps],
        of_control(training.settings),
        {"windows": windows, **diverged},
    )
    write_learning_curve(outputs.learning_curve, training.curve.rows)
    with atomic_path(outputs.evaluation) as temporary:
        polars.DataFrame(training.evaluation, schema=_EVALUATION_SCHEMA).write_csv(temporary)


def _checkpoint_name(update_step: int) -> str:
    return f"checkpoint-{update_step}.h5"


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


class ControlTraining(AtariTraining):
    """The state of a run and its one step.

    Args:
        settings: Hyperparameters.
        parts: Takes checkpoints and windows on the way.
        device: Of the networks.
        threads: Of the emulators.

    Raises:
        UserError: The game, optimizer or loss is unknown.
    """

    settings: ControlSettings
    memory: UniformReplay
    update_step = 0

    def __init__(self, settings: ControlSettings, parts: Parts, device: Device, threads: int):
        self._parts, self._device, self._threads = parts, device, threads
        self.evaluation: list[dict[str, Any]] = []
        self._game = AtariSettings(
            settings.game, settings.repeat_action_probability, settings.max_frames_per_episode
        )
        super().__init__(
            f"{settings.run_id}: control of {settings.game}", settings, self._game, threads
        )
        network = q_network(self._environments.n_actions, settings.hidden)
        initialise(network, torch_generator(settings.random_stream, "initial_weights"))
        self.network = network.to(device)
        self.frozen_network = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = make_optimizer(
            settings.optimizer,
            self.network.parameters(),
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            momentum=settings.momentum,
        )
        self._loss = LOSSES[settings.loss]

    def state_dict(self) -> dict[str, Any]:
        """See `AtariTraining`."""
        return {
            **super().state_dict(),
            "update_step": self.update_step,
            "evaluation": self.evaluation,
            "network": self.network.state_dict(),
            "frozen_network": self.frozen_network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `AtariTraining`."""
        super().load_state_dict(state)
        self.update_step, self.evaluation = state["update_step"], list(state["evaluation"])
        for name in ("network", "frozen_network", "optimizer"):
            getattr(self, name).load_state_dict(state[name])

    def _new_memory(self, first_row: int) -> UniformReplay:
        return UniformReplay(self.settings.replay_capacity, self.settings.n_environments, first_row)

    def _act(self, observation: NDArray[np.uint8]) -> NDArray[np.integer]:
        return self._policy(self.settings.epsilon(self.agent_step), self._exploration)(observation)

    def _learn(self) -> None:
        steps = self.agent_step + self.settings.n_environments
        while self.update_step < self.settings.updates_by(steps):
            self._update()
            if self.update_step in self.settings.checkpoints:
                self._keep_checkpoint()

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
        self._count_loss(float(loss.detach()))

    def _keep_checkpoint(self) -> None:
        self.check_finite()
        settings, step = self.settings, self.update_step
        identity = of_control(settings)
        checkpoint = Checkpoint.of(step, self.network, self.frozen_network, self.optimizer)
        with self._parts.new(_checkpoint_name(step)) as path:
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
