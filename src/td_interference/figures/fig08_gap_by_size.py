"""Figure 8: generalization gap against training set size."""

from collections.abc import Mapping

import polars as pl
from matplotlib.figure import Figure

from td_interference.figures import generalization as shared
from td_interference.figures import style

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
    lost = shared.lost("generalization_gap").cast(pl.Int64)
    runs = runs.select(*_COLUMNS, lost.alias("diverged"))
    means = tables["gap_by_size"].select("name", "n_train", "mean", "low", "high", "n")
    correlations = tables["gap_correlations"].select(
        "name", "r", pl.col("low").alias("r_low"), pl.col("high").alias("r_high"), "cells"
    )
    runs = runs.join(means, on=["name", "n_train"], how="left", maintain_order="left")
    return runs.join(correlations, on="name", how="left", maintain_order="left")


def plot(tables: Mapping[str, pl.DataFrame], title: str) -> Figure:
    """Return the figure, a panel for each family; `title` states scale, data and runs."""
    figure, panels = shared.panels(data(tables), shared.SINGLE, title, row_height=2.1)
    for panel in panels:
        axes = panel.axes
        learner = shared.LEARNERS[panel.experiments[0].rows["task"][0]]
        unit = learner.performance
        if learner.decades:  # of few samples a hundred times that of many
            gaps = [gap for look in panel.experiments for gap in look.rows["generalization_gap"]]
            unit += f"\n{style.symlog(axes, gaps, decades=2)}"
        axes.axhline(0, color="0.6", lw=0.5, zorder=0)
        for place, look in enumerate(panel.experiments):
            shift = 1.06 ** (place - (len(panel.experiments) - 1) / 2)  # side by side
            runs = look.rows.filter(pl.col("diverged") == 0).sort("hidden", descending=True)
            if len(runs):
                sizes = shared.areas(runs["hidden"])
                axes.scatter(
                    runs["n_train"] * shift,
                    runs["generalization_gap"],
                    s=sizes,
                    color=look.colour,
                    alpha=0.35,
                    lw=0,
                    clip_on=False,
                )
            r, low, high = look.rows.select("r", "r_low", "r_high").row(0)
            label = f"{look.label}: {style.correlation(r, low, high)}"
            means = look.rows.unique("n_train").sort("n_train")
            axes.fill_between(
                means["n_train"], means["low"], means["high"], color=look.colour, alpha=0.25, lw=0
            )
            axes.plot(means["n_train"], means["mean"], color=look.colour, label=label)
        shared.size_axis(
            axes, [size for look in panel.experiments for size in look.rows["n_train"]]
        )
        axes.set_ylabel(f"gap ({unit})")
        shared.heading(panel)
    return figure
