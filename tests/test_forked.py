"""A fork that calls Snakemake is what the command is."""

import json
import os
import subprocess
import time
from pathlib import Path

import forked
import pytest
from tree import ROOT

# Says what its process is like, on both outputs, as soon as it is read.
SNAKEFILE = """
import json, os, sys
import td_interference
print(json.dumps({
    "package": td_interference.__file__, "arguments": sys.argv, "directory": os.getcwd(),
    "environment": dict(os.environ), "leads": os.getsid(0) == os.getpid(), "path": sys.path[:3],
}))
sys.stdout.flush()
print("and this", file=sys.stderr)
rule wait:
    shell: "echo $$ > {config[started]}; sleep 600"
rule fail:
    shell: "exit 3"
"""


@pytest.fixture
def project(tmp_path):
    """A workflow with a package td_interference of its own."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    package = tmp_path / "src" / "td_interference" / "__init__.py"
    package.parent.mkdir(parents=True)
    package.write_text("")
    return tmp_path


def started(arguments, directory, environment):
    """The same by the command."""
    return subprocess.run(
        [forked.SNAKEMAKE, *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        start_new_session=True,
    )


def test_it_has_all_that_a_process_is_started_with(project):
    environment = {**os.environ, "MARK": "é\n", "PYTHONPATH": str(project / "src")}
    arguments = ["-n", "fail", "--cores", "1"]
    calls = [
        forked.snakemake(arguments, project, environment=environment),
        started(arguments, project, environment),
    ]
    fork, command = (json.loads(call.stdout.splitlines()[0]) for call in calls)
    assert fork == command
    assert fork["package"] == str(project / "src" / "td_interference" / "__init__.py")
    assert calls[0].stderr == calls[1].stderr and "and this" in calls[0].stderr
    assert calls[0].returncode == calls[1].returncode == 0


@pytest.mark.parametrize(
    "arguments", [["--version"], ["-n", "nonsense"], ["-n", "--config", "scale=x"]]
)
def test_it_says_and_returns_the_same(arguments):
    fork, command = forked.snakemake(arguments, ROOT), started(arguments, ROOT, None)
    assert (fork.returncode, fork.stdout, fork.stderr) == (
        command.returncode,
        command.stdout,
        command.stderr,
    )


def test_a_job_that_fails_fails_the_call(project):
    assert forked.snakemake(["fail", "--cores", "1"], project).returncode == 1


def test_what_takes_too_long_is_ended_with_its_jobs_and_the_next_call_is_answered(project):
    number = project / "number"
    arguments = ["wait", "--cores", "1", "--nolock", "--config", f"started={number}"]
    for patience in (5, 20, 80):  # on a busy machine the job may not have begun by then
        with pytest.raises(subprocess.TimeoutExpired):
            forked.snakemake(arguments, project, timeout=patience)
        if number.exists():
            break
    shell = int(number.read_text())
    end = time.monotonic() + 10
    while Path(f"/proc/{shell}").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    assert forked.snakemake(["--version"], project).returncode == 0


def test_it_is_measured_where_tests_measure_coverage(project):
    settings = project / "settings"
    settings.write_text("[run]\nparallel = true\nsource_pkgs = td_interference\n")
    environment = {
        **os.environ,
        "COVERAGE_PROCESS_START": str(settings),
        "COVERAGE_FILE": str(project / ".coverage"),
        "PYTHONPATH": str(project / "src"),
    }
    (project / "src" / "td_interference" / "__init__.py").write_text("ONE = 1\n")
    assert forked.snakemake(["-n", "fail"], project, environment=environment).returncode == 0
    (data,) = project.glob(".coverage.*")
    assert b"td_interference" in data.read_bytes()
