"""How interference changes: the terms of ρ' for all pairs of a batch (paper, section 6).

An update at B, θ' = θ - α ∇J_B, changes the interference ρ_AB = ∇J_A·∇J_B by ρ'_AB = dρ_AB/dα at
α = 0, for J = δ²/2 and δ = f - y, prediction minus target. ρ' = -r1 - r2 - r3 needs the Hessians H
of f along gradients only, so none is written out: ∇f_B'H_A∇f_B is a second directional derivative,
which one forward pass of tangents gives for every A at once, and H_B∇f_B is one Hessian-vector
product, whose inner product with ∇f_A follows from the factors of the per-sample gradients. The
two must agree on the diagonal. Networks that are no chain of known layers, or where they do not,
take nested transforms of PyTorch; where these do not agree, all pairs are done by the second.

In shapes N is the batch, in matrices row A, column B. There is no 1/N anywhere.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from td_interference.errors import UserError
from td_interference.gradients.chain import Chain, chain_of
from td_interference.gradients.checks import TOLERANCE, check_network
from td_interference.gradients.functions import (
    Functions,
    Value,
    computing,
    inner,
    run,
    state_of,
)
from td_interference.gradients.gram import gram
from td_interference.gradients.per_sample import PerSampleGradients, per_sample_gradients

PRINTED_FACTOR = 2  # of r2, as eq. 16, 48 and 49 print it; the derivative has 1


class PairProducts(NamedTuple):
    """What the gradients and Hessians of N functions f have to say about each pair (A, B)."""

    gram: Tensor  # [N, N], g_AB = ∇f_A·∇f_B
    curvature_at_a: Tensor  # [N, N], ∇f_B'H_A∇f_B
    curvature_at_b: Tensor  # [N, N], ∇f_A'H_B∇f_B
    gradients: PerSampleGradients  # ∇f of the N samples
    functions: Functions  # f itself, for `momentum_terms`
    chain: Chain | None  # the pass over the batch; None where it is not known as a chain of layers


class ChangeTerms(NamedTuple):
    """The terms of ρ' = -r1 - r2 - r3, in the order of eq. 16 and 17."""

    r1: Tensor  # [N, N], δ_A changes
    r2: Tensor  # [N, N], δ_B changes
    r3: Tensor  # [N, N], the gradients of f turn

    @property
    def change(self) -> Tensor:
        """ρ'_AB, [N, N]; negative where interference falls."""
        return -self.r1 - self.r2 - self.r3


class MomentumTerms(NamedTuple):
    """Interference under momentum; see `momentum_terms`."""

    interference: Tensor  # [N, N], ρ_μ;AB
    change: Tensor  # [N, N], ρ'_μ;AB along the momentum update
    change_along_gradient: Tensor  # [N, N], the same along -∇J_B


def pair_products(network: nn.Module, inputs: Tensor, value: Value) -> PairProducts:
    """Return the products that ρ' is made of, for all N² pairs.

    Takes 2 N passes, for each B one over the batch and one over B alone, of tangents for chains of
    known layers and of nested transforms for others; N² more of single samples where forward mode
    fails its check.

    Args:
        network: Maps [N, ...] to one tensor [N, ...]; parameters in float32 or float64. Where it is
            no chain of known layers, its operations need derivatives in forward mode.
        inputs: [N, ...], N at least 1.
        value: Maps the outputs to f, one number per sample, [N], each from its sample's output
            alone: V(s), or Q(s, a) of the action taken. Twice differentiable almost everywhere;
            at a kink it is one of the sides' derivatives.

    Raises:
        UserError: As `per_sample_gradients`: per-sample gradients do not exist, or `value` does
            not fit; or an operation has no second derivatives in forward mode.
    """
    gradients = per_sample_gradients(network, inputs, value)
    network = check_network(network, value)
    if not isinstance(inputs, Tensor) or any(
        isinstance(module, torch.jit.ScriptModule) for module in network.modules()
    ):
        raise UserError("second derivatives need inputs in one tensor, and no scripted network")
    parameters = {n: p.detach() for n, p in network.named_parameters() if p.requires_grad}
    products = gram(gradients)
    inputs, state = inputs.detach(), state_of(network)
    with computing(inputs.device):
        with torch.no_grad():
            outputs = run(network, parameters, inputs, state)
        functions = Functions(network, inputs, value, gradients, parameters, outputs, state)
        chain = chain_of(network, inputs, value)
        if chain is not None:
            first, at_a, at_b = found = by_tangents(chain, functions)
            agreed = _agree(first, products) and _agree(at_a.diagonal(), at_b.diagonal())
            if agreed and torch.stack(found).isfinite().all():
                return PairProducts(products, at_a, at_b, gradients, functions, chain)
        first, at_a, at_b = by_transforms(functions)
        if not _agree(first, products):
            raise UserError(
                "no second derivatives: in forward mode the network's first ones are not its "
                "gradients"
            )
        # PyTorch's nested forward mode is wrong, and silent, on layer_norm (its issue 196700).
        if not _agree(at_a.diagonal(), at_b.diagonal()):
            for b in range(len(inputs)):
                direction = functions.gradient(b)
                at_a[:, b] = torch.stack(
                    [
                        inner(functions.hessian_product(a, direction), direction)
                        for a in range(len(inputs))
                    ]
                )
    return PairProducts(products, at_a, at_b, gradients, functions, None)


def by_tangents(chain: Chain, functions: Functions) -> tuple[Tensor, Tensor, Tensor]:
    """Return g_AB, ∇f_B'H_A∇f_B and ∇f_A'H_B∇f_B, [N, N] each, for a chain of known layers."""
    columns = []
    for b in range(len(chain.outputs)):
        changes = functions.changes_of_sample(b)
        tangents = chain.tangents(changes)
        terms = chain.row(b).hessian_product(changes, tangents.row(b))
        columns.append(
            torch.stack([tangents.first, tangents.second, functions.products(terms)[:, 0]])
        )
    first, at_a, at_b = torch.stack(columns, 2)
    return first, at_a, at_b


def by_transforms(functions: Functions) -> tuple[Tensor, Tensor, Tensor]:
    """Return the same for any network."""
    columns = []
    for b in range(len(functions.inputs)):
        direction = functions.gradient(b)
        at_b = functions.along(functions.hessian_product(b, direction))
        columns.append(torch.stack([*functions.derivatives(direction), at_b]))
    first, at_a, at_b = torch.stack(columns, 2)
    return first, at_a, at_b


def _agree(found: Tensor, expected: Tensor) -> bool:
    """Return whether two computations differ by rounding alone, wherever both are finite.

    A network whose learning blew up is measured too. What of it overflows, in one order of
    operations before another, is not compared: it comes out as it is.
    """
    finite = found.isfinite() & expected.isfinite()
    found, expected = (torch.where(finite, t, 0) for t in (found, expected))
    size = expected.abs().max().clamp(min=1)  # squares of huge numbers would overflow
    error = torch.linalg.vector_norm(found / size - expected / size)
    return bool(error <= TOLERANCE[expected.dtype] * torch.linalg.vector_norm(expected / size))


def regression_terms(pairs: PairProducts, delta: Tensor, factor: float = 1) -> ChangeTerms:
    """Return the terms of ρ'_reg, for targets that no update moves (eq. 16).

    r1 = g_AB² δ_B², r2 = factor · δ_A δ_B g_AB g_BB,
    r3 = δ_A δ_B² ∇f_B'(H_A ∇f_B + H_B ∇f_A).

    Args:
        pairs: Of the batch.
        delta: δ = prediction - target, [N]: minus the `td_error` of the objectives.
        factor: Of r2. Eq. 16 prints 2 (`PRINTED_FACTOR`), but the update at B changes δ_A and δ_B
            once each, so it is 1, and only then is -r1 - r2 - r3 the derivative.

    Raises:
        UserError: If `delta` is not [N].
    """
    g = pairs.gram
    delta = _of_batch("delta", delta, pairs)
    r2 = factor * delta[:, None] * delta * g * g.diagonal()
    return ChangeTerms(g.square() * delta.square(), r2, _turning(pairs, delta))


def td_terms(
    pairs: PairProducts,
    delta: Tensor,
    *,
    successor_gram: Tensor,
    terminated: Tensor,
    gamma: float,
) -> ChangeTerms:
    """Return the terms of ρ'_TD, where an update also moves the bootstrap targets (eq. 17).

    r1 = δ_B² g_AB (g_AB - γ g_A'B), r2 = δ_A δ_B g_AB (g_BB - γ g_B'B), r3 as in regression;
    A' and B' are the successors of A and B. ∇J is the semi-gradient δ ∇f.

    Args:
        pairs: Of the batch.
        delta: δ = f - (r + γ f'), [N]: minus the `td_error` of the objectives.
        successor_gram: g_A'B, [N, N]: `gram(per_sample_gradients(network, next_observation,
            next_value), pairs.gradients)`. Rows of terminated transitions count for nothing.
        terminated: Whether the successor is terminal and has no value, [N], bool; not where an
            episode was truncated.
        gamma: Discount per agent step.

    Raises:
        UserError: If shapes do not fit, or `terminated` is not of dtype bool.
    """
    g = pairs.gram
    delta = _of_batch("delta", delta, pairs)
    if _of_batch("terminated", terminated, pairs).dtype != torch.bool:
        raise UserError(f"terminated must be of dtype bool, not {terminated.dtype}")
    if successor_gram.shape != g.shape:
        raise UserError(f"successor_gram must be {list(g.shape)}, not {list(successor_gram.shape)}")
    # How δ_A changes with a step along ∇f_B; `where` and not a product, as 0 · NaN is NaN.
    moved = torch.where(terminated[:, None], g, g - gamma * successor_gram)
    r1 = delta.square() * g * moved
    r2 = delta[:, None] * delta * g * moved.diagonal()
    return ChangeTerms(r1, r2, _turning(pairs, delta))


def momentum_terms(
    pairs: PairProducts, delta: Tensor, *, momentum: Mapping[str, Tensor], beta: float
) -> MomentumTerms:
    """Return interference under momentum and its change, for J = δ²/2 and fixed targets.

    The update is θ' = θ - α m with m = (1-β) ∇J_B + β μ (eq. 18, 19). Then -dJ_A/dα is
    ρ_μ = (1-β) ∇J_A·∇J_B + β ∇J_A·μ (eq. 20), and with both gradients taken at θ', as eq. 14 does,

        ρ'_μ = dρ_μ/dα = -(1-β) (∇J_B'𝐇_A + ∇J_A'𝐇_B) m - β μ'𝐇_A m
             = (1-β)² ρ'_AB - β (1-β) (2 μ'𝐇_A∇J_B + ∇J_A'𝐇_B μ) - β² μ'𝐇_A μ,

    where 𝐇 is the Hessian of J and ρ'_AB is eq. 14. The paper prints
    ρ'_μ = -(1-β) ρ'_AB - β ∇J_B'𝐇_A μ (eq. 21). There the sign of the first term is wrong, ρ'_AB
    having its minus already. With +(1-β) ρ'_AB it is the derivative of ρ_μ along a step of plain
    gradient descent, θ - α ∇J_B (`change_along_gradient`), not along the momentum update of eq. 19
    (`change`), which moves mostly along μ: eq. 21 lacks all of μ'𝐇_A μ and ∇J_A'𝐇_B μ.

    Args:
        pairs: Of the batch, by the network as it is now.
        delta: δ = prediction - target, [N].
        momentum: μ_{t-1}, of each trainable parameter by name. PyTorch's SGD keeps μ / (1-β) as
            `momentum_buffer`, and its learning rate is α (1-β).
        beta: β in [0, 1).

    Raises:
        UserError: If shapes do not fit or a parameter has no momentum.
    """
    delta = _of_batch("delta", delta, pairs)
    functions = pairs.functions._replace(state=state_of(pairs.functions.network))
    for name, parameter in functions.parameters.items():
        if name not in momentum or momentum[name].shape != parameter.shape:
            raise UserError(f"momentum must hold {name}, {list(parameter.shape)}")
    mu = {name: momentum[name].detach() for name in functions.parameters}
    with computing(delta.device):
        along_mu = functions.along(mu)  # μ·∇f_A
        if pairs.chain is not None:
            changes = functions.changes(mu)
            tangents = pairs.chain.tangents(changes)
            mixed = functions.products(pairs.chain.hessian_product(changes, tangents)).T
            twice = tangents.second
        else:
            mixed, twice = torch.empty_like(pairs.gram), torch.empty_like(delta)
            for a in range(len(delta)):
                product = functions.hessian_product(a, mu)
                mixed[a], twice[a] = functions.along(product), inner(product, mu)
    # Now mixed is μ'H_A∇f_B, [N, N], and twice μ'H_Aμ, [N].
    g, outer = pairs.gram, delta[:, None] * delta  # below: 𝐇 = δ H + ∇f ∇f', ∇J = δ ∇f
    at_a = outer * mixed + delta * along_mu[:, None] * g  # μ'𝐇_A∇J_B
    at_b = outer * mixed.T + delta[:, None] * along_mu * g  # ∇J_A'𝐇_Bμ
    at_mu = (delta * twice + along_mu.square())[:, None]  # μ'𝐇_Aμ
    change = regression_terms(pairs, delta).change
    return MomentumTerms(
        interference=(1 - beta) * outer * g + beta * (delta * along_mu)[:, None],
        change=(1 - beta) ** 2 * change - beta * (1 - beta) * (2 * at_a + at_b) - beta**2 * at_mu,
        change_along_gradient=(1 - beta) * change - beta * at_a,
    )


def _turning(pairs: PairProducts, delta: Tensor) -> Tensor:
    return delta[:, None] * delta.square() * (pairs.curvature_at_a + pairs.curvature_at_b)


def _of_batch(name: str, tensor: Tensor, pairs: PairProducts) -> Tensor:
    """Return a tensor that is [N]; [N, 1] would spread over the pairs without an error."""
    if tensor.shape != pairs.gram.shape[:1]:
        raise UserError(f"{name} must be [{len(pairs.gram)}], not {list(tensor.shape)}")
    return tensor
