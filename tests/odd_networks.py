"""Networks as other people write them: those that are measured exactly, and those that are not."""

import collections
import functools
import random
import warnings

import numpy as np
import torch
import torch.nn.utils.prune
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

N = 16


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def randomised(network: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Give all parameters, also those that start at 0 or 1, values of their own."""
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        parameter.data = 0.5 * torch.randn(parameter.shape, generator=generator)
    return network.to(dtype)


class Net(nn.Module):
    """Two layers with any function of (network, hidden units) between them."""

    def __init__(self, function=lambda net, h: h.tanh(), **modules):
        super().__init__()
        self.first, self.last = nn.Linear(6, 4), nn.Linear(4, 3)
        self.function = function
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.last(self.function(self, self.first(x)))


def net(function=lambda net, h: h.tanh(), **modules):
    return randomised(Net(function, **modules))


class Of(nn.Module):
    """A network whose forward pass is a given function of (network, *arguments)."""

    def __init__(self, forward, **modules):
        super().__init__()
        self.own_forward = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, *args):
        return self.own_forward(self, *args)


def of(forward, **modules):
    return randomised(Of(forward, **modules))


def linear():
    return nn.Linear(6, 3)


# ---------------------------------------------------------------- inputs of every form


class TwoTowers(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 3), nn.Linear(4, 3)

    def forward(self, observation, action, scale=1.0):
        return (self.a(observation) * self.b(action)).tanh() * scale


class TakesDict(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, batch):
        return self.fc(batch["x"]) * batch["weight"][:, None]


class TakesAttributes(TakesDict):
    def forward(self, batch):
        return self.fc(batch.x) * batch.weight[:, None]


class Encoding(collections.UserDict):
    """A mapping that is no dict, with its items as attributes, as tokenizers return."""

    def __getattr__(self, name):
        try:
            return self.data[name]
        except KeyError:
            raise AttributeError(name) from None


Pair = collections.namedtuple("Pair", "x weight")


class TakesPair(TakesDict):
    def forward(self, pair):
        return self.fc(pair.x) * pair.weight[:, None]


class TakesList(TakesDict):
    def forward(self, items):
        return self.fc(items[0]) * items[1][:, None]


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.fc = nn.Embedding(11, 5), nn.Linear(5, 3)

    def forward(self, input_ids, attention_mask=None, return_dict=True):
        hidden = self.embedding(input_ids)
        mask = attention_mask[..., None].to(hidden)
        return self.fc((hidden * mask).sum(1) / mask.sum(1))


def tokens(*shape: int, high: int = 11) -> Tensor:
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(3))


def mask() -> Tensor:
    return (torch.arange(7) < 1 + torch.arange(N)[:, None] % 7).long()


# ---------------------------------------------------------------- state that measuring could move


class Counting(nn.Module):
    """Counters, caches and statistics of every kind."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)
        self.calls, self.seen, self.table = 0, [], {"calls": 0, "inner": [1]}
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("mean", torch.zeros(6, dtype=torch.float64))
        self.plain, self.array = torch.zeros(2), np.zeros(2)
        self.queue, self.tags = collections.deque(maxlen=3), {"new"}

    def forward(self, x):
        self.calls += 1
        self.seen.append(x)
        self.table["calls"] += 1
        self.table["inner"].append(2)
        self.steps += 1
        self.mean.mul_(0.9).add_(0.1 * x.detach().mean(0))
        self.plain.add_(1)
        self.array += 1
        self.queue.append(len(x))
        self.tags.add(len(x))
        self.late = x.mean()
        return self.fc(x)


class WarmingUp(nn.Module):
    """A layer with a rule of nobody's, whose output grows from call to call."""

    def __init__(self):
        super().__init__()
        self.weight, self.calls = nn.Parameter(torch.ones(4)), 0

    def forward(self, x):
        self.calls += 1
        return self.calls * self.weight * x


class KeepsGraph(nn.Module):
    """Features kept with their graph, and a running mean that the outputs depend on."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(6, 4), nn.Linear(4, 3)
        self.features = None

    def forward(self, x):
        if self.features is None:
            self.features = self.body(x).tanh()
        return self.head(self.features)


class SwitchesItself(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        self.eval()
        return self.fc(x).tanh()


# ---------------------------------------------------------------- odd forward passes


class Squeezed(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 1)

    def forward(self, x):
        return self.fc(x).tanh().squeeze()


class Router(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x):
        return torch.stack([(self.a if row[0] > 0 else self.b)(row) for row in x])


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.rnn, self.head = kind(5, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


class CustomFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.exp()

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0].exp()


class NormalisedBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad / grad.norm()


class Overwriting(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(x.mul_(2).add_(1)).tanh()


class Encoder(nn.Module):
    def __init__(self, norm_first=False, dropout=0.0):
        super().__init__()
        self.layer = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(6, 2, 8, dropout, batch_first=True, norm_first=norm_first),
            1,
            enable_nested_tensor=False,
        )
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.layer(x).mean(1))


class ClassToken(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 6))
        self.attention, self.head = (
            nn.MultiheadAttention(6, 2, batch_first=True),
            nn.Linear(6, 3),
        )

    def forward(self, x):
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        return self.head(self.attention(x, x, x)[0][:, 0])


def quietly(make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


def scripted():
    return quietly(lambda: torch.jit.script(randomised(nn.Sequential(linear(), nn.Tanh()))))


def traced():
    network = randomised(nn.Sequential(linear(), nn.Tanh()))
    return quietly(lambda: torch.jit.trace(network, normal(3, 6)))


def partly_scripted():
    body = quietly(lambda: torch.jit.script(randomised(nn.Sequential(linear(), nn.Tanh()))))
    return nn.Sequential(body, randomised(nn.Linear(3, 3)))


def compiled():
    return torch.compile(randomised(nn.Sequential(linear(), nn.Tanh())))


def compiled_in_place():
    network = randomised(nn.Sequential(linear(), nn.Tanh()))
    network[0].compile()
    return network


def in_training(network):
    return network.train()


def pruned():
    network = randomised(nn.Sequential(linear(), nn.Tanh(), nn.Linear(3, 3)))
    nn.utils.prune.l1_unstructured(network[0], "weight", 0.5)
    return network


def image(*layers):
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(3))


def built(network, *shape):
    """Give lazy layers their shapes."""
    network.double()
    with torch.no_grad():
        network(torch.zeros(1, *shape, dtype=torch.float64))
    return randomised(network)


def shared_module():
    layer = nn.Linear(6, 6)
    return randomised(nn.Sequential(layer, nn.Tanh(), layer, nn.Tanh(), linear()))


def shared_bias():
    network = nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 3))
    network[2].bias = network[0].bias
    return randomised(network)


def rezero():
    network = net(lambda net, h: h + net.gate * net.inner(h).tanh(), inner=nn.Linear(4, 4))
    network.gate = nn.Parameter(torch.zeros((), dtype=torch.float64))
    return network


def frozen(network, *names):
    for name in names:
        network.get_parameter(name).requires_grad_(False)
    return network


X = functools.partial(normal, N, 6)

WORKS = {
    "one tensor": lambda: (net(), X()),
    "tuple as arguments": lambda: (randomised(TwoTowers()), (X(), normal(N, 4, seed=1))),
    "tuple with a number": lambda: (randomised(TwoTowers()), (X(), normal(N, 4, seed=1), 0.5)),
    "keywords": lambda: (
        randomised(TwoTowers()),
        {"action": normal(N, 4, seed=1), "observation": X(), "scale": 2.0},
    ),
    "dict": lambda: (randomised(TakesDict()), {"x": X(), "weight": normal(N, seed=2)}),
    "ordered dict": lambda: (
        randomised(TakesDict()),
        collections.OrderedDict(x=X(), weight=normal(N, seed=2)),
    ),
    "mapping": lambda: (randomised(TakesDict()), Encoding(x=X(), weight=normal(N, seed=2))),
    "attributes of a mapping": lambda: (
        randomised(TakesAttributes()),
        Encoding(x=X(), weight=normal(N, seed=2)),
    ),
    "tokens with a mask": lambda: (
        randomised(Masked()),
        Encoding(input_ids=tokens(N, 7), attention_mask=mask(), return_dict=None),
    ),
    "named tuple": lambda: (randomised(TakesPair()), Pair(X(), normal(N, seed=2))),
    "tuple as one": lambda: (randomised(TakesList()), (X(), normal(N, seed=2))),
    "list": lambda: (randomised(TakesList()), [X(), normal(N, seed=2)]),
    "tuple of one": lambda: (net(), (X(),)),
    "nested": lambda: (
        of(lambda net, batch: net.fc(batch["a"][0] + batch["a"][1]["b"]), fc=linear()),
        {"a": [X(), {"b": normal(N, 6, seed=4)}], "name": "x", "none": None},
    ),
    "expanded input": lambda: (net(), normal(1, 6).expand(N, 6)),
    "transposed input": lambda: (net(), normal(6, N).T),
    "input with a graph": lambda: (net(), X().requires_grad_() * 2),
    "casts its output to double": lambda: (
        nn.Sequential(
            nn.Linear(200, 300, bias=False),
            nn.Tanh(),
            nn.Linear(300, 3),
            Of(lambda net, x: x.double()),
        ),
        normal(N, 200, dtype=torch.float32),
    ),
    "a layer that counts": lambda: (net(lambda net, h: net.w(h), w=WarmingUp()), X()),
    "casts its output to single": lambda: (
        of(lambda net, x: net.fc(x).tanh().float(), fc=linear()),
        X(),
    ),
    "casts inside, single": lambda: (
        of(lambda net, x: net.b(net.a(x).tanh().double()).float(), a=linear(), b=nn.Linear(3, 3)),
        X(),
    ),
    "single in the middle": lambda: (net(lambda net, h: h.float().tanh().double()), X()),
    "bytes": lambda: (
        of(lambda net, x: net.fc(x.double() / 255), fc=linear()),
        tokens(N, 6, high=256).to(torch.uint8),
    ),
    "complex inside": lambda: (net(lambda net, h: torch.fft.fft(h).abs()), X()),
    "scripted": lambda: (scripted(), X()),
    "traced": lambda: (traced(), X()),
    "partly scripted": lambda: (partly_scripted(), X()),
    "compiled": lambda: (compiled(), X()),
    "compiled in place": lambda: (compiled_in_place(), X()),
    "data parallel": lambda: (nn.DataParallel(net()), X()),
    "symbolically traced": lambda: (
        torch.fx.symbolic_trace(randomised(nn.Sequential(linear(), nn.Tanh()))),
        X(),
    ),
    "checkpointed": lambda: (
        net(
            lambda net, h: checkpoint(lambda z: net.inner(z).tanh(), h, use_reentrant=False),
            inner=nn.Linear(4, 4),
        ),
        X(),
    ),
    "counters": lambda: (randomised(Counting()), X()),
    "features kept with their graph": lambda: (randomised(KeepsGraph()), X()),
    "switches itself to evaluation": lambda: (randomised(SwitchesItself()).train(), X()),
    "spectral norm": lambda: (
        net(lambda net, h: net.inner(h), inner=parametrizations.spectral_norm(nn.Linear(4, 4))),
        X(),
    ),
    "old spectral norm": lambda: (
        quietly(
            lambda: net(
                lambda net, h: net.inner(h), inner=nn.utils.spectral_norm(nn.Linear(4, 4))
            ).train()
        ),
        X(),
    ),
    "orthogonal": lambda: (
        Net(
            lambda net, h: net.inner(h), inner=parametrizations.orthogonal(nn.Linear(4, 4))
        ).double(),
        X(),
    ),
    "pruned": lambda: (pruned(), X()),
    "shared module": lambda: (shared_module(), X()),
    "shared bias": lambda: (shared_bias(), X()),
    "gate at zero": lambda: (rezero(), X()),
    "frozen layer": lambda: (frozen(net(), "first.weight", "first.bias"), X()),
    "frozen bias": lambda: (frozen(net(), "last.bias"), X()),
    "no batch dimension of one": lambda: (randomised(Squeezed()), X()),
    "rows in a loop": lambda: (randomised(Router()), X()),
    "lstm": lambda: (randomised(Recurrent(nn.LSTM)), normal(N, 4, 5)),
    "gru": lambda: (randomised(Recurrent(nn.GRU)), normal(N, 4, 5)),
    "bidirectional": lambda: (
        of(
            lambda net, x: net.head(net.rnn(x)[0].mean(1)),
            rnn=nn.LSTM(5, 2, batch_first=True, bidirectional=True),
            head=nn.Linear(4, 3),
        ),
        normal(N, 4, 5),
    ),
    "own autograd function": lambda: (net(lambda net, h: CustomFunction.apply(0.1 * h)), X()),
    "overwrites its input": lambda: (randomised(Overwriting()), X()),
    "in-place activations": lambda: (net(lambda net, h: h.add_(1).relu_()), X()),
    "transformer": lambda: (randomised(Encoder()), normal(N, 5, 6)),
    "transformer in evaluation": lambda: (randomised(Encoder(dropout=0.1)).eval(), normal(N, 5, 6)),
    "transformer, norm first": lambda: (randomised(Encoder(norm_first=True)), normal(N, 5, 6)),
    "class token": lambda: (randomised(ClassToken()), normal(N, 5, 6)),
    "frozen transformer": lambda: (
        frozen(
            m := randomised(Encoder()).eval(), *[n for n, _ in m.named_parameters() if "layer" in n]
        ),
        normal(N, 5, 6),
    ),
    "dropout of nothing": lambda: (net(lambda net, h: functional.dropout(h, 0.0)), X()),
    "dropout in evaluation": lambda: (net(lambda net, h: net.d(h), d=nn.Dropout(0.5)).eval(), X()),
    "batch norm in evaluation": lambda: (
        net(lambda net, h: net.b(h), b=nn.BatchNorm1d(4)).eval(),
        X(),
    ),
    "layer norm": lambda: (net(lambda net, h: net.n(h), n=nn.LayerNorm(4)), X()),
    "group norm": lambda: (net(lambda net, h: net.n(h), n=nn.GroupNorm(2, 4)), X()),
    "rms norm": lambda: (net(lambda net, h: net.n(h), n=nn.RMSNorm(4)), X()),
    "prelu": lambda: (net(lambda net, h: net.n(h), n=nn.PReLU(4)), X()),
    "bilinear": lambda: (net(lambda net, h: net.n(h, h), n=nn.Bilinear(4, 4, 4)), X()),
    "softmax over outputs": lambda: (net(lambda net, h: h.softmax(1)), X()),
    "sorted units": lambda: (net(lambda net, h: h.sort(1).values), X()),
    "detached part": lambda: (net(lambda net, h: h * h.detach()), X()),
    "unused head": lambda: (net(unused=nn.Linear(2, 2)), X()),
    "parameter list": lambda: (
        net(
            lambda net, h: sum(w * h for w in net.ws),
            ws=nn.ParameterList([torch.ones(4), torch.ones(4)]),
        ),
        X(),
    ),
    "module dict": lambda: (
        net(lambda net, h: net.d["a"](h), d=nn.ModuleDict({"a": nn.Linear(4, 4)})),
        X(),
    ),
    "einsum": lambda: (
        net(lambda net, h: torch.einsum("ni,oi->no", h, net.i.weight), i=nn.Linear(4, 4)),
        X(),
    ),
    "weight normalised": lambda: (
        net(lambda net, h: net.i(h), i=parametrizations.weight_norm(nn.Linear(4, 4))),
        X(),
    ),
    "no bias": lambda: (net(lambda net, h: net.i(h), i=nn.Linear(4, 4, bias=False)), X()),
    "same layer on two inputs": lambda: (
        of(lambda net, a, b: net.fc(a).tanh() - net.fc(b).tanh(), fc=linear()),
        (X(), normal(N, 6, seed=5)),
    ),
    "hypernetwork": lambda: (
        of(
            lambda net, x: torch.bmm(net.fc(x).view(-1, 3, 6), x[..., None])[..., 0],
            fc=nn.Linear(6, 18),
        ),
        X(),
    ),
    "embedding": lambda: (randomised(nn.Sequential(nn.Embedding(11, 3), nn.Tanh())), tokens(N)),
    "embedding of sequences": lambda: (
        randomised(nn.Sequential(nn.Embedding(11, 3), nn.Tanh())),
        tokens(N, 4),
    ),
    "embedding of pictures": lambda: (randomised(nn.Embedding(11, 3)), tokens(N, 2, 3)),
    "embedding with padding": lambda: (
        randomised(nn.Embedding(11, 3, padding_idx=2)),
        tokens(N, 4),
    ),
    "sparse embedding": lambda: (randomised(nn.Embedding(11, 3, sparse=True)), tokens(N, 4)),
    "int32 tokens": lambda: (randomised(nn.Embedding(11, 3)), tokens(N, 4).int()),
    "bag": lambda: (randomised(nn.EmbeddingBag(11, 3)), tokens(N, 4)),
    "bag of sums": lambda: (randomised(nn.EmbeddingBag(11, 3, mode="sum")), tokens(N, 4)),
    "bag of maxima": lambda: (randomised(nn.EmbeddingBag(11, 3, mode="max")), tokens(N, 4)),
    "tied embedding": lambda: (
        of(
            lambda net, t: functional.linear(net.e(t).tanh(), net.e.weight),
            e=nn.Embedding(11, 3),
        ),
        tokens(N),
    ),
    "embedding used twice": lambda: (
        of(lambda net, t: net.e(t[:, 0]) * net.e(t[:, 1]), e=nn.Embedding(11, 3)),
        tokens(N, 2),
    ),
    "pooled images": lambda: (
        built(image(nn.Conv2d(2, 3, 3, padding="same"), nn.MaxPool2d(2)), 2, 6, 6),
        normal(N, 2, 6, 6),
    ),
    "upsampled": lambda: (
        built(image(nn.ConvTranspose2d(2, 3, 2), nn.Upsample(scale_factor=2)), 2, 3, 3),
        normal(N, 2, 3, 3),
    ),
    "pixel shuffle": lambda: (
        built(image(nn.Conv2d(2, 4, 1), nn.PixelShuffle(2)), 2, 3, 3),
        normal(N, 2, 3, 3),
    ),
    "volumes": lambda: (built(image(nn.Conv3d(2, 3, 2)), 2, 3, 3, 3), normal(N, 2, 3, 3, 3)),
    "user's hooks": lambda: (hooked(), X()),
    "hooks that look": lambda: (looked_at(), X()),
    "the system's randomness, unused": lambda: (with_the_systems_randomness(), X()),
    "an unused NaN": lambda: (unused_nan(), X()),
    "a huge sample": lambda: (net(), huge_first(X(), 1e12)),
    "embedding bounded by much": lambda: (
        randomised(nn.Embedding(11, 3, max_norm=1e6)),
        tokens(N, 4),
    ),
    "several heads in one": lambda: (
        net(
            lambda net, h: torch.cat([net.a(h), net.b(h)], 1), a=nn.Linear(4, 2), b=nn.Linear(4, 2)
        ),
        X(),
    ),
    "noise in a buffer": lambda: (with_buffer(), X()),
}


def looked_at():
    """A chain whose hooks look, and change nothing."""
    network = randomised(nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)))
    network[0].weight.register_hook(lambda gradient: None)
    network[2].register_full_backward_hook(lambda module, *gradients: None)
    return network


class ScriptedCounter(nn.Module):
    calls: int
    seen: list[int]

    def __init__(self):
        super().__init__()
        self.fc, self.calls, self.seen = nn.Linear(6, 3), 0, [7]

    def forward(self, x):
        self.calls += 1
        self.seen.append(self.calls)
        return self.fc(x) * (1.0 + self.calls)


def unused_nan():
    network = net(unused=nn.Linear(2, 2))
    with torch.no_grad():
        network.unused.weight.fill_(torch.nan)
    return network


def with_the_systems_randomness():
    network = net()
    network.unused = random.SystemRandom()
    return network


def hooked():
    network = net()
    network.first.register_forward_hook(lambda module, args, output: 2 * output)
    network.last.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    network.register_full_backward_hook(lambda module, *gradients: None)
    return network


def with_buffer():
    network = net(lambda net, h: h + net.noise)
    network.register_buffer("noise", normal(4, seed=9))
    return network


# ---------------------------------------------------------------- refused


def rare_dropout(net, h):
    return functional.dropout(h, 1e-6, training=True)


def own_torch_generator():
    network = net(
        lambda net, h: h + 1e-9 * torch.rand(h.shape, generator=net.generator, dtype=h.dtype)
    )
    network.generator = torch.Generator().manual_seed(0)
    return network


def hidden_torch_generator():
    generator = torch.Generator().manual_seed(0)
    return net(lambda net, h: h * (1 + 1e-9 * torch.rand((), generator=generator)))


def forked(net, h):
    with torch.random.fork_rng(devices=[]):
        return h * (1 + 1e-9 * torch.rand(len(h), 1, dtype=h.dtype))


def own_numpy_generator():
    network = net(lambda net, h: h * (1 + 1e-9 * net.rng.random()))
    network.rng = np.random.default_rng(0)
    return network


def generator_in_a_list():
    network = net(lambda net, h: h * (1 + 1e-9 * net.tools[0].random()))
    network.tools = [random.Random(0)]
    return network


class StochasticDepth(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        keep = torch.empty(len(x), 1, dtype=x.dtype).bernoulli_(1 - self.p)
        return x * keep / (1 - self.p)


def pairs(net, h, i=1, j=0):
    h = h.clone()
    if len(h) > max(i, j):
        h[j] = h[j] + h[i]
    return h


def nearest(net, h):
    """Each row takes a part of the one most like it, if that is near."""
    distance = torch.cdist(h.detach(), h.detach()) + 9e9 * torch.eye(len(h), dtype=h.dtype)
    near = distance.min(1)
    return torch.where((near.values < 1e-6)[:, None], h + h[near.indices], h)


def twins():
    x = X()
    x[9] = x[4]
    return x


def zero_gated():
    network = net(
        lambda net, h: h + functional.batch_norm(h, None, None, net.gate, training=True),
    )
    network.gate = nn.Parameter(torch.zeros(4, dtype=torch.float64))
    return network


def one_diverged():
    x = X()
    x[3] = torch.nan
    return x


def reentrant(net, h):
    return checkpoint(lambda z: net.inner(z).tanh(), h, use_reentrant=True)


def fails_on_parts(error):
    def function(net, h):
        if len(h) != N:
            raise error
        return h.tanh()

    return function


def accumulated():
    kept = []

    def function(net, h):
        kept.append(h.mean())
        return h + sum(kept)

    return net(function)


def inference_made():
    with torch.inference_mode():
        return nn.Linear(6, 3)


def clipped(net, h):
    with torch.no_grad():
        net.first.weight.clamp_(-0.1, 0.1)
    return h


def autocasting(net, h):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return net.inner(h).float()


class FixedBatch(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(x.view(N, 6))


def single(network):
    return network.float()


def mixing_behind_zeros(mixed):
    """A branch that is multiplied by zeros as yet, so that no output shows that it mixes."""
    network = net(lambda net, h: h + net.zero(mixed(h).tanh()), zero=nn.Linear(4, 4))
    nn.init.zeros_(network.zero.weight)
    nn.init.zeros_(network.zero.bias)
    return single(network)


def in_itself(container):
    if isinstance(container, list):
        container.append(container)
    else:
        container["itself"] = container
    return container


GENERATOR = np.random.default_rng(0)


class Holder:
    def __init__(self, held):
        self.held = held


def holding(held, draw):
    network = net(lambda net, h: h * (draw(net.held) > 1e-7))
    network.held = held
    return network


class TakesFromOthers(torch.autograd.Function):
    """Takes a part of the next sample's gradient, linearly."""

    @staticmethod
    def forward(ctx, x, part):
        ctx.part = part
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad + ctx.part * grad.roll(1, 0), None


class ClippedBackward(NormalisedBackward):
    @staticmethod
    def backward(ctx, grad):
        return grad.clamp(-20, 20)


def huge_first(x, factor):
    x[0] *= factor
    return x


def into_the_third_on(net, h):
    return h + torch.cat([torch.zeros_like(h[:2]), 0.3 * h[1:-1]])


def chain():
    return randomised(nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)))


def fifth_into_third(module, grads, *_):
    grad = grads[0].clone()
    if len(grad) == N:
        grad[3] += grad[5]
    return (grad,)


def with_hook(network, register):
    register(network)
    return network


class Touching(nn.Module):
    """Does something to its own layer before it is used."""

    def __init__(self, touch):
        super().__init__()
        self.fc, self.touch = nn.Linear(6, 3), touch

    def forward(self, x):
        self.touch(self)
        return self.fc(x).tanh()


class DrawsFromGlobals(Touching):
    def forward(self, x):
        return self.fc(x) * (GENERATOR.random() > 1e-7)


def zero_layer():
    network = of(
        lambda n, x: n.fc(x) + n.zero(x + 0.3 * x.roll(1, 0).clamp(-1, 1)),
        fc=linear(),
        zero=linear(),
    )
    with torch.no_grad():
        network.zero.weight.zero_()
    return network


def replaces_data(net):
    net.fc.weight.data = net.fc.weight.data.clamp(-0.1, 0.1)


def writes_by_numpy(net):
    weight = net.fc.weight.detach().numpy()
    weight.clip(-0.1, 0.1, out=weight)


def replaces_parameter(net):
    net.fc.weight = nn.Parameter(net.fc.weight.detach().clone())


def freezes(net):
    net.fc.bias.requires_grad_(False)


def differentiates(net):
    net.fc.weight.sum().backward()


def makes_parameter(net):
    if not hasattr(net, "late"):
        net.late = nn.Parameter(torch.ones(3, dtype=torch.float64))


XF = functools.partial(X, dtype=torch.float32)

REFUSED = {
    "a generator among the globals": (
        lambda: (net(lambda n, h: h * (GENERATOR.random() > 1e-7)), X()),
        "generator of its own",
    ),
    "a generator among the globals of a class": (
        lambda: (randomised(DrawsFromGlobals(None)), X()),
        "generator of its own",
    ),
    "mixing at a zero layer beside a huge sample": (
        lambda: (zero_layer(), huge_first(X(), 1e12)),
        "other gradients",
    ),
    "a generator in an object": (
        lambda: (holding(Holder(random.Random(0)), lambda o: o.held.random()), X()),
        "generator of its own",
    ),
    "bits of a generator": (
        lambda: (holding(np.random.PCG64(0), lambda b: np.random.Generator(b).random()), X()),
        "generator of its own",
    ),
    "mixing beside a huge sample": (
        lambda: (net(into_the_third_on), huge_first(X(), 1e12)),
        "other outputs",
    ),
    "mixing beside a huge sample, single": (
        lambda: (single(net(into_the_third_on)), huge_first(XF(), 1e7)),
        "other outputs",
    ),
    "weak mixing in the backward pass, single": (
        lambda: (single(net(lambda n, h: TakesFromOthers.apply(h, 1e-3))), XF()),
        "other gradients",
    ),
    "a mean for the backward pass alone, single": (
        lambda: (
            single(net(lambda n, h: h + 2e-3 * (h.mean(0) - h.mean(0).detach()))),
            XF(),
        ),
        "other gradients",
    ),
    "clipped in the backward pass": (
        lambda: (net(lambda n, h: ClippedBackward.apply(h)), X()),
        "other gradients",
    ),
    "a clipping hook": (
        lambda: (
            with_hook(chain(), lambda n: n[0].weight.register_hook(lambda g: g.clamp(-20, 20))),
            X(),
        ),
        "other gradients",
    ),
    "random in the backward pass": (
        lambda: (
            with_hook(
                chain(),
                lambda n: n[0].weight.register_hook(lambda g: g + 1e-12 * torch.rand_like(g)),
            ),
            X(),
        ),
        "backward pass is random",
    ),
    "a backward hook that mixes": (
        lambda: (
            with_hook(chain(), lambda n: n[2].register_full_backward_hook(fifth_into_third)),
            X(),
        ),
        "other gradients",
    ),
    "a backward hook that mixes before": (
        lambda: (
            with_hook(chain(), lambda n: n[2].register_full_backward_pre_hook(fifth_into_third)),
            X(),
        ),
        "other gradients",
    ),
    **{
        f"changes itself: {touch.__name__}": (
            lambda touch=touch: (randomised(Touching(touch)), X()),
            "changes its parameter '(fc.weight|fc.bias|late)'",
        )
        for touch in (
            replaces_data,
            writes_by_numpy,
            replaces_parameter,
            freezes,
            differentiates,
            makes_parameter,
        )
    },
    "rare dropout": (lambda: (net(rare_dropout), X()), "random"),
    "dropout of attention": (
        lambda: (
            of(
                lambda net, x: net.a(x, x, x, need_weights=False)[0].mean(1),
                a=nn.MultiheadAttention(6, 2, dropout=1e-5, batch_first=True),
            ),
            normal(N, 5, 6),
        ),
        "random",
    ),
    "stochastic depth": (lambda: (net(lambda n, h: h + StochasticDepth(1e-6)(h)), X()), "random"),
    "transformer in training": (
        lambda: (randomised(Encoder(dropout=1e-5)), normal(N, 5, 6)),
        "random",
    ),
    "rrelu": (lambda: (net(lambda n, h: functional.rrelu(h, 0.1, 0.1001, True)), X()), "random"),
    "gumbel": (lambda: (net(lambda n, h: functional.gumbel_softmax(h)), X()), "random"),
    "lstm with dropout": (
        lambda: (
            of(
                lambda net, x: net.r(x)[0].mean(1),
                r=nn.LSTM(5, 4, 2, dropout=1e-5, batch_first=True),
            ),
            normal(N, 4, 5),
        ),
        "random",
    ),
    "a generator of its own": (lambda: (own_torch_generator(), X()), "random"),
    "a generator in a closure": (lambda: (hidden_torch_generator(), X()), "random"),
    "a forked stream": (lambda: (net(forked), X()), "random"),
    "numpy's stream": (
        lambda: (net(lambda n, h: h * (1 + 1e-9 * np.random.rand())), X()),  # noqa: NPY002
        "numpy's global generator",
    ),
    "Python's stream": (
        lambda: (net(lambda n, h: h * (1 + 1e-9 * random.random())), X()),
        "Python's module random",
    ),
    "a numpy generator": (lambda: (own_numpy_generator(), X()), "generator of its own"),
    "a generator in a list": (lambda: (generator_in_a_list(), X()), "generator of its own"),
    "scripted dropout": (
        lambda: (
            quietly(
                lambda: torch.jit.script(
                    net().train() and nn.Sequential(linear(), nn.Dropout(0.001)).double()
                )
            ),
            X(),
        ),
        "random",
    ),
    "row 1 into row 0": (lambda: (net(pairs), X()), "other outputs"),
    "row 9 into row 4": (lambda: (net(functools.partial(pairs, i=9, j=4)), X()), "other outputs"),
    "the last into the first": (
        lambda: (net(functools.partial(pairs, i=N - 1)), X()),
        "other outputs",
    ),
    "one into all": (lambda: (net(lambda n, h: h + h[7 % len(h)]), X()), "other outputs"),
    "likeness": (lambda: (net(nearest), twins()), "other outputs"),
    "rolled by two": (lambda: (net(lambda n, h: h + h.roll(2, 0)), X()), "other outputs"),
    "halves exchanged": (
        lambda: (net(lambda n, h: h + 0.5 * h.roll(len(h) // 2, 0)), X()),
        "other outputs",
    ),
    "weakly centred": (lambda: (net(lambda n, h: h - 1e-6 * h.mean(0)), X()), "other outputs"),
    "weakly centred, single": (
        lambda: (single(net(lambda n, h: h - 1e-3 * h.mean(0))), XF()),
        "other outputs",
    ),
    "detached mean": (
        lambda: (net(lambda n, h: h - 1e-3 * h.mean(0).detach()), X()),
        "other outputs",
    ),
    "softmax over samples": (lambda: (net(lambda n, h: h.softmax(0)), X()), "other outputs"),
    "sorted samples": (lambda: (net(lambda n, h: h.sort(0).values), X()), "other outputs"),
    "cumulative": (lambda: (net(lambda n, h: h.cumsum(0)), X()), "other outputs"),
    "scaled by the number of samples": (
        lambda: (net(lambda n, h: h / len(h)), X()),
        "other outputs",
    ),
    "attention over samples": (
        lambda: (
            net(
                lambda n, h: n.a(h[:, None], h[:, None], h[:, None])[0][:, 0],
                a=nn.MultiheadAttention(4, 2),
            ),
            X(),
        ),
        "other outputs",
    ),
    "mixing beside a diverged sample": (
        lambda: (net(lambda n, h: h + h.nan_to_num().roll(1, 0)), one_diverged()),
        "other outputs",
    ),
    "a diverged sample that spoils the others": (
        lambda: (net(lambda n, h: h + 0 * h.sum(0)), one_diverged()),
        "other outputs",
    ),
    "functional batch norm": (
        lambda: (net(lambda n, h: functional.batch_norm(h, None, None, training=True)), X()),
        "other outputs|on part",
    ),
    "batch norm scaled by zero": (lambda: (zero_gated(), X()), "other gradients|on part"),
    "mixing in the backward pass": (
        lambda: (net(lambda n, h: NormalisedBackward.apply(h)), X()),
        "other gradients",
    ),
    "frequencies": (
        lambda: (randomised(nn.Embedding(3, 4, scale_grad_by_freq=True)), tokens(N, high=3)),
        "other gradients",
    ),
    "reentrant checkpoint": (
        lambda: (net(reentrant, inner=nn.Linear(4, 4)), X()),
        "use_reentrant=False",
    ),
    "IndexError on a part": (
        lambda: (net(fails_on_parts(IndexError("row 15\nof 16"))), X()),
        "on part of its batch: IndexError: row 15$",
    ),
    "AssertionError on a part": (
        lambda: (net(fails_on_parts(AssertionError())), X()),
        "on part of its batch: AssertionError$",
    ),
    "KeyError on a part": (lambda: (net(fails_on_parts(KeyError("x"))), X()), "on part"),
    "a fixed number of samples": (lambda: (randomised(FixedBatch()), X()), "on part|other outputs"),
    "keeps graphs outside": (lambda: (accumulated(), X()), "other outputs"),
    "inference-mode parameters": (
        lambda: (inference_made(), XF()),
        "'weight' was made in inference mode",
    ),
    "meta parameters": (lambda: (nn.Linear(6, 3, device="meta"), XF()), "meta device"),
    "meta input": (lambda: (nn.Linear(6, 3), torch.ones(N, 6, device="meta")), "meta device"),
    "lazy": (lambda: (nn.LazyLinear(3), XF()), "lazy"),
    "bfloat16": (lambda: (net().bfloat16(), X().bfloat16()), "bfloat16"),
    "half": (lambda: (nn.Linear(6, 3).half(), XF().half()), "float16"),
    "complex": (lambda: (nn.Linear(6, 3, dtype=torch.complex64), XF().cfloat()), "complex64"),
    "mixed dtypes": (
        lambda: (nn.Sequential(linear(), nn.Linear(3, 3).double()), XF()),
        "one dtype",
    ),
    "half inside": (lambda: (net(lambda n, h: h.half().double()), X()), "computes in float16"),
    "bfloat16 inside": (
        lambda: (net(lambda n, h: h.bfloat16().tanh().double()), X()),
        "computes in bfloat16",
    ),
    "autocast inside": (
        lambda: (single(net(autocasting, inner=nn.Linear(4, 4))), XF()),
        "computes in bfloat16",
    ),
    "changes its weight": (lambda: (net(clipped), X()), "changes its parameter 'first.weight'"),
    "bounded embedding": (
        lambda: (nn.Embedding(11, 3, max_norm=0.1), tokens(N)),
        "changes its parameter 'weight'",
    ),
    "all frozen": (lambda: (net().requires_grad_(False), X()), "found none"),
    "no parameters": (lambda: (nn.Tanh(), X()), "found none"),
    "a function": (lambda: (lambda x: x, X()), "torch.nn.Module"),
    "a number": (lambda: (3, X()), "torch.nn.Module"),
    "batch norm": (
        lambda: (net(lambda n, h: n.b(h), b=nn.BatchNorm1d(4)), X()),
        "'b' \\(BatchNorm1d\\)",
    ),
    "two outputs": (lambda: (of(lambda n, x: (n.f(x), x), f=linear()), X()), "one tensor"),
    "outputs in a dict": (lambda: (of(lambda n, x: {"q": n.f(x)}, f=linear()), X()), "one tensor"),
    "a mean": (lambda: (of(lambda n, x: n.f(x).mean(), f=linear()), X()), "one tensor"),
    "another number of rows": (
        lambda: (of(lambda n, x: n.f(x)[1:], f=linear()), X()),
        "one tensor",
    ),
    "samples second": (lambda: (of(lambda n, x: n.f(x).T, f=linear()), X()), "one tensor"),
    "no outputs": (lambda: (of(lambda n, x: n.f(x)[:, :0], f=linear()), X()), "no numbers"),
    "whole numbers": (
        lambda: (of(lambda n, x: n.f(x).argmax(1), f=linear()), X()),
        "float32 or float64, not torch.int64",
    ),
    "complex outputs": (lambda: (of(lambda n, x: n.f(x) * 1j, f=linear()), X()), "complex128"),
    "sparse outputs": (lambda: (of(lambda n, x: n.f(x).to_sparse(), f=linear()), X()), "dense"),
    "no gradient": (lambda: (of(lambda n, x: n.f(x).detach(), f=linear()), X()), "no gradient"),
    "no grad inside": (
        lambda: (of(torch.no_grad()(lambda n, x: n.f(x)), f=linear()), X()),
        "no gradient",
    ),
    "numpy": (lambda: (net(), X().numpy()), "torch.from_numpy"),
    "numpy in a dict": (
        lambda: (randomised(TakesDict()), {"x": X(), "weight": np.ones(N)}),
        r"inputs\['weight'\] is a numpy.ndarray",
    ),
    "mixes a thousandth behind zeros": (
        lambda: (mixing_behind_zeros(lambda h: h + 1e-3 * h.mean(0)), XF()),
        "other gradients",
    ),
    "mixes a thousandth of a pair behind zeros": (
        lambda: (mixing_behind_zeros(lambda h: h + 1e-3 * h.roll(1, 0)), XF()),
        "other gradients",
    ),
    "a list in itself": (lambda: (net(), in_itself([X()])), "contain themselves"),
    "a dict in itself": (lambda: (net(), in_itself({"x": X()})), "contain themselves"),
    "an object": (lambda: (net(), object()), "object"),
    "nothing": (lambda: (net(), ()), "at least one tensor"),
    "numbers only": (lambda: (net(), [1.0, 2.0]), "at least one tensor"),
    "no rows": (lambda: (net(), X()[:0]), "at least 1"),
    "one number": (lambda: (net(), torch.ones(())), "single number"),
    "unlike rows": (
        lambda: (randomised(TwoTowers()), (X(), normal(N - 1, 4))),
        r"inputs\[1\] has 15 rows",
    ),
    "sparse": (lambda: (net(), X().to_sparse()), "sparse"),
    "compressed": (lambda: (net(), quietly(lambda: X().to_sparse_csr())), "sparse"),
    "nested tensor": (
        lambda: (net(), quietly(lambda: torch.nested.nested_tensor([X()[0], X()[1]]))),
        "nested",
    ),
    "one sample of features": (
        lambda: (randomised(nn.Linear(4, 4)), normal(4)),
        "on part|other outputs|at least",
    ),
    "one image": (
        lambda: (randomised(nn.Conv2d(4, 4, 3, padding=1)), normal(4, 5, 5)),
        "on part|other outputs",
    ),
}
