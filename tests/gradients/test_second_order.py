"""ρ' against finite differences of ρ, and against double backward, pair by pair."""

import copy

import pytest
import torch
from reference_gradients import autograd_gradients
from torch import Tensor, nn
from torch.func import functional_call, hessian
from torch.nn.utils import parametrizations

from td_interference.errors import UserError
from td_interference.gradients import (
    chain,
    functions,
    gram,
    per_sample_gradients,
    second_order,
)
from td_interference.gradients.second_order import (
    PRINTED_FACTOR,
    momentum_terms,
    pair_products,
    regression_terms,
    td_terms,
)
from td_interference.networks.atari import NEGATIVE_SLOPE, initialise, q_network, value_network

N = 5
GAMMA = 0.9
BETA = 0.8
STEP = 1e-4  # of finite differences of fourth order: their error is of order STEP ** 4
TERMINATED = torch.tensor([False, True, False, False, True])
ACTION = torch.tensor([0, 2, 1, 1, 0])


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def randomised(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        parameter.data = 0.4 * torch.randn(parameter.shape, generator=generator)
    return network.double()


def perceptron() -> tuple[nn.Module, tuple[int, ...]]:
    return nn.Sequential(
        nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5, bias=False), nn.Softplus(), nn.Linear(5, 3)
    ), (4,)


def conv_net() -> tuple[nn.Module, tuple[int, ...]]:
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=2, padding=1),
        nn.Softplus(),
        nn.Conv2d(3, 3, 2),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(3 * 2 * 2, 4),
        nn.Tanh(),
        nn.Linear(4, 3),
    ), (2, 5, 5)


def leaky_net() -> tuple[nn.Module, tuple[int, ...]]:
    return nn.Sequential(
        nn.Linear(4, 6), nn.LeakyReLU(NEGATIVE_SLOPE), nn.Linear(6, 5), nn.LeakyReLU(0.1),
        nn.Linear(5, 3),
    ), (4,)  # fmt: skip


def normalised() -> tuple[nn.Module, tuple[int, ...]]:
    """Layers without a rule of their own, and a frozen one."""
    network = nn.Sequential(
        nn.Linear(4, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3)
    )
    network[3].weight.requires_grad_(False)
    network[5].bias.requires_grad_(False)
    return network, (4,)


class Tied(nn.Module):
    """One module called twice: the per-sample gradients fall back to one sample at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(self.inner(x).tanh()).tanh())


NETWORKS = {
    "perceptron": perceptron,
    "convolution": conv_net,
    "leaky": leaky_net,
    "normalised": normalised,
    "tied": lambda: (Tied(), (4,)),
}


class Example:
    """A network, transitions with successors, and everything at θ' by plain autograd."""

    def __init__(self, name: str) -> None:
        network, shape = NETWORKS[name]()
        self.network = randomised(network)
        self.inputs, self.successors = normal(N, *shape, seed=2), normal(N, *shape, seed=3)
        self.reward, self.target = normal(N, seed=4), normal(N, seed=5)
        self.trainable = {n: p for n, p in self.network.named_parameters() if p.requires_grad}
        self.momentum = {
            name: normal(*parameter.shape, seed=6 + k)
            for k, (name, parameter) in enumerate(self.trainable.items())
        }
        with torch.no_grad():
            f = self.value(self.network(self.inputs))
            self.delta = f - self.target
            self.td_delta = f - self.td_target(self.network)

    @staticmethod
    def value(outputs: Tensor) -> Tensor:
        """Q(s, a), bent so that its own second derivative counts too."""
        chosen = outputs.gather(1, ACTION[:, None])[:, 0]
        return chosen + 0.1 * chosen.square()

    def next_value(self, outputs: Tensor) -> Tensor:
        return outputs.amax(1)

    def td_target(self, network: nn.Module) -> Tensor:
        bootstrap = self.next_value(network(self.successors))
        return self.reward + GAMMA * torch.where(TERMINATED, 0, bootstrap)

    def flat(self, parts) -> Tensor:
        return torch.cat([part.flatten() for part in parts])

    def moved(self, direction: Tensor, step: float) -> nn.Module:
        network = copy.deepcopy(self.network)
        parameters = [p for p in network.parameters() if p.requires_grad]
        sizes = [p.numel() for p in parameters]
        with torch.no_grad():
            for parameter, part in zip(parameters, direction.split(sizes), strict=True):
                parameter += step * part.view_as(parameter)
        return network

    def at(self, network: nn.Module) -> dict[str, Tensor]:
        with torch.no_grad():
            f = self.value(network(self.inputs))
            td_delta = f - self.td_target(network)
        gradients = autograd_gradients(network, self.inputs, self.value)
        return {
            "delta": f - self.target,
            "td_delta": td_delta,
            "gradients": gradients,
            "g": gradients @ gradients.T,
        }

    def slope(self, quantity, direction: Tensor) -> Tensor:
        """d quantity / dα along a direction at α = 0, by central differences."""
        plus, minus, plus2, minus2 = (
            quantity(self.at(self.moved(direction, k * STEP))) for k in (1, -1, 2, -2)
        )
        return (8 * (plus - minus) - (plus2 - minus2)) / (12 * STEP)

    def columns(self, quantity, directions: list[Tensor]) -> Tensor:
        """[N, N]: column B the slope of quantity(state, B), [N], along direction B."""
        return torch.stack(
            [
                self.slope(lambda state, b=b: quantity(state, b), direction)
                for b, direction in enumerate(directions)
            ],
            1,
        )

    def descent(self, delta: Tensor) -> list[Tensor]:
        """-∇J_B of each sample B."""
        gradients = autograd_gradients(self.network, self.inputs, self.value)
        return list(-delta[:, None] * gradients)

    def regression(self, factor=1):
        pairs = pair_products(self.network, self.inputs, self.value)
        return regression_terms(pairs, self.delta, factor)

    def td(self, **changes):
        pairs = pair_products(self.network, self.inputs, self.value)
        successors = per_sample_gradients(self.network, self.successors, self.next_value)
        arguments = {
            "successor_gram": gram(successors, pairs.gradients),
            "terminated": TERMINATED,
            "gamma": GAMMA,
            **changes,
        }
        return td_terms(pairs, self.td_delta, **arguments)


@pytest.fixture(scope="module", params=NETWORKS)
def example(request) -> Example:
    return Example(request.param)


def deviation(found: Tensor, expected: Tensor) -> float:
    """Largest error relative to the largest entry."""
    assert found.shape == expected.shape
    return ((found - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("kind", ["delta", "td_delta"])
def test_terms_are_finite_differences(example, kind):
    """ρ_AB = δ_A δ_B g_AB: each term is the change of one factor, the sum that of the product."""
    terms = example.regression() if kind == "delta" else example.td()
    delta = getattr(example, kind)
    directions = example.descent(delta)
    g = example.at(example.network)["g"]
    outer = delta[:, None] * delta

    of_delta = example.columns(lambda state, b: state[kind], directions)  # dδ_A/dα for a step at B
    assert deviation(terms.r1, -of_delta * delta * g) < 1e-8
    assert deviation(terms.r2, -of_delta.diagonal() * delta[:, None] * g) < 1e-8
    of_g = example.columns(lambda state, b: state["g"][:, b], directions)
    assert deviation(terms.r3, -outer * of_g) < 1e-8

    def interference(state, b):
        return state[kind] * state[kind][b] * state["g"][:, b]

    change = example.columns(interference, directions)
    assert deviation(terms.change, change) < 1e-8
    torch.testing.assert_close(terms.change, change, rtol=1e-6, atol=1e-9)


def test_the_printed_factor_is_not_the_derivative(example):
    """Errata: eq. 16, 48 and 49 print 2 δ_A δ_B g_AB g_BB."""
    directions = example.descent(example.delta)

    def interference(state, b):
        return state["delta"] * state["delta"][b] * state["g"][:, b]

    change = example.columns(interference, directions)
    assert deviation(example.regression().change, change) < 1e-8
    assert deviation(example.regression(PRINTED_FACTOR).change, change) > 0.05
    torch.testing.assert_close(example.regression(2).r2, 2 * example.regression().r2)


def test_td_without_bootstrap_is_regression(example):
    expected = example.regression()
    example.td_delta, kept = example.delta, example.td_delta
    for changes in ({"gamma": 0.0}, {"terminated": torch.ones(N, dtype=torch.bool)}):
        for found, term in zip(example.td(**changes), expected, strict=True):
            torch.testing.assert_close(found, term)
    example.td_delta = kept


def test_what_follows_a_terminal_state_does_not_count():
    example = Example("perceptron")
    expected = example.td()
    example.successors = torch.where(TERMINATED[:, None], torch.nan, example.successors)
    for found, term in zip(example.td(), expected, strict=True):
        torch.testing.assert_close(found, term)


def test_pair_products_by_double_backward(example):
    """The slow twin: ∇(∇f_A·∇f_B)·∇f_B pair by pair, and its two halves."""
    pairs = pair_products(example.network, example.inputs, example.value)
    slow = by_double_backward(example.network, example.inputs, example.value)
    for found, expected in zip(pairs[:3], slow, strict=True):
        assert deviation(found, expected) < 1e-9


CHAINS = {
    **{name: make for name, make in NETWORKS.items() if name not in ("normalised", "tied")},
    "one layer": lambda: (nn.Sequential(nn.Linear(4, 3)), (4,)),
    "a layer alone": lambda: (nn.Linear(4, 3), (4,)),
    "nested, frozen, in place": lambda: (frozen_in_part(), (4,)),
    "groups and a signal": lambda: (
        nn.Sequential(
            nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2),
            nn.GELU(),
            nn.Conv1d(6, 4, 2, dilation=2, bias=False),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(8, 3),
        ),
        (4, 7),
    ),
    "no bias": lambda: (
        nn.Sequential(
            nn.Conv2d(2, 3, 3, bias=False), nn.ELU(), nn.Flatten(), nn.Linear(27, 3, bias=False)
        ),
        (2, 5, 5),
    ),
}


def frozen_in_part() -> nn.Module:
    network = nn.Sequential(
        nn.Identity(),
        nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Linear(5, 5), nn.Sigmoid()),
        nn.Linear(5, 5),
        nn.Mish(),
        nn.Linear(5, 3),
    )
    network[1][2].requires_grad_(False)
    network[2].weight.requires_grad_(False)
    network[4].bias.requires_grad_(False)
    return network


@pytest.mark.parametrize("name", CHAINS)
def test_tangents_are_nested_transforms(name, monkeypatch):
    """Of chains of layers: all products, and those of momentum, by the way of any network."""
    network, shape = CHAINS[name]()
    network, inputs = randomised(network), normal(N, *shape)
    mu = {n: normal(*p.shape, seed=7) for n, p in network.named_parameters()}
    delta = normal(N, seed=8)

    def found():
        pairs = pair_products(network, inputs, Example.value)
        return pairs, momentum_terms(pairs, delta, momentum=mu, beta=BETA)

    fast, fast_terms = found()
    monkeypatch.setattr(second_order, "chain_of", lambda *arguments: None)
    slow, slow_terms = found()
    assert fast.chain is not None and slow.chain is None
    for a, b in zip((*fast[:3], *fast_terms), (*slow[:3], *slow_terms), strict=True):
        assert (a - b).abs().max() <= 1e-12 * b.abs().max()


@pytest.mark.parametrize("make", [value_network, lambda hidden: q_network(4, hidden)])
def test_tangents_in_single_precision_are_those_of_nested_transforms(make, monkeypatch):
    network = initialise(make(4), torch.Generator().manual_seed(1))
    frames = torch.randint(0, 256, (3, 4, 84, 84), dtype=torch.uint8)
    fast = pair_products(network, frames, lambda outputs: outputs.amax(1))
    monkeypatch.setattr(second_order, "chain_of", lambda *arguments: None)
    slow = pair_products(network, frames, lambda outputs: outputs.amax(1))
    assert fast.chain is not None and slow.chain is None
    for found, expected in zip(fast[:3], slow[:3], strict=True):
        assert deviation(found, expected) < 1e-6


@pytest.mark.parametrize("place", ["first", "second"])
def test_tangents_that_do_not_agree_are_not_taken(place, monkeypatch):
    tangents = chain.Chain.tangents

    def wrong(*arguments):
        right = tangents(*arguments)
        return right._replace(**{place: getattr(right, place) * 1.001})

    monkeypatch.setattr(chain.Chain, "tangents", wrong)
    example = Example("convolution")
    pairs = pair_products(example.network, example.inputs, example.value)
    assert pairs.chain is None
    slow = by_double_backward(example.network, example.inputs, example.value)
    for found, expected in zip(pairs[:3], slow, strict=True):
        assert deviation(found, expected) < 1e-9


@pytest.mark.parametrize("weight", [1e12, 1e19, 1e37, float("inf"), float("nan")])
@pytest.mark.parametrize("make", [perceptron, conv_net])
def test_networks_whose_learning_blew_up_are_measured(make, weight):
    """Their pairs overflow, some in one order of operations alone, and come out as they are."""
    network, shape = make()
    network = randomised(network).float()
    with torch.no_grad():
        network[-1].weight[0, 0] = weight
    pairs = pair_products(network, normal(N, *shape).float(), Example.value)
    assert not pairs.gram.abs().max() < 1e20  # what counts as diverged, NaN too
    assert not regression_terms(pairs, torch.ones(N)).change.abs().max() < 1e20


@pytest.mark.parametrize("size", [1.0, 1e30])  # squares of the second are infinite
def test_derivatives_that_differ_are_refused_of_any_size(size, monkeypatch):
    network, shape = perceptron()
    network, inputs = randomised(network).float(), normal(N, *shape).float()

    def value(outputs):
        return size**0.5 * Example.value(outputs)

    def wrong(*arguments):
        first, *others = transforms(*arguments)
        return first * 1.001, *others

    transforms = second_order.by_transforms
    monkeypatch.setattr(second_order, "chain_of", lambda *arguments: None)
    assert pair_products(network, inputs, value).gram.isfinite().all()
    monkeypatch.setattr(second_order, "by_transforms", wrong)
    with pytest.raises(UserError, match="first ones are not its gradients"):
        pair_products(network, inputs, value)


def test_nested_forward_mode_is_checked(monkeypatch):
    """Layer norm fails the check (PyTorch's issue 196700), the paper's kinds of layer pass it."""
    monkeypatch.setattr(second_order, "chain_of", lambda *arguments: None)
    calls = []
    hessian_product = functions.Functions.hessian_product

    def counted(*arguments):
        calls.append(arguments)
        return hessian_product(*arguments)

    monkeypatch.setattr(functions.Functions, "hessian_product", counted)
    for name, n_calls in {"convolution": N, "leaky": N, "normalised": N + N * N}.items():
        calls.clear()
        example = Example(name)
        pair_products(example.network, example.inputs, example.value)
        assert len(calls) == n_calls, name


class Changing(nn.Module):
    """Overwrites its inputs, counts its calls in every way, and what it computes goes by that."""

    def __init__(self, late: Tensor | None = None) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 3)
        self.n_calls, self.seen, self.late = 0, [], late
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.n_calls += 1
        self.steps += 1
        self.seen.append(x)
        if self.late is not None:
            self.late += 1  # no buffer
        hidden = self.first(x.mul_(2).add_(len(self.seen)))
        return self.last(hidden.mul_(self.n_calls).tanh_())


def spectral() -> nn.Module:
    return nn.Sequential(
        parametrizations.spectral_norm(nn.Linear(4, 6)), nn.Tanh(), nn.Linear(6, 3)
    )


@pytest.mark.parametrize("make", [Changing, lambda: spectral().eval()])
def test_networks_that_write_to_themselves_are_as_before(make):
    network, inputs = randomised(make()), normal(N, 4)
    before, state = inputs.clone(), copy.deepcopy(network.state_dict())
    slow = by_double_backward(copy.deepcopy(network), inputs.clone(), Example.value)
    pairs = pair_products(network, inputs, Example.value)
    for found, expected in zip(pairs[:3], slow, strict=True):
        assert deviation(found, expected) < 1e-9
    momentum = {name: torch.ones_like(p) for name, p in network.named_parameters()}
    momentum_terms(pairs, torch.ones(N).double(), momentum=momentum, beta=BETA)
    assert inputs.equal(before)
    assert all(network.state_dict()[name].equal(tensor) for name, tensor in state.items())
    assert getattr(network, "seen", []) == [] and getattr(network, "n_calls", 0) == 0


def test_what_forward_mode_cannot_do_is_one_line():
    for network in (Changing(late=torch.zeros(()).double()), spectral()):
        state = copy.deepcopy(randomised(network).state_dict())
        with pytest.raises(UserError, match=r"no second derivatives: \w+Error: .*evaluation mode"):
            pair_products(network, normal(N, 4), Example.value)
        assert all(network.state_dict()[name].equal(tensor) for name, tensor in state.items())
        assert getattr(network, "late", 0) == 0


def by_double_backward(network, inputs, value):
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    f = value(network(inputs))
    gradients = [torch.autograd.grad(x, parameters, create_graph=True) for x in f]

    def product(x, y):
        return sum((p * q).sum() for p, q in zip(x, y, strict=True))

    def hessian_product(x, direction):
        fixed = [part.detach() for part in direction]
        return torch.autograd.grad(
            product(x, fixed), parameters, retain_graph=True, materialize_grads=True
        )

    found = torch.empty(3, len(inputs), len(inputs), dtype=f.dtype)
    for a, of_a in enumerate(gradients):
        for b, of_b in enumerate(gradients):
            found[0, a, b] = product(of_a, of_b).detach()
            found[1, a, b] = product(of_b, hessian_product(of_a, of_b)).detach()
            found[2, a, b] = product(of_a, hessian_product(of_b, of_b)).detach()
    return found


@pytest.mark.parametrize("make", [lambda: value_network(2), lambda: q_network(3, hidden=2)])
def test_the_papers_networks(make):
    network = initialise(make(), torch.Generator().manual_seed(0))
    frames = torch.randint(256, (4, 4, 84, 84), generator=torch.Generator().manual_seed(1))
    frames = frames.to(torch.uint8)

    def value(outputs):
        return outputs.amax(1)

    single = pair_products(network, frames, value)
    slow = by_double_backward(network.double(), frames.double(), value)
    double = pair_products(network, frames.double(), value)
    for in_single, in_double, expected in zip(single[:3], double[:3], slow, strict=True):
        assert in_single.dtype == torch.float32 and in_double.dtype == torch.float64
        assert deviation(in_double, expected) < 1e-9
        assert deviation(in_single.double(), expected) < 1e-4


def test_piecewise_linear_networks_curve_across_layers_only():
    """With leaky ReLUs f is linear in each layer's parameters, yet ρ' keeps its third term."""
    example = Example("leaky")
    parameters = {name: p.detach() for name, p in example.network.named_parameters()}

    def last(parameters):
        return example.value(functional_call(example.network, parameters, (example.inputs,)))[-1]

    def linear(outputs):
        return outputs.gather(1, ACTION[:, None])[:, 0]

    example.value = linear
    blocks = hessian(last)(parameters)
    assert all(not blocks[name][name].any() for name in parameters)
    assert blocks["0.weight"]["2.weight"].abs().max() > 0.01
    flat = torch.cat(
        [
            torch.cat([blocks[row][column].flatten(-parameters[column].ndim).reshape(
                parameters[row].numel(), -1) for column in parameters], 1)
            for row in parameters
        ]
    )  # fmt: skip
    gradients = autograd_gradients(example.network, example.inputs, linear)
    pairs = pair_products(example.network, example.inputs, linear)
    expected = torch.stack([v @ flat @ v for v in gradients])
    assert deviation(pairs.curvature_at_a[-1], expected) < 1e-9
    assert deviation(pairs.curvature_at_b[:, -1], gradients @ flat @ gradients[-1]) < 1e-9


def test_a_linear_function_by_hand():
    """f = w s: r1 = (A B)² δ_B², r2 = δ_A δ_B A B³, no curvature."""
    network = nn.Linear(1, 1, bias=False).double()
    network.weight.data.fill_(1)
    delta = torch.tensor([1.0, -2.0], dtype=torch.float64)
    inputs = torch.tensor([[3.0], [2.0]], dtype=torch.float64)
    pairs = pair_products(network, inputs, lambda outputs: outputs[:, 0])
    terms = regression_terms(pairs, delta)
    assert terms.r1.tolist() == [[81, 144], [36, 64]]
    assert terms.r2.tolist() == [[81, -48], [-108, 64]]
    assert not terms.r3.any()
    moving = td_terms(
        pairs,
        delta,
        successor_gram=torch.tensor([[9.0, 6.0], [6.0, 4.0]], dtype=torch.float64),
        terminated=torch.tensor([False, True]),
        gamma=0.5,
    )
    assert moving.r1.tolist() == [[40.5, 72], [36, 64]]
    assert moving.r2.tolist() == [[40.5, -48], [-54, 64]]


def momentum(example, beta=BETA):
    pairs = pair_products(example.network, example.inputs, example.value)
    return momentum_terms(pairs, example.delta, momentum=example.momentum, beta=beta)


def test_momentum_terms_are_finite_differences(example):
    terms = momentum(example)
    mu = example.flat(example.momentum.values())
    descent = example.descent(example.delta)
    update = [(1 - BETA) * step - BETA * mu for step in descent]

    def interference(state, b):
        to_b = state["delta"] * state["delta"][b] * state["g"][:, b]
        return (1 - BETA) * to_b + BETA * state["delta"] * (state["gradients"] @ mu)

    loss = example.columns(lambda state, b: state["delta"].square() / 2, update)
    assert deviation(terms.interference, -loss) < 1e-8
    assert deviation(terms.change, example.columns(interference, update)) < 1e-8
    along_gradient = example.columns(interference, descent)
    assert deviation(terms.change_along_gradient, along_gradient) < 1e-8
    # Errata: eq. 21 prints the first term with a second minus.
    printed = terms.change_along_gradient - 2 * (1 - BETA) * example.regression().change
    assert deviation(printed, along_gradient) > 0.02
    assert deviation(printed, terms.change) > 0.02


def test_no_momentum_is_gradient_descent(example):
    terms = momentum(example, beta=0.0)
    change = example.regression().change
    torch.testing.assert_close(terms.change, change)
    torch.testing.assert_close(terms.change_along_gradient, change)


def test_the_network_is_left_alone(example):
    before = copy.deepcopy(example.network.state_dict())
    with torch.no_grad():
        example.td()
        momentum(example)
    assert all(torch.equal(tensor, before[n]) for n, tensor in example.network.state_dict().items())
    assert all(parameter.grad is None for parameter in example.network.parameters())


def test_shapes_that_would_broadcast_are_refused():
    example = Example("perceptron")
    pairs = pair_products(example.network, example.inputs, example.value)
    with pytest.raises(UserError, match=r"delta must be \[5\], not \[5, 1\]"):
        regression_terms(pairs, example.delta[:, None])
    with pytest.raises(UserError, match=r"successor_gram must be \[5, 5\]"):
        example.td(successor_gram=torch.zeros(5))
    with pytest.raises(UserError, match="terminated must be of dtype bool"):
        example.td(terminated=torch.zeros(5))
    del example.momentum["0.weight"]
    with pytest.raises(UserError, match=r"momentum must hold 0.weight, \[6, 4\]"):
        momentum(example)


def test_networks_and_inputs_without_second_derivatives_are_refused():
    network, x = randomised(nn.Linear(4, 3)), normal(N, 4)
    scripted = torch.jit.script(network)
    for own, inputs in ((network, (x,)), (network, {"input": x}), (scripted, x)):
        with pytest.raises(UserError, match="need inputs in one tensor, and no scripted network"):
            pair_products(own, inputs, lambda q: q.square().sum(1))


def test_a_wrapper_makes_no_difference():
    network, x = randomised(nn.Sequential(nn.Linear(4, 3), nn.Tanh())), normal(N, 4)
    found, expected = (
        pair_products(own, x, lambda q: q.square().sum(1))
        for own in (nn.DataParallel(network), network)
    )
    torch.testing.assert_close(found.curvature_at_a, expected.curvature_at_a)
    torch.testing.assert_close(found.gram, expected.gram)
