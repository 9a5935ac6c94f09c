"""Objective, update and loop of policy evaluation; `test_kill` has SIGKILL."""

import itertools
import subprocess
import sys
import tempfile
from functools import partial

import identities
import numpy as np
import polars as pl
import pytest
import torch
from checkpoint_files import checkpoint_steps
from stages import left_behind

from td_interference.errors import UserError
from td_interference.networks.atari import initialise, last_hidden_layer, q_network, value_network
from td_interference.objectives import td_lambda
from td_interference.objectives.losses import capped, squared
from td_interference.objectives.td_lambda import Objective
from td_interference.optimizers import OPTIMIZERS, make_optimizer
from td_interference.planning.grid import RunSpec
from td_interference.returns import lambda_return
from td_interference.storage.checkpoints import read_checkpoint
from td_interference.storage.scratch import Scratch
from td_interference.training import Trainer, train
from td_interference.updates import restore_optimizer, run_optimizer, update


def varied(run, **over) -> RunSpec:
    return RunSpec.from_dict({**run.to_dict(), **over})


def test_losses_by_hand(run):
    td_error = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0])
    assert squared(td_error).tolist() == [9, 0.25, 0, 0.25, 9]
    assert capped(td_error).tolist() == [3, 0.25, 0, 0.25, 3]
    with pytest.raises(UserError, match="'huber' is not one of capped, squared"):
        varied(run, loss="huber")


def test_paper_network_has_the_paper_shapes():
    network = q_network(9)
    assert last_hidden_layer(network).weight.shape == (512, 9216)
    assert sum(parameter.numel() for parameter in network.parameters()) == 4_801_705
    pixels = torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)
    assert network(pixels).shape == (2, 9) and value_network()(pixels).shape == (2, 1)
    torch.testing.assert_close(network(pixels), network(pixels.float()), rtol=1e-5, atol=1e-6)


def test_initial_weights_fill_their_range_and_follow_the_seed():
    network = initialise(value_network(8), torch.Generator().manual_seed(1))
    again = initialise(value_network(8), torch.Generator().manual_seed(1))
    for module, twin in zip(network.modules(), again.modules(), strict=True):
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            area = module.weight[0, 0].numel()
            k = (6 / (sum(module.weight.shape[:2]) * area)) ** 0.5
            assert 0.9 * k < module.weight.abs().max() <= k
            assert not module.bias.any() and torch.equal(module.weight, twin.weight)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_step_as_pytorchs_own(name):
    plain = {
        "adam": partial(torch.optim.Adam, fused=True),
        "rmsprop": torch.optim.RMSprop,
        "sgd": partial(torch.optim.SGD, fused=True),
        "momentum_sgd": partial(torch.optim.SGD, momentum=0.7, fused=True),
    }[name]
    networks = [torch.nn.Linear(3, 2) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    own = make_optimizer(
        name, networks[0].parameters(), learning_rate=0.1, weight_decay=0.2, momentum=0.7
    )
    both = [own, plain(networks[1].parameters(), lr=0.1, weight_decay=0.2)]
    for _ in range(3):
        for network, optimizer in zip(networks, both, strict=True):
            optimizer.zero_grad()
            network(torch.ones(4, 3)).square().sum().backward()
            optimizer.step()
    assert torch.equal(networks[0].weight, networks[1].weight)
    assert own.state_dict()["state"].keys() == both[1].state_dict()["state"].keys()


def test_training_does_not_import_the_compiler_of_pytorch():
    program = """
import sys
import torch
from td_interference.optimizers import OPTIMIZERS, make_optimizer

layer = torch.nn.Linear(2, 1)
for name in OPTIMIZERS:
    optimizer = make_optimizer(
        name, layer.parameters(), learning_rate=0.1, weight_decay=0.1, momentum=0.1
    )
    layer(torch.ones(3, 2)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_target_is_the_lambda_return_of_the_frozen_network(run, replay, arrays):
    objective = Objective(run, replay)
    objective.synchronise()
    index = torch.arange(len(replay))
    with torch.no_grad():
        value = objective.frozen_network(replay.next_observation(index))[:, 0].numpy()
    expected = lambda_return(
        arrays["reward"],
        value,
        arrays["terminated"],
        arrays["episode_length"],
        gamma=run.gamma,
        lambda_=run.lambda_,
    )
    np.testing.assert_allclose(objective.target(index), expected, rtol=1e-4, atol=1e-5)
    # The terminal step bootstraps nothing, the truncated one bootstraps V.
    terminal, truncated = 39, 64
    assert objective.target(torch.tensor([terminal])) == pytest.approx(arrays["reward"][terminal])
    assert objective.target(torch.tensor([truncated])) == pytest.approx(
        arrays["reward"][truncated] + run.gamma * value[truncated], rel=1e-4
    )


@pytest.mark.parametrize(("lambda_", "evaluated"), [(0.0, 125), (0.9, 125), (1.0, 32)])
def test_values_are_taken_where_they_count_alone(run, replay, monkeypatch, lambda_, evaluated):
    """None before a target is read; at λ = 1 those beside the one truncated end."""
    assert len(replay) == 125
    monkeypatch.setattr(td_lambda, "_EVALUATION_BATCH", 32)
    objective = Objective(varied(run, lambda_=lambda_), replay)
    sizes = []
    objective.frozen_network.register_forward_hook(lambda _, inputs, __: sizes.append(len(*inputs)))
    objective.restore(objective.network.state_dict(), objective.network.state_dict())
    assert not sizes
    index = torch.arange(len(replay))
    lazy = objective.target(index)
    assert sum(sizes) == evaluated
    objective.target(index)
    assert sum(sizes) == evaluated
    with torch.no_grad():
        values = torch.cat(
            [objective.frozen_network(replay.next_observation(part)) for part in index.split(32)]
        )
    expected = lambda_return(
        replay.reward.numpy(),
        values[:, 0].numpy(),
        replay.terminated.numpy(),
        replay.episode_length,
        gamma=run.gamma,
        lambda_=lambda_,
    )
    assert torch.equal(lazy, torch.from_numpy(expected)), "the same bits"


def test_targets_move_only_when_the_frozen_network_is_copied(run, replay):
    trainer = Trainer(varied(run, frozen_period=5), replay)
    index = torch.arange(len(replay))
    seen = []
    for _ in range(11):
        trainer.advance()
        seen.append(trainer.objective.target(index).clone())
    changed = [not torch.equal(a, b) for a, b in itertools.pairwise(seen)]
    # Copies come before updates 1, 6 and 11.
    assert changed == [False] * 4 + [True] + [False] * 4 + [True]


def test_td_error_is_target_minus_prediction(run, replay):
    objective = Objective(run, replay)
    objective.synchronise()
    index = torch.tensor([3, 50])
    outputs = torch.tensor([[1.0], [2.0]])
    expected = objective.target(index) - torch.tensor([1.0, 2.0])
    assert torch.equal(objective.td_error(outputs, index), expected)
    assert torch.equal(objective.loss(outputs, index), capped(expected))


def test_what_an_update_reports_is_of_before_it(run, replay):
    """Also where the network, which the step moves, is what the target bootstraps from."""
    run = varied(run, objective="q_learning_online", lambda_=None, learning_rate=0.1)
    trainer = Trainer(run, replay)
    index = torch.arange(10, 18)
    with torch.no_grad():
        outputs = trainer.objective.network(replay.observation(index))
        loss = trainer.objective.loss(outputs, index).mean()
        prediction = trainer.objective.prediction(outputs, index).mean()
        target = trainer.objective.target(index).mean()
    reported = update(trainer.objective, trainer.optimizer, index)
    torch.testing.assert_close(reported, torch.stack([loss, prediction, target]))
    assert not torch.allclose(trainer.objective.target(index).mean(), target)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_checkpointed_optimizer_takes_the_step_the_run_would_take(run, replay, tmp_path, name):
    """The measured step is the step taken: momenta survive the file."""
    run = varied(run, optimizer=name, updates=9, checkpoints=(8, 9), frozen_period=100)
    trainer = Trainer(run, replay)
    for _ in range(8):
        trainer.advance()
    checkpoint = trainer.checkpoint()
    checkpoint = checkpoint._replace(
        parameters={n: t.clone() for n, t in checkpoint.parameters.items()},
        optimizer={
            p: {n: t.clone() for n, t in s.items()} for p, s in checkpoint.optimizer.items()
        },
    )
    state = trainer.minibatches.bit_generator.state
    trainer.advance()
    other = Objective(run, replay)
    other.restore(checkpoint.parameters, checkpoint.frozen_parameters)
    optimizer = run_optimizer(run, other.network)
    restore_optimizer(optimizer, checkpoint.optimizer)
    generator = np.random.default_rng()
    generator.bit_generator.state = state
    update(other, optimizer, replay.draw(run.minibatch, generator))
    for taken, measured in zip(
        trainer.objective.network.parameters(), other.network.parameters(), strict=True
    ):
        assert torch.equal(taken, measured)


def test_adam_is_the_textbook_adam_in_float64():
    """The fused optimizer against its definition, with L2 added to the gradient."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.rand(7, generator=generator, dtype=torch.float64))
    expected = weight.detach().clone()
    arguments = {"learning_rate": 0.01, "weight_decay": 0.1, "momentum": 0.0}
    optimizer = make_optimizer("adam", [weight], **arguments)
    m, v = torch.zeros(7, dtype=torch.float64), torch.zeros(7, dtype=torch.float64)
    for t in range(1, 6):
        gradient = torch.rand(7, generator=generator, dtype=torch.float64) - 0.5
        weight.grad = gradient.clone()
        optimizer.step()
        g = gradient + 0.1 * expected
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        step = (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        expected = expected - 0.01 * step
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-12, atol=1e-12)


def run_training(run, replay_path, directory, interval=1e9, shared_replay=False):
    train(
        run,
        replay_path,
        directory / "checkpoints.h5",
        directory / "learning_curve.csv",
        directory / "state",
        identity=identities.of_run(run),
        device=torch.device("cpu"),
        resume_interval=interval,
        shared_replay=shared_replay,
    )


def test_training_writes_checkpoints_and_curve_and_forgets_its_state(run, replay_path, tmp_path):
    run_training(run, replay_path, tmp_path)
    assert checkpoint_steps(tmp_path / "checkpoints.h5") == [6, 12]
    curve = pl.read_csv(tmp_path / "learning_curve.csv")
    assert curve.columns == ["update_step", "loss", "prediction", "target"]
    assert curve["update_step"].to_list() == list(range(1, 13))
    assert not left_behind(tmp_path / "state")
    first, last = (read_checkpoint(tmp_path / "checkpoints.h5", step) for step in (6, 12))
    assert not torch.equal(first.parameters["1.weight"], last.parameters["1.weight"])
    # The frozen network at step 6 is the copy of step 5, at step 12 that of step 10.
    assert not torch.equal(first.frozen_parameters["1.weight"], first.parameters["1.weight"])


def test_a_shared_replay_trains_the_same_network(run, replay_path, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    alone, *together = (tmp_path / name for name in ("alone", "first", "second"))
    for directory in (alone, *together):
        run_training(run, replay_path, directory, shared_replay=directory != alone)
    for product in ("checkpoints.h5", "learning_curve.csv"):
        for directory in together:
            assert (directory / product).read_bytes() == (alone / product).read_bytes()
    assert len(list(Scratch.path().iterdir())) == 1


def test_learning_lowers_the_loss(run, replay_path, tmp_path):
    run = varied(run, updates=150, checkpoints=(150,), frozen_period=50, lambda_=1.0, hidden=4)
    run_training(run, replay_path, tmp_path)
    loss = pl.read_csv(tmp_path / "learning_curve.csv")["loss"]
    assert loss[-20:].mean() < 0.5 * loss[:5].mean()
