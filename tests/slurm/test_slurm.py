"""Figure 5 on a real Slurm, undisturbed and with jobs cancelled and nodes lost: the same bytes.

Not in `make test`: `make test-slurm` starts a controller and two node daemons on this machine.
"""

import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tree import copy_tree

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
DEADLINE = 600  # seconds for one run of the workflow; the plugin may hang (docs/slurm.md)
# Smoke scale, with training just long enough to be met on its way by a fault.
CONFIG = ["scale=smoke", "resume_interval=1", "training={updates: 1000}"]
CONFIG += ["expert={updates_per_step: 1}"]

pytestmark = pytest.mark.slurm


def slurm(*command):
    """What a Slurm command prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def daemons():
    """Processes of Slurm and munge, by id."""
    names = {"slurmctld", "slurmd", "slurmstepd", "munged"}
    alive = (p for p in psutil.process_iter(["name", "status"]) if p.info["name"] in names)
    return {p.pid for p in alive if p.info["status"] != psutil.STATUS_ZOMBIE}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A controller and two nodes, each with two CPUs; the directory of their state."""
    if platform.system() != "Linux" or os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip("needs root on a Debian system, to install and start Slurm")
    before = daemons()
    base = tmp_path_factory.mktemp("slurm")
    started = subprocess.run(
        [HERE / "start-slurm.sh", base], stderr=subprocess.PIPE, text=True, timeout=300
    )
    try:
        if started.returncode == 3:
            pytest.skip(started.stderr.strip())
        assert started.returncode == 0, started.stderr
        yield base
    finally:
        subprocess.run([HERE / "stop-slurm.sh", base], check=True, timeout=120)
        assert daemons() <= before, "daemons of Slurm are left behind"


class Workflow:
    """`snakemake --profile workflow/profiles/slurm results/fig5.pdf` in a fresh directory."""

    def __init__(self, directory):
        self.directory = copy_tree(directory)
        self.log = directory / "snakemake.log"
        command = ["timeout", "-k", "30", "-s", "INT", str(DEADLINE), BIN / "snakemake"]
        command += ["--profile", "workflow/profiles/slurm", "results/fig5.pdf"]
        # Of this cluster, which keeps no accounts; and figure 5 should not take ten minutes.
        command += ["--slurm-status-command", "squeue"]
        command += ["--slurm-init-seconds-before-status-checks", "1"]
        # Two threads wait for each other actively, and four jobs share what may be two cores.
        command += ["--set-threads", "train_expert=1", "--config", *CONFIG]
        self.process = subprocess.Popen(
            command,
            cwd=self.directory,
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,  # `timeout` signals its group, which is not to be ours
            env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # Snakemake then cancels its jobs
            self.process.wait(60)

    def jobs(self, rule):
        """Running Slurm jobs of a rule: number of each with its node."""
        listed = slurm("squeue", "-h", "-t", "R", "-o", "%i %N %k").splitlines()
        rows = [line.split(maxsplit=2) for line in listed]
        return {job: node for job, node, comment in rows if comment.startswith(f"rule_{rule}_")}

    def until(self, condition, what):
        """Wait until a condition holds, and return what it is."""
        end = time.monotonic() + DEADLINE / 2
        while not (value := condition()):
            assert time.monotonic() < end and self.process.poll() is None, f"{what}: {self.said}"
            time.sleep(0.1)
        return value

    def under_way(self, rule, n=1):
        """Running jobs of a rule, once `n` of them have a resume state."""

        def condition():
            states = self.directory.glob(f"results/smoke/state/{rule}/*/*.pt")
            found = {path.parent for path in states}
            jobs = self.jobs(rule)
            return jobs if len(found) >= n and len(jobs) >= n else None

        return self.until(condition, f"{rule} under way")

    def finish(self):
        """Wait for the figure."""
        assert self.process.wait() == 0, self.said
        assert (self.directory / "results" / "fig5.pdf").stat().st_size > 0

    @property
    def said(self):
        """What Snakemake printed."""
        return self.log.read_text()

    def digests(self):
        """SHA-256 of everything that was computed, by path."""
        smoke = self.directory / "results" / "smoke"
        kinds = {".h5", ".parquet", ".csv", ".safetensors"}
        files = [path for path in sorted(smoke.rglob("*")) if path.suffix in kinds]
        return {
            str(path.relative_to(smoke)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
        }

    def logs(self, rule):
        """Log of each job of a rule, as its last attempt wrote it."""
        paths = sorted((self.directory / "results/smoke/logs" / rule).glob("*.log"))
        return [path.read_text() for path in paths]


@pytest.fixture(scope="module")
def undisturbed(cluster, tmp_path_factory):
    """The workflow, left alone; and what the status command said meanwhile."""
    with Workflow(tmp_path_factory.mktemp("undisturbed")) as workflow:
        workflow.under_way("train_run")
        status = subprocess.run(
            [sys.executable, "-c", "from td_interference.cli import main; main()", "status"],
            cwd=workflow.directory,
            env={**os.environ, "COLUMNS": "200"},
            capture_output=True,
            text=True,
        )
        workflow.finish()
    return workflow, status.stdout


def kill_node(base, node):
    """Let a node die, its daemon and all that runs on it, and tell the controller.

    Without the latter it would find out by itself, after `SlurmdTimeout`.
    """
    running = slurm("squeue", "-h", "-t", "R", "-w", node, "-o", "%A").split()
    daemon = psutil.Process(int((base / f"slurmd-{node}.pid").read_text()))
    steps = [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] == "slurmstepd"
        and any(f"[{job}." in " ".join(process.info["cmdline"]) for job in running)
    ]
    victims = [daemon, *steps, *(child for step in steps for child in step.children(True))]
    for process in victims:
        process.kill()
    slurm("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    return running


def test_a_cluster_makes_the_figure(undisturbed):
    workflow, _ = undisturbed
    digests = workflow.digests()
    assert len([path for path in digests if path.endswith(".h5")]) == 2 + 4 + 4
    assert not list(workflow.directory.glob("results/smoke/state/**/*.pt"))
    # One submission for the expert, one each for two D* and four runs; the four measurements share
    # one, the table and the figure another.
    assert workflow.said.count("has been submitted with SLURM jobid") == 1 + 2 + 4 + 1 + 1
    # Slurm's own logs of what succeeded are gone, each job's own are there.
    assert not list((workflow.directory / "results").glob("slurm-logs/**/*.log"))
    assert len(workflow.logs("train_run")) == 4


def test_status_shows_the_jobs_of_a_cluster(undisturbed):
    _, status = undisturbed
    assert re.search(r"train_run ms_pacman-td_lambda.*/1,000 updates", status)


def revive_node(name):
    """Start a dead node's daemon, and let jobs run there again."""
    slurm("slurmd", "-N", name)
    # A daemon that has registered by now is up already, and Slurm refuses to resume it.
    resume = ["scontrol", "update", f"NodeName={name}", "State=RESUME"]
    subprocess.run(resume, capture_output=True, timeout=30)
    for _ in range(60):
        if slurm("sinfo", "-h", "-n", name, "-o", "%T").strip() in {"idle", "mixed", "allocated"}:
            return
        time.sleep(1)
    raise AssertionError(f"{name} stays {slurm('sinfo', '-h', '-n', name, '-o', '%T')}")


def test_nothing_is_lost_when_jobs_are_cancelled_and_nodes_die(cluster, undisturbed, tmp_path):
    with Workflow(tmp_path) as workflow:
        # A job is cancelled on its way: it fails and is submitted again.
        (expert,) = workflow.under_way("train_expert")
        slurm("scancel", expert)
        # A node is drained: what runs there ends, the rest goes to the other one.
        workflow.until(lambda: workflow.jobs("collect_replay"), "collect_replay")
        slurm("scontrol", "update", "NodeName=node1", "State=DRAIN", "Reason=test")
        on_nodes = workflow.under_way("train_run", 2)
        assert set(on_nodes.values()) == {"node2"}
        slurm("scontrol", "update", "NodeName=node1", "State=RESUME")
        # A node dies with the jobs on it: Slurm puts them back into the queue.
        lost = kill_node(cluster, "node2")
        assert set(lost) & set(on_nodes)
        revive_node("node2")
        workflow.finish()
    assert f"SLURM-job '{expert}' failed" in workflow.said
    (log,) = workflow.logs("train_expert")
    assert "goes on from" in log
    assert sum("goes on from" in log for log in workflow.logs("train_run")) >= len(
        set(lost) & set(on_nodes)
    )
    assert workflow.digests() == undisturbed[0].digests()
