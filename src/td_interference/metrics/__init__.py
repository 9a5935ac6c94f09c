"""Metrics: what is measured at a checkpoint. One file each; `METRICS` names them.

To add one: a module with `measure(subject, settings)`, its table in `storage.tables`, and an entry
here. The registry imports nothing heavy, so the Snakefile can read it.
"""

import importlib
from collections.abc import Callable
from typing import NamedTuple


class MetricEntry(NamedTuple):
    """One metric."""

    name: str  # of its settings and in paths
    modules: tuple[str, ...]  # of the package; a change in one makes its measurements stale
    variant_of: str = ""  # the metric it is, under other settings; "" for itself

    @property
    def module(self) -> str:
        """Name of its module and of its table in `storage.MEASUREMENTS`."""
        return self.variant_of or self.name


_GRADIENTS = tuple(f"gradients/{name}.py" for name in ("checks", "gram", "layers", "per_sample"))

_SECOND_ORDER = (*_GRADIENTS, "gradients/second_order.py")
_PLAY = ("agents/evaluation.py", "environments/atari.py")

METRICS = (
    MetricEntry("stiffness", ("metrics/stiffness.py", *_GRADIENTS)),
    MetricEntry("gain", ("metrics/gain.py",)),
    MetricEntry("gain_over_training", ("metrics/gain.py",), variant_of="gain"),
    MetricEntry("singular_values", ("metrics/singular_values.py",)),
    MetricEntry("sign_variance", ("metrics/sign_variance.py",)),
    MetricEntry("function_interference", ("metrics/function_interference.py", *_GRADIENTS)),
    MetricEntry("second_order", ("metrics/second_order.py", *_SECOND_ORDER)),
    MetricEntry("momentum", ("metrics/momentum.py", *_SECOND_ORDER)),
    MetricEntry("policy_score", ("metrics/policy_score.py", *_PLAY)),
)


def entry(name: str) -> MetricEntry:
    """Return the entry called `name`.

    Raises:
        KeyError: If the registry has no such name.
    """
    return {entry.name: entry for entry in METRICS}[name]


def load(name: str) -> Callable:
    """Return the function `measure` of the metric's module, imported on demand.

    Raises:
        KeyError: If the registry has no such name.
    """
    return importlib.import_module(f"{__name__}.{entry(name).module}").measure
