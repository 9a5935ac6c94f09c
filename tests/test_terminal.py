"""Tables are never cut, names are shown as they are, times and rates are those that they are."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tree import ROOT

from td_interference.errors import UserError, explained, printable
from td_interference.jobs import progress
from td_interference.jobs.progress import Progress
from td_interference.jobs.quantities import duration, rate, size

LONG = "ms_pacman-td_lambda0.25-adam-lr0.0001-h8-seed"
ODD = ["[old] runs", "a[/b]", "[/red]", "[link=x]y", ":smile:", "{x}", "%s", "[bold]", "\\[x]"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (25 * 3600, "25:00:00"),
        (11 * 86400, "264:00:00"),
        (59.6, "00:01:00"),
        (0, "00:00:00"),
        (-9, "00:00:00"),
        (None, "?"),
        (float("inf"), "?"),
        (float("nan"), "?"),
    ],
)
def test_times(seconds, shown):
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("per_second", "shown"),
    [
        (57.34, "57.3 u/s"),
        (1234.5, "1234 u/s"),
        (0.0271, "0.0271 u/s"),
        (0.00031, "0.000310 u/s"),
        (2e-12, "0.00000000000200 u/s"),
        (None, "? u/s"),
        (0.0, "? u/s"),
    ],
)
def test_rates(per_second, shown):
    assert rate(per_second, "u") == shown


@pytest.mark.parametrize(
    ("n_bytes", "shown"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1500, "1.5 kB"),
        (23_456, "23.5 kB"),
        (4_700_000, "4.7 MB"),
        (999_499, "999 kB"),
        (999_999, "1 MB"),
        (999_600_000, "1 GB"),
        (2_345_000_000_000_000, "2340 TB"),
        (6_800_000_000, "6.8 GB"),
    ],
)
def test_sizes(n_bytes, shown):
    assert size(n_bytes) == shown


def test_what_goes_beyond_its_total_never_has_less_than_no_time_left(tmp_path, caplog):
    caplog.set_level("INFO")
    with Progress("collect_replay x", 1500, "steps", tmp_path / "s", interval=0) as progress_:
        assert json.loads((tmp_path / "s" / "progress.json").read_text())["seconds_left"] is None
        progress_.advance(2048)
        assert json.loads((tmp_path / "s" / "progress.json").read_text())["seconds_left"] == 0
    assert re.search(r"2048/2048 steps \[\d\d:\d\d:\d\d<00:00:00, [\d.]+ steps/s\]", caplog.text)
    assert "-" not in caplog.text.split("x:")[1]


def test_nothing_is_known_before_anything_is_done(tmp_path, caplog):
    caplog.set_level("INFO")
    with Progress("x", 5, "checkpoints", tmp_path / "s"):
        pass
    assert "<?, ? checkpoints/s]" in caplog.text


def heartbeat(directory, job, **over):
    """Leave the heartbeat of this living process."""
    beat = progress.Heartbeat(
        *(job, "updates", 10, 100, 2.0, 45.0, 2e9, os.getpid(), "", os.uname().nodename)
    )
    directory.mkdir(parents=True)
    whole = json.dumps(beat._replace(**over)._asdict())
    (directory / progress.FILE_NAME).write_text(whole)


def td_interference(*arguments, columns=80, terminal=False):
    """Run the command with a pipe or a terminal for its output; return it and its errors."""
    command = [sys.executable, "-c", "from td_interference.cli import main; main()", *arguments]
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    if not terminal:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
        return done.stdout, done.stderr
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment, cwd=ROOT):
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 65536):
                said += part
        except OSError:  # the other side is gone
            pass
    os.close(ours)
    return re.sub(r"\x1b\[[\d;?]*\w", "", said.decode()), ""


@pytest.mark.parametrize("terminal", [False, True])
def test_status_at_eighty_columns_cuts_nothing(tmp_path, terminal):
    left = {0: 25 * 3600.0, 1: 11 * 86400.0}
    for seed in (0, 1):
        name = f"{LONG}{seed}"
        heartbeat(
            tmp_path / "smoke" / "state" / "train_run" / name,
            f"train_run {name}",
            seconds_left=left[seed],
        )
    said, _ = td_interference("status", str(tmp_path), terminal=terminal)
    for seed, shown in ((0, "25:00:00"), (1, "264:00:00")):
        assert f"train_run {LONG}{seed}" in said and shown in said
    assert "…" not in said
    if not terminal:
        assert [line.count("\t") for line in said.splitlines()] == [4, 4, 4]


@pytest.mark.parametrize("terminal", [False, True])
def test_the_plan_at_eighty_columns_cuts_nothing(tmp_path, terminal):
    (tmp_path / "[x] mine.yaml").write_text("experiments: {td_lambda: {n_seeds: 2}}")
    said, errors = td_interference(
        *("plan", "--scale", "smoke", "--configfile", str(tmp_path / "[x] mine.yaml")),
        terminal=terminal,
    )
    for seed in (0, 1):
        assert f"ms_pacman-td_lambda0-adam-lr0.0001-h8-seed{seed}" in said
    assert "…" not in said and not errors


def test_a_wide_terminal_gets_a_table(tmp_path):
    heartbeat(tmp_path / "smoke" / "state" / "train_run" / "a", "train_run [/a]")
    said, _ = td_interference("status", str(tmp_path), terminal=True, columns=150)
    assert "train_run [/a]" in said and "│" in said and "…" not in said


@pytest.mark.parametrize("name", ODD)
def test_names_are_never_markup(tmp_path, replay_path, name):
    from typer.testing import CliRunner

    from td_interference.cli import app

    folder = tmp_path / name
    folder.mkdir(parents=True)
    (folder / "d.h5").write_bytes(Path(replay_path).read_bytes())
    result = CliRunner().invoke(app, ["inspect", str(folder / "d.h5")])
    assert result.exit_code == 0 and f"{folder}/d.h5" in result.output
    result = CliRunner().invoke(app, ["inspect", str(folder / "absent.h5")])
    assert f"{folder}/absent.h5: no such file" in str(result.exception)
    heartbeat(folder / "smoke" / "state" / "x" / "y", f"train_run {name}")
    assert f"train_run {name}" in CliRunner().invoke(app, ["status", str(folder)]).output


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\nb", "a b"), ("a\x07b", r"a\x07b"), ("a\x1b[31mb", r"a\x1b[31mb"), ("\udcff", r"\udcff")],
)
def test_names_that_no_terminal_shows_are_escaped(tmp_path, name, shown):
    assert printable(name) == shown
    assert printable(f"{name}.h5") in explained(UserError(f"{name}.h5: no such file"))
    said, errors = td_interference("inspect", f"{name}.h5")
    assert errors == f"error: {shown}.h5: no such file\n" and not said
    path = tmp_path / f"{name}.csv"
    path.write_text("a\n1\n")
    said, errors = td_interference("inspect", str(path))
    assert f"{shown}.csv\n" in said and not errors


def test_what_the_system_refuses_is_one_line_with_the_path():
    for error in (
        FileNotFoundError(2, "No such file or directory", "x.h5"),
        PermissionError(13, "Permission denied", b"x.h5"),
        OSError(36, "File name too long", "x.h5"),
    ):
        assert explained(error) == f"x.h5: {error.strerror}"
    assert explained(OSError(5, "Input/output error")) == "Input/output error"
    assert explained(OSError("words of a library")) is None


def test_a_reader_that_stops_reading_is_no_error():
    command = (
        f"{sys.executable} -c 'from td_interference.cli import main; main()' plan --scale paper"
    )
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -n 1"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout == "# paper scale\n" and "Traceback" not in done.stderr
