"""Per-sample gradients of embeddings, which are zero but for the rows that a sample looked up."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from td_interference.gradients.records import LayerGradient

# Of a block of written-out gradients, bytes.
BLOCK_BYTES = 32 * 2**20


@dataclass(frozen=True, eq=False)
class LookedUpGradient(LayerGradient):
    """Gradients of a table of V rows: sample n adds output_gradient[n, t] to row token[n, t]."""

    token: Tensor  # [N, T], int64
    output_gradient: Tensor  # [N, T, E]
    n_rows: int  # V

    @property
    def n_parameters(self) -> int:
        return self.n_rows * self.output_gradient.shape[-1]

    def _products(self, other: Self) -> Tensor:
        shared = self._own_tokens()
        shared = shared[torch.isin(shared, other._own_tokens())]
        total = self.output_gradient.new_zeros(len(self.token), len(other.token))
        for tokens in _blocks(shared, max(len(self.token), len(other.token)), self._row_bytes()):
            own = self._of_tokens(tokens)
            total += own @ (own if other is self else other._of_tokens(tokens)).T
        return total

    def squared_norms(self) -> Tensor:
        total = self.output_gradient.new_zeros(len(self.token))
        for tokens in _blocks(self._own_tokens(), len(self.token), self._row_bytes()):
            total += self._of_tokens(tokens).square().sum(1)
        return total

    def distance(self, rows: Tensor, weights: Tensor, reference: Sequence[Tensor]) -> Tensor:
        weighted = -self.output_gradient[rows] * weights[:, None, None]
        rest = reference[0].index_add_(0, self.token[rows].flatten(), weighted.flatten(0, 1))
        return torch.linalg.vector_norm(rest)

    def weighted_sums(self, weights: Tensor, rows: slice) -> Tensor:
        gradient = self.output_gradient[rows]
        sums = gradient.new_zeros(len(weights), self.n_rows, gradient.shape[2])
        for own, weight in zip(sums, weights, strict=True):
            weighted = gradient * weight[:, None, None]
            own.index_add_(0, self.token[rows].flatten(), weighted.flatten(0, 1))
        return sums.flatten(1)

    def of_sample(self, n: int) -> Tensor:
        one = LookedUpGradient(self.token[n : n + 1], self.output_gradient[n : n + 1], self.n_rows)
        return one.dense()[0]

    def along(self, direction: Sequence[Tensor]) -> Tensor:
        return (direction[0][self.token] * self.output_gradient).sum((1, 2))

    def dense(self) -> Tensor:
        return self._of_tokens(torch.arange(self.n_rows, device=self.token.device))

    def _own_tokens(self) -> Tensor:
        return self.token.unique()

    def _row_bytes(self) -> int:
        return self.output_gradient.shape[2] * self.output_gradient.element_size()

    def _of_tokens(self, tokens: Tensor) -> Tensor:
        """Return the gradients of some rows of the table, in ascending order, [N, K · E]."""
        place = torch.searchsorted(tokens, self.token).clamp_(max=len(tokens) - 1)
        sample, position = (tokens[place] == self.token).nonzero(as_tuple=True)
        shape = (len(self.token), len(tokens), self.output_gradient.shape[2])
        written = self.output_gradient.new_zeros(shape)
        entries = (sample, place[sample, position])
        return written.index_put_(
            entries, self.output_gradient[sample, position], accumulate=True
        ).flatten(1)


def lookup_gradient(
    module: nn.Module, token: Tensor, output_gradient: Tensor
) -> LookedUpGradient | None:
    """Return the gradient of an embedding, or None for a use of one that this does not cover.

    Args:
        module: Called once with `token` alone.
        token: Its input, [N, ...].
        output_gradient: Gradient of each sample's value with respect to its output.
    """
    if type(module) is nn.Embedding:
        if module.scale_grad_by_freq or output_gradient.shape[:-1] != token.shape:
            return None
        gradient = output_gradient
    elif type(module) is nn.EmbeddingBag:
        if module.scale_grad_by_freq or module.mode not in ("sum", "mean") or token.ndim != 2:
            return None
        if module.padding_idx is not None:
            return None
        gradient = output_gradient[:, None].expand(*token.shape, -1)
        if module.mode == "mean":
            gradient = gradient / token.shape[1]
    else:
        return None
    n_samples, width = len(token), gradient.shape[-1]
    token, gradient = token.reshape(n_samples, -1).long(), gradient.reshape(n_samples, -1, width)
    if module.padding_idx is not None:
        gradient = gradient.masked_fill((token == module.padding_idx)[..., None], 0)
    return LookedUpGradient(token.clone(), gradient, module.num_embeddings)


def _blocks(tokens: Tensor, n_samples: int, row_bytes: int) -> Iterator[Tensor]:
    size = max(1, BLOCK_BYTES // (n_samples * row_bytes))
    yield from tokens.split(size) if len(tokens) else ()
