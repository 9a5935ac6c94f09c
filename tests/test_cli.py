"""The command line: what a person reads, and one line on bad input."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import identities
import numpy as np
import pytest
from measured_groups import measured_groups
from PIL import Image
from typer.testing import CliRunner

from td_interference.cli import app
from td_interference.errors import UserError
from td_interference.jobs.progress import Progress
from td_interference.storage import hdf5, kinds

ROOT = Path(__file__).parent.parent
RUNNER = CliRunner(env={"COLUMNS": "200"})


def cli(*arguments):
    """Run the command as a person does; return exit code, output, errors."""
    command = [sys.executable, "-c", "from td_interference.cli import main; main()", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_inspect_tells_what_a_replay_holds(replay_path):
    output = RUNNER.invoke(app, ["inspect", str(replay_path)]).output
    for fact in ("125 in 3 episodes", "2 terminated, 1 truncated", "ms_pacman, seed 0", "max Q*"):
        assert fact in output


def test_inspect_tells_what_the_runs_of_a_group_are(tmp_path):
    _, arrays, n_parameters = measured_groups(["images"])[0]
    path = tmp_path / "group.h5"
    hdf5.write(path, kinds.GENERALIZATION, arrays, {"n_parameters": n_parameters})
    result = RUNNER.invoke(app, ["inspect", str(path)])
    assert result.exit_code == 0
    assert "2 different, the first digits-classification" in " ".join(result.output.split())


def test_inspect_draws_frames(replay_path, arrays, tmp_path):
    result = RUNNER.invoke(
        app, ["inspect", str(replay_path), "--montage", str(tmp_path / "frames.png")]
    )
    assert result.exit_code == 0
    with Image.open(tmp_path / "frames.png") as picture:
        assert picture.size == (6 * 86 * 2, 4 * 86 * 2)
        best = int(arrays["episode_score"].argmax())
        first = int((arrays["episode_length"][:best] + 1).sum())
        assert picture.getpixel((2, 2))[0] == arrays["frames"][first, 0, 0]


def test_plan_shows_what_a_configuration_file_would_run(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("scale: smoke\nexperiments: {td_lambda: {lambdas: [0.25], n_seeds: 1}}")
    arguments = ["plan", "--configfile", str(path), "--directory", str(ROOT)]
    output = RUNNER.invoke(app, arguments).output
    assert "smoke scale" in output and "td_lambda0.25-adam-lr0.0001-h8-seed0" in output
    assert "td_lambda0-adam" not in output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "__use_yte__: true\nresume_interval: ?__import__('os').mkdir({trap!r})",
            "'__use_yte__' is unknown",
        ),
        ("scale: !!python/object/apply:os.mkdir [{trap!r}]", "not a YAML file"),
    ],
)
def test_plan_executes_nothing_in_a_configuration_file(tmp_path, content, said):
    trap, path = tmp_path / "trap", tmp_path / "theirs.yaml"
    path.write_text(content.format(trap=str(trap)))
    code, _, errors = cli("plan", "--configfile", str(path))
    assert code == 1 and said in errors and len(errors.splitlines()) == 1
    assert not trap.exists()


def test_plan_lists_the_runs():
    output = RUNNER.invoke(app, ["plan", "--scale", "smoke", "--directory", str(ROOT)]).output
    assert "ms_pacman-td_lambda1-adam-lr0.0001-h8-seed1" in output


def test_status_shows_running_jobs(tmp_path):
    state = tmp_path / "smoke" / "state" / "train_run" / "some-run"
    with (
        pytest.raises(KeyboardInterrupt),
        Progress("train_run some-run", 10, "updates", state, interval=0) as progress,
    ):
        progress.advance(4)
        raise KeyboardInterrupt
    output = RUNNER.invoke(app, ["status", str(tmp_path)]).output
    assert "train_run some-run" in output and "4/10 updates (40%)" in output
    with Progress("train_run some-run", 10, "updates", state, done=4) as progress:
        # From the first moment on, whatever the interval.
        assert "4/10 updates (40%)" in RUNNER.invoke(app, ["status", str(tmp_path)]).output
        progress.advance(10)
    assert "no job is running" in RUNNER.invoke(app, ["status", str(tmp_path)]).output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "absent.h5"], "absent.h5: no such file"),
        (
            ["inspect", "README.md"],
            "README.md: looks like plain text, not a file of td-interference",
        ),
        (["plan", "--scale", "huge"], "'huge' is not one of smoke, laptop, paper"),
        (["plan", "--directory", "/nowhere"], "config.yaml: no such file"),
        (
            ["measure", "stifness", "--checkpoints", "c", "--replay", "r", "--output", "o"],
            "unknown metric 'stifness'",
        ),
        (
            ["measure", "gain", "--checkpoints", "c.h5", "--replay", "r", "--output", "o"],
            "c.h5: no such file",
        ),
    ],
)
def test_bad_input_gives_one_line(arguments, message):
    code, _, errors = cli(*arguments)
    assert code == 1 and message in errors
    assert errors.startswith("error: ") and errors.count("\n") == 1


@pytest.mark.parametrize("card", ["metrics/gain.py", "objectives/td_star.py", "datasets/svhn.py"])
def test_a_wrong_card_ends_in_one_line(tmp_path, card):
    package = tmp_path / "td_interference"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src" / "td_interference", package, ignore=ignored)
    text = (package / card).read_text()
    (package / card).write_text(
        text.replace('"title":', '"titel":').replace('"label":', '"lable":')
    )
    command = [sys.executable, "-c", "from td_interference.cli import main; main()"]
    for arguments, code in ((["plan"], 1), (["--help"], 0)):
        done = subprocess.run(
            [*command, *arguments],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )
        assert done.returncode == code
        if code:
            assert done.stderr.startswith(f"error: {package / card}: ")
            assert done.stderr.count("\n") == 1


def measured_by_hand(checkpoints, *arguments, metric="gain"):
    """The error of `measure` of a file of checkpoints."""
    files = ["--checkpoints", str(checkpoints), "--replay", "r.h5", "--output", "o.h5"]
    return RUNNER.invoke(app, ["measure", metric, *files, *arguments]).exception


@pytest.mark.parametrize(
    ("metric", "said"),
    [("momentum", "momentum_sgd"), ("second_order", "'lambdas' 0"), ("policy_score", "learns V")],
)
def test_what_a_metric_cannot_measure_is_refused(tmp_path, run, metric, said):
    path = tmp_path / "checkpoints.h5"
    plain = dataclasses.replace(run, optimizer="adam", lambda_=0.5)
    arrays = {"update_step": np.array([], int)}
    hdf5.write(path, kinds.CHECKPOINTS, arrays, identities.of_run(plain))
    error = measured_by_hand(path, metric=metric)
    assert isinstance(error, UserError) and said in str(error) and str(path) in str(error)


def test_checkpoints_that_do_not_know_their_run_are_refused(tmp_path):
    path = tmp_path / "checkpoints.h5"
    for identity in ({}, {"run": {"game": "ms_pacman"}}, {"run": "{not json"}, {"control": 3}):
        hdf5.write(path, kinds.CHECKPOINTS, {"update_step": np.array([], int)}, identity)
        assert RUNNER.invoke(app, ["inspect", str(path)]).exit_code == 0
        error = measured_by_hand(path)
        assert isinstance(error, UserError) and "does not say which run" in str(error)


def test_a_checkpoint_cannot_have_code_run(tmp_path, run):
    """Only whoever measures may name a Python file, not a file from anywhere."""
    bait = tmp_path / "bait.py"
    bait.write_text(f"open({str(tmp_path / 'caught')!r}, 'w')")
    foreign = dataclasses.replace(run, objective="bait", lambda_=None, objective_file=str(bait))
    identity = identities.of_run(foreign)
    path, others = tmp_path / "checkpoints.h5", tmp_path / "others.py"
    others.write_text(bait.read_text() + "\n")
    for said in (identity, {**identity, "run": foreign.to_dict()}):
        hdf5.write(path, kinds.CHECKPOINTS, {"update_step": np.array([], int)}, said)
        error = measured_by_hand(path)
        assert isinstance(error, UserError) and "name that file with --objective" in str(error)
        error = measured_by_hand(path, "--objective", str(others))
        assert isinstance(error, UserError) and "others.py: its SHA-256 is" in str(error)
    assert not (tmp_path / "caught").exists()
