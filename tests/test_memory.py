"""What jobs ask of a cluster is what they hold: enough, and not much more."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jobs_at_scale
import numpy as np
import pytest
import torch
from full_scale import write_play
from jobs_at_scale import JOBS, needs_of, plan_of
from peak_memory import peak_memory
from tree import ROOT

from td_interference.agents.expert.file import new_network
from td_interference.agents.expert.network import to_pixels
from td_interference.generalization.agent_runs import AgentsInTurn
from td_interference.planning import job_memory, needs
from td_interference.planning.cells import CellSpec
from td_interference.planning.config import SCALES
from td_interference.planning.expert import ExpertSettings
from td_interference.replay import Replay

PROGRAM = Path(jobs_at_scale.__file__)


@pytest.fixture(scope="module")
def plans():
    return {scale: plan_of(scale) for scale in SCALES}


@pytest.fixture(scope="module")
def inputs(plans, tmp_path_factory):
    """Files that the jobs of a scale start from; made on demand, some are 300 MB."""
    made = {}

    def of(scale):
        if scale not in made:
            made[scale] = tmp_path_factory.mktemp(scale)
            jobs_at_scale.make_inputs(plans[scale], made[scale])
        return made[scale]

    return of


@pytest.mark.memory
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("job", JOBS)
def test_a_job_asks_for_what_it_holds(scale, job, plans, inputs, tmp_path):
    available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6
    request = needs_of(plans[scale], job).mem_mb
    if available < request:
        pytest.skip(f"asks for {request} MB, and this machine has {available:.0f}")
    done = subprocess.run(
        [sys.executable, PROGRAM, scale, job, inputs(scale), tmp_path],
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    peak = float(done.stdout.split()[-1])
    print(f"\n| {scale} | {job} | {peak:.0f} | {request} |")  # the table in docs/slurm.md
    assert peak <= request <= 2.5 * peak + 500


@pytest.mark.parametrize("job", JOBS)
def test_the_documentation_says_what_is_asked(job, plans):
    rows = [line.split(" | ") for line in (ROOT / "docs/slurm.md").read_text().splitlines()]
    (row,) = (row for row in rows if row[0] == f"| `{job}`" and "/" in row[1])
    asked = [cell.partition("/")[2].strip(" |") for cell in row[1:]]
    assert asked == [str(needs_of(plans[scale], job).mem_mb) for scale in SCALES]


@pytest.mark.parametrize("n_transitions", [9000, 18_000])
def test_a_request_follows_the_transitions(n_transitions, plans, tmp_path):
    """What a larger D* takes in memory is what is asked for it beyond a smaller one."""
    run = next(run for run in plans["smoke"].runs.values() if run.objective == "q_learning")
    write_play(tmp_path / "d.h5", n_transitions)
    with peak_memory() as peak:
        Replay.load(tmp_path / "d.h5")
    more = job_memory.run(run, n_transitions) - job_memory.run(run, 0)
    assert peak.megabytes - 5 <= more <= 1.6 * peak.megabytes


@pytest.fixture(scope="module")
def plays(tmp_path_factory):
    """A small D*, one of 340 MB of frames, and that size; the files are 1.5 times a game's."""
    folder, n_transitions = tmp_path_factory.mktemp("play"), 48_000
    write_play(folder / "small.h5", 100)
    write_play(folder / "large.h5", n_transitions)
    return folder / "small.h5", folder / "large.h5", n_transitions * 84 * 84 / 1e6


@pytest.mark.memory
def test_loading_takes_little_beyond_the_frames(plays):
    small, large, frames_mb = plays
    Replay.load(small)
    with peak_memory() as peak:
        Replay.load(large)
    print(f"\na D* is loaded at {peak.megabytes / frames_mb:.2f} times its frames")
    assert frames_mb < peak.megabytes <= 1.15 * frames_mb


# What a page of n processes counts for is an n-th of it (proc(5): Pss).
HOLD = """
import re, sys, torch
from td_interference.replay import Replay

def held():
    return 1024 * int(re.search(r"Pss: +([0-9]+)", open("/proc/self/smaps_rollup").read())[1]) / 1e6

small, large, shared = *sys.argv[1:3], sys.argv[3] == "True"
replay = Replay.load(small, shared=shared)
replay.observation(torch.arange(100))
before = held()
replay = Replay.load(large, shared=shared)
for index in torch.arange(len(replay)).split(100):  # as training does, sooner or later
    replay.observation(index)
print(flush=True)
input()
print(held() - before, flush=True)
input()
"""


@pytest.mark.memory
@pytest.mark.parametrize(("shared", "least", "most"), [(True, 1.0, 1.3), (False, 4.0, 4.4)])
def test_jobs_of_one_machine_hold_a_replay_together(shared, least, most, plays, tmp_path):
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("the system does not say what processes hold together")
    *paths, frames_mb = plays
    started = dict(
        args=[sys.executable, "-c", HOLD, *paths, str(shared)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    processes = [subprocess.Popen(**started) for _ in range(4)]

    def said():
        return [process.stdout.readline() for process in processes]

    def go_on():
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()

    try:
        assert said() == ["\n"] * 4
        go_on()
        copies = sum(map(float, said())) / frames_mb
        go_on()
    finally:
        for process in processes:
            process.communicate(timeout=300)
    print(f"\n4 processes hold a D* {copies:.2f} times, {shared=}")
    assert least <= copies <= most


def test_a_request_of_an_expert_follows_minibatch_and_emulators():
    """What a large minibatch leaves in the canonical network is asked for beyond a small one's."""
    small = ExpertSettings(game="ms_pacman", architecture="canonical", minibatch=1)
    large = dataclasses.replace(small, minibatch=257)
    network = new_network(small, torch.Generator())
    observation = torch.zeros(256, 4, 84, 84, dtype=torch.uint8)
    with peak_memory() as peak:
        before, after = (to_pixels(observation) for _ in range(2))
        with torch.no_grad():
            target = network(after, None)
        (network(before, None) - target).square().sum().backward()
    more = job_memory.expert(large) - job_memory.expert(small)
    # Of a job 1.5 times as much was measured, for its allocator leaves gaps.
    assert 1.4 * peak.megabytes <= more <= 2.2 * peak.megabytes
    emulated = job_memory.expert(dataclasses.replace(small, evaluation_environments=100))
    assert emulated - job_memory.expert(small) >= 1.1 * (100 - 32)


@pytest.mark.parametrize("hidden, extra_layers", [(16, 1), (24, 2)])
def test_a_request_follows_width_and_depth(hidden, extra_layers, plans):
    """What the measuring of a wide agent takes beyond one of width 1."""
    groups = plans["paper"].of_kind("generalization").values()
    wide = next(g.cells[0] for g in groups if g.cells[0].task == "reinforce")
    size = {"hidden": hidden, "extra_layers": extra_layers, "n_train": 128, "seeds": (0,)}
    wide = dataclasses.replace(wide, **size)
    agents = AgentsInTurn([wide], noise_images())
    with peak_memory() as peak:
        agents.measure()
    narrow = dataclasses.replace(wide, hidden=1, extra_layers=0)
    more = job_memory.group([wide]) - job_memory.group([narrow])
    assert 0.9 * peak.megabytes <= more <= 2.5 * peak.megabytes + 30


def noise_images():
    from td_interference.datasets.arrays import DatasetArrays, Split

    generator = np.random.default_rng(0)

    def split(n):
        pixels = generator.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
        return Split(pixels, generator.integers(0, 10, n))

    return DatasetArrays(split(130), split(130))


def test_a_request_follows_everything_that_is_in_memory(plans):
    """Each of these makes a job hold more."""
    plan = plans["paper"]
    run = next(iter(plan.runs.values()))
    asked = needs.run_needs(run, 100_000).mem_mb
    for wider in (
        dataclasses.replace(run, hidden=2 * run.hidden),
        dataclasses.replace(run, checkpoints=tuple(range(1, 30))),
    ):
        assert needs.run_needs(wider, 100_000).mem_mb > asked
    assert needs.run_needs(run, 100_000, "cuda").mem_mb == asked + job_memory.CUDA
    settings = plan.metric_settings("stiffness")
    of_metric = needs.measurement_needs("stiffness", settings, run, 100_000).mem_mb
    more = {**settings, "half_width": 20 * settings["half_width"]}
    assert needs.measurement_needs("stiffness", more, run, 100_000).mem_mb > of_metric
    for group in plan.of_kind("generalization").values():
        cell = group.cells[0]
        wider = CellSpec.from_dict({**cell.to_dict(), "hidden": 2 * cell.hidden})
        assert job_memory.group([wider]) > job_memory.group([cell])
        if cell.task != "regression":
            sampled = {"samples": 4 * cell.samples, "evaluation_samples": 4000}
            assert job_memory.group([CellSpec.from_dict({**cell.to_dict(), **sampled})]) > (
                job_memory.group([cell])
            )


def test_networks_are_as_large_as_the_requests_reckon():
    from td_interference.networks.atari import q_network
    from td_interference.networks.images import image_network

    for hidden in (8, 32, 64):
        actual = sum(p.numel() for p in q_network(18, hidden).parameters()) * 4 / 1e6
        assert actual <= job_memory._network(hidden) * 1.01 <= 1.15 * actual + 0.1
        convolutions = [m for m in q_network(18, hidden) if isinstance(m, torch.nn.Conv2d)]
        actual = sum(p.numel() for m in convolutions for p in m.parameters()) * 4 / 1e6
        assert 0.95 * actual <= job_memory._convolutions(hidden) <= 1.15 * actual
    network = image_network(3, 10, 64, 3)
    written_out = sum(
        p.numel() for m in network if isinstance(m, torch.nn.Conv2d) for p in m.parameters()
    )
    assert written_out == pytest.approx(100 * 64 + (90 + 144 * 3) * 64**2, rel=0.02)
