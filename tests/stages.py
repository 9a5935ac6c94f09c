"""The stages that can go on after a kill, small: each runs in a process of its own.

`python stages.py STAGE INPUTS ROOT INTERVAL` runs one as the workflow's script does, with its
results below ROOT/outputs and its resume states in ROOT/state, and prints "ready" once everything
is imported.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from problems import replay_arrays, run_spec

from td_interference import storage
from td_interference.agents.control import train_control
from td_interference.agents.control_settings import ControlOutputs, ControlSettings
from td_interference.agents.expert_file import new_network, save_expert
from td_interference.agents.settings import ExpertSettings
from td_interference.agents.train_expert import ExpertOutputs, train_expert
from td_interference.collect import collect_replay
from td_interference.files import sha256
from td_interference.grid import ReplaySpec, RunSpec
from td_interference.jobs import job
from td_interference.metrics.measuring import measure_run
from td_interference.random_networks import measure_study
from td_interference.random_studies import Study
from td_interference.resume import ResumeState
from td_interference.training import train

CPU = torch.device("cpu")

# Asterix answers to actions at once. The replay is smaller than the run and the emulators restart
# several times, so a resume has to bring back a ring that has wrapped over several periods.
EXPERT = ExpertSettings(
    "asterix",
    hidden=8,
    n_atoms=11,
    n_environments=2,
    training_steps=900,
    learning_starts=100,
    updates_per_step=0.5,
    n_step=3,
    minibatch=8,
    target_period=50,
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
    steps=500,
    buffer_capacity=400,
    random_fill=100,
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
    environments=3,
)

RUN = run_spec(steps=400, frozen_period=90, checkpoints=tuple(range(20, 401, 20)))
METRIC = {"checkpoints": "all", "minibatches": 3, "half_width": 5, "unrelated": 8}
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
    settings = ExpertSettings(game="ms_pacman", hidden=8)
    network = new_network(settings, torch.Generator().manual_seed(0))
    save_expert(directory / "expert.safetensors", network, settings)
    storage.write(directory / "replay.h5", storage.REPLAY, replay_arrays(), {})
    run(RUN, directory, directory / "run", 60.0)


def run(spec: RunSpec, inputs: Path, root: Path, interval: float, **over: str) -> None:
    """Train from D*."""
    train(
        spec,
        inputs / "replay.h5",
        root / "outputs" / "checkpoints.h5",
        root / "outputs" / "learning_curve.csv",
        root / "state",
        device=CPU,
        resume_interval=interval,
        **over,
    )


def _expert(inputs: Path, root: Path, interval: float) -> None:
    resume = ResumeState(root / "state", {}, interval)
    train_expert(EXPERT, expert_outputs(root / "outputs"), resume)


def _control(inputs: Path, root: Path, interval: float) -> None:
    resume = ResumeState(root / "state", {}, interval)
    train_control(CONTROL, control_outputs(root / "outputs"), resume)


def _policy_evaluation(inputs: Path, root: Path, interval: float) -> None:
    run(RUN, inputs, root, interval)


def _collection(inputs: Path, root: Path, interval: float) -> None:
    collect_replay(
        REPLAY,
        inputs / "expert.safetensors",
        root / "outputs" / "replay.h5",
        n_threads=1,
        device=CPU,
        resume=ResumeState(root / "state", {}, interval),
    )


def _measurement(inputs: Path, root: Path, interval: float) -> None:
    measure_run(
        "gain",
        METRIC,
        RUN,
        inputs / "replay.h5",
        inputs / "run" / "outputs" / "checkpoints.h5",
        root / "outputs" / "measurement.h5",
        device=CPU,
        state_directory=root / "state",
        resume_interval=interval,
    )


def _random_networks(inputs: Path, root: Path, interval: float) -> None:
    measure_study(
        STUDY, root / "outputs" / "study.h5", resume=ResumeState(root / "state", {}, interval)
    )


STAGES: dict[str, Callable[[Path, Path, float], None]] = {
    "expert": _expert,
    "control": _control,
    "policy_evaluation": _policy_evaluation,
    "collection": _collection,
    "measurement": _measurement,
    "random_networks": _random_networks,
}


def digests(directory: Path) -> dict[str, str]:
    """SHA-256 of every published file below a directory, by relative path."""
    # Not those under the temporary names of killed writers, which begin with a dot.
    files = (path for path in directory.rglob("[!.]*") if path.is_file())
    return {str(path.relative_to(directory)): sha256(path) for path in files}


if __name__ == "__main__":
    stage, inputs, root, interval = sys.argv[1:]
    with job(f"{root}/job.log", torch_threads=1):
        print("ready", flush=True)
        STAGES[stage](Path(inputs), Path(root), float(interval))
