"""The stages that can go on after a kill, small: each runs in a process of its own.

`python stages.py STAGE INPUTS ROOT INTERVAL DEVICE` runs one as the workflow's script does, with
its results below ROOT/outputs and its resume states in ROOT/state, and prints "ready" once
everything is imported.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from cells import cell_spec
from problems import replay_arrays, run_spec

from td_interference.agents.control.training import train_control
from td_interference.agents.expert.file import new_network, save_expert
from td_interference.agents.expert.training import ExpertOutputs, train_expert
from td_interference.collect import collect_replay
from td_interference.datasets.prepare import prepare_dataset
from td_interference.generalization.group_job import train_group
from td_interference.jobs.job import job
from td_interference.jobs.resume import ResumeState
from td_interference.metrics.measuring import measure_run
from td_interference.planning.control import ControlOutputs, ControlSettings
from td_interference.planning.expert import ExpertSettings
from td_interference.planning.grid import RunSpec
from td_interference.planning.learners import settings_record
from td_interference.planning.replay import ReplaySpec
from td_interference.planning.studies import Study
from td_interference.random_networks import measure_study
from td_interference.storage import hdf5, kinds
from td_interference.storage.files import sha256
from td_interference.storage.identity import Identity, of_replay, of_run
from td_interference.training import train

DoubleDQNSettings = settings_record("double_dqn")
ReinforceSettings = settings_record("reinforce")

# Asterix answers to actions at once. The replay is smaller than the run and the emulators restart
# several times, so a resume has to bring back a ring that has wrapped over several periods.
EXPERT = ExpertSettings(
    "asterix",
    hidden=8,
    n_atoms=11,
    n_environments=2,
    agent_steps=900,
    learning_starts=100,
    updates_per_step=0.5,
    n_step=3,
    minibatch=8,
    frozen_period=50,
    replay_capacity=300,
    training_repeat_action_probability=0.25,
    max_frames_per_episode=600,
    restart_period=110,
    evaluation_episodes=2,
    random_episodes=3,
    evaluation_environments=2,
)

CONTROL = ControlSettings(
    "asterix",
    hidden=1,
    minibatch=8,
    agent_steps=500,
    replay_capacity=400,
    learning_starts=100,
    epsilon_decay_steps=200,
    updates_per_step=0.3,
    frozen_period=20,
    n_environments=2,
    max_frames_per_episode=320,
    restart_period=90,
    checkpoints=(30, 100, 150),
    window=150,
    evaluation_episodes=2,
    evaluation_epsilon=0.05,
    evaluation_environments=2,
)

REPLAY = ReplaySpec(
    game="ms_pacman",
    seed=0,
    transitions=1500,
    epsilon=0.5,
    gamma=0.99,
    repeat_action_probability=0.25,
    max_frames_per_episode=1200,  # 300 agent steps: some episodes are truncated
    n_environments=3,
)

PLAYER = ExpertSettings(game="ms_pacman", hidden=8)  # it has learned nothing
REPLAY_IDENTITY = of_replay(asdict(REPLAY), asdict(PLAYER))

RUN = run_spec(updates=160, frozen_period=45, checkpoints=tuple(range(10, 161, 10)))
METRIC = {"checkpoints": "all", "minibatches": 3, "half_width": 5, "unrelated": 8}
IMAGES = {
    "dataset": "digits",
    "hidden": 2,
    "extra_layers": 0,
    "n_train": 20,
    "samples": 5,
    "evaluation_samples": 9,
    "seeds": (0, 1),
}
GROUPS = {
    "regression": cell_spec(
        dataset="diabetes", hidden=8, n_train=40, updates=200, measure_every=50, seeds=(0, 1)
    ),
    "classification": cell_spec(**IMAGES, task="classification", updates=150, measure_every=50),
    "double_dqn": cell_spec(
        **IMAGES,
        task="double_dqn",
        agent_steps=480,
        measure_every=160,
        agent=DoubleDQNSettings(
            learning_starts=20, replay_capacity=200, epsilon_decay_steps=500, n_environments=4
        ),
    ),
    "reinforce": cell_spec(
        **IMAGES,
        task="reinforce",
        agent_steps=1600,
        measure_every=400,
        minibatch=30,
        agent=ReinforceSettings(n_environments=4),
    ),
}
STUDY = Study(network="q", hidden=2, networks=12, samples=6, checked_networks=4, checked_samples=2)


def expert_outputs(directory: Path) -> ExpertOutputs:
    return ExpertOutputs(
        weights=directory / "expert.safetensors",
        learning_curve=directory / "learning_curve.csv",
        evaluation=directory / "evaluation.csv",
        pictures=(directory / "expert.png", directory / "expert.pdf"),
    )


def control_outputs(directory: Path) -> ControlOutputs:
    return ControlOutputs(
        directory / "checkpoints.h5",
        directory / "windows",
        directory / "learning_curve.csv",
        directory / "evaluation.csv",
    )


def make_inputs(directory: Path) -> None:
    """Write what the stages start from: an expert that has learned nothing, a made-up D*."""
    network = new_network(PLAYER, torch.Generator().manual_seed(0))
    save_expert(directory / "expert.safetensors", network, PLAYER)
    hdf5.write(directory / "replay.h5", kinds.REPLAY, replay_arrays(), REPLAY_IDENTITY)
    for name in ("digits", "diabetes"):
        prepare_dataset(name, {}, directory / f"{name}.h5")
    run(RUN, directory, directory / "run", 60.0)


def run(
    spec: RunSpec,
    inputs: Path,
    root: Path,
    interval: float,
    device: str = "cpu",
    identity: Identity | None = None,
    **over: str,
) -> None:
    """Train from D*."""
    train(
        spec,
        inputs / "replay.h5",
        root / "outputs" / "checkpoints.h5",
        root / "outputs" / "learning_curve.csv",
        root / "state",
        identity=identity or of_run(spec, asdict(REPLAY), asdict(PLAYER)),
        device=torch.device(device),
        resume_interval=interval,
        **over,
    )


def _expert(inputs: Path, root: Path, interval: float, device: str) -> None:
    resume = ResumeState(root / "state", {}, interval)
    train_expert(EXPERT, expert_outputs(root / "outputs"), resume, device=device)


def _control(inputs: Path, root: Path, interval: float, device: str) -> None:
    resume = ResumeState(root / "state", {}, interval)
    train_control(CONTROL, control_outputs(root / "outputs"), resume, device=device)


def _policy_evaluation(inputs: Path, root: Path, interval: float, device: str) -> None:
    run(RUN, inputs, root, interval, device)


def _collection(inputs: Path, root: Path, interval: float, device: str) -> None:
    collect_replay(
        REPLAY,
        inputs / "expert.safetensors",
        root / "outputs" / "replay.h5",
        identity=REPLAY_IDENTITY,
        n_threads=1,
        device=torch.device(device),
        resume=ResumeState(root / "state", {}, interval),
    )


def _measurement(inputs: Path, root: Path, interval: float, device: str) -> None:
    measure_run(
        "gain",
        METRIC,
        RUN,
        inputs / "replay.h5",
        inputs / "run" / "outputs" / "checkpoints.h5",
        root / "outputs" / "measurement.h5",
        wanted=of_run(RUN, asdict(REPLAY), asdict(PLAYER)),
        device=torch.device(device),
        state_directory=root / "state",
        resume_interval=interval,
    )


def _group(name: str, inputs: Path, root: Path, interval: float, device: str) -> None:
    train_group(
        name,
        [GROUPS[name]],
        inputs / f"{GROUPS[name].dataset}.h5",
        root / "state",
        root / "outputs" / "measurement.h5",
        root / "outputs" / "parameters.h5",
        device=torch.device(device),
        resume_interval=interval,
    )


def _random_networks(inputs: Path, root: Path, interval: float, device: str) -> None:
    """Measure untrained networks; for the CPU alone, as in the workflow."""
    measure_study(
        STUDY, root / "outputs" / "study.h5", resume=ResumeState(root / "state", {}, interval)
    )


STAGES: dict[str, Callable[[Path, Path, float, str], None]] = {
    "expert": _expert,
    "control": _control,
    "policy_evaluation": _policy_evaluation,
    "collection": _collection,
    "measurement": _measurement,
    "random_networks": _random_networks,
    **{name: partial(_group, name) for name in GROUPS},
}


def left_behind(state: Path) -> set[str]:
    """What lies in a state directory beside the outputs that are kept until they are accepted."""
    return {path.name for path in state.glob("*")} - {"outputs", "outputs.json"}


def digests(directory: Path) -> dict[str, str]:
    """SHA-256 of every published file below a directory, by relative path."""
    # Not those under the temporary names of killed writers, which begin with a dot.
    files = (path for path in directory.rglob("[!.]*") if path.is_file())
    return {str(path.relative_to(directory)): sha256(path) for path in files}


def begin(said: str, *arguments: str) -> None:
    """Run one stage in a fork, with all that it says in a file."""
    with Path(said).open("a") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    main(*arguments)


def main(stage: str, inputs: str, root: str, interval: str, device: str) -> None:
    """Run one stage as the workflow's script does; say "ready" when it is about to begin."""
    with job(f"{root}/job.log", torch_threads=1):
        print("ready", flush=True)
        STAGES[stage](Path(inputs), Path(root), float(interval), device)


if __name__ == "__main__":
    main(*sys.argv[1:])
