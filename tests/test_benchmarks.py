"""Every benchmark runs, on problems so small that their times mean nothing."""

import os
import re
import subprocess
import sys

import forked_scripts
import pytest
from tree import ROOT

TINY = {
    "control": "--hidden 1 --steps 1 --learning-starts 400 --window 40 --episode-steps 10",
    "device": "--only cpu --hidden 1 --most 1",
    "gain": "--transitions 1000 --hidden 1 --minibatches 1 --half-width 3 --unrelated 4",
    "gram_engine": "--samples 3 --rounds 1 --hidden 1",
    "integrity": "--transitions 200 --rounds 1",
    "masked_image": "--n-images 20 --repeats 1",
    "replay": "--batches 3 --transitions 1000",
    "resume": "--saves 1 --play 40 --hidden 1",
    "second_order": "--samples 3 --pairs 2 --rounds 1 --hidden 1",
    "stacked_training": "--convolutions --seeds 2 --cases 1",
    "training": "--loop ours --threads 1 --updates 1",
}
SHORT = ("integrity", "masked_image", "replay", "second_order")  # seconds; more in make test-all
# Those that start processes for each of their cases; the rest of two of them.
PROCESSES = {
    "stacked_training": "--seeds 1 --rounds 1 --cases 1 --measurements 1",
    "training": "--updates 1 --rounds 1",
}
EXPECTED = {
    "control": r"agent steps/s +. +[\d.]+",
    "device": r"train_group: 20 double_dqn steps +. +[\d.]+",
    "gain": r"monte_carlo .* \d.\de[-+]\d\d of the largest gain",
    "gram_engine": r"largest deviation +\d.\de-\d\d of",
    "integrity": r"read: [\d.]+ times as long",
    "masked_image": r"[\d,]+ agent steps/s, 4096 environments, cpu",
    "replay": r"[\d,]+ stacked observations/s",
    "resume": r"train_control: \d+ ms per save",
    "second_order": r"largest deviation +\d.\de-\d\d of",
    "stacked_training": r"n_h 8, n_L 0 +. +[\d.]+",
    "training": r"^[\d.e-]+$",
}


def test_each_benchmark_is_here():
    assert set(TINY) == set(EXPECTED) == {path.stem for path in (ROOT / "benchmarks").glob("*.py")}


def benchmark(name, arguments):
    """Run a benchmark as `make bench` does; return what it printed."""
    command = [sys.executable, ROOT / "benchmarks" / f"{name}.py", *arguments.split()]
    environment = forked_scripts.environment(dict(os.environ))
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize(
    "name", [n if n in SHORT else pytest.param(n, marks=pytest.mark.slow) for n in TINY]
)
def test_benchmark_runs(name):
    said = benchmark(name, TINY[name])
    assert re.search(EXPECTED[name], said.strip(), flags=re.MULTILINE), said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("stacked_training", '--work [["sarcos",16,0],false,1,1]'),
        ("stacked_training", '--work [["california",16,2],true,1,1]'),
        ("training", "--loop plain --threads 1 --updates 1"),
    ],
)
def test_what_a_process_of_a_benchmark_does(name, arguments):
    benchmark(name, arguments)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("stacked_training", r"sarcos, n_h 16,.* 8 +. +[\d.]+"),
        ("training", r"ours, \d+ processes x 1 thread \(the workflow\) +. +[\d.]+"),
    ],
)
def test_benchmarks_of_processes_run(name, expected):
    said = benchmark(name, PROCESSES[name])
    assert re.search(expected, said), said


def test_make_bench_runs_each():
    command = ["make", "-n", "bench", "VENV=environment", "-o", "setup"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "for benchmark in benchmarks/*.py;" in done.stdout
    assert 'environment/bin/python "$benchmark"' in done.stdout
