"""A bad result's line repeats the call that made it, with all that was set."""

import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from td_interference.calls import Call, call_file, quoted, remember_call
from td_interference.errors import rebuild

TARGET = "results/smoke/replay/ms_pacman-seed0.h5"


@pytest.fixture
def called(tmp_path, monkeypatch):
    """Return a function that lets Snakemake have been called so, in a directory."""

    def call(*words, directory=tmp_path, from_=None):
        (tmp_path / "from here").mkdir(exist_ok=True)
        monkeypatch.chdir(directory)
        monkeypatch.setenv("PWD", str(from_ or directory))
        program = Path(sys.executable).parent / "snakemake"
        monkeypatch.setattr(sys, "argv", [str(program), *words])
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        remember_call("smoke")
        return directory

    return call


@pytest.mark.parametrize(
    ("words", "repeated"),
    [
        (["--cores", "2", "results/fig5.pdf"], "snakemake --cores 2"),
        (
            ["results/fig5.pdf", "-c1", "--config", "scale=smoke", "own=[a b.py]"],
            "snakemake -c1 --config scale=smoke 'own=[a b.py]'",
        ),
        (
            ["--configfile", "my [conf].yaml", "other.yaml", "-c2", "--", "all", "all_tables"],
            "snakemake --configfile 'my [conf].yaml' other.yaml -c2",
        ),
        (
            ["--profile", "workflow/profiles/slurm", "-R", "all", "--cores", "1", "all"],
            "snakemake --profile workflow/profiles/slurm -R all --cores 1",
        ),
        (
            ["--cores", "all", "--config", "scale=smoke"],
            "snakemake --cores all --config scale=smoke",
        ),
    ],
)
def test_settings_are_repeated_and_targets_are_not(called, words, repeated):
    called(*words)
    assert rebuild(TARGET) == f"rebuild it: rm -r {TARGET} && {repeated} -- {TARGET}"


def test_a_call_for_another_directory_is_repeated_where_it_was_made(called, tmp_path):
    project = tmp_path / "else where"
    project.mkdir()
    words = ["-c1", "-d", "../else where", "--configfile", "mine.yaml"]
    called(*words, directory=project, from_=tmp_path / "from here")
    line = (
        f"rm -r {shlex.quote(str(project / TARGET))} && snakemake {shlex.join(words)} -- {TARGET}"
    )
    there = shlex.quote(str(tmp_path / "from here"))
    assert rebuild(TARGET) == f"rebuild it: cd {there} && {line}"
    os.chdir(tmp_path / "from here")
    assert rebuild(project / TARGET) == f"rebuild it: {line}"


def test_python_m_snakemake_is_repeated_so(called, monkeypatch):
    called("-c1")
    monkeypatch.setattr(sys, "argv", ["/x/snakemake/__main__.py", "-c3"])
    remember_call("smoke")
    assert f"{sys.executable} -m snakemake -c3 -- {TARGET}" in rebuild(TARGET)


def test_results_that_came_from_elsewhere_have_a_plain_call(called, tmp_path):
    called("-c1", "--configfile", "theirs.yaml")
    copied = tmp_path / "copied"
    (tmp_path / "results").rename(tmp_path / "moved")
    call_file(copied / "results", "smoke").parent.mkdir(parents=True)
    record = (tmp_path / "moved" / "smoke" / "state" / "snakemake-call.json").read_text()
    call_file(copied / "results", "smoke").write_text(record)
    plain = ["snakemake", "--cores", "all", "--config", "scale=smoke"]
    assert Call.of_scale(copied / "results", "smoke").command == plain


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"results": 3}', "\0", "null"])
def test_a_damaged_record_is_no_call(tmp_path, content):
    call_file(tmp_path / "results", "smoke").parent.mkdir(parents=True)
    call_file(tmp_path / "results", "smoke").write_text(content)
    call = Call.of_scale(tmp_path / "results", "smoke")
    assert call.directory == str(tmp_path) and "--cores" in call.command


def test_a_directory_that_cannot_be_written_to_stops_nothing(called, tmp_path):
    (tmp_path / "results").write_text("a file")
    called("-c1")
    assert rebuild(TARGET).endswith(f"snakemake --cores all --config scale=smoke -- {TARGET}")


def test_words_with_controls_stay_one_line():
    assert quoted("a\nb'c\x07") == "$'a\\nb\\'c\\x07'"
    assert quoted("a b") == "'a b'" and json.dumps(quoted("plain")) == '"plain"'
