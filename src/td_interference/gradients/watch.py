"""Watching the operations of a forward pass for what no per-sample gradient could be exact with."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from td_interference.errors import UserError
from td_interference.seeds import RandomStates

_EXACT = (torch.float32, torch.float64, torch.complex64, torch.complex128)
_SINGLE = (torch.float32, torch.complex64)


class Watch(TorchDispatchMode):
    """Refuses operations that draw random numbers, change a parameter, or lose precision.

    Also those that a network hides: a generator of its own, a stream that it puts back, a
    probability so small that this time nothing was dropped.
    """

    def __init__(self, network: nn.Module, devices: set[torch.device]) -> None:
        """Prepare for a network.

        Args:
            network: Whose parameters must not be changed.
            devices: Whose random streams count.
        """
        super().__init__()
        # By the memory they lie in, which views and `.data` share.
        self._parameters = {
            _memory(parameter): name for name, parameter in network.named_parameters()
        }
        self._devices = devices
        self._reason: str | None = None
        self.single_precision = False  # something was computed in float32

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation, and refuse it if it is none that gradients are exact with."""
        kwargs = kwargs or {}
        if func._schema.is_mutable:
            self._check_writes(func, args, kwargs)
        if torch.Tag.nondeterministic_seeded in func.tags:
            generators = [a for a in (*args, *kwargs.values()) if RandomStates.is_generator(a)]
            streams = RandomStates(self._devices, generators)
            result = func(*args, **kwargs)
            if streams.moved():
                self._refuse(
                    f"is random ({_name(func)} draws random numbers); put it in evaluation mode "
                    "(.eval()), or draw beforehand"
                )
        else:
            result = func(*args, **kwargs)
        for output in result if isinstance(result, tuple | list) else (result,):
            if isinstance(output, Tensor) and (output.is_floating_point() or output.is_complex()):
                if output.dtype not in _EXACT:
                    self._refuse(
                        f"computes in {str(output.dtype).removeprefix('torch.')} ({_name(func)}), "
                        "in which gradients are not exact; make it float32 (.float()), without "
                        "autocast"
                    )
                self.single_precision |= output.dtype in _SINGLE
        return result

    def check(self) -> None:
        """Refuse again what the network may have caught.

        Raises:
            UserError: If an operation was refused.
        """
        if self._reason:
            raise UserError(self._reason)

    def _check_writes(self, func: Any, args: tuple, kwargs: Mapping[str, Any]) -> None:
        given = dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | dict(
            kwargs
        )
        for argument in func._schema.arguments:
            if argument.alias_info is not None and argument.alias_info.is_write:
                for tensor in _tensors(given.get(argument.name)):
                    name = self._parameters.get(_memory(tensor))
                    if name is not None:
                        self._refuse(
                            f"changes its parameter {name!r} ({_name(func)}) as it is used; "
                            "turn that off (max_norm of an embedding, clipping of weights)"
                        )

    def _refuse(self, reason: str) -> None:
        self._reason = f"no per-sample gradients: the network {reason}"
        raise UserError(self._reason)


def _name(func: Any) -> str:
    return func._schema.name.removeprefix("aten::")


def _tensors(item: Any) -> Iterable[Tensor]:
    if isinstance(item, Tensor):
        return (item,)
    return [t for t in item if isinstance(t, Tensor)] if isinstance(item, list | tuple) else ()


def _memory(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # a wrapper without memory of its own
        return -id(tensor)
