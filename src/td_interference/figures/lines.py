"""The picture that several figures share: a line and a band for each λ or objective."""

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from td_interference.figures import style

X_LABELS = {"offset": "offset x (agent steps)", "index": "index of the singular value"}


def by_line(table: pl.DataFrame, axis: str) -> pl.DataFrame:
    """Return what `plot_lines` draws of a table: mean, low, high, n by game, line, variant, axis.

    A line is of a λ, or of an objective where some runs have no λ.
    """
    return style.means(table, _compared(table), "variant", axis)


def _compared(table: pl.DataFrame) -> str:
    return "lambda" if "lambda" in table.columns else "objective"


def plot_lines(
    table: pl.DataFrame, title: str, *, axis: str, y_label: str, log: bool = False
) -> Figure:
    """Return one line per λ or objective: the mean against `axis`, its interval as a shaded band.

    Each game, and each variant, has a panel of its own. Names stand at the lines' ends; on a
    logarithmic scale, where these coincide, in a legend.

    Args:
        table: As `by_line` returns it.
        title: Over the picture: scale, games, number of runs.
        axis: Column of the horizontal axis.
        y_label: With unit.
        log: Whether the vertical axis is logarithmic; else there is a line at 0.
    """
    parts = style.parts(table)
    figure, panels = style.new_figure(title, len(parts))
    for part, axes in zip(parts, panels, strict=True):
        axes.set_yscale("log" if log else "linear")
        axes.set_ylabel(y_label)
        axes.set_title(part.name, loc="left")
        _plot_part(axes, part.rows, axis, log)
    panels[-1].set_xlabel(X_LABELS[axis])
    return figure


def _plot_part(axes: Axes, table: pl.DataFrame, axis: str, log: bool) -> None:
    by = _compared(table)
    values = table[by].unique(maintain_order=True).to_list()
    names, colours = style.names_and_colours(by, values)
    lines = [table.filter(pl.col(by) == value).sort(axis) for value in values]
    if not log:
        axes.axhline(0, color="0.6", lw=0.5, zorder=0)
    handles = [
        draw_line(axes, line, axis, colour) for line, colour in zip(lines, colours, strict=True)
    ]
    positions = table[axis].to_numpy()
    axes.set_xlim(positions.min(), positions.max())
    if log:
        axes.legend(handles[::-1], names[::-1], loc="lower left")
    else:
        style.frame_lines(axes, table["mean"])
        style.label_ends(axes, [_last(line["mean"]) for line in lines], names, colours)


def _last(values: pl.Series) -> float:
    """Return the last value that is known; NaN for none."""
    known = values.filter(values.is_finite())
    return known[-1] if len(known) else np.nan


def draw_line(
    axes: Axes, line: pl.DataFrame, axis: str, colour: str, dashes: str = "-", marker: str = ""
) -> Line2D:
    """Draw one line and its interval; return the line.

    Args:
        axes: To draw into.
        line: Columns `axis`, mean, low, high; sorted by `axis`. There is no band where low and high
            are NaN.
        axis: Column of the horizontal axis.
        colour: Of line and band.
        dashes: matplotlib's line style.
        marker: matplotlib's marker of each measured position; "" for none.
    """
    axes.fill_between(line[axis], line["low"], line["high"], color=colour, alpha=0.25, lw=0)
    (drawn,) = axes.plot(
        line[axis], line["mean"], color=colour, ls=dashes, marker=marker, markersize=2.5
    )
    return drawn
