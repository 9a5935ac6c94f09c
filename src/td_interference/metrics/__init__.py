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
    variant_of: str = ""  # the metric it is, under other settings; "" for itself

    @property
    def module(self) -> str:
        """Name of its module and of its table in `storage.MEASUREMENTS`."""
        return self.variant_of or self.name


METRICS = (
    MetricEntry("stiffness"),
    MetricEntry("gain"),
    MetricEntry("gain_over_training", variant_of="gain"),
    MetricEntry("singular_values"),
    MetricEntry("sign_variance"),
    MetricEntry("function_interference"),
    MetricEntry("second_order"),
    MetricEntry("momentum"),
    MetricEntry("policy_score"),
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
