"""Watching the operations of a forward pass for what no per-sample gradient could be exact with."""

from collections.abc import Mapping
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

    def __init__(
        self, what: str, devices: set[torch.device], network: nn.Module | None = None
    ) -> None:
        """Prepare for a pass.

        Args:
            what: That is watched, "the network" or "value".
            devices: Whose random streams count.
            network: Whose parameters must not be changed; None where nothing has any.
        """
        super().__init__()
        self._what, self._network = what, nn.Module() if network is None else network
        # Each parameter, its values' place and a copy of them, whether it is trainable, its .grad.
        self._parameters = {
            name: (p, p.detach(), p.detach().clone(), p.requires_grad, p.grad)
            for name, p in self._network.named_parameters()
        }
        self._devices = devices
        self._reason: str | None = None
        self.single_precision = False  # something was computed in float32

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Else PyTorch imports its compiler at the first operation, for seconds, to keep it out.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation, and refuse it if it is none that gradients are exact with."""
        kwargs = kwargs or {}
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

    @torch.no_grad()
    def check(self) -> None:
        """Refuse again what the network may have caught, and put back parameters that it changed.

        Raises:
            UserError: If an operation was refused, or a parameter is not as it was.
        """
        now, before = dict(self._network.named_parameters()), self._parameters
        changed = {n for n in now | before if n not in before or now.get(n) is not before[n][0]}
        for name, (parameter, place, values, trainable, grad) in before.items():
            same = _same(parameter, values)
            if not same:
                parameter.data = place.copy_(values)
            if not same or parameter.requires_grad != trainable or parameter.grad is not grad:
                changed.add(name)
                parameter.requires_grad_(trainable)
                parameter.grad = grad
        if changed and not self._reason:
            self._refuse(
                f"changes its parameter {min(changed)!r} as it is used; turn that off (max_norm of "
                "an embedding, clipping, backward passes inside), or, if it makes it, run it once"
            )
        if self._reason:
            raise UserError(self._reason)

    def _refuse(self, reason: str) -> None:
        self._reason = f"no per-sample gradients: {self._what} {reason}"
        raise UserError(self._reason)


def _name(func: Any) -> str:
    return func._schema.name.removeprefix("aten::")


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors have equal values, NaN the same as NaN."""
    return a.shape == b.shape and (a.equal(b) or bool(((a == b) | (a.isnan() & b.isnan())).all()))
