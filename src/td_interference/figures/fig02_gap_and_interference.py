"""Figure 2: generalization gap against interference, for all runs."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from td_interference.figures import generalization as shared
from td_interference.statistics import ROUNDING, lost

FIGURE = {
    "name": "fig2",
    "tables": ["generalization_runs", "generalization_lines"],
    "caption": "Generalization gap against log ρ, both standardised within each experiment. A "
    "circle is a run, its area in proportion to the number of parameters. Lines: least squares "
    "over all training sizes and capacities, whose slope here is r; {of_r}. {generalization}",
    "title": "{data} · {scale} scale\n{runs} of {cells} cells (capacity and n$_T$) per line · r "
    "with {confidence:.0%} interval over cells · {left_out}",
    "about": "generalization",
}

_RHO = f"function_interference_{shared.PAIR}"
_COLUMNS = (
    *("name", "data", "dataset", "task", "hidden", "extra_layers", "n_parameters"),
    *("n_train", "seed", _RHO, "generalization_gap"),
)


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers, one row per run, at its last measured step.

    x and y are log interference and gap, standardised over the experiment's runs (0 where all are
    the same but for rounding); null in a run that is left out, for the reason whose column
    (diverged, not_positive) is 1. Of the experiment over its n runs of so many cells: r with its
    interval r_low, r_high.
    """
    runs = tables["generalization_runs"].group_by("run_id", maintain_order=True).last()
    gap, rho, diverged = pl.col("generalization_gap"), pl.col(_RHO), pl.col("diverged")
    left_out = lost(runs["diverged"], runs["generalization_gap"], runs[_RHO])
    runs = runs.select(*_COLUMNS, pl.Series("diverged", left_out).cast(pl.Int64))
    runs = runs.with_columns(not_positive=((diverged == 0) & (rho <= 0)).cast(pl.Int64))
    usable = diverged + pl.col("not_positive") == 0
    x, y = pl.when(usable).then(rho.log()), pl.when(usable).then(gap)
    runs = runs.with_columns(_standardised(x).alias("x"), _standardised(y).alias("y"))
    lines = tables["generalization_lines"].filter(pl.col("pair") == shared.PAIR)
    return shared.with_r(runs, lines, "n")


def plot(table: pl.DataFrame, title: str) -> Figure:
    """Return the figure, a panel for each family; `title` states scale, data and runs."""
    figure, panels = shared.panels(table, shared.SINGLE, title, row_height=1.95)
    for panel in panels:
        axes = panel.axes
        for look in panel.experiments:
            runs = look.rows.drop_nulls("x")
            if len(runs):
                shared.circles(axes, runs, "x", "y", "n_parameters", color=look.colour, alpha=0.45)
            ends = np.array([runs["x"].min(), runs["x"].max()], dtype=float)
            # Through the means, 0, with the slope r: both axes are in standard deviations.
            axes.plot(ends, look.rows["r"][0] * ends, color=look.colour, label=look.label)
        axes.set_xlabel("log $\\overline{ρ}$ (standardised)")
        axes.set_ylabel("gap (standardised)")
        shared.heading(panel)
    return figure


def _standardised(column: pl.Expr) -> pl.Expr:
    # As `statistics.constant` has it, of numbers computed from such near 1.
    rounding = ROUNDING * column.abs().max().clip(1.0)
    alike = (column.max() - column.min() <= rounding).over("name")
    standardised = (column - column.mean().over("name")) / column.std(ddof=0).over("name")
    return pl.when(alike).then(0.0 * column).otherwise(standardised)
