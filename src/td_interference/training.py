"""The loop of everything that learns from a fixed D*: updates, checkpoints, resume."""

import logging
import math
from pathlib import Path
from typing import Any

import polars as pl
import torch

from td_interference import objectives
from td_interference.jobs.divergence import Diverged, all_finite, left_out
from td_interference.jobs.progress import Progress
from td_interference.jobs.resume import ResumeState
from td_interference.objectives.base import BaseObjective
from td_interference.planning.grid import RunSpec
from td_interference.replay import Replay
from td_interference.seeds import numpy_generator
from td_interference.storage.checkpoints import Checkpoint, merge_checkpoints, write_checkpoint
from td_interference.storage.files import atomic_path
from td_interference.storage.identity import Identity, made_from, of_replay
from td_interference.storage.seal import sealed_digest
from td_interference.updates import run_optimizer, update

logger = logging.getLogger(__name__)

_CURVE_POINTS = 100  # rows of the learning curve
_CURVE_COLUMNS = ("loss", "prediction", "target")
_CURVE_SCHEMA = {"update_step": pl.Int64, **dict.fromkeys(_CURVE_COLUMNS, pl.Float64)}


class Trainer:
    """One training run under way.

    Args:
        run: What to train.
        replay: D* of the run's game and seed.
    """

    def __init__(self, run: RunSpec, replay: Replay):
        self.run = run
        self.objective: BaseObjective = objectives.make(run, replay)
        self.optimizer = run_optimizer(run, self.objective.network)
        self.minibatches = numpy_generator(run.random_stream, "minibatches")
        self.update_step = 0
        self.curve: list[dict[str, float]] = []
        self._sums = torch.zeros(len(_CURVE_COLUMNS), device=replay.device)
        self._summed = 0

    def advance(self) -> None:
        """Do one update; at the curve's rows, see that all is finite.

        Raises:
            Diverged: If a loss since the row before or a parameter is infinite or not a number.
        """
        self.objective.before_update(self.update_step)
        index = self.objective.replay.draw(self.run.minibatch, self.minibatches)
        self._sums += update(self.objective, self.optimizer, index)
        self._summed += 1
        self.update_step += 1
        period = max(1, self.run.updates // _CURVE_POINTS)
        if self.update_step % period == 0 or self.update_step == self.run.updates:
            self._add_to_curve()

    def _add_to_curve(self) -> None:
        # Looked at here and not at each update: on a GPU every look waits for the device.
        means = dict(zip(_CURVE_COLUMNS, (self._sums / self._summed).tolist(), strict=True))
        for name, mean in means.items():
            if not math.isfinite(mean):
                raise self._diverged(f"the {name} is {mean}")
        self.check_finite()
        self.curve.append({"update_step": self.update_step, **means})
        self._sums = torch.zeros_like(self._sums)
        self._summed = 0

    def check_finite(self) -> None:
        """See that what is to be kept is worth keeping.

        Raises:
            Diverged: If a parameter, or the loss of an update since the last row of the curve, is
                infinite or not a number.
        """
        if not all_finite([*self.objective.network.parameters(), self._sums]):
            raise self._diverged("a parameter, loss or target is infinite or not a number")

    def _diverged(self, what: str) -> Diverged:
        run, since = self.run, self.curve[-1]["update_step"] if self.curve else 0
        return Diverged(
            f"{run.run_id}: training diverged: {what}, at update step {self.update_step} (all was "
            f"finite at {since}) of {run.game} with learning rate {run.learning_rate:g}",
            self.update_step,
        )

    def checkpoint(self) -> Checkpoint:
        """Return the present state as a checkpoint.

        Raises:
            Diverged: As `check_finite`.
        """
        self.check_finite()
        objective = self.objective
        return Checkpoint.of(
            self.update_step, objective.network, objective.frozen_network, self.optimizer
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all that decides the rest of the run.

        Raises:
            Diverged: As `check_finite`.
        """
        self.check_finite()
        return {
            "update_step": self.update_step,
            "network": self.objective.network.state_dict(),
            "frozen_network": self.objective.frozen_network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "minibatches": self.minibatches.bit_generator.state,
            "curve": self.curve,
            "sums": self._sums,
            "summed": self._summed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where `state_dict` was called."""
        self.update_step = state["update_step"]
        self.objective.restore(state["network"], state["frozen_network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.minibatches.bit_generator.state = state["minibatches"]
        self.curve = state["curve"]
        self._sums = state["sums"].to(self._sums.device)
        self._summed = state["summed"]


def train(
    run: RunSpec,
    replay_path: Path,
    checkpoints_path: Path,
    curve_path: Path,
    state_directory: Path,
    *,
    identity: Identity,
    device: torch.device,
    resume_interval: float,
    on_divergence: str = "stop",
    shared_replay: bool = False,
) -> None:
    """Train one run from D* and write its checkpoints and learning curve.

    A killed run goes on from its resume state with the same bits.

    A run that diverges stops the job, or is left out: its files then hold what it reached, and the
    checkpoints' attributes say at which update step it diverged ("diverged_at") and how.

    Args:
        run: What to train.
        replay_path: The D* file.
        checkpoints_path: HDF5 to write.
        curve_path: CSV to write: update_step, and loss, prediction and target, each the mean over
            the minibatches since the row before.
        state_directory: For the resume state and the checkpoints on the way.
        identity: Of the run, see `identity.of_run`; D* must be the one that it names.
        device: Where to train.
        resume_interval: Seconds between two resume states.
        on_divergence: "stop" or "leave_out".
        shared_replay: Whether D* may be held together with other jobs of this machine.

    Raises:
        UserError: If D* is bad, or another one, or the user's own objective is another by now.
        Diverged: If training diverges and is not to be left out; the last good state is kept.
    """
    wanted = of_replay(identity["replay"], identity["expert"])
    replay = Replay.load(replay_path, device, wanted, shared=shared_replay)
    objectives.check_unchanged(run.objective_file, identity)
    trainer = Trainer(run, replay)
    identity = made_from(identity, replay=sealed_digest(replay_path))
    resume = ResumeState(state_directory, identity, resume_interval)
    if resume.finished([checkpoints_path, curve_path]):
        return
    if (state := resume.load()) is not None:
        trainer.load_state_dict(state)

    def part(step: int) -> str:
        return f"checkpoint-{step}.h5"

    attributes = {}
    job = f"train_run {run.run_id}"
    try:
        with Progress(
            job, run.updates, "updates", state_directory, trainer.update_step
        ) as progress:
            while trainer.update_step < run.updates:
                trainer.advance()
                if trainer.update_step in run.checkpoints:
                    with resume.parts.new(part(trainer.update_step)) as path:
                        write_checkpoint(path, trainer.checkpoint(), identity)
                if resume.due():
                    resume.save(trainer.state_dict())
                progress.advance()
    except Diverged as error:
        reached = error.reached(run.checkpoints)
        newest = resume.parts.at(part(reached[-1])) if reached else None
        kept = resume.last_good or newest
        attributes = left_out(error, kept, "learning_rates", on_divergence)
    else:
        reached = run.checkpoints
    parts = map(resume.parts.path, map(part, reached))
    merge_checkpoints(checkpoints_path, parts, identity, attributes)
    with atomic_path(curve_path) as temporary:
        pl.DataFrame(trainer.curve, schema=_CURVE_SCHEMA).write_csv(temporary)
    if attributes:  # whether runs that diverged are left out may be asked for otherwise later
        resume.remove()
    else:
        resume.finish([checkpoints_path, curve_path])
