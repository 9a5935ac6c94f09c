"""Each layer rule against one autograd call per sample, in float64, with no way around it."""

import pytest
import torch
from torch import Tensor, nn

from td_interference.gradients import (
    gradient_sums,
    gram,
    layers,
    per_sample,
    per_sample_gradients,
    squared_norms,
)
from td_interference.gradients.records import (
    DenseGradient,
    FactoredGradient,
    PositionedGradient,
    ZeroGradient,
)

N = 5


def normal(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


class TwoHeads(nn.Module):
    """Of an actor and critic: one head is not asked, one is run in vain, one layer never."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.value = nn.Linear(4, 5), nn.Linear(5, 1)
        self.policy, self.other = nn.Linear(5, 3), nn.Conv2d(1, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.body(x).tanh()
        self.policy(hidden)
        return self.value(hidden)


class PartlyDetached(nn.Module):
    """Features that the outputs use without passing gradients on."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.body(x).detach().tanh())


def convolutions() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    found = {}
    for padding in (0, 1, "same", "valid"):
        for mode in ("zeros", "circular", "reflect"):
            if mode != "zeros" and padding in (0, "valid"):
                continue
            for groups in (1, 2):
                step = {"stride": 1 if padding == "same" else 2, "dilation": (1, 2)}
                own = {"padding": padding, "groups": groups, "padding_mode": mode}
                name = f"{padding} {mode} {groups}"
                found[f"1d {name}"] = nn.Conv1d(4, 6, 3, **own), (4, 9)
                found[f"2d {name}"] = nn.Conv2d(4, 6, (3, 1), **own, **step), (4, 9, 8)
                found[f"3d {name}"] = nn.Conv3d(4, 6, (3, 1, 3), **own, bias=False), (4, 5, 6, 4)
    return {
        name: (nn.Sequential(layer, nn.Tanh()), shape) for name, (layer, shape) in found.items()
    }


def two_layers(first: int, last: int, inputs: int = 8) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, first), nn.Tanh(), nn.Linear(first, last))


def frozen(network: nn.Module, *names: str) -> nn.Module:
    for name in names:
        network.get_parameter(name).requires_grad_(False)
    return network


def mlp(norm: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), norm, nn.Tanh(), nn.Linear(6, 1))


def convnet(norm: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.Tanh(), nn.Flatten(), nn.Linear(100, 2))


IMAGE, SEQUENCE = (3, 7, 7), (3, 8)
CASES = {
    **convolutions(),
    "heads that are not used": (TwoHeads(), (4,)),
    "partly detached": (PartlyDetached(), (4,)),
    "layer norm": (mlp(nn.LayerNorm(6)), (4,)),
    "layer norm without bias": (mlp(nn.LayerNorm(6, bias=False)), (4,)),
    "layer norm, weight frozen": (frozen(mlp(nn.LayerNorm(6)), "1.weight"), (4,)),
    "RMS norm": (mlp(nn.RMSNorm(6)), (4,)),
    "batch norm": (mlp(nn.BatchNorm1d(6)).eval(), (4,)),
    "batch norm of images": (convnet(nn.BatchNorm2d(4)).eval(), IMAGE),
    "group norm": (convnet(nn.GroupNorm(2, 4)), IMAGE),
    "layer norm of images": (convnet(nn.LayerNorm([4, 5, 5])), IMAGE),
    "layer norm of channels last": (nn.Sequential(nn.Linear(8, 9), nn.LayerNorm(9)), SEQUENCE),
    "Linear at few positions": (two_layers(40, 30), SEQUENCE),
    "Linear at many positions": (two_layers(5, 3), (30, 8)),
    "Linear on planes": (two_layers(5, 2, 7), (2, 3, 7)),
    "convolution at few positions": (
        nn.Sequential(nn.Conv2d(3, 20, 5), nn.Tanh(), nn.Conv2d(20, 30, 3)),
        IMAGE,
    ),
    "weight of few positions frozen": (
        frozen(two_layers(40, 30), "2.weight"),
        SEQUENCE,
    ),
}  # fmt: skip


def value(outputs: Tensor) -> Tensor:
    return outputs.flatten(1).sin().sum(1)


@pytest.fixture
def rules_alone(monkeypatch):
    def fail(*_):
        raise AssertionError("run sample by sample")

    monkeypatch.setattr(layers, "one_by_one", fail)
    monkeypatch.setattr(per_sample, "one_by_one", fail)


def randomised(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    network, shape = CASES[name]
    network = network.double()
    for number, parameter in enumerate(network.parameters()):
        parameter.data = 0.3 * normal(*parameter.shape, seed=number)
    for number, buffer in enumerate(network.buffers()):
        if buffer.is_floating_point():
            buffer.copy_(1 + 0.3 * normal(*buffer.shape, seed=number).abs())
    return network, normal(N, *shape, seed=50), normal(N - 1, *shape, seed=51)


def one_by_one(network: nn.Module, inputs: Tensor) -> Tensor:
    own = [p for p in network.parameters() if p.requires_grad]
    rows = []
    for row in range(len(inputs)):
        output = value(network(inputs[row : row + 1]))[0]
        parts = torch.autograd.grad(output, own, materialize_grads=True)
        rows.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(rows)


@pytest.mark.parametrize("name", CASES)
def test_rules_are_autograd(name, rules_alone):
    """All that the records say: products with another batch, norms, sums, directions."""
    network, inputs, others = randomised(name)
    a, b = (per_sample_gradients(network, x, value) for x in (inputs, others))
    slow, slow_b = one_by_one(network, inputs), one_by_one(network, others)
    close = {"rtol": 1e-10, "atol": 1e-10}
    torch.testing.assert_close(gram(a), slow @ slow.T, **close)
    torch.testing.assert_close(gram(a, b), slow @ slow_b.T, **close)
    torch.testing.assert_close(squared_norms(a), (slow @ slow.T).diagonal(), **close)
    torch.testing.assert_close(gradient_sums(a).total, slow.sum(0), **close)
    place = 0
    for own in a.layers.values():
        part = slow[:, place : place + own.n_parameters]
        place += own.n_parameters
        torch.testing.assert_close(own.dense() * a.scale[:, None], part, **close)
        torch.testing.assert_close(own.of_sample(2) * a.scale[2], part[2], **close)
    assert place == slow.shape[1]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        (
            "heads that are not used",
            [FactoredGradient, FactoredGradient, ZeroGradient, ZeroGradient],
        ),
        ("layer norm", [FactoredGradient, DenseGradient, FactoredGradient]),
        ("Linear at few positions", [PositionedGradient, PositionedGradient]),
        ("Linear at many positions", [DenseGradient, DenseGradient]),
        ("convolution at few positions", [DenseGradient, PositionedGradient]),
    ],
)
def test_records_are_of_the_form_that_costs_least(name, kinds):
    network, inputs, _ = randomised(name)
    found = per_sample_gradients(network, inputs, value).layers
    assert [type(own) for own in found.values()] == kinds


@pytest.mark.parametrize(
    ("name", "other"),
    [("Linear at few positions", (60, 8)), ("convolution at few positions", (3, 20, 25))],
)
def test_products_of_batches_in_other_forms(name, other, rules_alone):
    network, inputs, _ = randomised(name)
    others = normal(N - 1, *other, seed=51)
    a, b = (per_sample_gradients(network, x, value) for x in (inputs, others))
    assert [type(list(own.layers.values())[-1]) for own in (a, b)] == [
        PositionedGradient,
        DenseGradient,
    ]
    expected = one_by_one(network, inputs) @ one_by_one(network, others).T
    torch.testing.assert_close(gram(a, b), expected)
    torch.testing.assert_close(gram(b, a), expected.T)


def test_few_samples_of_long_sequences_are_not_written_out():
    """What a sample written out takes pays only where there are many samples to multiply it by."""
    network = two_layers(40, 30).double()
    for n_samples, kind in ((2, PositionedGradient), (40, DenseGradient)):
        inputs = normal(n_samples, 8, 8, seed=50)
        found = per_sample_gradients(network, inputs, value)
        assert type(found.layers["2"]) is kind
        slow = one_by_one(network, inputs)
        torch.testing.assert_close(gram(found), slow @ slow.T)


@pytest.mark.parametrize("of", ["inputs", "network"])
def test_positions_of_channels_last(of, rules_alone):
    network, inputs, _ = randomised("convolution at few positions")
    expected = gram(per_sample_gradients(network, inputs, value))
    if of == "inputs":
        inputs = inputs.to(memory_format=torch.channels_last)
    else:
        network = network.to(memory_format=torch.channels_last)
    found = per_sample_gradients(network, inputs, value)
    assert type(found.layers["2"]) is PositionedGradient
    torch.testing.assert_close(gram(found), expected)


@pytest.mark.parametrize(
    "name", ["heads that are not used", "Linear at few positions", "layer norm"]
)
def test_directions(name):
    network, inputs, _ = randomised(name)
    gradients = per_sample_gradients(network, inputs, value)
    slow = one_by_one(network, inputs)
    place = 0
    for layer, own in gradients.layers.items():
        parameters = [*network.get_submodule(layer).parameters(recurse=False)]
        direction = [normal(*p.shape, seed=9 + k) for k, p in enumerate(parameters)]
        flat = torch.cat([part.flatten() for part in direction])
        part = slow[:, place : place + own.n_parameters]
        place += own.n_parameters
        torch.testing.assert_close(own.along(direction) * gradients.scale, part @ flat)


def test_products_of_positions_are_made_in_blocks(monkeypatch):
    network, inputs, others = randomised("Linear at few positions")
    a, b = (per_sample_gradients(network, x, value) for x in (inputs, others))
    whole = gram(a, b)
    monkeypatch.setattr("td_interference.gradients.records.BLOCK_BYTES", 1)
    torch.testing.assert_close(gram(a, b), whole)
