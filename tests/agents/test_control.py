"""Control: targets by hand, schedules, what was played against what is stored."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import polars
import pytest
import torch
from checkpoint_files import checkpoint_steps
from stages import CONTROL as SETTINGS
from stages import control_outputs as outputs
from stages import digests, left_behind
from torch import nn

from td_interference.agents.control.training import ControlTraining, td_error, train_control
from td_interference.errors import UserError
from td_interference.jobs.kept_files import Parts
from td_interference.jobs.resume import ResumeState
from td_interference.objectives.losses import capped
from td_interference.planning.control import ControlSettings, window_name
from td_interference.replay import Replay, TransitionBatch
from td_interference.storage import hdf5
from td_interference.storage.checkpoints import read_checkpoint
from td_interference.storage.identity import of_control, of_window


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of one uninterrupted run."""
    directory = tmp_path_factory.mktemp("control")
    train_control(SETTINGS, outputs(directory / "out"), ResumeState(directory / "state", {}))
    assert not left_behind(directory / "state")
    return directory / "out"


class Lookup(nn.Module):
    """Q values by the number that a fake observation [B, 1] holds."""

    def __init__(self, table: list[list[float]]):
        super().__init__()
        self.table = nn.Parameter(torch.tensor(table))

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return self.table[observation[:, 0].long()]


def test_td_error_by_hand() -> None:
    online = Lookup([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 9.0]])
    frozen = Lookup([[0.0, 0.0], [10.0, 20.0], [-8.0, -4.0], [2.0, 1.0]])
    batch = TransitionBatch(
        observation=torch.tensor([[0], [1], [2], [2]]),
        action=torch.tensor([1, 0, 1, 0]),
        reward=torch.tensor([1.0, 0.0, -1.0, 1.0]),
        next_observation=torch.tensor([[1], [2], [3], [3]]),
        terminated=torch.tensor([False, False, True, False]),
        truncated=torch.tensor([False, False, False, True]),
    )
    delta = td_error(online, frozen, batch, gamma=0.5)
    # 1 + 20/2 - 2;  0 - 4/2 - 3;  -1 - 6, terminal;  1 + 2/2 - 5, truncated, which bootstraps
    assert delta.tolist() == [9.0, -5.0, -7.0, -3.0]
    delta.sum().backward()
    # d(delta)/dQ(S, A) = -1 where (S, A) was seen, and nothing through the target
    assert online.table.grad.tolist() == [[0, -1], [-1, 0], [-1, -1], [0, 0]]
    assert frozen.table.grad is None


def test_epsilon_by_hand() -> None:
    settings = ControlSettings("asterix")
    steps = [0, 199_999, 200_000, 450_000, 700_000, 10_200_000]
    expected = [1.0, 1.0, 1.0, 0.525, 0.05, 0.05]
    assert [settings.epsilon(step) for step in steps] == pytest.approx(expected)
    lower = dataclasses.replace(settings, epsilon_start=0.5, epsilon_decay_steps=0)
    assert [lower.epsilon(step) for step in (199_999, 200_000)] == [1.0, 0.05]


def test_updates_keep_pace_with_steps() -> None:
    settings = SETTINGS
    assert [settings.updates_by(step) for step in (0, 100, 103, 104, 600, 1000)] == [
        0,
        0,
        0,
        1,
        150,
        150,
    ]
    paper = ControlSettings("asterix")
    assert paper.updates == paper.updates_by(10_200_000) == 10_000_000


def test_frozen_network_is_copied_before_every_period(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, frozen_period=3, optimizer="sgd", learning_rate=0.1)
    training = ControlTraining(settings, Parts(tmp_path), "cpu", 1)
    for _ in range(20):
        training.step()
    assert training.update_step == 0
    seen = []
    for _ in range(7):
        before = {name: value.clone() for name, value in training.network.state_dict().items()}
        training._update()
        seen.append(before)
        frozen = training.frozen_network.state_dict()
        due = seen[(training.update_step - 1) // 3 * 3]
        assert all(torch.equal(frozen[name], due[name]) for name in frozen)
    last = "10.bias"
    assert not torch.equal(seen[3][last], seen[4][last])  # or the above would hold of any copy


def test_an_update_is_a_step_on_the_mean_loss(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, optimizer="sgd", learning_rate=0.1, weight_decay=0.0)
    training = ControlTraining(settings, Parts(tmp_path), "cpu", 1)
    for _ in range(20):
        training.step()
    twin = ControlTraining(settings, Parts(tmp_path), "cpu", 1)
    draws = np.random.default_rng(5)
    batch = training.memory.sample(8, np.random.default_rng(5))
    loss = capped(td_error(twin.network, twin.frozen_network, batch, 0.99)).mean()
    gradients = torch.autograd.grad(loss, list(twin.network.parameters()))
    training._minibatches = draws
    training._update()
    assert training.curve.losses == [pytest.approx(float(loss.detach()))]
    for after, before, gradient in zip(
        training.network.parameters(), twin.network.parameters(), gradients, strict=True
    ):
        torch.testing.assert_close(after, before - 0.1 * gradient)


def test_outputs(reference: Path) -> None:
    windows = {f"windows/{window_name(step)}" for step in SETTINGS.checkpoints}
    assert set(digests(reference)) == windows | {
        "checkpoints.h5",
        "learning_curve.csv",
        "evaluation.csv",
    }
    assert tuple(checkpoint_steps(reference / "checkpoints.h5")) == SETTINGS.checkpoints
    curve = polars.read_csv(reference / "learning_curve.csv")
    assert curve["agent_step"].is_sorted() and curve["agent_step"].max() <= 600
    assert curve["update_step"].max() <= 150 and curve["episode_steps"].max() <= 80
    assert curve["loss"].drop_nulls().is_finite().all()
    evaluation = polars.read_csv(reference / "evaluation.csv")
    assert evaluation["update_step"].to_list() == [30, 30, 100, 100, 150, 150]
    assert evaluation["episode"].to_list() == [0, 1] * 3
    assert (evaluation["agent_steps"] <= 80).all()


def test_checkpoints_hold_networks_and_moments(reference: Path) -> None:
    first, second = (read_checkpoint(reference / "checkpoints.h5", step) for step in (30, 100))
    # 30: copied at 20. 100: the copy due at 100 belongs to the update after the checkpoint.
    for checkpoint in (first, second):
        assert checkpoint.parameters.keys() == checkpoint.frozen_parameters.keys()
        assert not torch.equal(
            checkpoint.parameters["8.weight"], checkpoint.frozen_parameters["8.weight"]
        )
        assert {name for state in checkpoint.optimizer.values() for name in state} == {
            "step",
            "exp_avg",
            "exp_avg_sq",
        }
        assert all(int(s["step"]) == checkpoint.update_step for s in checkpoint.optimizer.values())


@pytest.mark.parametrize("optimizer", ["sgd", "momentum_sgd", "rmsprop"])
def test_every_optimizer_can_be_kept(optimizer: str, tmp_path: Path) -> None:
    settings = dataclasses.replace(
        SETTINGS,
        optimizer=optimizer,
        agent_steps=8,
        checkpoints=(2,),
        window=100,
        evaluation_episodes=1,
    )
    resume = ResumeState(tmp_path / "state", {}, interval=0)
    train_control(settings, outputs(tmp_path), resume)
    kept = read_checkpoint(tmp_path / "checkpoints.h5", 2).optimizer
    assert bool(kept) == (optimizer != "sgd")


@pytest.mark.parametrize("update_step", [100, pytest.param(150, marks=pytest.mark.slow)])
def test_window_is_the_newest_play(reference: Path, update_step: int) -> None:
    """Its actions, played again in emulators of their own, give its frames and rewards."""
    path = reference / "windows" / window_name(update_step)
    window, attributes = Replay.load(path), hdf5.read_attributes(path)
    agent_step = attributes["agent_step"]
    assert attributes["identity"] == of_window(of_control(SETTINGS), update_step)
    assert SETTINGS.updates_by(agent_step) < update_step <= SETTINGS.updates_by(agent_step + 2)
    training = ControlTraining(
        dataclasses.replace(SETTINGS, evaluation_episodes=1),
        Parts(reference.parent / "again"),
        "cpu",
        1,
    )
    rows = []
    environments = training._environments
    receive = environments.receive

    def recorded():
        before, actions = environments.observation, environments._actions[-1]
        step = receive()
        rows.append((before, actions, step))
        return step

    environments.receive = recorded
    while training.agent_step < agent_step:
        training.step()
    i = 0
    for e in range(2):
        until = len(rows) - 1  # of the newest row, only the observation counts
        mine = [t for t in range(until) if rows[t][2].valid[e]]
        count = 75
        while count < len(mine) and mine[-count] - 1 == mine[-count - 1]:
            count += 1  # back to where the episode began
        for t in mine[-count:]:
            before, actions, step = rows[t]
            one = window.transitions(torch.tensor([i]))
            np.testing.assert_array_equal(one.observation[0], before[e])
            np.testing.assert_array_equal(one.next_observation[0], step.observation[e])
            assert (one.action, one.reward) == (actions[e], step.reward[e])
            assert one.terminated == step.terminated[e]
            last = i == len(window) - 1 or window.episode[i] != window.episode[i + 1]
            assert one.truncated == (last and not step.terminated[e])
            assert last == (t == until - 1 or not rows[t + 1][2].valid[e])
            i += 1
    assert i == len(window) >= min(150, agent_step - 2 * 12)
    # The agent's own values at the checkpoint stand where an expert's would.
    kept = read_checkpoint(reference / "checkpoints.h5", update_step)
    training.network.load_state_dict(kept.parameters)
    index = torch.arange(0, len(window), 7)
    with torch.no_grad():
        q = training.network(window.observation(index))
    torch.testing.assert_close(window.expert_q[index], q)


def test_loss_falls(tmp_path: Path) -> None:
    settings = dataclasses.replace(
        SETTINGS, hidden=2, learning_rate=1e-3, minibatch=32, frozen_period=10_000
    )
    training = ControlTraining(settings, Parts(tmp_path), "cpu", 1)
    for _ in range(50):
        training.step()
    for _ in range(120):
        training._update()
    losses = np.array(training.curve.losses)
    assert losses[-30:].mean() < 0.5 * losses[:15].mean()


# 278: early in a period, as far back as it goes.
@pytest.mark.parametrize("n_steps", [pytest.param(60, marks=pytest.mark.slow), 278])
def test_state_brings_back_every_bit(n_steps: int, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, updates_per_step=0.2, checkpoints=(1,))
    one = ControlTraining(settings, Parts(tmp_path), "cpu", 1)
    for _ in range(n_steps):
        one.step()
    resume = ResumeState(tmp_path, {})
    resume.save(one.state_dict())
    other = ControlTraining(settings, Parts(tmp_path), "cpu", 1)
    other.load_state_dict(resume.load())
    for _ in range(25):
        assert one.step() == other.step()
    left, right = one.state_dict(), other.state_dict()
    for name, value in left["network"].items():
        assert torch.equal(value, right["network"][name]), name
    for name in ("curve", "minibatches", "exploration"):
        assert left[name] == right[name], name
    # the ring's 200 rows reach back over three periods of 90 steps, besides the one under way
    assert len(left["environments"]["actions"]) <= 4 * 91


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    same, again, other = (
        ControlTraining(dataclasses.replace(SETTINGS, seed=seed), Parts(tmp_path), "cpu", 1)
        for seed in (0, 0, 1)
    )
    for training in (same, again, other):
        for _ in range(40):
            training.step()
    actions = [t.state_dict()["environments"]["actions"] for t in (same, again, other)]
    assert torch.equal(actions[0], actions[1]) and not torch.equal(actions[0], actions[2])
    weights = [t.network.state_dict()["8.weight"] for t in (same, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("epsilon_end", 1.5, "epsilon_end"),
        ("learning_starts", 5, "learning_starts"),
        ("checkpoints", (), "checkpoints"),
        ("checkpoints", (5, 5), "checkpoints"),
        ("checkpoints", (0, 5), "checkpoints"),
        ("checkpoints", (151,), "checkpoints"),
        ("window", 239, "replay_capacity"),
        ("replay_capacity", 300, "replay_capacity"),
    ],
)
def test_bad_settings_name_the_key(key: str, value: object, named: str) -> None:
    with pytest.raises(UserError, match=f"'control.{named}'"):
        dataclasses.replace(SETTINGS, **{key: value})


def test_settings_survive_json() -> None:
    assert ControlSettings.from_dict(json.loads(json.dumps(SETTINGS.to_dict()))) == SETTINGS
    assert SETTINGS.run_id == "asterix-control-adam-lr0.0001-h1-seed0"


def test_unknown_names_are_named(tmp_path: Path) -> None:
    for key in ("game", "optimizer", "loss"):
        with pytest.raises(UserError, match="nonesuch"):
            ControlTraining(
                dataclasses.replace(SETTINGS, **{key: "nonesuch"}), Parts(tmp_path), "cpu", 1
            )
