"""Control (full lines) beside policy evaluation (dashed): what figures 4, 10 and 12 share."""

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from td_interference.figures import style
from td_interference.figures.lines import X_LABELS, draw_line


def gains(table: pl.DataFrame) -> pl.DataFrame:
    """Return what `plot_gain` draws: means by game, experiment, optimizer, variant and offset."""
    return style.means(table, "experiment", "optimizer", "variant", "offset")


def plot_gain(table: pl.DataFrame, title: str) -> Figure:
    """Return the gain against offset, a panel with a scale of its own for each optimizer.

    So has each game, and each variant.

    Their gains differ by orders of magnitude, so that on one scale most lines would be flat.

    Args:
        table: As `gains` returns it. Where offset 0 is left out, lines are not drawn across it.
        title: Over the picture: scale, games, number of runs.
    """
    panels_of = [
        (part.name, optimizer, part.rows.filter(pl.col("optimizer") == optimizer))
        for part in style.parts(table)
        for optimizer in part.rows["optimizer"].unique(maintain_order=True)
    ]
    figure, panels = style.new_figure(title, len(panels_of), row_height=1.1, sharex=True)
    for (of, optimizer, panel), axes in zip(panels_of, panels, strict=True):
        name, colour = style.OPTIMIZERS[optimizer]
        heading = f"{of}, {name}" if of else name
        if (panel["offset"] == 0).any():
            # The step's own samples gain so much more that a linear scale shows nothing else.
            heading += f" ({style.symlog(axes, panel['mean'], decades=2)})"
        else:
            axes.ticklabel_format(axis="y", scilimits=(-2, 2), useMathText=True)
        axes.set_title(heading, loc="right", y=1.0, pad=3, color=colour)  # beside the exponent
        axes.axhline(0, color="0.6", lw=0.5, zorder=0)
        axes.axvline(0, color="0.4", lw=0.6, ls=":", zorder=0)
        for side in _unbroken(panel):
            draw_experiments(axes, side, "offset", colour)
        if axes.get_yscale() == "linear":
            style.frame_lines(axes, panel["mean"])
    offsets = table["offset"].to_numpy()
    panels[0].set_xlim(offsets.min(), offsets.max())
    panels[-1].set_xlabel(X_LABELS["offset"])
    figure.supylabel("gain in TD loss at S$_{t+x}$", fontsize="medium")
    figure.legend(handles=experiment_handles(table), loc="outside lower left", ncols=2)
    return figure


def _unbroken(table: pl.DataFrame) -> list[pl.DataFrame]:
    """Return the parts of the table whose lines may be joined: both sides of a missing offset 0."""
    if (table["offset"] == 0).any():
        return [table]
    return [table.filter(pl.col("offset") < 0), table.filter(pl.col("offset") > 0)]


def draw_experiments(axes: Axes, table: pl.DataFrame, axis: str, colour: str) -> None:
    """Draw the line and interval of each experiment.

    Args:
        axes: To draw into.
        table: Columns experiment, `axis`, mean, low, high; one row per experiment and position.
        axis: Column of the horizontal axis.
        colour: Of all lines.
    """
    for experiment, (_, dashes) in style.EXPERIMENTS.items():
        line = table.filter(pl.col("experiment") == experiment).sort(axis)
        if not line.is_empty():
            draw_line(axes, line, axis, colour, dashes)


def experiment_handles(table: pl.DataFrame) -> list[Line2D]:
    """Return a legend's entries: the style of each experiment there is, and its number of runs.

    Args:
        table: Columns experiment, n.
    """
    handles = []
    for experiment, (name, dashes) in style.EXPERIMENTS.items():
        n = table.filter(pl.col("experiment") == experiment)["n"]
        if not n.is_empty():
            handles.append(
                Line2D([], [], color="0.3", ls=dashes, label=f"{name}, n = {style.count(n)}")
            )
    return handles
