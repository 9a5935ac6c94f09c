"""Small cells, tasks and networks for the tests of the generalization experiments."""

import weakref

import torch
from torch import nn

from td_interference.generalization import learner
from td_interference.generalization.tasks import Split
from td_interference.networks.atari import initialise
from td_interference.planning.cells import CellSpec
from td_interference.planning.learners import known

N_TRAIN, N_TEST, N_FEATURES = 40, 15, 5
N_OUTPUTS = {"classification": 4, "regression": 3}


def cell_spec(**over) -> CellSpec:
    """A small cell, with some fields set differently."""
    fields = {
        "dataset": "noise",
        "task": "regression",
        "hidden": 6,
        "extra_layers": 1,
        "n_train": 12,
        "learning_rate": 1e-2,
        "minibatch": 8,
        "updates": 30,
        "measure_every": 10,
        "samples": 7,
        "evaluation_samples": 9,
        "seeds": (0, 1, 2),
    }
    fields |= over
    if known().get(fields["task"], known()["regression"]).acts and "agent_steps" not in over:
        fields["agent_steps"] = fields["updates"]
    if "agent_steps" in fields:
        fields["updates"] = None
    return CellSpec(**fields)


def splits(experiment, shape=(N_FEATURES,), dtype=torch.float32):
    """Noise to learn by heart: a train and a test split."""
    generator = torch.Generator().manual_seed(0)

    def split(n):
        inputs = torch.randn(n, *shape, generator=generator, dtype=torch.float64).to(dtype)
        if experiment == "classification":
            return Split(inputs, torch.randint(4, (n,), generator=generator))
        targets = torch.randn(n, 3, generator=generator, dtype=torch.float64)
        return Split(inputs, (targets * torch.tensor([1.0, 2.0, 5.0])).to(dtype))

    return split(N_TRAIN), split(N_TEST)


def small_task(experiment, shape=(N_FEATURES,), dtype=torch.float32):
    """A task on `splits`."""
    return learner(experiment)(*splits(experiment, shape, dtype))


def mlp_factory(experiment, dtype=torch.float32, hidden=6):
    """A factory of MLPs with one extra layer."""

    def make(generator):
        network = nn.Sequential(
            nn.Linear(N_FEATURES, hidden),
            nn.LeakyReLU(0.01),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.01),
            nn.Linear(hidden, N_OUTPUTS[experiment]),
        )
        return initialise(network, generator).to(dtype)

    return make


def convolution_factory(dtype=torch.float32):
    """A factory of small convolutional classifiers of images [3, 8, 8]."""

    def make(generator):
        network = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2),
            nn.LeakyReLU(0.01),
            nn.Flatten(),
            nn.Linear(36, 4),
        )
        return initialise(network, generator).to(dtype)

    return make


def only_one_alive(make):
    """`make`, which returns per-sample gradients, failing while earlier ones are in memory."""
    before = []

    def checked(*args):
        assert not any(reference() is not None for reference in before)
        gradients = make(*args)
        before.extend(  # values share the activations of a forward pass
            weakref.ref(layer.output_gradient if hasattr(layer, "bias") else layer.gradient)
            for layer in gradients.layers.values()
        )
        checked.calls += 1
        return gradients

    checked.calls = 0
    return checked
