"""ρ' of networks that have learned nothing, over random networks and inputs, and eq. 36 itself.

Section 6 of the paper: "For a randomly initialized neural network, assuming a normally distributed
input and loss", ρ' is not of zero mean; its median is close to 0 but negative, its mean further
below, its lower tail the heavier one. ρ' is that of J = δ²/2 (eq. 14), with δ = f - y.
"""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from td_interference.environments.screen import FRAME_SIZE, STACK
from td_interference.gradients import gram, per_sample_gradients
from td_interference.gradients.second_order import Value, pair_products, regression_terms
from td_interference.jobs.progress import Progress
from td_interference.jobs.resume import ResumeState
from td_interference.networks.atari import initialise, q_network, value_network
from td_interference.networks.images import mlp
from td_interference.planning.studies import Study
from td_interference.seeds import numpy_generator, torch_generator
from td_interference.storage import hdf5, kinds
from td_interference.storage.identity import of_study

MLP_INPUTS = 16
N_ACTIONS = 9  # of MsPacman's minimal action set
PIXEL = 255  # what the Atari networks divide their inputs by


class Problem(NamedTuple):
    """One random network with N random samples, in float64."""

    network: nn.Module
    inputs: Tensor  # [N, ...], standard normal where they meet the first weights
    value: Value  # V(s), or Q(s, a) of a uniformly random action
    delta: Tensor  # [N], δ = f - y


def _smooth_mlp(hidden: int) -> nn.Sequential:
    """Return the perceptron with tanh, whose second derivative is not 0, for leaky ReLU."""
    layers = mlp(MLP_INPUTS, 1, hidden, hidden_layers=2)
    return nn.Sequential(*(nn.Tanh() if type(own) is nn.LeakyReLU else own for own in layers))


# By their width; the weights are not yet drawn.
BUILDERS: dict[str, Callable[[int], nn.Module]] = {
    "mlp": lambda hidden: mlp(MLP_INPUTS, 1, hidden, hidden_layers=2),
    "smooth_mlp": _smooth_mlp,
    "value": value_network,
    "q": lambda hidden: q_network(N_ACTIONS, hidden),
}


def draw(study: Study, number: int) -> Problem:
    """Return one of a study's problems; the same for any number of networks drawn.

    Weights are those that training starts from (`networks.initialise`). Samples, errors and
    actions have streams of their own, so studies that differ in one setting share the others, and
    fewer samples are the first ones of more.
    """
    stream = study.stream(number)
    network = BUILDERS[study.network](study.hidden)
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


def interference_changes(problem: Problem) -> NDArray[np.float64]:
    """Return ρ'_AB of all ordered pairs A ≠ B of one network (eq. 14, 16), unsummed.

    Returns:
        [N · (N - 1)], row by row of A. They are not independent of one another.
    """
    pairs = pair_products(problem.network, problem.inputs, problem.value)
    apart = ~torch.eye(len(problem.inputs), dtype=torch.bool)
    return regression_terms(pairs, problem.delta).change[apart].numpy()


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


def errors_of_steps(problem: Problem, step_sizes: Sequence[float]) -> NDArray[np.float64]:
    """Compare eq. 36 with how ρ changes over real steps of gradient descent on each sample B.

    The paper: "We also verify empirically that this quantity holds with commonly used small
    step-sizes" (below eq. 36).

    Args:
        problem: The network is left as it was.
        step_sizes: Learning rates α, [S].

    Returns:
        |measured - expected| / |expected| (Frobenius), [S], of expected ρ'_AB by eq. 36 and
        measured (ρ_AB(θ - α ∇J_B) - ρ_AB(θ)) / α; of order α where α is small.
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
    return np.linalg.norm(measured - expected, axis=(1, 2)) / np.linalg.norm(expected)


def measure_study(
    study: Study,
    measurement_path: Path | str,
    *,
    code: str = "",
    resume: ResumeState | None = None,
    progress_directory: Path | None = None,
) -> None:
    """Measure ρ' of a study's networks, and eq. 36 on the first of them, and write one HDF5 file.

    Args:
        study: What to draw.
        measurement_path: HDF5 to write, of the table `storage.RANDOM_NETWORKS`.
        code: Digest of the code that measures; part of the file's identity.
        resume: Where to go on from and to save to; None to do neither.
        progress_directory: For the heartbeat file.
    """
    if resume is not None and resume.finished([Path(measurement_path)]):
        return
    fewer_samples = dataclasses.replace(study, samples=study.checked_samples)
    state = None if resume is None else resume.load()
    changes, errors = (
        [tensor.numpy() for tensor in state[name]] if state else []
        for name in ("changes", "errors")
    )
    with Progress(
        f"measure_study {study.run_id}",
        study.networks + study.checked_networks,
        "networks",
        progress_directory,
        len(changes) + len(errors),
    ) as progress:

        def measured() -> None:
            progress.advance()
            if resume is not None and resume.due():
                parts = {"changes": changes, "errors": errors}
                resume.save({n: [torch.from_numpy(a) for a in part] for n, part in parts.items()})

        for number in range(len(changes), study.networks):
            changes.append(interference_changes(draw(study, number)))
            measured()
        for number in range(len(errors), study.checked_networks):
            errors.append(errors_of_steps(draw(fewer_samples, number), study.step_sizes))
            measured()
    hdf5.write(
        measurement_path,
        kinds.RANDOM_NETWORKS,
        {
            "change": np.stack(changes),
            "step_size": np.array(study.step_sizes),
            "relative_error": np.stack(errors),
        },
        of_study(study, code),
    )
    if resume is not None:
        resume.finish([Path(measurement_path)])


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
