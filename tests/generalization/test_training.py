"""Runs trained together against runs trained alone, and measurements against slow twins."""

import copy
import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from cells import (
    N_TEST,
    N_TRAIN,
    cell_spec,
    convolution_factory,
    mlp_factory,
    small_task,
)
from reference_gradients import autograd_gradients

from td_interference.errors import UserError
from td_interference.generalization import learner
from td_interference.generalization.side_by_side import SeparateLearners
from td_interference.generalization.stacked import StackedLearners
from td_interference.generalization.tasks import Split
from td_interference.generalization.training import TrainingTogether
from td_interference.seeds import numpy_generator, torch_generator

PAIRS = ("train_train", "train_test", "test_test")
PLAIN = {
    "classification": torch.nn.functional.cross_entropy,
    "regression": torch.nn.functional.mse_loss,
}


def train_and_measure(cells, task, make_network):
    """Train all runs of the cells together and yield their rows at each measured step."""
    training = TrainingTogether(cells, task, make_network)
    for _ in range(cells[0].duration // cells[0].measure_every):
        training.advance(cells[0].measure_every)
        yield training.measure()


def values(row):
    """The measured numbers of a row."""
    return [v for v in row.values() if isinstance(v, float)]


@pytest.mark.parametrize("kind", [StackedLearners, SeparateLearners])
@pytest.mark.parametrize("experiment", ["classification", "regression"])
def test_runs_trained_together_equal_runs_trained_alone(experiment, kind):
    """In float32, as in use; cells of two sizes, one smaller than the samples asked for."""
    settings = {"task": experiment, "learning_rate": 1e-3, "updates": 80, "measure_every": 40}
    cells = [cell_spec(**settings, n_train=size) for size in (5, 30)]
    task, make = small_task(experiment), mlp_factory(experiment)
    together = TrainingTogether(cells, task, make, kind)
    together.advance(80)
    rows, networks = together.measure(), together.networks
    runs = [(cell, seed) for cell in cells for seed in cell.seeds]
    for row, network, (cell, seed) in zip(rows, networks, runs, strict=True):
        alone = TrainingTogether([dataclasses.replace(cell, seeds=(seed,))], task, make, kind)
        alone.advance(40)
        alone.measure()  # measuring must not train
        alone.advance(40)
        (own_row,), (own,) = alone.measure(), alone.networks
        for ours, theirs in zip(network.parameters(), own.parameters(), strict=True):
            assert (ours - theirs).abs().max() <= 1e-5
        assert (row["run_id"], row["n_train"], row["seed"]) == (
            own_row["run_id"],
            cell.n_train,
            seed,
        )
        np.testing.assert_allclose(values(row), values(own_row), rtol=1e-4, atol=1e-6)


def minibatches(cell, run_id):
    shape = (cell.updates, cell.minibatch)
    return numpy_generator(run_id, "minibatches").integers(0, cell.n_train, shape)


def samples(run_id, purpose, size, cell):
    return numpy_generator(run_id, purpose).permutation(size)[: cell.evaluation_samples]


def pair_means(gradients, first, second, same):
    """Mean inner product and cosine of two sets of gradients, by two loops."""
    pairs = [
        (gradients[u], gradients[v])
        for (i, u), (j, v) in itertools.product(enumerate(first), enumerate(second))
        if not same or i != j
    ]
    products = [(a @ b).item() for a, b in pairs]
    cosines = [(a @ b / a.norm() / b.norm()).item() for a, b in pairs]
    return np.mean(products), np.mean(cosines)


@pytest.mark.parametrize("experiment", ["classification", "regression"])
@pytest.mark.parametrize("n_train", [5, 30])
def test_a_row_says_what_a_plain_program_would(experiment, n_train):
    """All of it again for one run, in float64, by plain PyTorch and explicit gradients."""
    cell = cell_spec(task=experiment, n_train=n_train, updates=20, measure_every=20)
    task = small_task(experiment, dtype=torch.float64)
    make = mlp_factory(experiment, torch.float64)
    (rows,) = train_and_measure([cell], task, make)
    row, run_id = rows[1], cell.run_ids[1]

    network = make(torch_generator(run_id, "initial_weights"))
    optimizer = torch.optim.Adam(network.parameters(), cell.learning_rate)
    for index in minibatches(cell, run_id):
        loss = PLAIN[experiment](network(task.train.inputs[index]), task.train.targets[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    chosen = {
        "train": (task.train, samples(run_id, "measured_train", n_train, cell)),
        "test": (task.test, samples(run_id, "measured_test", N_TEST, cell)),
    }
    performance = {}
    for name, (split, index) in chosen.items():
        outputs, targets = network(split.inputs[index]), split.targets[index]
        loss = PLAIN[experiment](outputs, targets).item()
        assert row[f"{name}_loss"] == pytest.approx(loss, rel=1e-8)
        if experiment == "classification":
            performance[name] = (outputs.argmax(1) == targets).double().mean().item()
        else:
            variances = np.var(task.train.targets.numpy(), axis=0)
            errors = (outputs - targets).detach().numpy() ** 2 / variances
            performance[name] = np.mean(errors)
        assert row[f"{name}_performance"] == pytest.approx(performance[name], rel=1e-8)
    sign = 1 if experiment == "classification" else -1
    gap = sign * (performance["train"] - performance["test"])
    assert row["generalization_gap"] == pytest.approx(gap, rel=1e-8)

    measured = {name: (split, index[: cell.samples]) for name, (split, index) in chosen.items()}
    inputs = torch.cat([split.inputs[index] for split, index in measured.values()])
    targets = torch.cat([split.targets[index] for split, index in measured.values()])
    n_measured = len(measured["train"][1])
    numbers = {"train": range(n_measured), "test": range(n_measured, len(inputs))}

    def function(outputs):
        return outputs.max(1).values if experiment == "classification" else outputs.mean(1)

    def per_sample_loss(outputs):
        losses = PLAIN[experiment](outputs, targets, reduction="none")
        return losses if experiment == "classification" else losses.mean(1)

    for name, value in (("function", function), ("loss", per_sample_loss)):
        gradients = autograd_gradients(network, inputs, value)
        for pair in PAIRS:
            first, second = pair.split("_")
            product, cosine = pair_means(
                gradients, numbers[first], numbers[second], first == second
            )
            assert row[f"{name}_interference_{pair}"] == pytest.approx(product, rel=1e-7)
            assert row[f"{name}_stiffness_{pair}"] == pytest.approx(cosine, rel=1e-7)


def test_rows_come_at_every_measured_step_in_order():
    cells = [cell_spec(), cell_spec(n_train=20, seeds=(4,))]
    rows = list(train_and_measure(cells, small_task("regression"), mlp_factory("regression")))
    assert [[row["update_step"] for row in of_step] for of_step in rows] == [
        [s] * 4 for s in (10, 20, 30)
    ]
    for of_step in rows:
        assert [(row["n_train"], row["seed"]) for row in of_step] == [
            (12, 0),
            (12, 1),
            (12, 2),
            (20, 4),
        ]
        assert not any(row["diverged"] for row in of_step)
        assert all(math.isfinite(value) for row in of_step for value in values(row))
    first, last = rows[0][0], rows[-1][0]
    assert last["train_loss"] < first["train_loss"]


def test_only_the_first_samples_are_learned_from_and_measured():
    """Every training sample after the first n_T is NaN; one of them would end the run."""
    train, test = small_task("regression").train, small_task("regression").test
    task = learner("regression")(train, test)
    inputs = train.inputs.clone()
    inputs[12:] = torch.nan
    task.train = Split(inputs, train.targets)
    *_, rows = train_and_measure([cell_spec(n_train=12)], task, mlp_factory("regression"))
    assert not any(row["diverged"] for row in rows)
    *_, rows = train_and_measure([cell_spec(n_train=13)], task, mlp_factory("regression"))
    assert all(row["diverged"] for row in rows)


def test_test_samples_are_never_learned_from():
    train, test = small_task("regression").train, small_task("regression").test
    networks = []
    for shift in (0.0, 1.0):
        task = learner("regression")(train, Split(test.inputs + shift, test.targets + shift))
        together = TrainingTogether([cell_spec()], task, mlp_factory("regression"))
        together.advance(10)
        together.measure()
        together.advance(10)
        networks.append(together.networks[0].state_dict())
    for name, tensor in networks[0].items():
        assert torch.equal(tensor, networks[1][name])


@pytest.mark.parametrize("kind", [StackedLearners, SeparateLearners])
def test_a_run_that_diverges_says_so_and_the_others_do_not_notice(kind):
    cell, task = cell_spec(), small_task("regression")
    sound = mlp_factory("regression")
    drawn = []

    def second_is_broken(generator):
        network = sound(generator)
        drawn.append(network)
        if len(drawn) == 2:
            with torch.no_grad():
                network[0].weight.fill_(1e30)
        return network

    rows = {}
    for name, make in (("sound", sound), ("broken", second_is_broken)):
        together = TrainingTogether([cell], task, make, kind)
        together.advance(10)
        rows[name] = together.measure()
    assert [row["diverged"] for row in rows["broken"]] == [False, True, False]
    assert all(math.isnan(value) for value in values(rows["broken"][1]))
    for run in (0, 2):
        assert rows["broken"][run] == rows["sound"][run]


def test_a_run_that_diverged_stays_diverged():
    """The loss of one update was infinite; the outputs are finite again when measured."""
    task = small_task("regression")
    # These train the networks in place, so that they can be mended here.
    together = TrainingTogether([cell_spec()], task, mlp_factory("regression"), SeparateLearners)
    before = copy.deepcopy(together.networks[1].state_dict())
    honest = task.loss
    task.loss = lambda outputs, targets: honest(outputs, targets) * torch.inf
    together.advance(1)
    task.loss = honest
    for network in together.networks:
        network.load_state_dict(before)
        assert network(task.test.inputs).isfinite().all()
    assert all(row["diverged"] for row in together.measure())
    resumed = TrainingTogether([cell_spec()], task, mlp_factory("regression"), SeparateLearners)
    resumed.load_state_dict(together.state_dict())
    assert all(row["diverged"] for row in resumed.measure()), "a resume state remembers it"


def test_convolutions_train_and_measure():
    cell = cell_spec(task="classification")
    task = small_task("classification", (3, 8, 8))
    *_, rows = train_and_measure([cell], task, convolution_factory())
    assert all(math.isfinite(value) for row in rows for value in values(row))
    assert all(row["train_performance"] > row["test_performance"] for row in rows)


def test_same_seed_same_numbers_and_other_seeds_others():
    def rows():
        return list(
            train_and_measure([cell_spec()], small_task("regression"), mlp_factory("regression"))
        )

    assert rows() == rows()
    losses = [row["train_loss"] for row in rows()[-1]]
    assert len(set(losses)) == 3


def test_more_samples_than_there_are_is_one_line():
    cell = cell_spec(n_train=N_TRAIN + 1)
    with pytest.raises(UserError, match=r"generalization\.n_train': 41 is more than the 40"):
        TrainingTogether([cell], small_task("regression"), mlp_factory("regression"))


def test_misuse_is_refused():
    task, make = small_task("regression"), mlp_factory("regression")
    with pytest.raises(ValueError, match="n_T and seeds"):
        TrainingTogether([cell_spec(), cell_spec(n_train=20, minibatch=4)], task, make)
    with pytest.raises(ValueError, match="beyond"):
        TrainingTogether([cell_spec()], task, make).advance(31)
