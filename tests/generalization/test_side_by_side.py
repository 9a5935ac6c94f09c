"""Learners against plain PyTorch, one network at a time."""

import copy

import pytest
import torch
from cells import (
    N_FEATURES,
    N_TRAIN,
    convolution_factory,
    mlp_factory,
    only_one_alive,
    small_task,
)
from reference_gradients import autograd_gradients
from torch import nn

from td_interference.generalization import side_by_side, stacked
from td_interference.generalization.side_by_side import SeparateLearners
from td_interference.generalization.stacked import StackedLearners, make_learners, stackable
from td_interference.gradients import PerSampleGradients, gram, per_sample_gradients

R, LEARNING_RATE = 3, 1e-2


def drawn(make):
    return [make(torch.Generator().manual_seed(seed)) for seed in range(R)]


def one_of(batch, run):
    """The gradients of one network of a batch."""
    layers = {
        name: type(layer)(
            **{key: t[run] if isinstance(t, torch.Tensor) else t for key, t in vars(layer).items()}
        )
        for name, layer in batch.layers.items()
    }
    return PerSampleGradients(batch.scale[run], layers)


def kept(gradients, networks):
    """All of the gradients, where what the project makes of them does not matter."""
    return gradients


def problem(experiment, kind, dtype=torch.float64):
    """R networks and a task they fit."""
    if kind is SeparateLearners and experiment == "classification":
        return drawn(convolution_factory(dtype)), small_task(experiment, (3, 8, 8), dtype)
    return drawn(mlp_factory(experiment, dtype)), small_task(experiment, dtype=dtype)


@pytest.mark.parametrize("kind", [StackedLearners, SeparateLearners])
@pytest.mark.parametrize("experiment", ["classification", "regression"])
def test_each_network_learns_as_a_plain_loop_would_have_it(experiment, kind):
    networks, task = problem(experiment, kind)
    alone = copy.deepcopy(networks)
    trained = kind(networks, LEARNING_RATE)
    index = torch.randint(N_TRAIN, (40, R, 8), generator=torch.Generator().manual_seed(9))
    inputs, targets = task.train
    losses = [trained.update(inputs[step], targets[step], task.loss) for step in index]

    for run, network in enumerate(alone):
        optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, (0.9, 0.999), 1e-8)
        for step, own in enumerate(index[:, run]):
            if experiment == "classification":
                loss = nn.functional.cross_entropy(network(inputs[own]), targets[own])
            else:
                loss = nn.functional.mse_loss(network(inputs[own]), targets[own])
            assert losses[step][run].item() == pytest.approx(loss.item(), rel=1e-9)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        for own, expected in zip(
            trained.networks()[run].parameters(), network.parameters(), strict=True
        ):
            torch.testing.assert_close(own, expected, rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(
            trained.outputs(inputs[:4].expand(R, *inputs[:4].shape))[run], network(inputs[:4])
        )


@pytest.mark.parametrize("kind", [StackedLearners, SeparateLearners])
def test_gradients_are_those_of_each_network_and_its_own_samples(kind):
    networks, task = problem("classification", kind)
    trained = kind(networks, LEARNING_RATE)
    index = torch.randint(N_TRAIN, (R, 10), generator=torch.Generator().manual_seed(9))
    inputs, targets = task.train.inputs[index], task.train.targets[index]
    values = [lambda outputs, _: task.function(outputs), task.loss]
    batches = trained.reduce_gradients(inputs, targets, values, kept)
    for of_value, value in zip(batches, values, strict=True):
        owns = [one_of(batch, run) for batch in of_value for run in range(len(batch.scale))]
        for run, own in enumerate(owns):

            def own_value(outputs, value=value, run=run):
                return value(outputs, targets[run])

            written_out = autograd_gradients(networks[run], inputs[run], own_value)
            torch.testing.assert_close(gram(own), written_out @ written_out.T)
            engine = per_sample_gradients(networks[run], inputs[run], own_value)
            torch.testing.assert_close(own.scale, engine.scale)
            assert own.layers.keys() == engine.layers.keys()


@pytest.mark.parametrize("kind", [StackedLearners, SeparateLearners])
def test_gradients_of_one_value_and_batch_of_networks_are_in_memory_at_a_time(kind, monkeypatch):
    networks, task = problem("classification", kind)
    trained = kind(networks, LEARNING_RATE)
    if kind is StackedLearners:
        make = only_one_alive(StackedLearners._backward)
        monkeypatch.setattr(StackedLearners, "_backward", staticmethod(make))
        monkeypatch.setattr(stacked, "BATCH_BYTES", 1)
    else:
        make = only_one_alive(side_by_side.per_sample_gradients)
        monkeypatch.setattr(side_by_side, "per_sample_gradients", make)
    index = torch.randint(N_TRAIN, (R, 10), generator=torch.Generator().manual_seed(9))
    inputs, targets = task.train.inputs[index], task.train.targets[index]
    values = [lambda outputs, _: task.function(outputs), task.loss]
    trained.reduce_gradients(inputs, targets, values, lambda gradients, _: None)
    assert make.calls == R * len(values)


def test_gradients_come_in_batches_that_fit_the_cache(monkeypatch):
    networks, task = problem("regression", StackedLearners)
    stack = StackedLearners(networks, LEARNING_RATE)
    index = torch.randint(N_TRAIN, (R, 10), generator=torch.Generator().manual_seed(9))
    inputs, targets = task.train.inputs[index], task.train.targets[index]
    ((whole,),) = stack.reduce_gradients(inputs, targets, [task.loss], kept)
    # Per network: 30 + 36 + 18 weights, and 10 samples of 11 + 12 + 9 inputs and outputs.
    monkeypatch.setattr(stacked, "BATCH_BYTES", 8 * 2 * (84 + 10 * 32))
    networks_of = []

    def noted(gradients, networks):
        networks_of.append(range(R)[networks])
        return gradients

    (batches,) = stack.reduce_gradients(inputs, targets, [task.loss], noted)
    assert [len(batch.scale) for batch in batches] == [2, 1]
    assert networks_of == [range(2), range(2, 3)]
    assert torch.equal(torch.cat([batch.scale for batch in batches]), whole.scale)
    last, expected = one_of(batches[1], 0), one_of(whole, 2)
    torch.testing.assert_close(gram(last), gram(expected))


def test_gradients_of_sure_classifiers_keep_their_angles():
    """In float32 their squares vanish: the scale is kept apart, as the engine does."""
    networks, task = problem("classification", StackedLearners, torch.float32)
    with torch.no_grad():
        for network in networks:
            network[-1].bias.copy_(torch.tensor([60.0, 0.0, 0.0, 0.0]))
    stack = StackedLearners(networks, LEARNING_RATE)
    inputs = torch.randn(R, 6, N_FEATURES, generator=torch.Generator().manual_seed(0))
    targets = torch.zeros(R, 6, dtype=torch.int64)
    ((batch,),) = stack.reduce_gradients(inputs, targets, [task.loss], kept)
    own = one_of(batch, 0)
    assert 0 < own.scale.max() < 1e-20
    engine = per_sample_gradients(networks[0], inputs[0], lambda y: task.loss(y, targets[0]))
    for layer, expected in zip(own.layers.values(), engine.layers.values(), strict=True):
        torch.testing.assert_close(layer.dense(), expected.dense())
        assert layer.dense().isfinite().all() and layer.dense().any()


def test_what_can_be_stacked_is():
    assert isinstance(make_learners(drawn(mlp_factory("regression")), 1e-3), StackedLearners)
    assert isinstance(make_learners(drawn(convolution_factory()), 1e-3), SeparateLearners)


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Linear(2, 2, bias=False)),
        nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)),
        nn.Sequential(nn.Sequential(nn.Linear(2, 2))),
        nn.Linear(2, 2),
    ],
)
def test_what_the_stack_does_not_know_is_not_stackable(network):
    assert not stackable(network)
