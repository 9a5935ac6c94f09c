"""Objectives of a user's own: what is seen of a file before it runs, of its class before it trains.

A mistake in one is told with the file, line and function in which it lies, as early as it can be
known: the plan reads the file without running it, a job calls its functions once on a few
transitions before hours are spent.
"""

import ast
import inspect
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from td_interference.errors import OWN_MODULE, UserError, explained, place_in_own_code, words_of
from td_interference.jobs.preemption import Preempted
from td_interference.storage.recognition import check_regular

# What the project calls, with as many arguments, the object itself counted.
_CALLED_WITH = {
    "make_network": 1,
    "prediction": 3,
    "target": 2,
    "before_update": 2,
    "synchronise": 1,
    "frozen_network_changed": 1,
    "restore": 3,
    "td_target": 2,
    "successor_value": 2,
}
_DERIVE = "derive it from td_interference.objectives.base.BaseObjective; see docs/extend.md"
_SELFLESS = (staticmethod, classmethod)  # without the object itself among their arguments
_TRIED = 256  # transitions on which an objective is tried before it trains


def check_source(file: str, source: bytes) -> None:
    """Read a file without running it, and see that its class can be what is needed.

    Args:
        file: Its name, for messages.
        source: Its content.

    Raises:
        UserError: If it is no Python, defines no class `Objective`, or one that derives from
            nothing or whose functions cannot be called as they will be.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # they come when it runs
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise UserError(f"{file}{line}: not Python ({reason}); mend it") from None
    if "Objective" not in set(_bound(tree)):
        raise UserError(f"{file}: defines no class 'Objective'; see docs/extend.md")
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "Objective":
            if not node.bases and not node.keywords:
                raise UserError(
                    f"{file}:{node.lineno}: 'Objective' derives from nothing; {_DERIVE}"
                )
            for function in node.body:
                if isinstance(function, ast.FunctionDef) and not function.decorator_list:
                    _check_arguments(file, function)


def _bound(tree: ast.Module) -> Iterator[str]:
    """Yield every name that a module may come to hold; more than it does, and "*" counts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield "Objective" if alias.name == "*" else alias.asname or alias.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _check_arguments(file: str, function: ast.FunctionDef) -> None:
    given = _CALLED_WITH.get(function.name)
    if given is None:
        return
    arguments = function.args
    most = len(arguments.posonlyargs) + len(arguments.args)
    least = most - len(arguments.defaults)
    needs_names = any(default is None for default in arguments.kw_defaults)
    if needs_names or least > given or (most < given and arguments.vararg is None):
        raise UserError(
            f"{file}:{function.lineno}, in Objective.{function.name}: it is called with "
            f"{given} arguments, self among them, and does not take so many; see docs/extend.md"
        )


def load_class(name: str, file: str) -> type:
    """Run a file and return its class `Objective`.

    What runs is what the file says now. Python's import would take compiled code beside it for the
    same where time, in seconds, and size are, as after a quick edit.

    Args:
        name: Of the objective.
        file: Of Python.

    Raises:
        UserError: If it cannot be run, or its class is not what is needed.
    """
    from td_interference.objectives.base import BaseObjective  # torch takes seconds

    check_regular(file)
    module = ModuleType(f"{OWN_MODULE}{name}")
    module.__file__ = file
    sys.modules[module.__name__] = module  # dataclasses look for the module of a class there
    try:
        exec(compile(Path(file).read_bytes(), file, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        if isinstance(error, Preempted):
            raise
        place = place_in_own_code(error.__traceback__) or file
        if isinstance(error, SyntaxError) and error.filename == file:
            place = f"{file}:{error.lineno}"
        raise UserError(f"{place}: cannot be imported ({words_of(error)}); mend it") from error
    objective = getattr(module, "Objective", None)
    if not isinstance(objective, type):
        raise UserError(f"{file}: defines no class 'Objective'; see docs/extend.md")
    if not issubclass(objective, BaseObjective):
        raise UserError(f"{file}: the class 'Objective' is no objective; {_DERIVE}")
    if missing := sorted(getattr(objective, "__abstractmethods__", ())):
        raise UserError(
            f"{file}: the class 'Objective' lacks {', '.join(missing)}; see docs/extend.md"
        )
    for function, given in _CALLED_WITH.items():
        try:
            inspect.signature(getattr(objective, function)).bind(
                *range(given - isinstance(inspect.getattr_static(objective, function), _SELFLESS))
            )
        except (TypeError, ValueError):
            raise UserError(
                f"{_place(file, objective, function)}: it is called with {given} arguments, self "
                "among them, and does not take so many; see docs/extend.md"
            ) from None
    return objective


def make(objective: type, file: str, run: Any, replay: Any) -> Any:
    """Return an objective of the user's own, tried on a few transitions.

    Args:
        objective: From `load_class`.
        file: Where it is defined.
        run: The run, a `RunSpec`.
        replay: Its D*, a `Replay`.

    Raises:
        UserError: If it cannot be made, or a function raises an error or returns what it must not.
    """
    try:
        made = objective(run, replay)
        _try(made, file)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, Preempted):
            raise
        raise UserError(
            explained(error) or f"{file}: the class 'Objective' fails ({words_of(error)}); mend it"
        ) from error
    return made


def _try(made: Any, file: str) -> None:
    """Call what training calls, on transitions from all of D*; the networks stay as they are."""
    import torch

    replay = made.replay
    index = torch.linspace(
        0, len(replay) - 1, min(_TRIED, len(replay)), device=replay.device
    ).long()
    if not any(parameter.requires_grad for parameter in made.network.parameters()):
        raise UserError(
            f"{_place(file, type(made), 'make_network')}: the network has no parameters"
        )
    made.synchronise()
    target = made.target(index)
    outputs = made.network(replay.observation(index))
    prediction = made.prediction(outputs, index)
    for function, found in (("target", target), ("prediction", prediction)):
        if fault := _fault(found, len(index)):
            raise UserError(f"{_place(file, type(made), function)}: returns {fault}")
    if target.requires_grad:
        raise UserError(
            f"{_place(file, type(made), 'target')}: returns what carries a gradient; detach it, or "
            "compute it under torch.no_grad()"
        )
    if not prediction.requires_grad:
        raise UserError(
            f"{_place(file, type(made), 'prediction')}: returns what does not depend on the network"
        )


def _fault(found: Any, count: int) -> str | None:
    """Say what is wrong with what a function returned for `count` transitions."""
    import torch

    if not isinstance(found, torch.Tensor):
        return f"{type(found).__name__}, not a tensor of [{count}] numbers"
    if found.shape != (count,):
        return f"the shape {list(found.shape)} for {count} transitions, not [{count}]"
    if found.dtype != torch.float32:
        return f"{found.dtype}, not torch.float32"
    if not found.isfinite().all():
        return "what is infinite or not a number"
    return None


def _place(file: str, objective: type, function: str) -> str:
    """Return "file:line, in Objective.function"; without a line where it is inherited."""
    code = getattr(getattr(objective, function, None), "__code__", None)
    line = f":{code.co_firstlineno}" if code is not None and code.co_filename == file else ""
    return f"{file}{line}, in Objective.{function}"
