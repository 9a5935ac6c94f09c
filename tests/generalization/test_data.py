"""What networks see: images in 0..1, features standardised by the train split."""

import numpy as np
import pytest
import torch
from cells import cell_spec

from td_interference.datasets.arrays import read_dataset
from td_interference.datasets.prepare import prepare_dataset
from td_interference.generalization.data import network_factory, read_task, standardised
from td_interference.seeds import torch_generator

CPU = torch.device("cpu")


def test_features_have_the_mean_and_variance_of_train():
    generator = np.random.default_rng(0)
    train = generator.normal(3, 7, (200, 3)).astype(np.float32)
    train[:, 2] = 5  # says nothing
    test = np.array([[3, 3, 5], [10, -4, 6]], dtype=np.float32)
    ours_train, ours_test = standardised(train, test)
    for column in (0, 1):
        mean, deviation = np.mean(train[:, column]), np.std(train[:, column])
        np.testing.assert_allclose(
            ours_test[:, column], (test[:, column] - mean) / deviation, rtol=1e-5
        )
    assert ours_train[:, 2].tolist() == [0] * 200 and ours_test[:, 2].tolist() == [0, 1]
    assert ours_train.dtype == ours_test.dtype == torch.float32


@pytest.mark.parametrize("extra_layers", [0, 2])
def test_networks_fit_their_data(tmp_path, extra_layers):
    for name in ("digits", "diabetes"):
        prepare_dataset(name, {}, tmp_path / f"{name}.h5")
    shape = {"hidden": 3, "extra_layers": extra_layers}
    cell = cell_spec(dataset="digits", task="classification", n_train=30, **shape)
    task = read_task([cell], tmp_path / "digits.h5", CPU)
    images = read_dataset(tmp_path / "digits.h5", "images").train.inputs[:30]
    np.testing.assert_array_equal(task.train.inputs.numpy(), images.astype(np.float32) / 255)
    assert len(task.train.targets) == 30 and len(task.test.inputs) == 359
    network = network_factory(cell, task)(torch_generator("run", "initial_weights"))
    assert network(task.test.inputs[:2]).shape == (2, 10)
    convolutions = [module for module in network if isinstance(module, torch.nn.Conv2d)]
    assert len(convolutions) == 3 + extra_layers

    cell = cell_spec(dataset="diabetes", n_train=30, **shape)
    task = read_task([cell], tmp_path / "diabetes.h5", CPU)
    assert len(task.train.inputs) == 354  # errors are in units of the whole split's variance
    network = network_factory(cell, task)(torch_generator("run", "initial_weights"))
    assert network(task.test.inputs[:2]).shape == (2, 1)
    hidden = [m.out_features for m in network if isinstance(m, torch.nn.Linear)]
    assert hidden == [3] * (1 + extra_layers) + [1]
