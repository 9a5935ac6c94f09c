"""Same settings, same bytes: with any number of cores, and however often all was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import torch
from stages import digests
from tree import ROOT, copy_tree

from td_interference.agents.expert_file import new_network
from td_interference.agents.settings import ExpertSettings
from td_interference.agents.train_expert import THREADS
from td_interference.image_networks import image_network
from td_interference.networks import initialise, q_network, value_network
from td_interference.seeds import numpy_generator, seed_for, torch_generator

BIN = Path(sys.executable).parent
SMALL = ["--config", "scale=smoke", "resume_interval=0.2"]


_started: list[subprocess.Popen] = []


@pytest.fixture(autouse=True)
def nothing_goes_on_after_a_test():
    yield
    for process in _started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    _started.clear()


def start(directory: Path, cores: int, *arguments: str) -> subprocess.Popen:
    """Start Snakemake as the leader of a process group of its own."""
    process = subprocess.Popen(
        ["snakemake", "--cores", str(cores), *arguments],
        cwd=directory,
        env={
            **os.environ,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(directory / "src"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    _started.append(process)
    return process


def finish(process: subprocess.Popen) -> str:
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 0, said[-5000:]
    return said


def results(directory: Path) -> dict[str, str]:
    """Digests of all results; logs and benchmarks hold times."""
    found = digests(directory / "results")
    return {name: digest for name, digest in found.items() if not set(TIMES) & set(name.split("/"))}


TIMES = ("logs", "benchmarks")


@pytest.fixture(scope="module")
def one_core(tmp_path_factory) -> Path:
    """Figure 5 at smoke scale, made on one core."""
    directory = copy_tree(tmp_path_factory.mktemp("one"))
    finish(start(directory, 1, "results/fig5.pdf", *SMALL))
    return directory


@pytest.mark.workflow
def test_any_number_of_cores_and_any_kill_give_the_same_bytes(one_core, tmp_path):
    """On two cores, and all killed at once in each of three stages; then the plain call again."""
    directory = copy_tree(tmp_path)
    call = ["--rerun-incomplete", "results/fig5.pdf", *SMALL]
    said = ""
    for stage in ("train_expert", "collect_replay", "train_run"):
        process = start(directory, 2, *call)
        deadline = time.monotonic() + 300
        while not list((directory / "results/smoke/state" / stage).glob("*/state-*.pt")):
            assert process.poll() is None and time.monotonic() < deadline, stage
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        said += process.communicate()[0]
    said += finish(start(directory, 2, *call))
    for job in ("train_expert", "collect_replay", "train_run"):
        assert f"{job} ms_pacman" in said
    assert "goes on from" in said and "playing the stored actions again" in said
    mine, others = results(directory), results(one_core)
    assert mine == others and {Path(name).suffix for name in mine} >= {
        *(".h5", ".parquet", ".csv", ".pdf", ".png", ".safetensors")
    }
    assert not list((directory / "results/smoke/state").rglob("*.pt"))


@pytest.mark.workflow
def test_a_table_goes_on_without_a_run_that_diverged(one_core):
    """Two learning rates, one of them absurd, through the whole workflow."""
    runs = "{learning_rates: [1.0e-4, 1.0e+30], hidden: [8], seeds: 1}"
    training = ["--config", "scale=smoke", f"experiments={{parameterizations: {runs}}}"]
    target = "results/smoke/tables/parameterizations.parquet"
    process = start(one_core, 2, target, *training)
    said, _ = process.communicate(timeout=600)
    assert process.returncode != 0 and "Traceback" not in said
    assert "lr1e+30-h8-seed0: training diverged" in said and "ms_pacman with learning" in said
    finish(start(one_core, 2, target, *training, "training={on_divergence: leave_out}"))
    table = pl.read_parquet(one_core / target).sort("learning_rate")
    assert table["diverged"].to_list() == [0, 1]
    assert table["sign_variance"].is_nan().to_list() == [False, True]


@pytest.mark.parametrize(
    "make",
    [
        lambda generator: initialise(q_network(9, 2), generator),
        lambda generator: initialise(value_network(2), generator),
        lambda generator: initialise(image_network(3, 10, 2), generator),
        lambda generator: new_network(ExpertSettings("asterix", hidden=8), generator),
    ],
    ids=["q", "value", "image", "expert"],
)
def test_initial_weights_do_not_depend_on_the_global_generator(make):
    states = []
    for seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            states.append(make(torch_generator("a run", "initial_weights")).state_dict())
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def test_streams_differ_by_run_and_purpose_and_by_nothing_else():
    names = [(run, purpose) for run in ("a", "b") for purpose in ("minibatches", "weights")]
    assert len({seed_for(*name) for name in names}) == 4
    assert seed_for("ab", "c") != seed_for("a", "bc")
    for name in names:
        first, again = numpy_generator(*name), numpy_generator(*name)
        assert (first.integers(0, 2**60, 5) == again.integers(0, 2**60, 5)).all()


def test_the_number_of_threads_is_part_of_the_settings():
    """Torch adds up in another order; so the workflow fixes the number, whatever the cores."""
    rules = (ROOT / "workflow" / "rules").glob("*.smk")
    asked = {line.strip() for path in rules for line in path.open() if "threads:" in line}
    assert asked == {"threads: 1"}
    assert THREADS == 1
    assert "threads=THREADS" in (ROOT / "workflow" / "scripts" / "train_expert.py").read_text()
