"""What lies beside resume states: parts, damaged, exchanged, of other settings; and outputs."""

import dataclasses
import os
import re
import shutil
import time
from pathlib import Path

import pytest
import torch
from stages import PLAYER, REPLAY, RUN, STAGES, digests, make_inputs, run
from test_divergence import STIFFNESS

from td_interference.errors import UserError
from td_interference.jobs.kept_files import (
    Parts,
    forget,
    forget_outputs,
    keep_outputs,
    restore_outputs,
)
from td_interference.jobs.progress import Progress
from td_interference.jobs.resume import ResumeState
from td_interference.metrics.measuring import measure_run
from td_interference.storage.identity import of_run

WITH_PARTS = {"policy_evaluation": 120, "control": 520, "classification": 120}  # steps until killed


class Killed(BaseException):
    """As good as a kill: nothing but the files is left."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("inputs")
    make_inputs(directory)
    return directory


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory):
    """Digests of what stages make undisturbed."""
    made = {}

    def of(stage):
        if stage not in made:
            root = tmp_path_factory.mktemp(stage)
            STAGES[stage](inputs, root, 60.0, "cpu")
            made[stage] = digests(root / "outputs")
        return made[stage]

    return of


@pytest.fixture
def killed(monkeypatch):
    """Call something that is killed once it has done some steps."""

    def call(steps, function, *arguments):
        advance, done = Progress.advance, 0

        def count(progress, n=1):
            nonlocal done
            advance(progress, n)
            done += n
            if done >= steps:
                raise Killed

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(Progress, "advance", count)
            function(*arguments)

    return call


def flip(parts):
    content = bytearray(parts[0].read_bytes())
    content[len(content) // 2] ^= 1
    parts[0].write_bytes(content)


def exchange(parts):
    first, second = parts[0].read_bytes(), parts[1].read_bytes()
    parts[0].write_bytes(second)
    parts[1].write_bytes(first)


FAULTS = {
    "a flipped bit": flip,
    "cut short": lambda parts: os.truncate(parts[0], 100),
    "deleted": lambda parts: parts[0].unlink(),
    "exchanged": exchange,
    "a folder": lambda parts: (parts[0].unlink(), parts[0].mkdir()),
}


@pytest.mark.parametrize(
    ("stage", "fault"),
    [
        ("policy_evaluation", "a flipped bit"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [
                ("policy_evaluation", "deleted"),
                ("policy_evaluation", "cut short"),
                ("policy_evaluation", "exchanged"),
                ("policy_evaluation", "a folder"),
                ("control", "exchanged"),
                ("classification", "a flipped bit"),
            ]
        ),
    ],
)
def test_a_bad_part_is_found_and_made_again(
    stage, fault, inputs, whole, killed, tmp_path, caplog
) -> None:
    killed(WITH_PARTS[stage], STAGES[stage], inputs, tmp_path, 0.02, "cpu")
    # Oldest first: each state that is there knows of the first two.
    parts = sorted((tmp_path / "state").glob("*[0-9].h5"), key=os.path.getmtime)
    FAULTS[fault](parts[:2])
    STAGES[stage](inputs, tmp_path, 60.0, "cpu")
    assert re.search(rf"{parts[0]}|{parts[-1]}", caplog.text)
    assert "trying the state before" in caplog.text and "beginning anew" in caplog.text
    assert digests(tmp_path / "outputs") == whole(stage)


def test_a_bad_part_of_the_newest_state_alone_costs_one_interval(tmp_path, caplog):
    resume = ResumeState(tmp_path, {})
    for number in (1, 2):
        with resume.parts.new(f"part-{number}") as path:
            path.write_text(f"{number}")
        resume.save({"number": number})
    (tmp_path / "part-2").unlink()
    again = ResumeState(tmp_path, {})
    assert again.load() == {"number": 1}
    assert again.parts.path("part-1").read_text() == "1"
    assert f"{tmp_path / 'part-2'}: cannot be read (No such file" in caplog.text
    with pytest.raises(UserError, match="part-2: cannot be read"):
        again.parts.path("part-2")


@pytest.mark.slow
def test_a_part_that_goes_bad_before_the_end_is_no_defect(inputs, killed, tmp_path):
    """One line, and the next call makes it anew."""

    def damage(self, *arguments):
        flip([tmp_path / "state" / "checkpoint-10.h5"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Progress, "__exit__", damage)
        with pytest.raises(UserError, match=r"checkpoint-10\.h5: is not the file .*same command"):
            run(RUN, inputs, tmp_path, 0.02)
    run(RUN, inputs, tmp_path, 60.0)
    assert digests(tmp_path / "outputs") == digests(inputs / "run" / "outputs")


@pytest.mark.parametrize(
    "setting", [{"loss": "squared"}, pytest.param({"gamma": 0.5}, marks=pytest.mark.slow)]
)
def test_settings_changed_and_changed_back_leave_nothing(
    setting, inputs, killed, whole, tmp_path, caplog
):
    """None of them is in the run's name, so they share a directory."""
    other = dataclasses.replace(RUN, **setting)
    assert other != RUN and other.run_id == RUN.run_id
    killed(120, run, RUN, inputs, tmp_path, 0.02)
    killed(80, run, other, inputs, tmp_path, 60.0)  # before it saved a state of its own
    run(RUN, inputs, tmp_path, 60.0)
    assert "belongs to other settings; not used" in caplog.text
    assert "is not the file that this job wrote" in caplog.text
    assert digests(tmp_path / "outputs") == whole("policy_evaluation")


OWN = '''
"""A multiple of the return."""
from td_interference.objectives.q_base import QRegressionObjective
class Objective(QRegressionObjective):
    """Q(S, A) towards it."""
    def target(self, index):
        """Return it."""
        return FACTOR * self.replay.monte_carlo_return[index]
'''


@pytest.mark.slow
def test_an_edited_objective_begins_anew(inputs, killed, tmp_path):
    """In training and in measuring, though name and settings are the same."""
    file = tmp_path / "own.py"
    spec = dataclasses.replace(RUN, objective="own", lambda_=None, objective_file=str(file))
    fresh, resumed = tmp_path / "fresh", tmp_path / "resumed"
    file.write_text(OWN.replace("FACTOR", "1.0"))

    def planned():
        return of_run(spec, dataclasses.asdict(REPLAY), dataclasses.asdict(PLAYER))

    first = planned()

    def train(root, interval=60.0):
        run(spec, inputs, root, interval, identity=planned())

    def measure(root):
        measure_run(
            *("stiffness", {**STIFFNESS, "checkpoints": "all"}, spec, inputs / "replay.h5"),
            *(fresh / "outputs" / "checkpoints.h5", root / "outputs" / "stiffness.h5"),
            wanted=None,
            device=torch.device("cpu"),
            state_directory=root / "measuring",
            resume_interval=0.0,
        )

    killed(120, train, resumed, 0.02)
    file.write_text(OWN.replace("FACTOR", "-5.0"))
    with pytest.raises(UserError, match=r"own\.py: was edited since this was planned"):
        run(spec, inputs, resumed, 60.0, identity=first)
    train(resumed)
    train(fresh)
    assert digests(resumed / "outputs") == digests(fresh / "outputs")

    killed(3, measure, resumed)
    file.write_text(OWN.replace("FACTOR", "1.0"))
    with pytest.raises(UserError, match=r"own\.py: was edited since this was planned"):
        measure(resumed)


@pytest.fixture
def outputs(tmp_path):
    """A file and a folder of files, as a job wrote them."""
    paths = [tmp_path / "results" / "table.csv", tmp_path / "results" / "windows"]
    (paths[1] / "inner").mkdir(parents=True)
    for path in (paths[0], paths[1] / "w-1.h5", paths[1] / "inner" / "w-2.h5"):
        path.write_text(path.name)
    return paths


@pytest.mark.parametrize("left", ["nothing", "everything", "another file"])
def test_outputs_are_put_back_and_newly_written(tmp_path, outputs, left):
    state, before = tmp_path / "state", digests(tmp_path / "results")
    assert keep_outputs(state, "me", outputs)
    assert all(os.stat(path).st_nlink == 2 for path in (outputs[0], outputs[1] / "w-1.h5"))
    if left == "nothing":
        for path in outputs[1].rglob("*.h5"):
            path.unlink()
        outputs[0].unlink()
    elif left == "another file":
        outputs[0].unlink()
        outputs[0].write_text("other")
    os.utime(state / "outputs" / "0", (1, 1))  # the clock was set back meanwhile
    assert restore_outputs(state, "me", outputs)
    assert digests(tmp_path / "results") == before
    assert outputs[0].stat().st_mtime > time.time() - 60
    forget(state)
    assert digests(tmp_path / "results") == before and not state.exists()


@pytest.mark.parametrize("fault", FAULTS)
def test_outputs_that_are_not_good_are_not_put_back(tmp_path, outputs, fault, caplog):
    state = tmp_path / "state"
    keep_outputs(state, "me", outputs)
    FAULTS[fault]([state / "outputs" / "0", state / "outputs" / "1" / "w-1.h5"])
    outputs[0].unlink(missing_ok=True)
    assert not restore_outputs(state, "me", outputs)
    assert "the outputs are made anew" in caplog.text and not outputs[0].exists()


@pytest.mark.parametrize(
    "listed",
    ["{}", "[]", "null", '{"../outputs.json": "x"}', '{"0": "x", "2": "x"}', "[" * 5000],
)
def test_a_list_of_outputs_that_names_others_is_not_used(tmp_path, outputs, listed, caplog):
    state = tmp_path / "state"
    keep_outputs(state, "me", outputs)
    outputs[0].unlink()
    (state / "outputs.json").write_text(f'{{"identity": "me", "digests": {listed}}}')
    assert not restore_outputs(state, "me", outputs)
    assert "outputs.json cannot be read" in caplog.text and not outputs[0].exists()


def test_an_output_without_a_file_is_not_kept(tmp_path, outputs):
    """Nothing would be put back for it."""
    shutil.rmtree(outputs[1])
    outputs[1].mkdir()
    assert not keep_outputs(tmp_path / "state", "me", outputs)
    assert not (tmp_path / "state" / "outputs").exists()


def test_folders_in_the_way_are_taken_away(tmp_path, outputs):
    state = tmp_path / "state"
    for name in ("outputs.json", "state-000007.pt"):
        (state / name / "inner").mkdir(parents=True)
    resume = ResumeState(state, {})
    assert not resume.finished(outputs) and resume.load() is None
    resume.save({"number": 8})
    resume.finish(outputs)
    assert {path.name for path in state.iterdir() if path.is_file()} == {"outputs.json"}
    assert ResumeState(state, {}).finished(outputs)


def test_outputs_of_other_settings_are_not_put_back(tmp_path, outputs, caplog):
    keep_outputs(tmp_path / "state", "me", outputs)
    outputs[0].unlink()
    assert not restore_outputs(tmp_path / "state", "another", outputs)
    assert "outputs of other settings" in caplog.text and not outputs[0].exists()
    forget_outputs(tmp_path / "state")
    assert not restore_outputs(tmp_path / "state", "me", outputs)


def test_without_hard_links_the_state_stays_instead(tmp_path, outputs, monkeypatch):
    def link(*_):
        raise OSError(95, "Operation not supported")

    resume = ResumeState(tmp_path / "state", {})
    resume.save({"number": 7})
    monkeypatch.setattr(os, "link", link)
    resume.finish(outputs)
    assert not (tmp_path / "state" / "outputs").exists()
    again = ResumeState(tmp_path / "state", {})
    assert not again.finished(outputs) and again.load() == {"number": 7}


def test_nothing_else_of_the_job_stays(tmp_path, outputs):
    resume = ResumeState(tmp_path / "state", {})
    with resume.parts.new("part-1") as path:
        path.write_text("1")
    resume.save({})
    resume.finish(outputs)
    assert {path.name for path in (tmp_path / "state").iterdir()} == {"outputs", "outputs.json"}


def test_parts_know_themselves(tmp_path):
    parts = Parts(tmp_path)
    with parts.new("one") as path:
        path.write_text("1")
    assert Parts(tmp_path).restore(parts.digests) is None
    path.write_text("2")
    assert "one: is not the file that this job wrote" in Parts(tmp_path).restore(parts.digests)
