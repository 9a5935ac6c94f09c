"""Learners, objectives and data sets are known by their cards: one file dropped in is all."""

import shutil
import subprocess
import sys

import pytest
from cells import cell_spec
from pydantic import ValidationError
from tree import ROOT

from td_interference import objectives
from td_interference.agents.masked_images.agent import MaskedImageAgent
from td_interference.errors import UserError
from td_interference.generalization import learner
from td_interference.generalization.tasks import Task
from td_interference.planning import learners, sources

PACKAGE = ROOT / "src" / "td_interference"
DROPPED = {
    "generalization/margin.py": '''"""Classification by margins."""

from torch import Tensor
from torch.nn import functional

from td_interference.generalization.tasks import Task

LEARNER = {
    "title": "margins",
    "family": "supervised",
    "data": "images",
    "function": "the largest output",
    "performance": "accuracy",
}


class Learner(Task):
    """Multi-class hinge loss."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the hinge loss of each sample, [M]."""
        return functional.multi_margin_loss(outputs, targets, reduction="none")

    def function(self, outputs: Tensor) -> Tensor:
        """Return the largest output, [M]."""
        return outputs.amax(1)

    def performance(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the accuracy, 0..1."""
        return (outputs.argmax(1) == targets).double().mean().item()
''',
    "objectives/half.py": '''"""Half of the return."""

from td_interference.objectives.monte_carlo import Objective as MonteCarlo

OBJECTIVE = {"label": "half", "colour": "#882255"}


class Objective(MonteCarlo):
    """Q towards half of the return."""

    def target(self, index):
        """Return G_t / 2, [N]."""
        return super().target(index) / 2
''',
    "datasets/few.py": '''"""The first digits alone."""

from td_interference.datasets import digits

DATASET = {
    "kind": "images",
    "title": "few digits",
    "split": "as in digits",
    "n_train": 1_438,
    "embedded": True,
    "colour": "#332288",
}
FORMS = ()
read = digits.read
''',
}
# Plans an experiment of all three, makes the data and learns from them for a few updates.
PROGRAM = """
import sys
import torch
from td_interference import datasets, objectives
from td_interference.datasets.prepare import prepare_dataset
from td_interference.figures import generalization, style
from td_interference.generalization.group_job import make_training
from td_interference.planning import config, plan

mine = {"dataset": "few", "task": "margin", "hidden": [1], "extra_layers": [0],
        "n_train": [20], "n_seeds": 1, "learning_rate": 1e-3, "minibatch": 4, "updates": 4,
        "measure_every": 4, "samples": 3, "evaluation_samples": 3}
made = plan.make_plan({
    "scale": "smoke",
    "generalization": {"experiments": {"mine": mine}},
    "experiments": {"regression": {"objectives": ["half"]}},
}, sys.argv[1])
(group,) = (group for group in made.of_kind("generalization").values() if group.name == "mine")
assert any(run.objective == "half" for run in made.runs.values())
prepare_dataset("few", {}, sys.argv[2])
training = make_training(group.cells, sys.argv[2], torch.device("cpu"))
training.advance(4)
(row,) = training.measure()
assert row.task == "margin" and row.generalization_gap == (
    row.train_performance - row.test_performance)
schema = config.read_schema(sys.argv[1])["$defs"]
assert "margin" in schema["generalization_experiment"]["properties"]["task"]["enum"]
assert "half" in schema["experiment"]["properties"]["objectives"]["items"]["enum"]
assert style.OBJECTIVES["half"] == ("half", "#882255") and style.DATASETS["few"] == "#332288"
assert generalization.SINGLE["margins"] == ["margin"]
assert generalization.FAMILIES["supervised"] == ["classification", "margin", "regression"]
"""


@pytest.fixture
def copy(tmp_path):
    package = tmp_path / "src" / "td_interference"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    return package


def test_one_file_adds_a_learner_an_objective_a_data_set(copy, tmp_path):
    for name, text in DROPPED.items():
        assert len(text.splitlines()) <= 40
        (copy / name).write_text(text)
    command = [sys.executable, "-c", PROGRAM, ROOT / "workflow", tmp_path / "few.h5"]
    environment = {"PYTHONPATH": str(copy.parent), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_learner_has_the_class_its_card_promises():
    assert len(learners.known()) >= 4
    for name, card in learners.known().items():
        assert issubclass(learner(name), MaskedImageAgent if card.acts else Task), name
    for name in objectives.known():
        assert isinstance(objectives.load(name), type)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"acts": True}, "n_environments"),
        ({"settings": {"tau": {"default": 1, "description": "x"}}}, "settings"),
        ({"samples_learned": "cell.updates *"}, "no Python expression"),
        ({"data": "sounds"}, "images"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_card_is_refused(wrong, said):
    card = learners.known()["classification"].model_dump() | wrong
    with pytest.raises(ValidationError, match=said):
        learners.LearnerCard.model_validate(card)


def test_a_rule_of_what_there_is_not_is_one_line():
    with pytest.raises(UserError, match=r"^generalization/regression\.py: LEARNER: 'cell\.stops'"):
        learners.evaluate("cell.stops", cell_spec())


def test_a_card_redraws_figures_and_measures_nothing_again(copy):
    roots = ("figures/fig08_gap_by_size.py", "metrics/gain.py", "tables/generalization.py")
    before = [sources.digest(root, package=copy) for root in roots]
    for name, old, new in (
        ("generalization/regression.py", '"decades": True', '"decades": False'),
        ("objectives/td_star.py", '"TD*"', '"TD star"'),
        ("datasets/svhn.py", "#0072B2", "#0072B3"),
    ):
        path = copy / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        after = [sources.digest(root, package=copy) for root in roots]
        assert [one == other for one, other in zip(before, after, strict=True)] == [
            False,
            True,
            True,
        ], name
        before = after
