"""What is said of wrong cards of learners, and what an edited one redoes."""

import shutil

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


@pytest.fixture
def copy(tmp_path):
    package = tmp_path / "src" / "td_interference"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    return package


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
        ({"rules": [{"key": "updates", "otherwise": "x"}]}, "needs one of equals, above"),
        ({"data": "sounds"}, "images"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_card_is_refused(wrong, said):
    card = learners.known()["classification"].model_dump() | wrong
    with pytest.raises(ValidationError, match=said):
        learners.LearnerCard.model_validate(card)


def test_a_rule_of_what_there_is_not_is_one_line(monkeypatch):
    rule = {"key": "stops", "at_least": 1, "otherwise": "x"}
    card = learners.LearnerCard(**learners.known()["regression"].model_dump() | {"rules": [rule]})
    monkeypatch.setattr(learners, "known", lambda: {"regression": card})
    with pytest.raises(UserError, match=r"^generalization/regression\.py: LEARNER.*'stops'"):
        cell_spec()


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
