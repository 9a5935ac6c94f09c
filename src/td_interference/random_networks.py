"""ρ' of networks that have learned nothing: its distribution over random networks and inputs.

Section 6 of the paper: "For a randomly initialized neural network, assuming a normally distributed
input and loss", ρ' is not of zero mean; its median is close to 0 but negative, its mean further
below, its lower tail the heavier one. The paper gives neither network, nor sizes, nor numbers, so
all of them are settings here. ρ' is that of J = δ²/2 (eq. 14), with δ = f - y.
"""

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn

from td_interference.errors import UserError
from td_interference.gradients import gram, per_sample_gradients
from td_interference.gradients.second_order import Value, pair_products, regression_terms
from td_interference.networks import NEGATIVE_SLOPE, initialise, q_network, value_network
from td_interference.screen import FRAME_SIZE, STACK
from td_interference.seeds import numpy_generator, torch_generator

MLP_INPUTS = 16
N_ACTIONS = 9  # of MsPacman's minimal action set
PIXEL = 255  # what the Atari networks divide their inputs by


class Study(NamedTuple):
    """Which networks are drawn, and what of."""

    network: str = "mlp"  # "mlp", "smooth_mlp" (tanh), "value" or "q" (the paper's Atari networks)
    hidden: int = 32  # units of each of an MLP's two hidden layers; n_h of the Atari networks
    # "delta": δ is standard normal itself. "target": y is, and δ = f - y.
    normal: str = "delta"
    networks: int = 200
    samples: int = 16  # per network; ρ' of all ordered pairs of two of them
    seed: int = 0


class Problem(NamedTuple):
    """One random network with N random samples, in float64."""

    network: nn.Module
    inputs: Tensor  # [N, ...], standard normal where they meet the first weights
    value: Value  # V(s), or Q(s, a) of a uniformly random action
    delta: Tensor  # [N], δ = f - y


class Estimate(NamedTuple):
    """A statistic of all samples, with its percentile bootstrap interval over networks."""

    value: float
    low: float
    high: float


class Summary(NamedTuple):
    """The distribution of ρ'."""

    mean: Estimate
    median: Estimate
    quantile_05: float
    quantile_95: float
    skewness: float
    share_negative: float  # of the samples, 0..1


class StepSizeCheck(NamedTuple):
    """Eq. 36 against steps that were really taken."""

    step_size: NDArray[np.float64]  # [S], α
    expected: NDArray[np.float64]  # [N, N], ρ'_AB by eq. 36
    measured: NDArray[np.float64]  # [S, N, N], (ρ_AB(θ - α ∇J_B) - ρ_AB(θ)) / α
    # [S], |measured - expected| / |expected|, Frobenius; of order α where α is small.
    relative_error: NDArray[np.float64]


def mlp(hidden: int, *, smooth: bool = False) -> nn.Sequential:
    """Return a perceptron of two hidden layers, [N, 16] to [N, 1], its weights not yet drawn.

    Args:
        hidden: Units of each hidden layer.
        smooth: With tanh, whose second derivative is not 0, instead of the paper's leaky ReLU.
    """
    activation: Callable[[], nn.Module] = (
        nn.Tanh if smooth else lambda: nn.LeakyReLU(NEGATIVE_SLOPE)
    )
    return nn.Sequential(
        nn.Linear(MLP_INPUTS, hidden),
        activation(),
        nn.Linear(hidden, hidden),
        activation(),
        nn.Linear(hidden, 1),
    )


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "mlp": mlp,
    "smooth_mlp": lambda hidden: mlp(hidden, smooth=True),
    "value": value_network,
    "q": lambda hidden: q_network(N_ACTIONS, hidden),
}


def draw(study: Study, number: int) -> Problem:
    """Return one of a study's problems; the same for any number of networks drawn.

    Weights are those that training starts from (`networks.initialise`). Samples, errors and
    actions have streams of their own, so studies that differ in one setting share the others.

    Raises:
        UserError: If the study names an unknown network or normal quantity.
    """
    if study.network not in NETWORKS:
        raise UserError(f"network: {study.network!r} is not one of {', '.join(NETWORKS)}")
    if study.normal not in ("delta", "target"):
        raise UserError(f"normal: {study.normal!r} is neither 'delta' nor 'target'")
    stream = f"random_networks-seed{study.seed}-{number}"
    network = NETWORKS[study.network](study.hidden)
    network = initialise(network, torch_generator(stream, "initial_weights")).double()

    images = study.network in ("value", "q")
    shape = (STACK, FRAME_SIZE, FRAME_SIZE) if images else (MLP_INPUTS,)
    inputs = torch.from_numpy(
        numpy_generator(stream, "inputs").standard_normal((study.samples, *shape))
    ) * (PIXEL if images else 1)
    errors = torch.from_numpy(numpy_generator(stream, "errors").standard_normal(study.samples))
    n_outputs = N_ACTIONS if study.network == "q" else 1
    action = torch.from_numpy(
        numpy_generator(stream, "actions").integers(0, n_outputs, (study.samples, 1))
    )

    def value(outputs: Tensor) -> Tensor:
        return outputs.gather(1, action)[:, 0]

    delta = errors
    if study.normal == "target":
        with torch.no_grad():
            delta = value(network(inputs)) - errors
    return Problem(network, inputs, value, delta)


def interference_changes(study: Study) -> NDArray[np.float64]:
    """Return ρ'_AB of all ordered pairs A ≠ B within each network (eq. 14, 16), unsummed.

    Returns:
        [networks, samples · (samples - 1)]. Pairs of one network are not independent.

    Raises:
        UserError: As `draw`; or if there is no pair.
    """
    if study.samples < 2:
        raise UserError(f"samples: {study.samples}, but a pair takes two")
    apart = ~torch.eye(study.samples, dtype=torch.bool)
    changes = []
    for number in range(study.networks):
        problem = draw(study, number)
        pairs = pair_products(problem.network, problem.inputs, problem.value)
        changes.append(regression_terms(pairs, problem.delta).change[apart])
    return torch.stack(changes).numpy()


def summarise(
    changes: NDArray[np.float64],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    generator: np.random.Generator,
) -> Summary:
    """Return the summary of ρ' over all pairs of all networks.

    Args:
        changes: [networks, pairs], at least two networks.
        confidence: Of the intervals.
        resamples: Bootstrap resamples, of whole networks since pairs within one depend.
        generator: For the resampling.
    """

    def estimate(statistic: Callable[[NDArray[np.float64]], float]) -> Estimate:
        interval = stats.bootstrap(
            (np.arange(len(changes)),),
            lambda chosen: statistic(changes[chosen]),
            vectorized=False,
            n_resamples=resamples,
            confidence_level=confidence,
            method="percentile",
            rng=generator,
        ).confidence_interval
        return Estimate(float(statistic(changes)), float(interval.low), float(interval.high))

    low, high = np.quantile(changes, (0.05, 0.95))
    return Summary(
        mean=estimate(np.mean),
        median=estimate(np.median),
        quantile_05=float(low),
        quantile_95=float(high),
        skewness=float(stats.skew(changes, axis=None)),
        share_negative=float(np.mean(changes < 0)),
    )


def by_gradient_of_interference(problem: Problem) -> Tensor:
    """Return -(∇_θ(∇J_B·∇J_A))·∇J_B of all pairs, [N, N], pair by pair (eq. 36).

    By reverse mode twice, so slowly, and independent of `pair_products`.
    """
    network, inputs, value, delta = problem
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    predictions = value(network(inputs))
    losses = (predictions - (predictions.detach() - delta)).square() / 2
    gradients = [torch.autograd.grad(loss, parameters, create_graph=True) for loss in losses]
    changes = torch.empty(len(inputs), len(inputs), dtype=delta.dtype)
    for b, at_b in enumerate(gradients):
        for a, at_a in enumerate(gradients):
            interference = torch.stack([(x * y).sum() for x, y in zip(at_a, at_b, strict=True)])
            turned = torch.autograd.grad(
                interference.sum(), parameters, retain_graph=True, materialize_grads=True
            )
            along = [(x * y.detach()).sum() for x, y in zip(turned, at_b, strict=True)]
            changes[a, b] = -torch.stack(along).sum()
    return changes


def check_step_sizes(problem: Problem, step_sizes: Sequence[float]) -> StepSizeCheck:
    """Compare eq. 36 with how ρ changes over real steps of gradient descent on each sample B.

    The paper: "We also verify empirically that this quantity holds with commonly used small
    step-sizes" (below eq. 36).

    Args:
        problem: The network is left as it was.
        step_sizes: Learning rates α.
    """
    targets = _predictions(problem) - problem.delta
    start = _interference(problem, targets)
    measured = np.stack(
        [
            [
                (_interference(_stepped(problem, b, step), targets)[:, b] - start[:, b]) / step
                for b in range(len(problem.inputs))
            ]
            for step in step_sizes
        ]
    ).swapaxes(1, 2)
    expected = by_gradient_of_interference(problem).numpy()
    error = np.linalg.norm(measured - expected, axis=(1, 2)) / np.linalg.norm(expected)
    return StepSizeCheck(np.array(step_sizes, dtype=np.float64), expected, measured, error)


@torch.no_grad()
def _predictions(problem: Problem) -> Tensor:
    return problem.value(problem.network(problem.inputs))


def _interference(problem: Problem, targets: Tensor) -> NDArray[np.float64]:
    """Return ρ_AB = ∇J_A·∇J_B, [N, N]."""
    products = gram(per_sample_gradients(problem.network, problem.inputs, problem.value))
    delta = _predictions(problem) - targets
    return (delta[:, None] * delta * products).numpy()


def _stepped(problem: Problem, b: int, step_size: float) -> Problem:
    """Return the problem after one step of gradient descent on J_B; δ is no longer the one held."""
    network = copy.deepcopy(problem.network)
    parameters = list(network.parameters())
    gradient = torch.autograd.grad(problem.value(network(problem.inputs))[b], parameters)
    with torch.no_grad():
        for parameter, part in zip(parameters, gradient, strict=True):
            parameter.sub_(step_size * problem.delta[b] * part)
    return problem._replace(network=network)
