"""Every stage on a GPU: what a CPU gives but for rounding, the same bits each time, kills included.

Skipped where no GPU is visible.
"""

import os
import random
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from checkpoint_files import checkpoint_steps
from stages import METRIC, RUN, STAGES, digests, make_inputs

from td_interference import metrics
from td_interference.device import compute_exactly
from td_interference.gradients import gram, per_sample_gradients
from td_interference.gradients.second_order import pair_products, regression_terms
from td_interference.metrics.measuring import measure_run
from td_interference.networks.atari import initialise, q_network
from td_interference.storage import hdf5, kinds
from td_interference.storage.checkpoints import read_checkpoint

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible")

PROGRAM = Path(__file__).parent / "stages.py"
GPU_STAGES = [name for name in STAGES if name != "random_networks"]  # which is for the CPU alone


@pytest.fixture(scope="module", autouse=True)
def exact():
    """Compute as a job does, in this process too."""
    compute_exactly()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    directory = tmp_path_factory.mktemp("inputs")
    make_inputs(directory)
    return directory


def start(stage, inputs, root, device="cuda", interval=0.05):
    """Start a stage in a process of its own, as the workflow does."""
    command = [sys.executable, str(PROGRAM), stage, str(inputs), str(root), str(interval), device]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ}
    )


def finish(job):
    said, _ = job.communicate(timeout=300)
    assert job.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory):
    """Return the outputs of an uninterrupted run of a stage on a device; made once."""

    @cache
    def run(stage, device):
        root = tmp_path_factory.mktemp(f"{stage}-{device}")
        finish(start(stage, inputs, root, device, 1e9))
        return root / "outputs"

    return run


@pytest.mark.parametrize("stage", GPU_STAGES)
def test_the_same_bits_twice(stage, inputs, whole, tmp_path):
    finish(start(stage, inputs, tmp_path, "cuda", 1e9))
    assert digests(tmp_path / "outputs") == digests(whole(stage, "cuda"))


@pytest.mark.parametrize("stage", GPU_STAGES)
def test_killed_at_a_random_moment_and_the_same_bits(stage, inputs, whole, tmp_path):
    expected = digests(whole(stage, "cuda"))
    seed = random.SystemRandom().randrange(2**32)
    job = start(stage, inputs, tmp_path)
    assert job.stdout.readline() == "ready\n"
    try:
        job.wait(random.Random(seed).uniform(0.5, 4))
    except subprocess.TimeoutExpired:
        job.send_signal(signal.SIGKILL)
        job.wait()
    finish(start(stage, inputs, tmp_path))
    assert digests(tmp_path / "outputs") == expected, f"seed {seed}"
    assert not (tmp_path / "state").exists()


def test_training_is_that_of_the_cpu_but_for_rounding(whole):
    """The same initial weights and minibatches; then hundreds of updates drift apart slowly."""
    ours, theirs = (whole("policy_evaluation", device) for device in ("cuda", "cpu"))
    steps = checkpoint_steps(theirs / "checkpoints.h5")
    assert checkpoint_steps(ours / "checkpoints.h5") == steps == list(RUN.checkpoints)
    first, initial = (
        read_checkpoint(path / "checkpoints.h5", steps[0]).parameters for path in (ours, theirs)
    )
    for name, tensor in initial.items():
        torch.testing.assert_close(first[name], tensor, rtol=1e-3, atol=1e-4, msg=name)
    curves = [pl.read_csv(path / "learning_curve.csv") for path in (ours, theirs)]
    for column in ("loss", "prediction", "target"):
        np.testing.assert_allclose(curves[0][column], curves[1][column], rtol=0.02, atol=1e-3)


def test_play_is_that_of_the_cpu(whole):
    """A D*: the same actions, as long as no two values are as close as rounding."""
    ours, theirs = (
        hdf5.read(whole("collection", device) / "replay.h5", kinds.REPLAY)
        for device in ("cuda", "cpu")
    )
    np.testing.assert_array_equal(ours["action"][:500], theirs["action"][:500])
    np.testing.assert_allclose(ours["expert_q"][:500], theirs["expert_q"][:500], atol=1e-4)


SETTINGS = {
    "stiffness": {"anchors": 40, "anchors_per_segment": 10, "half_width": 6},
    "gain": {"minibatches": 3, "half_width": 4, "unrelated": 5},
    "gain_over_training": {"minibatches": 3, "half_width": 4, "unrelated": 5},
    "singular_values": {},
    "sign_variance": {"segments": 6, "steps_per_segment": 12, "window": 5},
    "function_interference": {"samples": 12},
}


@pytest.mark.parametrize("metric", SETTINGS)
def test_metrics_are_those_of_the_cpu(metric, inputs, tmp_path):
    measured = []
    for device in ("cuda", "cpu"):
        path = tmp_path / f"{device}.h5"
        measure_run(
            metric,
            {"checkpoints": METRIC["checkpoints"], **SETTINGS[metric]},
            RUN,
            inputs / "replay.h5",
            inputs / "run" / "outputs" / "checkpoints.h5",
            path,
            wanted=None,
            device=torch.device(device),
        )
        measured.append(hdf5.read(path, kinds.MEASUREMENTS[metrics.entry(metric).module]))
    for name, expected in measured[1].items():
        scale = np.abs(expected[np.isfinite(expected)]).max(initial=0)
        np.testing.assert_allclose(measured[0][name], expected, rtol=1e-3, atol=1e-4 * scale)


def test_second_order_terms_are_those_of_the_cpu():
    """In float64, where nothing is left to rounding."""
    network = initialise(q_network(9, 2), torch.Generator().manual_seed(0)).double()
    generator = np.random.default_rng(0)
    pixels = torch.from_numpy(generator.integers(0, 256, (5, 4, 84, 84))).double()
    delta = torch.from_numpy(generator.normal(size=5))

    def largest(outputs):
        return outputs.amax(1)

    on_cpu = regression_terms(pair_products(network, pixels, largest), delta)
    on_gpu = regression_terms(pair_products(network.cuda(), pixels.cuda(), largest), delta.cuda())
    for ours, expected in zip(on_gpu, on_cpu, strict=True):
        torch.testing.assert_close(ours.cpu(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_gram_is_that_of_float64(dtype, tolerance):
    """Also where the caller lets torch multiply with fewer bits, as it does by itself."""
    network = initialise(q_network(9, 8), torch.Generator().manual_seed(0)).double()
    generator = np.random.default_rng(0)
    pixels = torch.from_numpy(generator.integers(0, 256, (24, 4, 84, 84))).double()

    def largest(outputs):
        return outputs.amax(1)

    expected = gram(per_sample_gradients(network, pixels, largest))
    network.to("cuda", dtype)
    torch.backends.cudnn.conv.fp32_precision = torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        found = gram(per_sample_gradients(network, pixels.to("cuda", dtype), largest))
        assert torch.backends.cudnn.conv.fp32_precision == "tf32"
    finally:
        compute_exactly()
    distance = (found.double().cpu() - expected).norm() / expected.norm()
    assert distance < tolerance
