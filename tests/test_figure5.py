"""Figure 5 at smoke scale, made from nothing, and what then holds of its results."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from checkpoint_files import checkpoint_steps
from projects import cpu_seconds, edited, environment_of, make, planned, snakemake
from stages import digests
from tree import ROOT, copy_tree

from td_interference.agents.expert.file import load_expert
from td_interference.replay import Replay
from td_interference.storage import hdf5, kinds
from td_interference.storage.scratch import Scratch

SMALL = ["--config", "scale=smoke", "resume_interval=0.2"]
BESIDE = {"logs", "benchmarks", "state"}  # hold times, and how far a failed job came


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Figure 5, made by `make` on one core in a copy of the tracked files."""
    directory = copy_tree(tmp_path_factory.mktemp("figure5"))
    done = make("results/fig5.pdf", directory)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-5000:]
    (directory / "make.log").write_text(done.stdout + done.stderr)
    return directory


def test_every_product_is_there_and_good(project):
    results = project / "results"
    for kind in ("pdf", "png", "csv"):
        published = (results / f"fig5.{kind}").read_bytes()
        assert published
        assert published == (results / "smoke" / "figures" / f"fig5.{kind}").read_bytes()
    figure = pl.read_csv(results / "fig5.csv")
    assert figure.columns == ["game", "lambda", "variant", "offset", "mean", "low", "high", "n"]
    assert figure["offset"].unique().sort().to_list() == list(range(-30, 31))
    assert figure["n"].unique().to_list() == [2]
    smoke = results / "smoke"
    _, settings, _ = load_expert(smoke / "experts" / "ms_pacman" / "expert.safetensors")
    assert settings.game == "ms_pacman"
    assert pl.read_csv(smoke / "experts" / "ms_pacman" / "evaluation.csv")["agent"].n_unique() == 2
    for seed in (0, 1):
        replay = Replay.load(smoke / "replay" / f"ms_pacman-seed{seed}.h5")
        assert len(replay) >= 1500 and replay.n_actions == 9
    runs = sorted((smoke / "runs").iterdir())
    assert len(runs) == 4
    for run in runs:
        assert checkpoint_steps(run / "checkpoints.h5") == [100, 200]
        assert pl.read_csv(run / "learning_curve.csv")["update_step"][-1] == 200
    assert not list(smoke.glob("state/**/*.pt")), "resume states are removed after success"
    assert list(smoke.glob("logs/train_run/*.log")), "each job has its log"


def test_a_person_waiting_sees_progress(project):
    said = (project / "make.log").read_text()
    assert re.search(r"train_run \S+: 200/200 updates \[.*updates/s\]", said)
    assert re.search(r"train_expert .*agent steps/s\]", said)


def test_a_second_call_does_nothing_in_ten_seconds(project):
    before = cpu_seconds()
    done = make("results/fig5.pdf", project)
    assert done.returncode == 0 and cpu_seconds() - before < 10
    assert "Nothing to be done" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "jobs"),
    [
        ("figures/style.py", {"make_figure": 1, "publish": 1}),
        (
            "metrics/stiffness.py",
            {"measure_run": 4, "compute_table": 1, "make_figure": 1, "publish": 1},
        ),
        ("training.py", {}),
    ],
)
def test_edited_code_redoes_what_depends_on_it(project, module, jobs):
    undo = edited(project / "src" / "td_interference" / module)
    try:
        assert planned(project) == jobs
    finally:
        undo()


def test_a_damaged_replay_stops_its_job_with_one_line_and_loses_nothing(project, tmp_path):
    replay = project / "results" / "smoke" / "replay" / "ms_pacman-seed0.h5"
    measurement = project / "results/smoke/metrics/stiffness"
    measurement /= "ms_pacman-td_lambda0-adam-lr0.0001-h8-seed0.h5"
    shutil.copy2(replay, tmp_path)
    shutil.copy2(measurement, tmp_path)
    measurement.unlink()
    status = replay.stat()
    with replay.open("r+b") as file:
        file.truncate(status.st_size // 2)
    os.utime(replay, ns=(status.st_atime_ns, status.st_mtime_ns))
    try:
        target = str(measurement.relative_to(project))
        done = snakemake([target, "--cores", "1", "--config", "scale=smoke"], project)
        said = done.stdout + done.stderr
        assert done.returncode != 0 and "Traceback" not in said
        assert re.search(r"^error: .*ms_pacman-seed0\.h5: damaged", said, flags=re.MULTILINE)
        assert not measurement.exists() and replay.exists()
    finally:
        shutil.copy2(tmp_path / replay.name, replay)
        shutil.copy2(tmp_path / measurement.name, measurement)


@pytest.mark.parametrize(
    ("cores", "asked", "is_shared"),
    [
        (2, "auto", True),
        pytest.param(1, "auto", False, marks=pytest.mark.slow),
        pytest.param(1, "true", True, marks=pytest.mark.slow),
        pytest.param(2, "false", False, marks=pytest.mark.slow),
    ],
)
def test_jobs_side_by_side_share_a_replay(cores, asked, is_shared, project, tmp_path, monkeypatch):
    """The measurement has the same bytes, no copy is left; scratch that is no good gets a line."""
    measurement = project / "results/smoke/metrics/stiffness"
    measurement /= "ms_pacman-td_lambda0-adam-lr0.0001-h8-seed0.h5"
    before, status = measurement.read_bytes(), measurement.stat()
    command = [str(measurement.relative_to(project)), "--cores", str(cores), "--config"]
    command += ["scale=smoke", f"shared_replay={asked}"]
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for mode in (0o700, 0o755):
        Scratch.path().mkdir()
        Scratch.path().chmod(mode)
        left = Scratch.path() / f"{'0' * 64}.frames"  # by a workflow that was killed
        left.write_bytes(b"0")
        left.chmod(0o600)
        measurement.unlink()
        done = snakemake(command, project)
        said = done.stdout + done.stderr
        assert done.returncode == 0 and measurement.read_bytes() == before, said
        assert ("scratch cannot be used" in said) == (is_shared and mode != 0o700)
        assert Scratch.path().exists() == (mode != 0o700)
    os.utime(measurement, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.slow
def test_a_table_of_other_statistics_is_not_drawn(project, tmp_path):
    """Moved without what Snakemake knows of it."""
    directory = copy_tree(tmp_path)
    table = Path("results/smoke/tables/stiffness_by_lambda.parquet")
    for name in [*(project / "results" / "smoke").glob("metrics/*/*.h5"), project / table]:
        place = directory / name.relative_to(project)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(name, place)
    target = "results/smoke/figures/fig5.pdf"
    over = ["--config", "scale=smoke", "statistics={confidence: 0.5}"]
    only = ["--allowed-rules", "make_figure"]
    done = snakemake([target, "--cores", "1", *only, *over], directory)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in said
    assert (
        f"error: {table}: is of the table stiffness_by_lambda (statistics.confidence 0.95)" in said
    )
    assert "but the table stiffness_by_lambda (statistics.confidence 0.5) is needed here" in said


@pytest.fixture
def moved(project, tmp_path):
    """The results alone in another clone, without what Snakemake knows of them; no table."""
    directory = copy_tree(tmp_path)
    shutil.copytree(project / "results", directory / "results")
    shutil.rmtree(directory / "results" / "smoke" / "tables")
    return directory


RUN = "ms_pacman-td_lambda{}-adam-lr0.0001-h8-seed{}"


@pytest.mark.parametrize(
    ("others", "over", "words"),
    [
        (RUN.format(1, 0), "", ("run.lambda_ 1.0", "run.lambda_ 0.0")),
        (None, "environment={gamma: 0.5}", ("run.gamma 0.99", "run.gamma 0.5")),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                (RUN.format(0, 1), "", ("run.seed 1", "run.seed 0")),
                (None, "training={updates: 400}", ("run.updates 200", "run.updates 400")),
            )
        ),
    ],
)
def test_exchanged_and_moved_results_are_refused(moved, others, over, words):
    """In one line that names the file, what it is of, what is wanted, and the way out."""
    own = f"results/smoke/metrics/stiffness/{RUN.format(0, 0)}.h5"
    if others is not None:
        shutil.copy(moved / f"results/smoke/metrics/stiffness/{others}.h5", moved / own)
    table = "results/smoke/tables/stiffness_by_lambda.parquet"
    settings = ["--config", "scale=smoke", *([over] if over else [])]
    done = snakemake([table, "--cores", "1", *settings], moved)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in said
    (line,) = set(re.findall(r"^error: .*", said, flags=re.MULTILINE))
    assert f"{own}: is of stiffness of the run " in line and f"rm -r {own} && snakemake" in line
    assert all(word in line for word in words)
    assert not (moved / table).exists()


@pytest.mark.slow
def test_a_damaged_table_takes_no_published_figure_and_deletions_are_seen_each_time(project):
    """Snakemake removes what a job is to make anew; what is published it does not touch yet."""
    table = project / "results/smoke/tables/stiffness_by_lambda.parquet"
    published = {path: path.read_bytes() for path in project.glob("results/fig5.*")}
    drawn = sorted(project.glob("results/smoke/figures/fig5.*"))
    assert len(published) == len(drawn) == 3
    good, status = table.read_bytes(), table.stat()
    table.write_bytes(good[:1000] + bytes([good[1000] ^ 1]) + good[1001:])
    again = ["results/fig5.pdf", "--cores", "1", "--config", "scale=smoke"]
    done = snakemake(again, project)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in said
    assert re.search(r"^error: .*stiffness_by_lambda\.parquet: ", said, flags=re.MULTILINE)
    assert not any(path.exists() for path in drawn)
    assert all(path.read_bytes() == content for path, content in published.items())
    table.write_bytes(good)
    os.utime(table, ns=(status.st_atime_ns, status.st_mtime_ns))
    for _ in range(2):  # the first time they were removed by Snakemake
        assert planned(project) == {"make_figure": 1, "publish": 1}
        done = snakemake(again, project)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        assert all(path.read_bytes() == content for path, content in published.items())
        for path in drawn:
            path.unlink()
    assert planned(project) == {"make_figure": 1, "publish": 1}
    snakemake(again, project)
    assert planned(project) == {"publish": 1}  # once more, see the rule
    snakemake(again, project)
    assert planned(project) == {}


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
        env=environment_of(directory),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    _started.append(process)
    return process


def results(directory: Path) -> dict[str, str]:
    """Digests of all results."""
    found = digests(directory / "results")
    return {name: digest for name, digest in found.items() if not BESIDE & set(name.split("/"))}


@pytest.mark.slow
def test_any_number_of_cores_and_any_kill_give_the_same_bytes(project, tmp_path):
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
    done = snakemake([*call, "--cores", "2"], directory)
    said += done.stdout + done.stderr
    assert done.returncode == 0, said[-5000:]
    for job in ("train_expert", "collect_replay", "train_run"):
        assert f"{job} ms_pacman" in said
    assert "goes on from" in said and "playing the stored actions again" in said
    mine, others = results(directory), results(project)
    assert mine == others and {Path(name).suffix for name in mine} >= {
        *(".h5", ".parquet", ".csv", ".pdf", ".png", ".safetensors")
    }
    assert not list((directory / "results/smoke/state").rglob("*.pt"))


@pytest.mark.slow
def test_a_table_goes_on_without_a_run_that_diverged(project):
    """Two learning rates, one of them absurd, through the whole workflow."""
    runs = "{learning_rates: [1.0e-4, 1.0e+30], hidden: [8], n_seeds: 1}"
    training = ["--config", "scale=smoke", f"experiments={{parameterizations: {runs}}}"]
    target = "results/smoke/tables/parameterizations.parquet"
    done = snakemake([target, "--cores", "1", *training], project)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in said
    assert "lr1e+30-h8-seed0: training diverged" in said and "ms_pacman with learning" in said
    done = snakemake(
        [target, "--cores", "1", *training, "training={on_divergence: leave_out}"], project
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    table = pl.read_parquet(project / target).sort("learning_rate")
    assert table["diverged"].to_list() == [0, 1]
    assert table["sign_variance"].is_nan().to_list() == [False, True]


@pytest.mark.slow
def test_an_objective_of_ones_own_is_trained_and_measured(project):
    """One file outside of the package."""
    shutil.copy2(ROOT / "tests" / "half_way.py", project)
    target = "results/smoke/metrics/gain/ms_pacman-half_way-adam-lr0.0001-h8-seed0.h5"
    over = "own_objectives=[half_way.py]"
    assert planned(project, over, targets=[target]) == {"train_run": 1, "measure_run": 1}
    done = snakemake([target, "--cores", "1", "--config", "scale=smoke", over], project)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    gain = hdf5.read(project / target, kinds.MEASUREMENTS["gain"])["gain"]
    assert np.isfinite(gain[..., gain.shape[-1] // 2]).all()
    # An edited objective trains its own runs again, and no other.
    edited(project / "half_way.py")
    assert planned(project, over, targets=[target]) == {"train_run": 1, "measure_run": 1}
    assert planned(project, over) == {}
