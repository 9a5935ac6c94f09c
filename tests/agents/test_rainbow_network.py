"""Noisy layers, dueling heads, and the two bodies."""

import pytest
import torch

from td_interference.agents.expert.network import LayerNoise, NoisyLinear, RainbowNetwork, to_pixels
from td_interference.planning.expert import ExpertSettings


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(architecture: str = "data_efficient", n_actions: int = 5, hidden: int = 16):
    sizes = {"hidden": hidden, "n_atoms": 7, "v_min": -3.0, "v_max": 3.0, "noisy_sigma": 0.5}
    settings = ExpertSettings("asterix", architecture=architecture, **sizes)
    return RainbowNetwork(settings, n_actions, generator())


def pixels(n: int = 3) -> torch.Tensor:
    observation = torch.randint(0, 256, (n, 4, 84, 84), dtype=torch.uint8, generator=generator(1))
    return to_pixels(observation)


def test_noisy_layer_is_its_definition() -> None:
    layer = NoisyLinear(6, 4, 0.5, generator())
    with torch.no_grad():
        layer.weight_sigma.uniform_(generator=generator(2))
        layer.bias_sigma.uniform_(generator=generator(3))
    noise = layer.sample_noise(generator(4))
    weight = layer.weight + layer.weight_sigma * torch.outer(noise.outputs, noise.inputs)
    bias = layer.bias + layer.bias_sigma * noise.outputs
    x = torch.randn(5, 6, generator=generator(5))
    torch.testing.assert_close(layer(x, noise), x @ weight.T + bias)
    torch.testing.assert_close(layer(x, None), x @ layer.weight.T + layer.bias)


def test_noise_is_the_signed_root_of_normals() -> None:
    noise = NoisyLinear(300, 200, 0.5, generator()).sample_noise(generator(1))
    assert noise.inputs.shape == (300,) and noise.outputs.shape == (200,)
    both = torch.cat(noise)
    normal = both.sign() * both**2
    expected = torch.randn(500, generator=generator(1))
    torch.testing.assert_close(normal, expected)


def test_initial_weights() -> None:
    layer = NoisyLinear(100, 50, 0.4, generator())
    bound = 0.1  # 1 / sqrt(100)
    for parameter in (layer.weight, layer.bias):
        assert parameter.abs().max() <= bound and parameter.abs().max() > 0.9 * bound
    assert torch.all(layer.weight_sigma == torch.tensor(0.4 * 0.1))
    assert torch.all(layer.bias_sigma == torch.tensor(0.4 * 0.1))


def test_gradients_reach_means_and_scales() -> None:
    layer = NoisyLinear(3, 2, 0.5, generator())
    noise = LayerNoise(torch.tensor([1.0, 2.0, -1.0]), torch.tensor([0.5, -1.0]))
    x = torch.tensor([[1.0, 10.0, 100.0]])
    layer(x, noise).sum().backward()
    torch.testing.assert_close(layer.weight.grad, x.expand(2, 3))
    torch.testing.assert_close(layer.weight_sigma.grad, x * torch.outer(*noise[::-1]))
    torch.testing.assert_close(layer.bias_sigma.grad, noise.outputs)


@pytest.mark.parametrize(
    ("architecture", "features"), [("data_efficient", 576), ("canonical", 3136)]
)
def test_bodies_have_their_published_sizes(architecture: str, features: int) -> None:
    network = make(architecture)
    assert network.body(pixels()).shape == (3, features)
    assert network.value_hidden.n_inputs == features
    assert network(pixels(), None).shape == (3, 5, 7)


def test_dueling_by_hand() -> None:
    network = make()
    x = pixels()
    noise = network.sample_noise(generator(7))
    with torch.no_grad():
        h = network.body(x)
        v = network.value(network.value_hidden(h, noise[0]).relu(), noise[1])
        a = network.advantage(network.advantage_hidden(h, noise[2]).relu(), noise[3])
        a = a.view(3, 5, 7)
        logits = network(x, noise)
        for action in range(5):
            expected = v + a[:, action] - sum(a[:, k] for k in range(5)) / 5
            torch.testing.assert_close(logits[:, action], expected)
        # The advantages cancel in the mean over actions, atom by atom.
        torch.testing.assert_close(logits.mean(1), v)


def test_action_values_are_expectations() -> None:
    network = make()
    with torch.no_grad():
        probability = network(pixels(), None).softmax(-1)
        expected = sum(probability[..., i] * (i - 3.0) for i in range(7))
        torch.testing.assert_close(network.action_values(pixels(), None), expected)


def test_noise_is_an_argument_not_a_state() -> None:
    network = make()
    with torch.no_grad():
        quiet = network(pixels(), None)
        loud = network(pixels(), network.sample_noise(generator(8)))
        assert not torch.allclose(quiet, loud)
        assert torch.equal(network(pixels(), None), quiet)


def test_same_generator_same_weights_and_no_global_draw() -> None:
    before = torch.get_rng_state()
    one, other = make(), make()
    one.sample_noise(generator(1))
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)
