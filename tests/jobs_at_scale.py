"""One job of each kind at a scale's largest settings, short; its peak of memory is printed.

`python jobs_at_scale.py SCALE JOB INPUTS DIRECTORY`: a process of its own, as a job is. A peak does
not need a whole training: a few steps do, with memories full and files as large as they get.
"""

import dataclasses
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import identities
import numpy as np
from full_scale import images, regression, write_play

from td_interference import metrics
from td_interference.planning import needs
from td_interference.planning.expert import ExpertSettings
from td_interference.planning.grid import RunSpec
from td_interference.planning.needs import Needs
from td_interference.planning.plan import Plan, make_plan
from td_interference.planning.replay import ReplaySpec
from td_interference.storage.identity import of_replay

ROOT = Path(__file__).parents[1]
GAME = "ms_pacman"
EXPERIMENTS = ("classification", "double_dqn", "reinforce", "regression")
MEASUREMENTS = [f"measure_run {entry.name}" for entry in metrics.METRICS]
JOBS = [
    *("train_expert", "collect_replay", "train_run", "train_run checkpoints", "train_control"),
    *MEASUREMENTS,
    *("measure_random_networks mlp", "measure_random_networks q"),
    *(f"train_group {experiment}" for experiment in EXPERIMENTS),
    *("prepare_dataset", "compute_table gain_by_optimizer"),
]


def plan_of(scale: str) -> Plan:
    """The plan of a scale as it comes, on a CPU."""
    return make_plan({"scale": scale, "device": "cpu"}, ROOT / "workflow")


def widest_run(plan: Plan) -> RunSpec:
    """The widest run from D*, of an objective that keeps something of all of D*."""
    run = max(plan.of_kind("training").values(), key=lambda run: run.hidden)
    return dataclasses.replace(run, objective="td_lambda", lambda_=0.9, optimizer="adam")


def longest_run(plan: Plan) -> RunSpec:
    """The run from D* with most parameters in all of its checkpoints together."""
    run = max(
        plan.of_kind("training").values(), key=lambda run: run.hidden**2 * len(run.checkpoints)
    )
    return dataclasses.replace(run, objective="td_lambda", lambda_=0.9, optimizer="adam")


def measured_run(plan: Plan, metric: str) -> RunSpec:
    """The widest run that a metric is made of."""
    run = widest_run(plan)
    if metric == "momentum":
        return dataclasses.replace(
            run, objective="q_learning", lambda_=None, optimizer="momentum_sgd"
        )
    if metric in ("policy_score", "second_order"):
        return dataclasses.replace(run, objective="q_learning", lambda_=None)
    return run


def largest_group(plan: Plan, experiment: str) -> Any:
    """The group of an experiment that asks for most."""
    groups = [g for g in plan.of_kind("generalization").values() if g.cells[0].task == experiment]
    return max(
        groups,
        key=lambda group: (
            needs.group_needs(group.cells).mem_mb,
            max(cell.n_train for cell in group.cells),
        ),
    )


def needs_of(plan: Plan, job: str) -> Needs:
    """What the workflow asks for, for a job."""
    rule, _, kind = job.partition(" ")
    transitions = plan.config["replay"]["transitions"]
    if rule == "train_expert":
        return needs.expert_needs(ExpertSettings(**plan.expert(GAME)))
    if rule == "collect_replay":
        return needs.replay_needs(ReplaySpec(**plan.replay(GAME, 0)))
    if rule == "train_run":
        return needs.run_needs(longest_run(plan) if kind else widest_run(plan), transitions)
    if rule == "train_control":
        return needs.control_needs(largest_control(plan))
    if rule == "measure_run":
        settings, run = plan.metric_settings(kind), measured_run(plan, kind)
        return needs.measurement_needs(kind, settings, run, transitions)
    if rule == "measure_random_networks":
        return needs.study_needs(largest_study(plan, kind))
    if rule == "train_group":
        return needs.group_needs(largest_group(plan, kind).cells)
    if rule == "compute_table":
        return needs.table_needs(plan.measured_by(kind))
    return {"prepare_dataset": needs.DATASET_NEEDS, "make_figure": needs.FIGURE_NEEDS}[rule]


def largest_control(plan: Plan) -> Any:
    """The widest control run."""
    return max(plan.of_kind("control").values(), key=lambda run: run.hidden)


def largest_study(plan: Plan, network: str) -> Any:
    """The widest study of a kind of network."""
    studies = [
        study for study in plan.of_kind("random_networks").values() if study.network == network
    ]
    return max(studies, key=lambda study: study.hidden)


def make_inputs(plan: Plan, directory: Path) -> None:
    """Write what the jobs of a scale start from."""
    import torch

    from td_interference.agents.expert.file import new_network, save_expert

    write_play(directory / "replay.h5", plan.config["replay"]["transitions"])
    images(directory / "images.h5", 73_257, 26_032)  # as many as SVHN, which has most
    regression(directory / "regression.h5", 44_484, 4449)  # SARCOS
    settings = ExpertSettings(**plan.expert(GAME))
    network = new_network(settings, torch.Generator().manual_seed(0))
    save_expert(directory / "expert.safetensors", network, settings)


def run_job(plan: Plan, job: str, inputs: Path, directory: Path) -> None:
    """Do a job, or what of it decides the peak."""
    rule, _, kind = job.partition(" ")
    return {
        "train_expert": _expert,
        "collect_replay": _collect,
        "train_run": _train,
        "train_control": _control,
        "measure_run": _measure,
        "measure_random_networks": _study,
        "train_group": _group,
        "prepare_dataset": _dataset,
        "compute_table": _table,
    }[rule](plan, kind, inputs, directory)


def _expert(plan: Plan, kind: str, inputs: Path, directory: Path) -> None:
    from td_interference.agents.expert.training import ExpertOutputs, train_expert
    from td_interference.jobs.resume import ResumeState

    settings = ExpertSettings(**plan.expert(GAME))
    begun = settings.n_step * settings.n_environments + 200
    settings = dataclasses.replace(
        settings,
        learning_starts=begun,
        agent_steps=begun + 100,
        evaluation_episodes=2,
        random_episodes=2,
        max_frames_per_episode=2000,
    )
    _fill_memories()
    outputs = ExpertOutputs(
        directory / "e.safetensors", directory / "c.csv", directory / "v.csv", ()
    )
    train_expert(settings, outputs, ResumeState(directory / "state", {}, 0.5))


def _control(plan: Plan, kind: str, inputs: Path, directory: Path) -> None:
    from td_interference.agents.control.training import train_control
    from td_interference.jobs.resume import ResumeState
    from td_interference.planning.control import ControlOutputs

    settings = largest_control(plan)
    updates = len(settings.checkpoints)
    settings = dataclasses.replace(
        settings,
        learning_starts=2000,
        agent_steps=int(updates / settings.updates_per_step) + 8,
        checkpoints=tuple(range(1, updates + 1)),
        evaluation_episodes=1,
        max_frames_per_episode=1000,
    )
    _fill_memories()
    names = ("checkpoints.h5", "windows", "curve.csv", "evaluation.csv")
    outputs = ControlOutputs(*(directory / name for name in names))
    train_control(settings, outputs, ResumeState(directory / "state", {}, 60.0))


def _fill_memories() -> None:
    """Have every replay memory of agents take its memory at once, as it does in the end."""
    from td_interference.agents.frame_ring import FrameRing

    make = FrameRing.__init__

    def full(self: FrameRing, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        self.frame.fill(0)

    FrameRing.__init__ = full  # type: ignore[method-assign]


def _collect(plan: Plan, kind: str, inputs: Path, directory: Path) -> None:
    """Record episodes that are there at once, with as many waiting as there are emulators."""
    import torch

    from td_interference import collect
    from td_interference.jobs.resume import ResumeState

    spec = ReplaySpec(**plan.replay(GAME, 0))
    screen = np.random.default_rng(0).integers(0, 255, (84, 84)).astype(np.uint8)

    def one(length: int) -> collect.Episode:
        frames = [screen.copy() for _ in range(length + 1)]
        q = [np.zeros(9, dtype=np.float32)] * length
        return collect.Episode(frames, [0] * length, [0.0] * length, [0.0] * length, q, True)

    def episodes(recording: Any, resume: Any) -> Any:
        waiting = [one(1000) for _ in range(spec.n_environments)]
        generator = np.random.default_rng(0)
        while True:
            episode = waiting.pop(0)
            for frame in episode.frames:  # 420 bytes of what cannot be compressed, and more
                frame[40:46] = generator.integers(0, 255, (6, 84))
            yield episode
            waiting.append(one(1000))

    collect._episodes = episodes
    collect.collect_replay(
        spec,
        inputs / "expert.safetensors",
        directory / "replay.h5",
        identity=of_replay(plan.replay(GAME, 0), plan.expert(GAME)),
        n_threads=1,
        device=torch.device("cpu"),
        resume=ResumeState(directory / "state", {}),
    )


def _train(
    plan: Plan, kind: str, inputs: Path, directory: Path, run: RunSpec | None = None
) -> None:
    import torch

    from td_interference.objectives.td_lambda import Objective
    from td_interference.training import train

    # 500,000 forward passes take minutes, and hold one batch at a time.
    Objective._next_values = lambda self: np.zeros(len(self.replay), dtype=np.float32)
    run = run or (longest_run(plan) if kind == "checkpoints" else widest_run(plan))
    updates = len(run.checkpoints)
    run = dataclasses.replace(run, updates=updates, checkpoints=tuple(range(1, updates + 1)))
    train(
        run,
        inputs / "replay.h5",
        directory / "checkpoints.h5",
        directory / "curve.csv",
        directory / "state",
        identity=identities.of_run(run),
        device=torch.device("cpu"),
        resume_interval=0.1,
    )


def _measure(plan: Plan, kind: str, inputs: Path, directory: Path) -> None:
    """Measure the checkpoints of a run that was trained here, by a process of its own."""
    import os

    import torch

    from td_interference.metrics.measuring import measure_run
    from td_interference.objectives.td_lambda import Objective

    run = measured_run(plan, kind)
    if (child := os.fork()) == 0:
        try:
            torch.set_num_threads(1)
            _train(plan, kind, inputs, directory, run)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    Objective._next_values = lambda self: np.zeros(len(self.replay), dtype=np.float32)
    settings = dict(plan.metric_settings(kind))
    # More of these take longer and hold no more.
    few = {"minibatches": 2, "episodes": 2, "max_frames_per_episode": 1000, "checkpoints": "last"}
    settings |= {name: value for name, value in few.items() if name in settings}
    if "anchors" in settings:
        settings["anchors"] = 2 * settings["anchors_per_segment"]
    updates = len(run.checkpoints)
    measure_run(
        kind,
        settings,
        dataclasses.replace(run, updates=updates, checkpoints=tuple(range(1, updates + 1))),
        inputs / "replay.h5",
        directory / "checkpoints.h5",
        directory / "measurement.h5",
        wanted=None,
        device=torch.device("cpu"),
    )


def _study(plan: Plan, kind: str, inputs: Path, directory: Path) -> None:
    from td_interference.random_networks import measure_study

    study = largest_study(plan, kind)
    few = {"networks": 2, "checked_networks": 2}
    measure_study(dataclasses.replace(study, **few), directory / "study.h5")


def _group(plan: Plan, kind: str, inputs: Path, directory: Path) -> None:
    import torch

    from td_interference.generalization.group_job import train_group

    cells = largest_group(plan, kind).cells
    agent, steps = cells[0].agent, 2
    if agent is not None:
        steps = 10 * agent.n_environments * math.ceil(cells[0].minibatch / 10)
        if kind == "double_dqn":
            agent = dataclasses.replace(agent, learning_starts=2 * agent.n_environments)
    cells = [
        dataclasses.replace(
            cell,
            dataset="noise",
            **{"updates" if agent is None else "agent_steps": steps},
            measure_every=steps,
            agent=agent,
        )
        for cell in cells
    ]
    train_group(
        kind,
        cells,
        inputs / ("regression.h5" if kind == "regression" else "images.h5"),
        directory / "state",
        directory / "measurement.h5",
        device=torch.device("cpu"),
        resume_interval=0.1,
    )


def _dataset(plan: Plan, kind: str, inputs: Path, directory: Path) -> None:
    """Prepare images from a local copy, as many as SVHN has."""
    from td_interference.datasets.prepare import prepare_dataset
    from td_interference.storage import hdf5, kinds

    arrays = hdf5.read(inputs / "images.h5", kinds.IMAGES)
    local = directory / "images.npz"
    np.savez(
        local,
        x_train=arrays["train_images"],
        y_train=arrays["train_labels"],
        x_test=arrays["test_images"],
        y_test=arrays["test_labels"],
    )
    del arrays
    Path("/proc/self/clear_refs").write_text("5")  # only what the job itself holds counts
    prepare_dataset("own", {"kind": "images", "path": str(local)}, directory / "dataset.h5")


def _table(plan: Plan, kind: str, inputs: Path, directory: Path) -> None:
    """Reduce made-up measurements of all runs that a table is of, as large as they get."""
    import measurements

    settings = plan.config["metrics"]
    gain, stiffness = settings["gain"], settings["stiffness"]
    largest = {
        "offset": 2 * gain["half_width"] + 1,
        "minibatch": gain["minibatches"],
        "sample": plan.config["training"]["minibatch"],
        "unrelated": gain["unrelated"],
        "segment": stiffness["anchors"] // stiffness["anchors_per_segment"],
        "anchor": stiffness["anchors_per_segment"],
        "sample_a": settings["second_order"]["minibatch"],
        "sample_b": settings["second_order"]["minibatch"],
    }
    measurements.SIZES.update(largest)
    compute = measurements.compute_table

    def compute_alone(*args: Any) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # only what the job itself holds counts
        compute(*args)

    measurements.compute_table = compute_alone
    measurements.write_table(kind, directory, plan)


def peak_megabytes() -> float:
    """The most that this process held, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return peak * 1024 / 1e6


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    scale, job, inputs = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    with tempfile.TemporaryDirectory(dir=sys.argv[4]) as directory:
        run_job(plan_of(scale), job, inputs, Path(directory))
    print(f"peak {peak_megabytes():.0f}")
