"""SIGKILL at random moments, SIGTERM, a full disk: nothing is lost, and the bytes are the same.

`make test-kill` kills each stage five times, `make test-all` once; `make test` does so with one
stage of each kind.
"""

import functools
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import NamedTuple

import pytest
from listening import listen
from stages import RUN, STAGES, begin, digests, left_behind, make_inputs

from td_interference.jobs import preemption
from td_interference.jobs.progress import Progress
from td_interference.jobs.resume import ResumeState

INTERVAL = 0.05  # seconds: so short that many kills hit a save
FORKS = multiprocessing.get_context("forkserver")
# One stage of training and one of measuring; `make test-all` kills the others as well.
QUICK = ("policy_evaluation", "measurement")
EACH = [
    stage if stage in QUICK else pytest.param(stage, marks=pytest.mark.slow) for stage in STAGES
]


class Whole(NamedTuple):
    """An uninterrupted run."""

    digests: dict[str, str]
    duration: float  # seconds
    root: Path


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where `stages` is
        patch.setenv("OMP_NUM_THREADS", "1")
        FORKS.set_forkserver_preload(["stages"])
        forkserver.ensure_running()
    directory = tmp_path_factory.mktemp("inputs")
    make_inputs(directory)
    return directory


@pytest.fixture(scope="module")
def whole(inputs: Path, tmp_path_factory) -> Callable[[str], Whole]:
    """Run a stage without interruption or saved states; once."""

    @functools.cache
    def run(stage: str) -> Whole:
        root = tmp_path_factory.mktemp(stage)
        started = time.monotonic()
        STAGES[stage](inputs, root, 1e9, "cpu")
        return Whole(digests(root / "outputs"), time.monotonic() - started, root)

    return run


class Job:
    """A process that runs a stage: a fork of one that has imported all that a stage needs.

    To import it takes longer than the stages run; a fork has a session, signals and an exit status
    of its own, as a process that is started anew has.
    """

    def __init__(self, stage: str, inputs: Path, root: Path, interval: float):
        root.mkdir(parents=True, exist_ok=True)
        self._log = root / "said.txt"
        self._log.write_text("")
        arguments = (stage, str(inputs), str(root), str(interval), "cpu")
        self._process = FORKS.Process(target=begin, args=(str(self._log), *arguments))
        self._process.start()
        while "ready\n" not in self.said():
            assert self.code() is None, self.said()
            time.sleep(0.002)

    def said(self) -> str:
        """What it said by now."""
        return self._log.read_text()

    def code(self, within: float = 0) -> int | None:
        """Wait so many seconds for its end; return its exit status, None while it runs."""
        self._process.join(within)
        return self._process.exitcode

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Kill it and wait until it is gone."""
        self.send(signal.SIGKILL)
        assert self.code(60) == -signal.SIGKILL

    def finish(self, timeout: float = 120) -> str:
        """Wait for it to end well; return what it said."""
        assert self.code(timeout) == 0, self.said()
        return self.said()


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=pytest.mark.kill)])
@pytest.mark.parametrize("stage", EACH)
def test_killed_at_random_moments(stage, kills, inputs, whole, tmp_path) -> None:
    expected, duration, _ = whole(stage)
    seed = random.SystemRandom().randrange(2**32)
    moments, killed, attempt = random.Random(seed), 0, 0
    while killed < kills:
        attempt += 1
        root = tmp_path / f"attempt-{attempt}"
        while True:
            job = Job(stage, inputs, root, INTERVAL)
            if killed < kills and job.code(moments.uniform(0, duration / 2)) is None:
                job.kill()
                killed += 1
                continue
            job.finish()
            break
        assert digests(root / "outputs") == expected, f"after {killed} kills of seed {seed}"
        assert not left_behind(root / "state")
    print(f"{stage}: {killed} kills injected, {killed} survived, 0 lost")


@pytest.mark.parametrize("stage", EACH)
def test_a_job_that_had_ended_ends_at_once(stage, inputs, whole, monkeypatch) -> None:
    """Snakemake removes outputs that it did not live to record, and asks for them again."""
    expected, _, root = whole(stage)
    made = root / "outputs"
    damaged = next(path for path in sorted(made.rglob("*")) if path.is_file())
    for left in ("all", "none", "damaged"):
        if left == "none":
            shutil.rmtree(made)
        if left == "damaged":
            damaged.unlink()  # the file that is kept has the same content: not in place
            damaged.write_bytes(b"half")
        with monkeypatch.context() as patch:
            patch.setattr(Progress, "advance", lambda *_: pytest.fail("it works again"))
            STAGES[stage](inputs, root, INTERVAL, "cpu")
        assert digests(made) == expected, left


def saved(root: Path) -> list[Path]:
    return sorted((root / "state").glob("state-*.pt"))


def wait_for_states(job: Job, root: Path, number: int = 1) -> None:
    deadline = time.monotonic() + 60
    while len(saved(root)) < number:
        assert job.code() is None and time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(
    "stage", ["policy_evaluation", pytest.param("collection", marks=pytest.mark.slow)]
)
def test_sigterm_saves_a_state_and_ends(stage, inputs, whole, tmp_path) -> None:
    """Preemption before the first interval is over: what was done is not lost."""
    job = Job(stage, inputs, tmp_path, interval=1e9)
    time.sleep(0.3)
    job.send(signal.SIGTERM)
    assert job.code(3 * preemption.GRACE) == 128 + signal.SIGTERM  # a busy machine
    said = job.said()
    assert "Traceback" not in said and "ended by SIGTERM: the resume state is" in said
    assert len(saved(tmp_path)) == 1 and not digests(tmp_path / "outputs")
    Job(stage, inputs, tmp_path, INTERVAL).finish()
    assert digests(tmp_path / "outputs") == whole(stage).digests


ENDLESS = """
import sys, time
from pathlib import Path
from td_interference.jobs import job as a_job, preemption
from td_interference.jobs.resume import ResumeState
preemption.GRACE = 2
saves = sys.argv[2] == "saves"
with a_job.job(sys.argv[1] + "/job.log"):
    resume = ResumeState(sys.argv[1] + "/state", {}, 1e9)
    resume.load()
    print("ready", flush=True)
    while True:
        time.sleep(1)
        if saves and resume.due():
            resume.save({"all": "that was done"})
"""


@pytest.mark.parametrize(
    ("sent", "saves"),
    [
        (signal.SIGTERM, "saves"),
        (signal.SIGINT, "saves nothing"),
        *(
            pytest.param(sent, saves, marks=pytest.mark.slow)
            for sent, saves in (
                (signal.SIGINT, "saves"),
                (signal.SIGHUP, "saves"),
                (signal.SIGTERM, "saves nothing"),
                (signal.SIGHUP, "saves nothing"),
            )
        ),
    ],
)
def test_signals_that_come_again_and_again_end_a_job(tmp_path: Path, sent, saves) -> None:
    """With a state where one can be saved in time; by the alarm, without a traceback, where not."""
    command = [sys.executable, "-c", ENDLESS, str(tmp_path), saves]
    job = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=listen
    )
    assert job.stdout is not None and job.stdout.readline() == "ready\n"
    end = time.monotonic() + 30
    while job.poll() is None and time.monotonic() < end:
        job.send_signal(sent)
        time.sleep(0.3)
    job.kill()
    _, said = job.communicate()
    assert job.returncode == 128 + sent
    assert "Traceback" not in said and f"ended by {sent.name}: " in said
    assert ("could not save" in said) == (saves == "saves nothing")
    assert len(saved(tmp_path)) == (saves == "saves")


def test_ctrl_c_while_a_script_imports_ends_it_in_silence(tmp_path: Path) -> None:
    code = "import time; import td_interference.jobs.interruptible\nprint('ready', flush=1)\n"
    code += "time.sleep(60)"
    command = [sys.executable, "-c", code]
    script = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=listen
    )
    assert script.stdout is not None and script.stdout.readline() == "ready\n"
    script.send_signal(signal.SIGINT)
    _, said = script.communicate(timeout=30)
    assert script.returncode == -signal.SIGINT and said == ""


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    """As `nohup` and shells in the background ask for."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with preemption.listening():
            os.kill(os.getpid(), signal.SIGHUP)
            assert not preemption.requested()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_damaged_state_costs_one_interval(inputs: Path, tmp_path: Path) -> None:
    job = Job("policy_evaluation", inputs, tmp_path, INTERVAL)
    wait_for_states(job, tmp_path, 2)
    job.kill()
    newest = saved(tmp_path)[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    said = Job("policy_evaluation", inputs, tmp_path, INTERVAL).finish()
    assert f"{newest} cannot be read (its digest is not that of its content)" in said
    assert "goes on from" in said
    expected = digests(inputs / "run" / "outputs")
    assert digests(tmp_path / "outputs") == expected


@pytest.mark.slow
def test_the_last_two_states_are_kept(inputs: Path, tmp_path: Path) -> None:
    job = Job("policy_evaluation", inputs, tmp_path, INTERVAL)
    wait_for_states(job, tmp_path)
    most = 0
    while job.code() is None and not (tmp_path / "outputs" / "checkpoints.h5").exists():
        most = max(most, len(saved(tmp_path)))
    job.finish()
    assert 2 <= most <= 3  # a third for the moment until the oldest is gone


def test_another_learning_rate_does_not_take_the_state(inputs: Path, tmp_path: Path) -> None:
    job = Job("policy_evaluation", inputs, tmp_path, INTERVAL)
    wait_for_states(job, tmp_path)
    job.kill()
    other = {"run": {**RUN.to_dict(), "learning_rate": 1.0}, "run_id": RUN.run_id}
    assert ResumeState(tmp_path / "state", other).load() is None
