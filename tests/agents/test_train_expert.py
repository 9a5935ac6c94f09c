"""Training an expert: same seed, same bytes; `test_kill` has SIGKILL."""

import dataclasses
from pathlib import Path

import numpy as np
import polars
import pytest
import torch
from stages import EXPERT as SETTINGS
from stages import digests
from stages import expert_outputs as outputs

from td_interference.agents.expert import learner
from td_interference.agents.expert.file import load_expert
from td_interference.agents.expert.training import ExpertTraining, train_expert
from td_interference.errors import UserError
from td_interference.jobs.resume import ResumeState


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of one uninterrupted run."""
    directory = tmp_path_factory.mktemp("reference")
    train_expert(SETTINGS, outputs(directory / "out"), ResumeState(directory / "state", {}))
    return directory / "out"


def test_outputs(reference: Path) -> None:
    assert set(digests(reference)) == {
        "expert.safetensors",
        "learning_curve.csv",
        "evaluation.csv",
        "expert.png",
        "expert.pdf",
    }
    network, settings, _ = load_expert(reference / "expert.safetensors")
    assert settings == SETTINGS and network.n_actions == 9
    curve = polars.read_csv(reference / "learning_curve.csv")
    assert curve["agent_step"].is_sorted() and curve["agent_step"].max() <= 900
    assert curve["update_step"].max() <= 400
    assert curve.filter(polars.col("truncated"))["episode_steps"].max() <= 110
    table = polars.read_csv(reference / "evaluation.csv")
    assert table["agent"].to_list() == ["expert"] * 2 + ["random"] * 3
    for agent in ("expert", "random"):
        rows = table.filter(polars.col("agent") == agent)
        assert rows["mean_score"][0] == pytest.approx(rows["score"].mean())
        assert rows["mean_score_low"][0] <= rows["mean_score"][0] <= rows["mean_score_high"][0]


@pytest.mark.slow
def test_another_seed_is_another_expert(reference: Path, tmp_path: Path) -> None:
    short = dataclasses.replace(SETTINGS, agent_steps=200)
    for seed in (0, 1):
        resume = ResumeState(tmp_path / f"{seed}-state", {})
        train_expert(dataclasses.replace(short, seed=seed), outputs(tmp_path / str(seed)), resume)
    one, other = digests(tmp_path / "0"), digests(tmp_path / "1")
    assert one["expert.safetensors"] != other["expert.safetensors"]


@pytest.mark.parametrize(
    "n_steps", [30, 200, *(pytest.param(n, marks=pytest.mark.slow) for n in (333, 400))]
)
def test_state_brings_back_every_bit(n_steps: int, tmp_path: Path) -> None:
    one = ExpertTraining(SETTINGS)
    for _ in range(n_steps):
        one.step()
    resume = ResumeState(tmp_path, {})
    resume.save(one.state_dict())
    other = ExpertTraining(SETTINGS)
    other.load_state_dict(resume.load())
    for _ in range(40):
        assert one.step() == other.step()
    left, right = one.state_dict(), other.state_dict()
    for name, value in left["learner"]["online"].items():
        assert torch.equal(value, right["learner"]["online"][name]), name
    assert torch.equal(left["memory"]["priorities"], right["memory"]["priorities"])
    assert left["curve"] == right["curve"]


@pytest.mark.slow
def test_state_stays_small() -> None:
    training = ExpertTraining(dataclasses.replace(SETTINGS, updates_per_step=0.002))
    for _ in range(800):
        training.step()
    actions = training.state_dict()["environments"]["actions"]
    assert actions.dtype == torch.uint8
    # the ring's 150 rows reach back over two periods of 110 steps, besides the one under way
    assert len(actions) <= 3 * 111


def test_updates_keep_pace_with_steps() -> None:
    for ratio in (0.25, 1.0, 2.0):
        settings = dataclasses.replace(SETTINGS, updates_per_step=ratio, agent_steps=140)
        training = ExpertTraining(settings)
        while training.agent_step < settings.agent_steps:
            training.step()
        assert training.learner.update_step == int(40 * ratio)


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_divergence_names_step_and_learning_rate(monkeypatch, tmp_path, loss: float) -> None:
    def diverge(self, batch):
        self.update_step += 1
        return np.full(8, loss if self.update_step == 7 else 0.5, dtype=np.float32)

    monkeypatch.setattr(learner.RainbowLearner, "update", diverge)
    with pytest.raises(UserError, match=r"asterix.*update step 7 .*learning rate 0\.0001"):
        train_expert(SETTINGS, outputs(tmp_path / "none"), ResumeState(tmp_path / "state", {}))
    assert not (tmp_path / "none").exists()


def test_threads_of_the_process_are_left_alone(tmp_path: Path) -> None:
    before, settings = torch.get_num_threads(), dataclasses.replace(SETTINGS, game="no_game")
    with pytest.raises(UserError):
        train_expert(settings, outputs(tmp_path), ResumeState(tmp_path / "state", {}), threads=1)
    assert torch.get_num_threads() == before
