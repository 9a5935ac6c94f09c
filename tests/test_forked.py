"""A fork that calls Snakemake, or is a job of it, is what the command is."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import forked
import forked_scripts
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
    # These tests may be measured themselves.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    environment = {
        **kept,
        "COVERAGE_PROCESS_START": str(settings),
        "COVERAGE_FILE": str(project / ".coverage"),
        "PYTHONPATH": str(project / "src"),
    }
    (project / "src" / "td_interference" / "__init__.py").write_text("ONE = 1\n")
    assert forked.snakemake(["-n", "fail"], project, environment=environment).returncode == 0
    (data,) = project.glob(".coverage.*")
    assert b"td_interference" in data.read_bytes()


@pytest.fixture
def script(tmp_path):
    """A script that lies where Snakemake writes a job's."""
    directory = tmp_path / ".snakemake" / "scripts"
    directory.mkdir(parents=True)
    return directory / "tmp1.job.py"


def run_both(script, text, directory, **environment):
    """Run a script in a fork and in a process of its own."""
    script.write_text(text)
    started = {**os.environ, **environment}
    forked = forked_scripts.environment(started)
    calls = [
        subprocess.run(
            [sys.executable, script], cwd=directory, env=variables, capture_output=True, text=True
        )
        for variables in (forked, started)
    ]
    return [(call.returncode, call.stdout, call.stderr) for call in calls]


def test_a_job_that_is_forked_has_all_that_its_process_is_started_with(script, project):
    text = """
import json, os, sys
import td_interference
preloaded = "torch" in sys.modules
environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
print(json.dumps([
    preloaded, td_interference.__file__, sys.argv, os.getcwd(), environment, __name__, sys.path[0],
]))
print("and this", file=sys.stderr)
"""
    fork, process = run_both(script, text, project, MARK="é\n", PYTHONPATH=str(project / "src"))
    (fork_has_torch, *fork_said), (has_torch, *said) = (json.loads(c[1]) for c in (fork, process))
    assert fork_said == said and fork_has_torch and not has_torch
    assert said[0] == str(project / "src" / "td_interference" / "__init__.py")
    assert (fork[0], fork[2]) == (process[0], process[2]) == (0, "and this\n")


@pytest.mark.parametrize(
    "text",
    [
        "raise SystemExit(3)",
        "raise SystemExit('error: no such file')",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import atexit, sys; atexit.register(print, 'last'); sys.excepthook = print; 1 / 0",
        "import sys; sys.stdout.reconfigure(errors='backslashreplace'); print('\\udc80')",
        "import sys; print(sys.stdin.read(), sys.stdout.encoding, sys.stderr.errors)",
    ],
)
def test_a_job_that_is_forked_ends_as_its_process(script, text, tmp_path):
    fork, process = run_both(script, text, tmp_path)
    address = r"0x[0-9a-f]+"
    assert [re.sub(address, "", str(part)) for part in fork] == [
        re.sub(address, "", str(part)) for part in process
    ]


def test_a_job_that_is_forked_is_killed_with_its_process(script, tmp_path):
    script.write_text("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    process = subprocess.Popen(
        [sys.executable, script],
        env=forked_scripts.environment(dict(os.environ)),
        stdout=subprocess.PIPE,
    )
    job = int(process.stdout.readline())
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while Path("/proc", str(job)).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
