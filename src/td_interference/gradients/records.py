"""Records that hold the per-sample gradients of one layer, each in the form that costs least.

In shapes N and M are samples, I inputs and O outputs of a layer, T positions at which it is
applied, D its parameters. All gradients are of per-sample quantities; there is no 1/N.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

# Of a block of products of positions with positions, bytes.
BLOCK_BYTES = 32 * 2**20


class LayerGradient(ABC):
    """Gradients of N samples with respect to a layer's own trainable parameters."""

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """D, the parameters whose gradients these are."""

    def gram(self, other: Any) -> Tensor:
        """Return the inner products with those of M samples, in whatever form, [N, M]."""
        if isinstance(self, ZeroGradient) or isinstance(other, ZeroGradient):
            rows, columns = self.squared_norms(), other.squared_norms()
            return rows.new_zeros(len(rows), len(columns))
        same = type(self) is type(other)
        return self._products(other) if same else self.dense() @ other.dense().T

    @abstractmethod
    def _products(self, other: Self) -> Tensor:
        """Return `gram` with those of M samples in the same form."""

    @abstractmethod
    def squared_norms(self) -> Tensor:
        """Return the diagonal of `gram`, [N], without the rest."""

    @abstractmethod
    def distance(self, rows: Tensor, weights: Tensor, reference: Sequence[Tensor]) -> Tensor:
        """Return |reference - Σ_k weights[k] · gradient[rows[k]]|, a scalar.

        Args:
            rows: Samples, [K], int64.
            weights: [K].
            reference: One tensor per trainable parameter, the weight's first; they may be
                overwritten, because new memory of their size takes longer than the rest.
        """

    @abstractmethod
    def weighted_sums(self, weights: Tensor, rows: slice) -> Tensor:
        """Return Σ_n weights[k, n] · gradient[rows][n], [K, D].

        Like `squared_norms`, for networks of one shape at once if all has their dimension in front
        (of gradients as factors at one position, and of those written out).

        Args:
            weights: [K, N].
            rows: N of the samples.
        """

    @abstractmethod
    def of_sample(self, n: int) -> Tensor:
        """Return the gradient of one sample written out, [D], the parameters in their order."""

    @abstractmethod
    def along(self, direction: Sequence[Tensor]) -> Tensor:
        """Return the inner product of each gradient with a direction, [N].

        Args:
            direction: One tensor per trainable parameter, the weight's first.
        """

    @abstractmethod
    def dense(self) -> Tensor:
        """Return the gradients written out, [N, D], weight entries first, then bias."""


@dataclass(frozen=True, eq=False)
class FactoredGradient(LayerGradient):
    """Gradients of a Linear layer as factors: sample n has outer(output_gradient, activation)."""

    activation: Tensor  # [N, I], the layer's input; [N, 0] if its weight is frozen
    output_gradient: Tensor  # [N, O]
    bias: bool  # the gradient of a trainable bias, the output gradient itself, is part of it

    @property
    def n_parameters(self) -> int:
        return self.output_gradient.shape[-1] * (self.activation.shape[-1] + self.bias)

    def _products(self, other: Self) -> Tensor:
        # (a_n · a_m + 1) (d_n · d_m), + 1 for a bias.
        activations = self.activation @ other.activation.T
        bias = self.bias and other.bias
        return (activations + bias) * (self.output_gradient @ other.output_gradient.T)

    def squared_norms(self) -> Tensor:
        activations = self.activation.square().sum(-1) + self.bias
        return activations * self.output_gradient.square().sum(-1)

    def distance(self, rows: Tensor, weights: Tensor, reference: Sequence[Tensor]) -> Tensor:
        weighted = self.output_gradient[rows] * weights[:, None]
        return _distance(self.activation[rows], weighted, self.bias, reference)

    def weighted_sums(self, weights: Tensor, rows: slice) -> Tensor:
        outputs = weights.mT[..., None] * self.output_gradient[..., rows, None, :]  # [N, K, O]
        weight = outputs.flatten(-2).mT @ self.activation[..., rows, :]  # [K · O, I]
        sums = weight.unflatten(-2, outputs.shape[-2:]).flatten(-2)
        return torch.cat([sums, outputs.sum(-3)], -1) if self.bias else sums

    def of_sample(self, n: int) -> Tensor:
        weight = torch.outer(self.output_gradient[n], self.activation[n]).flatten()
        return torch.cat([weight, self.output_gradient[n]]) if self.bias else weight

    def along(self, direction: Sequence[Tensor]) -> Tensor:
        moved = _moved(self.activation, self.output_gradient, self.bias, direction)
        return (moved * self.output_gradient).sum(1)

    def dense(self) -> Tensor:
        weight = torch.einsum("no,ni->noi", self.output_gradient, self.activation).flatten(1)
        return torch.cat([weight, self.output_gradient], 1) if self.bias else weight


@dataclass(frozen=True, eq=False)
class PositionedGradient(LayerGradient):
    """Gradients of a layer applied at T positions: sample n has the sum of T outer products.

    Of a Linear layer on sequences, or of a convolution, whose input at a position is a patch.
    """

    activation: Tensor  # [N, T, I]; I = 0 if the weight is frozen
    output_gradient: Tensor  # [N, T, O]
    bias: bool

    @property
    def n_parameters(self) -> int:
        return self.output_gradient.shape[-1] * (self.activation.shape[-1] + self.bias)

    def _products(self, other: Self) -> Tensor:
        n_positions, width = self.activation.shape[1], other.activation.shape[:2].numel()
        row_bytes = n_positions * width * self.activation.element_size()
        block = max(1, BLOCK_BYTES // max(1, row_bytes))
        inputs, outputs = other.activation.flatten(0, 1).T, other.output_gradient.flatten(0, 1).T
        bias, grams = self.bias and other.bias, []
        for rows in torch.arange(len(self.activation)).split(block):
            own = slice(int(rows[0]), int(rows[-1]) + 1)
            products = self.activation[own].flatten(0, 1) @ inputs + bias
            products *= self.output_gradient[own].flatten(0, 1) @ outputs
            shape = (len(rows), n_positions, *other.activation.shape[:2])
            grams.append(products.view(shape).sum((1, 3)))
        return torch.cat(grams)

    def squared_norms(self) -> Tensor:
        inputs = self.activation @ self.activation.mT + self.bias
        return (inputs * (self.output_gradient @ self.output_gradient.mT)).sum((1, 2))

    def distance(self, rows: Tensor, weights: Tensor, reference: Sequence[Tensor]) -> Tensor:
        weighted = self.output_gradient[rows] * weights[:, None, None]
        inputs = self.activation[rows].flatten(0, 1)
        return _distance(inputs, weighted.flatten(0, 1), self.bias, reference)

    def weighted_sums(self, weights: Tensor, rows: slice) -> Tensor:
        inputs, outputs = self.activation[rows], self.output_gradient[rows]
        sums = []
        for own in weights:
            weighted = (outputs * own[:, None, None]).flatten(0, 1)
            parts = [(weighted.T @ inputs.flatten(0, 1)).flatten()]
            sums.append(torch.cat([*parts, weighted.sum(0)] if self.bias else parts))
        return torch.stack(sums)

    def of_sample(self, n: int) -> Tensor:
        weight = (self.output_gradient[n].T @ self.activation[n]).flatten()
        return torch.cat([weight, self.output_gradient[n].sum(0)]) if self.bias else weight

    def along(self, direction: Sequence[Tensor]) -> Tensor:
        moved = _moved(self.activation, self.output_gradient, self.bias, direction)
        return (moved * self.output_gradient).sum((1, 2))

    def dense(self) -> Tensor:
        weight = (self.output_gradient.mT @ self.activation).flatten(1)
        return torch.cat([weight, self.output_gradient.sum(1)], 1) if self.bias else weight


@dataclass(frozen=True, eq=False)
class DenseGradient(LayerGradient):
    """Gradients of a layer written out."""

    gradient: Tensor  # [N, D], the layer's own parameters in their order, each flattened

    @property
    def n_parameters(self) -> int:
        return self.gradient.shape[-1]

    def _products(self, other: Self) -> Tensor:
        return self.gradient @ other.gradient.T

    def squared_norms(self) -> Tensor:
        return torch.linalg.vector_norm(self.gradient, dim=-1).square()

    def distance(self, rows: Tensor, weights: Tensor, reference: Sequence[Tensor]) -> Tensor:
        combination = weights @ self.gradient[rows]
        return torch.linalg.vector_norm(torch.cat([r.flatten() for r in reference]) - combination)

    def weighted_sums(self, weights: Tensor, rows: slice) -> Tensor:
        return weights @ self.gradient[..., rows, :]

    def of_sample(self, n: int) -> Tensor:
        return self.gradient[n]

    def along(self, direction: Sequence[Tensor]) -> Tensor:
        return self.gradient @ torch.cat([part.flatten() for part in direction])

    def dense(self) -> Tensor:
        return self.gradient


@dataclass(frozen=True, eq=False)
class ZeroGradient(LayerGradient):
    """Gradients of a layer that the outputs do not depend on, such as another head's."""

    zeros: Tensor  # [N], of the gradients' dtype and device
    width: int  # D

    @property
    def n_parameters(self) -> int:
        return self.width

    def _products(self, other: Self) -> Tensor:
        return self.zeros.new_zeros(len(self.zeros), len(other.zeros))

    def squared_norms(self) -> Tensor:
        return self.zeros

    def distance(self, rows: Tensor, weights: Tensor, reference: Sequence[Tensor]) -> Tensor:
        return torch.stack([torch.linalg.vector_norm(part) for part in reference]).norm()

    def weighted_sums(self, weights: Tensor, rows: slice) -> Tensor:
        return weights.new_zeros(len(weights), self.width)

    def of_sample(self, n: int) -> Tensor:
        return self.zeros.new_zeros(self.width)

    def along(self, direction: Sequence[Tensor]) -> Tensor:
        return self.zeros

    def dense(self) -> Tensor:
        return self.zeros[:, None].expand(-1, self.width)


def _distance(inputs: Tensor, weighted: Tensor, bias: bool, reference: Sequence[Tensor]) -> Tensor:
    """Return |reference - weighted' inputs|, the bias's part included."""
    remaining, lengths = list(reference), []
    if inputs.shape[1]:
        weight = remaining.pop(0)
        # A view, but for a weight whose channels come last.
        rest = weight.flatten(1).addmm_(weighted.T, inputs, alpha=-1)
        lengths.append(torch.linalg.vector_norm(rest))
    if bias:
        lengths.append(torch.linalg.vector_norm(remaining.pop() - weighted.sum(0)))
    return torch.stack(lengths).norm()


def _moved(inputs: Tensor, outputs: Tensor, bias: bool, direction: Sequence[Tensor]) -> Tensor:
    """Return how a step along a direction moves the outputs."""
    parts, moved = list(direction), torch.zeros_like(outputs)
    if inputs.shape[-1]:
        moved = inputs @ parts.pop(0).flatten(1).T
    return moved + parts.pop() if bias else moved
