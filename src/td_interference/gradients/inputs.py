"""A batch of inputs: a tensor, or a structure of tensors, whose samples can be run alone."""

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor

from td_interference.errors import UserError

_CONSTANTS = (type(None), bool, int, float, str)


class Batch:
    """N samples for a network: tensors of one first dimension in dicts, lists and tuples.

    Numbers, strings and None among them are passed on as they are. A tuple is passed as positional
    arguments and a mapping as keyword arguments where `forward` takes them so, else as one
    argument; all else is one argument.
    """

    def __init__(self, network: nn.Module, inputs: Any) -> None:
        """Take the inputs, without copying.

        Args:
            network: For the form of its `forward`.
            inputs: A tensor [N, ...], or a structure of them.

        Raises:
            UserError: If the inputs have no samples, or a tensor among them cannot be divided.
        """
        self._network = network
        self._leaves: list[Tensor] = []
        try:
            # Where each tensor is in the structure: its number in the list of leaves.
            self._structure = _mapped(inputs, "inputs", self._take)
        except RecursionError:
            raise UserError(
                "the inputs contain themselves, or are nested too deeply; give the tensors alone"
            ) from None
        if not self._leaves:
            raise UserError("the inputs must hold at least one tensor; samples are its rows")
        self._spread = _spread(network, inputs)
        self.scripted = any(isinstance(m, torch.jit.ScriptModule) for m in network.modules())

    def _take(self, leaf: Tensor, path: str) -> "_Place":
        _check_leaf(leaf, path)
        if self._leaves and len(leaf) != len(self):
            raise UserError(
                f"all tensors among the inputs must have one row per sample: {path} has "
                f"{len(leaf)} rows, another has {len(self)}"
            )
        # A tensor made in inference mode cannot enter a graph; its copy can.
        self._leaves.append(leaf.clone() if leaf.is_inference() else leaf.detach())
        return _Place(len(self._leaves) - 1)

    def __len__(self) -> int:
        """Return N."""
        return len(self._leaves[0])

    @property
    def device(self) -> torch.device:
        """Where the first tensor is."""
        return self._leaves[0].device

    @property
    def shapes(self) -> str:
        """The tensors' shapes, for a message."""
        return ", ".join(str(list(leaf.shape)) for leaf in self._leaves)

    def whole(self) -> list[Tensor]:
        """Return copies of the tensors: a network may overwrite what it is given."""
        return [leaf.clone() for leaf in self._leaves]

    def rows(self, rows: Tensor) -> list[Tensor]:
        """Return copies of some rows of each tensor, in the given order.

        Args:
            rows: [K], int64.
        """
        return [leaf[rows.to(leaf.device)] for leaf in self._leaves]

    def run(self, leaves: list[Tensor]) -> Any:
        """Return what the network makes of these tensors, put where the batch's own are."""
        inputs = _filled(self._structure, leaves)
        if self._spread and isinstance(inputs, tuple):
            return self._network(*inputs)
        if self._spread:
            return self._network(**inputs)
        return self._network(inputs)


class _Place(int):
    """Stands for a tensor in a structure."""


def _check_leaf(leaf: Tensor, path: str) -> None:
    wrong = None
    if leaf.is_nested or leaf.layout is not torch.strided or leaf.is_quantized:
        wrong = "is nested, sparse or quantized; give a dense one (.to_dense(), padded)"
    elif leaf.device.type == "meta" or isinstance(leaf, FakeTensor):
        wrong = "is on the meta device, or fake, and has no values"
    elif torch._C._functorch.is_functorch_wrapped_tensor(leaf):
        wrong = "is within a transform of torch.func (vmap, grad, jvp); call this outside of it"
    elif leaf.ndim == 0:
        wrong = "is a single number, not [N, ...]; give a Python number"
    elif not len(leaf):
        wrong = "has no rows; N must be at least 1"
    if wrong:
        raise UserError(f"tensor {path} {wrong}")


def _mapped(inputs: Any, path: str, take: Callable[[Tensor, str], Any]) -> Any:
    """Return the structure with each tensor replaced."""
    if isinstance(inputs, Tensor):
        return take(inputs, path)
    if isinstance(inputs, Mapping):
        new = {key: _mapped(inputs[key], f"{path}[{key!r}]", take) for key in inputs}
        return _like(inputs, new)
    if isinstance(inputs, list | tuple):
        items = [_mapped(item, f"{path}[{i}]", take) for i, item in enumerate(inputs)]
        if isinstance(inputs, list):
            return items
        return type(inputs)(*items) if hasattr(inputs, "_fields") else tuple(items)
    if isinstance(inputs, _CONSTANTS):
        return inputs
    hint = ": use torch.from_numpy" if isinstance(inputs, np.ndarray | np.generic) else ""
    raise UserError(
        f"{path} is a {type(inputs).__module__}.{type(inputs).__qualname__}, not a tensor or a "
        f"dict, list or tuple of tensors{hint}"
    )


def _like(mapping: Mapping, items: dict) -> Any:
    """Return a mapping of the same kind with other items; a dict where that cannot be had."""
    if type(mapping) is dict:
        return items
    try:
        new: Any = copy.copy(mapping)
        for key, item in items.items():
            new[key] = item
    except Exception:  # whatever a foreign class has against it
        return items
    return new


def _filled(structure: Any, leaves: list[Tensor]) -> Any:
    if isinstance(structure, _Place):
        return leaves[structure]
    if isinstance(structure, Mapping):
        return _like(structure, {key: _filled(structure[key], leaves) for key in structure})
    if isinstance(structure, list):
        return [_filled(item, leaves) for item in structure]
    if isinstance(structure, tuple):
        items = [_filled(item, leaves) for item in structure]
        return type(structure)(*items) if hasattr(structure, "_fields") else tuple(items)
    return structure


def _spread(network: nn.Module, inputs: Any) -> bool:
    """Whether `forward` takes the items of a tuple or mapping as arguments of their own."""
    if not isinstance(inputs, tuple | Mapping):
        return False
    try:
        signature = inspect.signature(network.forward)
        if isinstance(inputs, tuple):
            signature.bind(*inputs)
        else:
            signature.bind(**inputs)
    except (TypeError, ValueError):  # does not fit; a scripted network has no signature
        return isinstance(network, torch.jit.ScriptModule) and isinstance(inputs, tuple)
    return True
