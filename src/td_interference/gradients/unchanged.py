"""What measuring must leave as it was: a network's state and the global random streams."""

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from td_interference.errors import UserError
from td_interference.seeds import RandomStates

_CONTAINERS = (dict, list, set, deque)


class NetworkState:
    """Buffers, attributes, counters, caches and random generators of a network, at one moment.

    Kept are the attributes of each module, what lists, dicts and sets in them hold, the values of
    tensors and arrays that are no parameters, and the states of generators. Not kept is what
    other objects hold that a module refers to.
    """

    def __init__(
        self, network: nn.Module, devices: set[torch.device], *, plain: bool, value: Any = None
    ) -> None:
        """Record the state.

        Args:
            network: Its parameters are not recorded; see `watch` for those.
            devices: Whose random streams count.
            plain: Whether the network is known to change nothing, so that none need be recorded.
            value: The function of the outputs, which may have a generator.
        """
        self._containers: list[tuple[Any, Any]] = []
        self._values: list[tuple[Any, Any]] = []  # tensors and arrays, with copies
        self._seen: set[int] = set()
        generators: list[Any] = []
        self._scripted: list[tuple[Any, str, Any]] = []  # modules, with names and values
        networks = [] if plain else [network]
        for module in (m for own in (*networks, value) for m in _modules(own)):
            if isinstance(module, torch.jit.ScriptModule):
                self._record_scripted(module, generators)
            else:
                self._record(vars(module), generators)
                self._record(type(module).forward, generators)
            for buffer in module.buffers(recurse=False):
                self._record(buffer, generators)
        self._record(value, generators)
        self._streams = RandomStates(devices, generators)

    def _record_scripted(self, module: Any, generators: list[Any]) -> None:
        kind = vars(module).get("_concrete_type")  # one that was loaded from a file has none
        for name in kind.get_attributes() if kind else ():
            value = getattr(module, name)
            self._record(value, generators)
            self._scripted.append((module, name, value))

    def _record(self, item: Any, generators: list[Any]) -> None:
        if isinstance(item, nn.Parameter | nn.Module) or id(item) in self._seen:
            return
        self._seen.add(id(item))  # first, for it may contain itself
        if isinstance(item, Tensor):
            if item.layout is torch.strided and not item.is_nested and item.device.type != "meta":
                self._values.append((item, item.detach().clone()))
        elif isinstance(item, np.ndarray):
            self._values.append((item, item.copy()))
        elif isinstance(item, _CONTAINERS):
            self._containers.append((item, _shallow(item)))
            for value in item.values() if isinstance(item, dict) else item:
                self._record(value, generators)
        elif isinstance(item, tuple):
            for value in item:
                self._record(value, generators)
        elif RandomStates.is_generator(item):
            generators.append(item)
        elif isinstance(item, FunctionType):
            for used in _used(item):
                if RandomStates.is_generator(used) or isinstance(used, FunctionType):
                    self._record(used, generators)
        else:
            for held in getattr(item, "__dict__", {}).values():
                if RandomStates.is_generator(held):
                    self._record(held, generators)

    def check_streams(self, what: str) -> None:
        """Refuse what has drawn random numbers since.

        Raises:
            UserError: If one of the streams has moved.
        """
        moved = self._streams.moved()
        if moved:
            raise UserError(
                f"no per-sample gradients: {what} is random (it draws from {moved}); put the "
                "network in evaluation mode (.eval()), or draw beforehand"
            )

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back that has changed since."""
        for container, before in self._containers:
            if not _same_items(container, before):
                container.clear()
                container.extend(before) if isinstance(container, list | deque) else (
                    container.update(before)
                )
        for module, name, value in self._scripted:
            setattr(module, name, value)
        for value, before in self._values:
            if isinstance(value, Tensor):
                if value.shape != before.shape:
                    value.set_(before)  # resized in place
                elif not torch.equal(value, before):
                    value.copy_(before)
            elif not np.array_equal(value, before):
                value[...] = before

    def restore_streams(self) -> None:
        """Put the random streams back, too."""
        self._streams.restore()


def _modules(item: Any) -> Iterator[nn.Module]:
    return item.modules() if isinstance(item, nn.Module) else iter(())


def _used(function: FunctionType) -> list[Any]:
    """Return what a function refers to outside of itself; nothing of torch's own."""
    if (function.__module__ or "").partition(".")[0] == "torch":
        return []
    names = function.__code__.co_names
    used = [function.__globals__[name] for name in names if name in function.__globals__]
    used += function.__defaults__ or ()
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # not filled as yet
            used.append(cell.cell_contents)
    return used


def _shallow(container: Any) -> Any:
    return dict(container) if isinstance(container, dict) else list(container)


def _same_items(container: Any, before: Any) -> bool:
    """Whether a container holds the very same objects in the same order."""
    if len(container) != len(before):
        return False
    if isinstance(container, dict):
        pairs = zip(container.items(), before.items(), strict=True)
        return all(a is b and x is y for (a, x), (b, y) in pairs)
    return all(a is b for a, b in zip(container, before, strict=True))
