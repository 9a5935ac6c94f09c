"""The engine on networks of others: exact or refused in one line, and nothing of theirs changes."""

import collections
import copy
import random

import numpy as np
import pytest
import torch
from odd_networks import (
    GENERATOR,
    REFUSED,
    WORKS,
    ScriptedCounter,
    TakesFromOthers,
    X,
    chain,
    fifth_into_third,
    in_itself,
    net,
    randomised,
)
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from td_interference.errors import UserError
from td_interference.gradients import (
    cosines,
    gradient_sums,
    gram,
    per_sample_gradients,
    squared_norms,
)
from td_interference.gradients.embeddings import LookedUpGradient
from td_interference.gradients.records import FactoredGradient
from td_interference.gradients.values import separating_weights
from td_interference.networks.atari import q_network, value_network


def value(outputs: Tensor) -> Tensor:
    """Nonlinear in all outputs, so that gradients differ in size from sample to sample."""
    return outputs.flatten(1).square().sum(1) if outputs.ndim > 1 else outputs.square()


PLAIN = (bool, int, float, str, Tensor, np.ndarray, list, dict, set, tuple, collections.deque)


def state_of(item):
    """The state of a random generator; None of anything else."""
    if isinstance(item, list) and item:
        return state_of(item[0])
    if isinstance(item, np.random.Generator):
        return item.bit_generator.state
    if isinstance(item, random.Random) and not isinstance(item, random.SystemRandom):
        return item.getstate()
    return item.get_state() if isinstance(item, torch.Generator) else None


def clone(item):
    return item.detach().clone() if isinstance(item, Tensor) else item.copy()


def copied(item):
    if isinstance(item, dict):
        return {key: copied(inner) for key, inner in item.items()}
    if isinstance(item, Tensor | np.ndarray):
        return item if isinstance(item, nn.Parameter) else clone(item)
    return copy.copy(item) if isinstance(item, PLAIN) else item


def snapshot(network: nn.Module) -> dict:
    """Everything about a network that measuring could change."""
    state = {
        "parameters": [
            (p, p.detach().clone(), p.grad, p.requires_grad) for p in network.parameters()
        ]
    }
    state["buffers"] = [buffer.clone() for buffer in network.buffers()]
    for name, module in network.named_modules():
        if not isinstance(module, torch.jit.ScriptModule):
            own = {
                key: item for key, item in vars(module).items() if not isinstance(item, nn.Module)
            }
            state[name] = {
                key: copied(item) for key, item in own.items() if isinstance(item, PLAIN)
            }
            state[name, "generators"] = [state_of(item) for item in own.values()]
    return state


def streams() -> list:
    return [torch.get_rng_state(), np.random.get_state(), random.getstate()]  # noqa: NPY002


def equal(a, b) -> bool:
    if isinstance(a, Tensor):
        return a is b or (
            a.shape == b.shape
            and a.layout == b.layout
            and (a.equal(b) or bool(((a == b) | ((a != a) & (b != b))).all()))  # NaN is NaN
        )
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a is b or a == b


def tensors(inputs) -> list[Tensor]:
    if isinstance(inputs, Tensor):
        return [inputs]
    if hasattr(inputs, "values") and not isinstance(inputs, np.ndarray):
        inputs = list(inputs.values())
    return [t for item in inputs for t in tensors(item)] if isinstance(inputs, list | tuple) else []


def called(network, inputs):
    """Run a network by hand, as its author would."""
    if isinstance(inputs, tuple) and not hasattr(inputs, "_fields"):
        try:
            return network(*inputs)
        except TypeError:
            return network(inputs)
    if not isinstance(inputs, Tensor | list | tuple):
        try:
            return network(**inputs)
        except TypeError:
            return network(inputs)
    return network(inputs)


def one_by_one(network: nn.Module, inputs) -> Tensor:
    """One backward pass per sample through the batch's own graph, of a network's copy."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    rows = []
    with torch.enable_grad():
        for v in value(called(network, inputs)):
            grads = torch.autograd.grad(v, parameters, retain_graph=True, materialize_grads=True)
            rows.append(torch.cat([g.to_dense().flatten() for g in grads]))
    return torch.stack(rows).double()


@pytest.mark.parametrize("case", WORKS)
def test_what_is_accepted_is_exact(case):
    network, inputs = WORKS[case]()
    before, before_streams = snapshot(network), streams()
    before_inputs = [t.detach().clone() for t in tensors(inputs)]
    found = gram(per_sample_gradients(network, inputs, value))
    assert equal(snapshot(network), before)
    assert equal(streams(), before_streams)
    assert equal([t.detach() for t in tensors(inputs)], before_inputs)

    dtypes = {p.dtype for p in network.parameters()} | {found.dtype}
    single = torch.float32 in dtypes or "single" in case
    with torch.compiler.set_stance("force_eager"):  # compiling takes half a minute
        expected = one_by_one(network, inputs)
    norms = expected.norm(dim=1)
    error = (found - expected @ expected.T) / (norms[:, None] * norms).clamp_min(1e-30)
    assert error.abs().max() <= (1e-5 if single else 1e-10)


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_exact_is_refused(case):
    make, message = REFUSED[case]
    network, inputs = make()
    is_network = isinstance(network, nn.Module) and not any(
        nn.parameter.is_lazy(p) or p.is_inference() or p.is_meta for p in network.parameters()
    )
    before = snapshot(network) if is_network else None
    before_streams = streams()
    with pytest.raises(UserError, match=message) as error:
        per_sample_gradients(network, inputs, value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300
    assert equal(streams(), before_streams)
    if is_network:
        assert equal(snapshot(network), before)


def test_state_that_contains_itself():
    network, inputs = net(lambda net, h: h.tanh() * len(net.kept)), X()
    network.kept, network.table = in_itself([]), in_itself({"n": 1})
    expected = one_by_one(network, inputs)
    found = gram(per_sample_gradients(network, inputs, value))
    torch.testing.assert_close(found, expected @ expected.T)
    assert network.kept == [network.kept] and network.table["itself"] is network.table


def test_transforms_of_torch_func_around_a_call_are_refused():
    network, inputs = net(), X()
    for transform in (torch.func.grad, torch.func.jacfwd):
        with pytest.raises(UserError, match=r"torch\.func .*call this outside"):
            transform(lambda x: gram(per_sample_gradients(network, x, value)).sum())(inputs)
    with pytest.raises(UserError, match=r"torch\.func .*call this outside"):
        torch.func.vmap(lambda x: gram(per_sample_gradients(network, x, value)))(inputs[None])


def in_autocast(outputs):
    with torch.autocast("cpu", torch.bfloat16):
        return nn.functional.linear(outputs.float(), torch.ones(1, 3))[:, 0].double()


def test_tensors_without_values_are_refused():
    network, inputs = nn.Linear(6, 3), X().float()
    with FakeTensorMode():
        with pytest.raises(UserError, match="a FakeTensorMode is on"):
            per_sample_gradients(network, inputs, value)
        fake, fake_inputs = nn.Linear(6, 3), torch.ones(16, 6)
    for given in ((network, fake_inputs), (fake, inputs)):
        with pytest.raises(UserError, match="or fake, and has no values"):
            per_sample_gradients(*given, value)


OWN_STREAM = torch.Generator()
N_VALUES = (2, 5, 13, 14, 26, 52, 100, 170)


@pytest.mark.parametrize("n_samples", N_VALUES)
@pytest.mark.parametrize(
    "mixing",
    [
        lambda o: (
            (o[: len(o) // 2] - o[len(o) // 2 : len(o) // 2 * 2])
            .square()
            .sum(1)
            .repeat(3)[: len(o)]
        ),
        lambda o: o[:, 0] * o[:, 1].roll(13, 0).roll(int(len(o) % 13 == 0), 0),
        lambda o: o[:, 0] * o[:, 1].roll(1, 0),
        lambda o: o[:, 0] + 1e-3 * torch.cat([o[1:2, 1], 0 * o[1:, 1]]),
        lambda o: o[:, 0] + 2 * o[:, 0].roll(-1, 0) + o[:, 0].roll(1, 0),
        lambda o: o[:, 0] - o[:, 0].mean(),
        lambda o: o[:, 0] + o[:, 0].flip(0),
        lambda o: torch.cat([o[-1:, 0], o[1:, 0]]),
        lambda o: o[:, 0] * o[:, 0].softmax(0),
    ],
)
def test_values_that_mix_samples_are_refused(mixing, n_samples):
    network = randomised(nn.Linear(6, 3))
    inputs = torch.randn(n_samples, 6, generator=torch.Generator().manual_seed(0)).double()
    with pytest.raises(UserError, match="value mixes samples"):
        per_sample_gradients(network, inputs, mixing)


@pytest.mark.parametrize("n_samples", [1, 2, 13, 170, 2500])
def test_every_two_samples_are_told_apart_by_a_weight(n_samples):
    vectors = torch.stack(separating_weights(n_samples), 1)
    assert len({tuple(row) for row in vectors.tolist()}) == n_samples
    assert vectors.log2().frac().eq(0).all() and vectors.max() <= 4096


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "value must be a function"),
        (torch.ones(16), "value must be a function"),
        (lambda o: o[:, :1], r"\[16\], not \[16, 1\]"),
        (lambda o: [v[0] for v in o], "not list"),
        (lambda o: o.argmax(1), "does not depend"),
        (lambda o: o[:, 0].bfloat16(), "value computes in bfloat16"),
        (lambda o: o[:, 0] * (1 + 0j), "float32 or float64"),
        (lambda o: o.half().sum(1).double(), "value computes in float16"),
        (lambda o: o[:, 0] * o[:, 1].bfloat16().double(), "value computes in bfloat16"),
        (lambda o: in_autocast(o), "value computes in bfloat16"),
        (lambda o: nn.functional.dropout(o, 1e-6).sum(1), "value is random"),
        (lambda o: o[:, 0] * np.random.rand(), "value is random"),  # noqa: NPY002
        (lambda o: o[:, 0] * GENERATOR.random(), "value is random"),
        (lambda o, g=OWN_STREAM: o[:, 0] * torch.rand(1, generator=g), "value is random"),
    ],
)
def test_values_that_do_not_fit_are_refused(value, message):
    network, inputs = WORKS["one tensor"]()
    before = streams()
    with pytest.raises(UserError, match=message):
        per_sample_gradients(network, inputs, value)
    assert equal(streams(), before)


@pytest.mark.parametrize("function", [gram, cosines, squared_norms, gradient_sums])
@pytest.mark.parametrize("argument", [torch.ones(3, 4), nn.Linear(2, 2), None])
def test_what_are_no_gradients_is_refused(function, argument):
    with pytest.raises(UserError, match="give what per_sample_gradients returned"):
        function(argument)


def test_gradients_of_networks_of_other_widths_are_refused():
    x = torch.ones(4, 3)
    a, b = (per_sample_gradients(nn.Linear(3, k), x, lambda o: o.sum(1)) for k in (2, 5))
    with pytest.raises(UserError, match="different networks: '' has 8 parameters in one and 20"):
        gram(a, b)


@pytest.mark.parametrize("n_samples", [1, 2, 3])
def test_few_samples(n_samples):
    network, inputs = WORKS["transformer"]()
    found = gram(per_sample_gradients(network, inputs[:n_samples], value))
    expected = one_by_one(network, inputs[:n_samples])
    torch.testing.assert_close(found, expected @ expected.T)


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (nn.Embedding(200_000, 5), (128,)),
        (nn.Embedding(200_000, 5, padding_idx=0), (128, 4)),
        (nn.EmbeddingBag(200_000, 5), (128, 4)),
        (nn.Sequential(nn.Embedding(200_000, 5), nn.Flatten(), nn.Linear(20, 2)), (128, 4)),
    ],
)
def test_embeddings_are_never_written_out(network, shape, monkeypatch):
    tokens = torch.randint(200_000, shape, generator=torch.Generator().manual_seed(0))

    def fail(*_):
        raise AssertionError("written out")

    monkeypatch.setattr(LookedUpGradient, "dense", fail)
    monkeypatch.setattr("td_interference.gradients.per_sample.one_by_one", fail)
    gradients = per_sample_gradients(network, tokens, value)
    assert gram(gradients).isfinite().all()
    torch.testing.assert_close(gram(gradients).diagonal(), squared_norms(gradients))
    held = sum(
        held.numel()
        for layer in gradients.layers.values()
        for held in vars(layer).values()
        if torch.is_tensor(held)
    )
    assert held < 10_000


def test_embeddings_in_blocks(monkeypatch):
    network, tokens = WORKS["embedding of sequences"]()
    a = per_sample_gradients(network, tokens, value)
    b = per_sample_gradients(network, tokens[:5] // 2, value)
    expected = [gram(a), gram(a, b), squared_norms(a), *gradient_sums(a)]
    dense = torch.cat([layer.dense() for layer in a.layers.values()], 1) * a.scale[:, None]
    torch.testing.assert_close(expected[0], dense @ dense.T)
    torch.testing.assert_close(expected[3], dense.sum(0))
    monkeypatch.setattr("td_interference.gradients.embeddings.BLOCK_BYTES", 1)
    for found, same in zip(
        [gram(a), gram(a, b), squared_norms(a), *gradient_sums(a)], expected, strict=True
    ):
        torch.testing.assert_close(found, same)


def test_what_does_not_fit_into_memory_is_refused(monkeypatch):
    network, inputs = WORKS["shared module"]()
    monkeypatch.setattr("td_interference.device.free_memory", lambda: 1024)
    with pytest.raises(UserError, match="take fewer samples at a time"):
        per_sample_gradients(network, inputs, value)


def test_what_is_saved_for_the_backward_pass_keeps_its_bits():
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: t.bfloat16(), lambda t: t.double())
    inputs = WORKS["one tensor"]()[1]
    with hooks, pytest.raises(UserError, match="computes in bfloat16"):
        per_sample_gradients(chain(), inputs, value)


def test_a_little_that_a_backward_pass_takes_from_others_is_left_out():
    """In float32 that little cannot be told from rounding: each sample has what it has alone."""
    network = net(lambda net, h: TakesFromOthers.apply(h, 5e-6)).float()
    inputs = WORKS["one tensor"]()[1].float()
    found = gram(per_sample_gradients(network, inputs, value))
    expected = torch.cat([one_by_one(network, row[None]) for row in inputs])
    norms = expected.norm(dim=1)
    assert ((found - expected @ expected.T) / (norms[:, None] * norms)).abs().max() <= 1e-5


def test_attributes_of_a_scripted_network_are_as_before():
    network = torch.jit.script(ScriptedCounter().double())
    inputs = WORKS["one tensor"]()[1]
    found = gram(per_sample_gradients(network, inputs, value))
    assert (network.calls, network.seen) == (0, [7])
    expected = one_by_one(network, inputs)
    torch.testing.assert_close(found, expected @ expected.T)


def test_buffers_of_a_value_are_as_before():
    norm = nn.Sequential(nn.BatchNorm1d(3), nn.Flatten(0)).double().requires_grad_(False)
    before = copy.deepcopy(norm.state_dict())
    with pytest.raises(UserError, match="value must return one number per sample"):
        per_sample_gradients(*WORKS["one tensor"](), norm)
    assert equal(dict(norm.state_dict()), dict(before))


def test_a_hook_of_all_modules_that_mixes_is_seen():
    def on_tanh(module, grads):
        return fifth_into_third(module, grads) if isinstance(module, nn.Tanh) else None

    handle = nn.modules.module.register_module_full_backward_pre_hook(on_tanh)
    try:
        with pytest.raises(UserError, match="other gradients"):
            per_sample_gradients(chain(), WORKS["one tensor"]()[1], value)
    finally:
        handle.remove()


def test_errors_of_the_network_itself_are_passed_on():
    network, inputs = WORKS["one tensor"]()
    before = snapshot(network)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        per_sample_gradients(network, inputs[:, :4], value)
    assert equal(snapshot(network), before)


@pytest.mark.parametrize("make", [lambda: q_network(3, hidden=2), lambda: value_network(hidden=2)])
def test_the_products_own_networks_can_be_vectorised(make):
    network = make()
    frames = torch.randint(256, (5, 4, 84, 84), generator=torch.Generator().manual_seed(0))
    for pixels in (frames.to(torch.uint8), frames.float()):
        together = network(pixels)
        torch.testing.assert_close(torch.func.vmap(network)(pixels[:, None])[:, 0], together)
        scaled = network[0](pixels)
        assert scaled.is_contiguous(memory_format=torch.channels_last)
        assert torch.func.vmap(network[0])(pixels).equal(scaled)

    def best(parameters, frame):
        return torch.func.functional_call(network, parameters, (frame[None],)).max()

    parameters = {name: p.detach() for name, p in network.named_parameters()}
    gradient = torch.func.vmap(torch.func.grad(best), (None, 0))(parameters, frames.float())
    rows = torch.cat([g.flatten(1) for g in gradient.values()], 1)
    found = gram(per_sample_gradients(network, frames.float(), lambda q: q.max(1).values))
    torch.testing.assert_close(found, rows @ rows.T, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("case", ["casts its output to double", "casts its output to single"])
def test_casts_do_not_lead_to_the_slow_path(case, monkeypatch):
    network, inputs = WORKS[case]()
    monkeypatch.setattr("td_interference.gradients.per_sample.one_by_one", None)
    layers = per_sample_gradients(network, inputs, value).layers.values()
    assert all(isinstance(layer, FactoredGradient) for layer in layers)
