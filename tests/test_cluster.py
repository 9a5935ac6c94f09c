"""What jobs ask of a cluster: enough for what was measured, more at a second attempt."""

import dataclasses
import math
import re

import pytest
from cells import cell_spec

from td_interference.planning.config import SCALES
from td_interference.planning.control import ControlSettings
from td_interference.planning.expert import ExpertSettings
from td_interference.planning.learners import settings_record
from td_interference.planning.needs import (
    control_needs,
    expert_needs,
    group_needs,
    measurement_needs,
    replay_needs,
    run_needs,
    study_needs,
)
from td_interference.planning.plan import make_plan
from td_interference.planning.replay import ReplaySpec
from td_interference.planning.studies import Study

ReinforceSettings = settings_record("reinforce")


@pytest.fixture(scope="module")
def plans(request):
    workflow = request.config.rootpath / "workflow"
    user = {"device": "cpu"}
    return {scale: make_plan({**user, "scale": scale}, workflow) for scale in SCALES}


def all_needs(plan, device="cpu"):
    """Needs of one job of each stage."""
    transitions = plan.config["replay"]["transitions"]
    run = max(plan.of_kind("training").values(), key=lambda run: run.hidden)
    return {
        "expert": expert_needs(ExpertSettings(**plan.expert("ms_pacman")), device),
        "replay": replay_needs(ReplaySpec(**plan.replay("ms_pacman", 0))),
        "run": run_needs(run, transitions, device),
        "control": control_needs(next(iter(plan.of_kind("control").values())), device),
        "measurement": measurement_needs(
            "second_order", plan.metric_settings("second_order"), run, transitions
        ),
        "study": study_needs(next(iter(plan.of_kind("random_networks").values()))),
    }


def test_requests_cover_what_was_measured(plans):
    """Maximum resident MB and seconds of the `laptop` scale, in its benchmark files."""
    measured = {"run": (862, 23), "control": (1041, 58), "measurement": (951, 62)}
    needs = all_needs(plans["laptop"])
    for stage, (megabytes, seconds) in measured.items():
        assert needs[stage].mem_mb > 1.05 * megabytes, stage
        assert needs[stage].minutes * 60 > 5 * seconds, stage


def test_small_scales_fit_small_queues(plans):
    for scale in ("smoke", "laptop"):
        for stage, needs in all_needs(plans[scale]).items():
            assert needs.minutes <= 240 and needs.mem_mb < 4000, (scale, stage)


def test_the_papers_run_asks_for_twice_its_updates(plans):
    """45 ms an update on one core."""
    run = dataclasses.replace(next(iter(plans["paper"].runs.values())), hidden=32, updates=500_000)
    assert run_needs(run, 500_000).minutes == math.ceil(10 + 2 * 500_000 * 0.045 / 60)
    settings = plans["paper"].metric_settings("gain_over_training")
    run = dataclasses.replace(run, checkpoints=(1, 2, 3))
    measuring = measurement_needs("gain_over_training", settings, run, 500_000)
    assert (measuring.minutes, measuring.resumes) == (10 + 2 * 5 * 3, False)


def test_time_grows_with_the_work_and_shrinks_on_a_gpu():
    control = ControlSettings(game="ms_pacman")
    needs = control_needs(control)
    assert control_needs(dataclasses.replace(control, hidden=64)).minutes > (3.5 * needs.minutes)
    half = dataclasses.replace(control, agent_steps=5_000_000, checkpoints=(1000,))
    assert control_needs(half).minutes == pytest.approx(needs.minutes / 2, rel=0.05)
    on_gpu = control_needs(control, "cuda")
    assert on_gpu.minutes == math.ceil(10 + 2 * (10_200_000 * 0.0012 + 10_000_000 * 0.008) / 60)
    assert on_gpu.mem_mb == needs.mem_mb + 3000
    playing, updating = 10_200_000 * 0.0012, 10_000_000 * 0.045
    assert needs.minutes == math.ceil(10 + 2 * (playing + updating) / 60)
    assert control_needs(control, "auto") == needs
    small, large = Study(network="q", samples=8), Study(network="q", samples=16)
    assert study_needs(large).minutes > 3 * study_needs(small).minutes


def test_requests_cover_what_was_measured_on_a_gpu(plans):
    """Milliseconds on an H200 (`benchmarks/device.py`): the slower of two passes."""
    run = dataclasses.replace(next(iter(plans["paper"].runs.values())), hidden=32, updates=500_000)
    wide = dataclasses.replace(run, hidden=64)
    assert run_needs(run, 1, "cuda").minutes > 1.2 * 500_000 * 0.00598 / 60
    assert run_needs(wide, 1, "cuda").minutes > 1.2 * 500_000 * 0.00532 / 60
    control = ControlSettings(game="ms_pacman")  # four steps and updates in 25 ms
    assert control_needs(control, "cuda").minutes > 1.2 * 10_200_000 / 4 * 0.02546 / 60
    expert = ExpertSettings("ms_pacman", agent_steps=1_000_000)
    assert expert_needs(expert, "cuda").minutes > 1.2 * 1_000_000 * 0.01711 / 60
    for kind, seconds in (("classification", 0.06436 / 20), ("double_dqn", 0.1021 / 20)):
        for group in plans["paper"].of_kind("generalization").values():
            if group.cells[0].task == kind:
                n_steps = sum(len(cell.seeds) * cell.duration for cell in group.cells)
                assert group_needs(group.cells, "cuda").minutes > 1.2 * n_steps * seconds / 60


def test_on_a_gpu_an_image_run_asks_by_its_updates_and_choices():
    cell = cell_spec(
        task="reinforce",
        dataset="digits",
        n_train=20,
        agent_steps=200_000,
        measure_every=1000,
        minibatch=250,
        hidden=8,
        extra_layers=0,
        seeds=(0, 1, 2),
        agent=ReinforceSettings(n_environments=10),
    )
    turns = 3 * (200_000 / 250 + 200_000 / 10)
    products = 3 * 200_000 * (19_600 * 8 + 11_392 * 64)
    seconds = 0.008 * turns + 4e-12 * products
    assert group_needs([cell], "cuda").minutes == math.ceil(10 + 2 * seconds / 60)
    assert group_needs([cell]).minutes == math.ceil(10 + 2 * 2e-10 * products / 60)


def test_who_asks_for_a_gpu_uses_it_and_the_other_way_round(request):
    """A job that resolves `device: cuda` on a node without a GPU would end in an error."""
    workflow = request.config.rootpath / "workflow"
    asked, used = set(), set()
    for path in (workflow / "rules").glob("*.smk"):
        for rule in re.split("^rule ", path.read_text(), flags=re.MULTILINE):
            for name in re.findall(r"scripts/(\w+\.py)", rule):
                asked |= {name} if "gpu=GPUS" in rule else set()
                script = (workflow / "scripts" / name).read_text()
                used |= {name} if 'config["device"]' in script else set()
    assert asked == used and "train_run.py" in asked and "collect_replay.py" not in asked


def test_a_second_attempt_asks_for_more(plans):
    for stage, needs in all_needs(plans["paper"]).items():
        assert needs.mem_mb_at(1) == needs.mem_mb and needs.minutes_at(1) == needs.minutes
        assert needs.mem_mb_at(2) == 2 * needs.mem_mb
        # Training goes on from its resume state; what starts anew gets more time.
        again = stage in {"replay", "measurement", "study"}
        assert needs.minutes_at(3) == needs.minutes * (3 if again else 1), stage
