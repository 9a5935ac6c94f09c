"""Losses, functions and performances by hand; data that do not fit are refused."""

import math

import pytest
import torch
from cells import splits

from td_interference.errors import UserError
from td_interference.generalization import learner
from td_interference.generalization.tasks import Split


def test_classification_by_hand():
    inputs = torch.zeros(3, 2)
    task = learner("classification")(*[Split(inputs, torch.tensor([0, 1, 1]))] * 2)
    outputs = torch.tensor([[0.0, 0.0], [1.0, 3.0], [2.0, -1.0]])
    losses = [math.log(2), math.log(1 + math.exp(-2)), math.log(1 + math.exp(3))]
    torch.testing.assert_close(task.loss(outputs, task.train.targets), torch.tensor(losses))
    assert task.function(outputs).tolist() == [0.0, 3.0, 2.0]
    assert task.performance(outputs, task.train.targets) == pytest.approx(2 / 3)  # 0, 1, not 0


def test_regression_by_hand():
    train = Split(torch.zeros(4, 2), torch.tensor([[0.0, 1.0], [2.0, 1.0], [0.0, 5.0], [2.0, 5.0]]))
    test = Split(torch.zeros(2, 2), torch.tensor([[100.0, 0.0], [0.0, 100.0]]))
    task = learner("regression")(train, test)
    outputs, targets = (
        torch.tensor([[1.0, 2.0], [0.0, 3.0]]),
        torch.tensor([[0.0, 4.0], [2.0, 3.0]]),
    )
    assert task.loss(outputs, targets).tolist() == [2.5, 2.0]
    assert task.function(outputs).tolist() == [1.5, 1.5]
    # Variances of the train split are 1 and 4: squared errors 1, 4, 4, 0 become 1, 1, 4, 0.
    assert task.performance(outputs, targets) == pytest.approx(1.5)


def test_the_train_mean_has_error_one():
    task = learner("regression")(*splits("regression"))
    targets = task.train.targets
    assert task.performance(targets.mean(0).expand_as(targets), targets) == pytest.approx(1)


def test_targets_of_another_shape_are_refused():
    task = learner("regression")(*splits("regression"))
    with pytest.raises(ValueError, match="outputs"):
        task.loss(torch.zeros(4, 1), torch.zeros(4))


def test_a_constant_output_is_refused():
    train, test = splits("regression")
    with pytest.raises(UserError, match="output 0 is constant"):
        learner("regression")(train._replace(targets=train.targets * 0), test)
