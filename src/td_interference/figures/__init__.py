"""Figures: one file each; `FIGURES` names them with the tables they draw.

To add one: a module with `data(tables)` and `plot(tables, title)`, and an entry here. The
registry imports nothing heavy, so the Snakefile can read it.
"""

import importlib
from types import ModuleType
from typing import NamedTuple

_LINES = (
    "Lines: mean over runs. Shaded: bootstrap interval of that mean, resampling runs and, where "
    "there are fewer than five, the states or minibatches measured within them."
)


class FigureEntry(NamedTuple):
    """One figure."""

    name: str  # of the files a user asks for: results/<name>.pdf
    module: str  # of td_interference.figures
    tables: tuple[str, ...]  # that it draws, in tables.TABLES
    caption: str  # what the report says below it
    unit: str  # what is drawn independently within a run, "" for nothing; in the intervals' note
    shared: tuple[str, ...] = ("lines",)  # modules of this package it is made with

    @property
    def modules(self) -> tuple[str, ...]:
        """Modules of this package whose change makes the figure stale."""
        return (self.module, *self.shared)


FIGURES = (
    FigureEntry(
        "fig3",
        "fig03_gain_of_regressions",
        ("gain_by_objective",),
        "Gain of the regressions to Monte-Carlo returns (MC), to Q* (reg) and to TD targets of Q* "
        "(TD*): pointwise TD loss before minus after one real optimizer step, at states around "
        f"those of the step's minibatch (offset 0, dotted). {_LINES}",
        "their minibatches",
    ),
    FigureEntry(
        "fig5",
        "fig05_stiffness_by_lambda",
        ("stiffness_by_lambda",),
        "Cosine similarity between the loss gradients at S_t (offset 0) and at neighbouring states "
        f"of its episode, after TD(λ) policy evaluation. {_LINES}",
        "their states",
    ),
    FigureEntry(
        "fig11",
        "fig11_gain_by_lambda",
        ("gain_by_lambda",),
        "Gain: pointwise TD(λ) loss before minus after one real optimizer step, at states around "
        f"those of the step's minibatch (offset 0). {_LINES}",
        "their minibatches",
    ),
    FigureEntry(
        "fig13",
        "fig13_singular_values_by_lambda",
        ("singular_values_by_lambda",),
        "Singular values of the last hidden layer's weights after TD(λ) policy evaluation. "
        f"{_LINES}",
        "",
    ),
    FigureEntry(
        "random_networks",
        "random_networks",
        ("random_networks_summary", "random_networks_histogram", "random_networks_step_sizes"),
        "Distribution of ρ' (eq. 14) over pairs of samples of randomly initialised networks "
        "with standard normal inputs and δ (section 6), or, at (y), standard normal targets y; the "
        "number after a network is its hidden units. Bins are of equal width on the axis, which is "
        "linear around 0 and logarithmic beyond; the outline is the same histogram mirrored at 0, "
        "so that the side that stands out of it is the heavier one. Lines: mean and median, with "
        "their intervals. Below: relative error of eq. 36 against how interference changes "
        "over a real step of gradient descent, median over networks; in networks of leaky ReLUs it "
        "rises where steps are long enough for units to cross their kinks. Intervals: "
        "bootstrap over networks.",
        "",
        (),
    ),
)


def entry(name: str) -> FigureEntry:
    """Return the entry called `name`.

    Raises:
        KeyError: If the registry has no such name.
    """
    return {entry.name: entry for entry in FIGURES}[name]


def load(name: str) -> ModuleType:
    """Return the module of the figure called `name`, imported on demand.

    Raises:
        KeyError: If the registry has no such name.
    """
    return importlib.import_module(f"{__name__}.{entry(name).module}")
