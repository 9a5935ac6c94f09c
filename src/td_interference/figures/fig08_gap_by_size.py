"""Figure 8: generalization gap against training set size."""

from collections.abc import Mapping

import polars as pl
from matplotlib.figure import Figure

from td_interference.figures import generalization as shared
from td_interference.figures import style
from td_interference.figures.lines import draw_line
from td_interference.statistics import lost

FIGURE = {
    "name": "fig8",
    "tables": ["generalization_runs", "gap_by_size", "gap_correlations"],
    "caption": "Generalization gap against training set size n_T. A circle is a run, its area in "
    "proportion to the width n_h. {lines} r: Pearson's, of gap and log n_T; {of_r}. "
    "{generalization}",
    "title": "{data} · {scale} scale\n{runs} per n$_T$ · bands: {interval} · r over {cells} cells "
    "(capacity and n$_T$) · {left_out}",
    "about": "generalization",
}

_COLUMNS = (
    *("name", "data", "dataset", "task", "hidden", "extra_layers", "n_train", "seed"),
    "generalization_gap",
)


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers, one row per run, at its last measured step.

    Of all n runs of its n_T: mean gap with its interval low, high. Of the experiment: r of gap and
    log n_T, over cells, with its interval r_low, r_high. diverged is 1 in a run that is left out.
    """
    runs = tables["generalization_runs"].group_by("run_id", maintain_order=True).last()
    left_out = lost(runs["diverged"], runs["generalization_gap"])
    runs = runs.select(*_COLUMNS, pl.Series("diverged", left_out).cast(pl.Int64))
    means = tables["gap_by_size"].select("name", "n_train", "mean", "low", "high", "n")
    runs = runs.join(means, on=["name", "n_train"], how="left", maintain_order="left")
    return shared.with_r(runs, tables["gap_correlations"])


def plot(table: pl.DataFrame, title: str) -> Figure:
    """Return the figure, a panel for each family; `title` states scale, data and runs."""
    figure, panels = shared.panels(table, shared.SINGLE, title, row_height=2.1)
    for panel in panels:
        axes = panel.axes
        learner = shared.LEARNERS[panel.rows["task"][0]]
        unit = learner.performance
        if learner.decades:  # of few samples a hundred times that of many
            unit += f"\n{style.symlog(axes, panel.rows['generalization_gap'], decades=2)}"
        axes.axhline(0, color="0.6", lw=0.5, zorder=0)
        for place, look in enumerate(panel.experiments):
            shift = 1.06 ** (place - (len(panel.experiments) - 1) / 2)  # side by side
            runs = look.rows.filter(pl.col("diverged") == 0).with_columns(
                x=pl.col("n_train") * shift
            )
            if len(runs):
                shared.circles(
                    axes, runs, "x", "generalization_gap", "hidden", color=look.colour, alpha=0.35
                )
            means = look.rows.unique("n_train").sort("n_train")
            draw_line(axes, means, "n_train", look.colour).set_label(look.label)
        shared.size_axis(axes, panel.rows["n_train"])
        axes.set_ylabel(f"gap ({unit})")
        shared.heading(panel)
    return figure
