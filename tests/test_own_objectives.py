"""Mistakes in a user's own objective: file, line and function, once, and as early as can be."""

import dataclasses
import logging
import os
import sys
import textwrap
import warnings

import pytest

from td_interference import objectives
from td_interference.errors import UserError, explained
from td_interference.jobs.job import job
from td_interference.jobs.records import read_record, state_directory
from td_interference.training import Trainer

GOOD = """
import torch

from td_interference.objectives.q_base import QLearningObjective


class Objective(QLearningObjective):
    @property
    def bootstrap_network(self):
        return self.frozen_network

    def target(self, index):
        return self.td_target(index)
"""
BODY = "        return self.td_target(index)"


def written(tmp_path, text):
    file = tmp_path / "mine.py"
    file.write_text(textwrap.dedent(text))
    return str(file)


@pytest.fixture
def own(run, replay, tmp_path):
    """Return a function that makes a trainer of an objective with this text."""

    def make(text):
        file = written(tmp_path, text)
        spec = dataclasses.replace(run, objective="mine", lambda_=None, objective_file=file)
        return Trainer(spec, replay)

    return make


def test_a_good_one_is_taken_everywhere(own, tmp_path):
    objectives.check_own(written(tmp_path, GOOD))
    own(GOOD).advance()


def test_what_runs_is_what_the_file_says(tmp_path, monkeypatch):
    """Where an edit leaves time and size as they were, Python would take old bytecode."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for factor in ("1.0", "5.0"):
        file = written(tmp_path, GOOD + f"\n    factor = {factor}\n")
        os.utime(file, (1e9, 1e9))
        assert objectives.load("mine", file).factor == float(factor)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class Objective(:", ":1: not Python"),
        ("x = 1\nif x:\nprint(x)", ":3: not Python"),
        ("def target(index):\n    return 1", ": defines no class 'Objective'"),
        ("class objective:\n    pass", ": defines no class 'Objective'"),
        ("x = 1\nclass Objective:\n    pass", ":2: 'Objective' derives from nothing"),
        (GOOD.replace("def target(self, index)", "def target(self)"), ":12, in Objective.target:"),
        (GOOD.replace("(self, index)", "(index)"), ":12, in Objective.target:"),
        (GOOD.replace("(self, index)", "(self, index, outputs)"), ":12, in Objective.target:"),
        (GOOD.replace("(self, index)", "(self, index, *, x)"), ":12, in Objective.target:"),
        ("# coding: nothing\n" + GOOD, ": not Python (unknown encoding: nothing)"),
    ],
)
def test_the_plan_finds_what_reading_finds(tmp_path, text, said):
    file = written(tmp_path, text)
    with pytest.raises(UserError) as error:
        objectives.check_own(file)
    assert str(error.value).startswith(f"config key 'own_objectives': {file}{said}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("self, index)", "self, index, scale=2.0)"),
        GOOD.replace("def target(self, index)", "def target(self, *index)").replace(BODY, BODY),
        "from elsewhere import Mine as Objective",
        "from elsewhere import *",
        "try:\n    from a import Objective\nexcept ImportError:\n    Objective = None",
        GOOD + "\nPATTERN = '\\d'",
    ],
)
def test_the_plan_refuses_nothing_that_may_be_good(tmp_path, text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        objectives.check_own(written(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("import torch", "from __future__ import annotations\n\nimport dataclasses")
        + "\n\n@dataclasses.dataclass\nclass Scale:\n    by: float = 1.0",
        GOOD
        + """
    @staticmethod
    def prediction(outputs, index):
        return outputs[:, 0]
""",
        GOOD.replace("    def target", "    @torch.no_grad()\n    def target"),
    ],
)
def test_ordinary_python_is_taken(own, text):
    own(text).advance()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_module", ":1: cannot be imported (ModuleNotFoundError"),
        ("\n\n1 / 0\nObjective = 1", ":3: cannot be imported (ZeroDivisionError"),
        ("def f():\n    raise OSError('x')\nf()", ":2, in f: cannot be imported (OSError"),
        ("import sys\nsys.exit(3)", ":2: cannot be imported (SystemExit"),
        ("class Objective(dict):\n    pass", ": the class 'Objective' is no objective"),
        (
            "from td_interference.objectives.base import BaseObjective as Objective",
            ": the class 'Objective' lacks make_network, prediction, target",
        ),
        (GOOD.replace("def target(self, index)", "def target(self)"), ":12, in Objective.target:"),
        (GOOD.replace(BODY, "        return 1 / 0"), ":13, in Objective.target: ZeroDivisionError"),
        (GOOD.replace(BODY, "        return self.absent"), ":13, in Objective.target: Attribute"),
        (GOOD.replace(BODY, "        assert index is None"), "target: AssertionError; mend your"),
        (GOOD.replace(BODY, "        raise SystemExit(0)"), "target: SystemExit: 0; mend your"),
        (
            GOOD.replace(BODY, "        raise Odd") + "\nclass Odd(Exception):\n    __str__ = None",
            "target: Odd: it cannot say what; mend your",
        ),
        (GOOD.replace(BODY, "        pass"), ":12, in Objective.target: returns NoneType"),
        (GOOD.replace(BODY, BODY + "[:, None]"), "in Objective.target: returns the shape [125, 1]"),
        (GOOD.replace(BODY, BODY + ".mean()"), "in Objective.target: returns the shape []"),
        (GOOD.replace(BODY, BODY + ".double()"), "in Objective.target: returns torch.float64"),
        (GOOD.replace(BODY, BODY + "* torch.nan"), "in Objective.target: returns what is infinite"),
        (
            GOOD.replace(BODY, BODY + "+ self.network(self.replay.observation(index)).amax(1)"),
            "in Objective.target: returns what carries a gradient",
        ),
        (
            GOOD + "\n    def prediction(self, outputs, index):\n        return index.float()",
            "in Objective.prediction: returns what does not depend on the network",
        ),
        (
            GOOD + "\n    def make_network(self):\n        return 3",
            ": the class 'Objective' fails (",
        ),
        (
            GOOD + "\n    def make_network(self):\n        return torch.nn.Linear(3, 2)",
            ":13, in Objective.target: RuntimeError: mat1 and mat2",
        ),
        (
            GOOD + "\n    def __init__(self, run, replay):\n        self.x = replay.nothing",
            ":16, in Objective.__init__: AttributeError",
        ),
    ],
)
def test_a_job_finds_the_rest_before_it_trains(own, tmp_path, text, said):
    with pytest.raises(UserError) as error:
        own(text)
    line = str(error.value)
    assert line.startswith(f"{tmp_path / 'mine.py'}:") and said in line and "\n" not in line
    assert line.count("mine.py") == 1


LATER = GOOD.replace(
    BODY,
    """\
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls > 3:
            return self.later(index)
        return self.td_target(index)

    def later(self, index):
        raise ValueError("after a while")""",
)


def test_what_fails_later_has_a_line_and_no_defect(own, tmp_path, capsys, caplog):
    """In training, measuring and wherever else a job runs the user's code."""
    trainer = own(LATER)
    log = tmp_path / "job.log"
    caplog.set_level(logging.INFO)
    with pytest.raises(SystemExit) as ended, job(str(log)):
        for _ in range(5):
            trainer.advance()
    assert ended.value.code == 1
    said = capsys.readouterr().err + log.read_text()
    place = f"{tmp_path / 'mine.py'}:19, in Objective.later: ValueError: after a while"
    assert f"error: {place}" in said
    assert "defect" not in said + caplog.text and "Traceback" not in said + caplog.text


def ended_by(trainer, log):
    """The exit code of a job that trains, and its log."""
    with pytest.raises(SystemExit) as ended, job(str(log)):
        for _ in range(5):
            trainer.advance()
    return ended.value.code, log.read_text()


def test_an_objective_that_leaves_has_failed(own, tmp_path):
    trainer = own(LATER.replace('raise ValueError("after a while")', "raise SystemExit(0)"))
    log = tmp_path / "results/smoke/logs/train_run/a.log"
    code, said = ended_by(trainer, log)
    assert code == 1 and "in Objective.later: SystemExit: 0; mend your objective there" in said
    assert read_record(state_directory(log)).ended == "failed"


def test_a_signal_during_an_objective_is_not_its_mistake(own, tmp_path):
    raise_ = "from td_interference.jobs import preemption as p; raise p.Preempted(p.SIGNALS[0])"
    trainer = own(LATER.replace('raise ValueError("after a while")', raise_))
    code, said = ended_by(trainer, tmp_path / "job.log")
    assert code == 128 + 15 and "mend" not in said


def test_a_shape_that_changes_later_is_not_spread_over_the_minibatch(own):
    trainer = own(LATER.replace('raise ValueError("after a while")', BODY.strip() + "[:, None]"))
    with pytest.raises(
        UserError, match=r"mine\.py: for the same transitions the target is \[\d+, 1\]"
    ):
        for _ in range(5):
            trainer.advance()


def test_errors_of_the_project_itself_stay_defects():
    try:
        {}["absent"]
    except KeyError as error:
        assert explained(error) is None
