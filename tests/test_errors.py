"""What a bad file's line advises: a command that makes it anew."""

import subprocess
import sys
from pathlib import Path

import pytest

from td_interference.errors import UserError, one_line_errors, rebuild

ROOT = Path(__file__).parent.parent
RUN = "ms_pacman-td_lambda0-adam-lr0.0001-h8-seed0"
CONTROL = "ms_pacman-control-adam-lr0.0001-h8-seed0"


@pytest.mark.parametrize(
    "target",
    [
        "experts/ms_pacman/expert.safetensors",
        "replay/ms_pacman-seed0.h5",
        f"runs/{RUN}/checkpoints.h5",
        f"metrics/stiffness/{RUN}.h5",
        "tables/stiffness_by_lambda.parquet",
    ],
)
def test_results_have_a_command(target):
    path = f"results/smoke/{target}"
    command = f"rm -r {path} && snakemake --cores all --config scale=smoke -- {path}"
    assert rebuild(path) == f"rebuild it: {command}"
    assert rebuild(f"/some where/{path}") == f"rebuild it: cd '/some where' && {command}"


def test_a_window_is_rebuilt_with_the_others():
    windows = f"results/smoke/runs/{CONTROL}/windows"
    assert rebuild(f"{windows}/window-100.h5").endswith(f" -- {windows}")
    assert f"rm -r {windows} &&" in rebuild(f"{windows}/window-100.h5")


@pytest.mark.parametrize(
    "path",
    [
        "own.h5",
        "results/fig5.pdf",
        "results/smoke/state/x/y/z.h5",
        "results/smoke/replay/model.zip",
        "results/smoke/experts/mine.pt",
        "results/smoke/metrics/thoughts.h5",
    ],
)
def test_nobody_is_told_to_delete_other_files(path):
    assert "delete" not in rebuild(path) and "rm " not in rebuild(path)


def test_the_commands_are_snakemakes():
    """Snakemake knows each target that is advised."""
    targets = [
        f"results/smoke/{target}"
        for target in (
            "experts/ms_pacman/expert.safetensors",
            f"runs/{CONTROL}/windows",
            f"metrics/stiffness/{RUN}.h5",
            "tables/stiffness_by_lambda.parquet",
        )
    ]
    snakemake = Path(sys.executable).parent / "snakemake"
    command = [snakemake, "-n", "--quiet", "--config", "scale=smoke", "--", *targets]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_names_with_line_breaks_stay_one_line(capsys):
    with pytest.raises(SystemExit), one_line_errors():
        raise UserError("a\nb.h5: no such file")
    assert capsys.readouterr().err == "error: a b.h5: no such file\n"


@pytest.mark.parametrize(
    ("raised", "lines"), [("UserError('m.py: no card')", 1), ("KeyError(3)", 3)]
)
def test_a_mistake_that_a_script_meets_on_import_is_one_line(raised, lines):
    code = "import td_interference.jobs.interruptible; from td_interference.errors import UserError"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nraise {raised}"], capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stderr.count("\n") == lines
    assert (done.stderr == "error: m.py: no card\n") == (lines == 1)
