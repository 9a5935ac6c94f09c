"""The picture that several figures share: a line and a band for each λ or objective."""

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from td_interference.figures import style


def compared(table: pl.DataFrame) -> str:
    """Return what a table's lines are of: "lambda", or "objective" where some runs have no λ."""
    return "lambda" if "lambda" in table.columns else "objective"


def plot_lines(
    table: pl.DataFrame,
    axis: str,
    by: str,
    *,
    title: str,
    x_label: str,
    y_label: str,
    y_scale: str,
    labels: str,
) -> Figure:
    """Return one line per value of `by`: the mean against `axis`, its interval as a shaded band.

    Each game, and each variant, has a panel of its own.

    Args:
        table: Columns game, variant, `by`, `axis`, mean, low, high, n.
        axis: Column of the horizontal axis.
        by: "lambda" or "objective".
        title: Over the picture: scale, games, number of runs.
        x_label: With unit.
        y_label: With unit.
        y_scale: "linear" (with a line at 0) or "log".
        labels: "ends" (names right of the lines) or "legend" (for lines whose ends coincide).
    """
    parts = style.parts(table)
    figure, panels = style.new_figure(len(parts))
    style.write_title(figure, title)
    for part, axes in zip(parts, panels, strict=True):
        axes.set_yscale(y_scale)
        axes.set_ylabel(y_label)
        if y_scale == "linear":
            axes.axhline(0, color="0.6", lw=0.5, zorder=0)
        axes.set_title(part.name, loc="left")
        _plot_part(axes, part.rows, axis, by, labels)
    panels[-1].set_xlabel(x_label)
    return figure


def _plot_part(axes: Axes, table: pl.DataFrame, axis: str, by: str, labels: str) -> None:
    values = table[by].unique(maintain_order=True).to_list()
    names, colours = style.names_and_colours(by, values)
    lines, handles = [], []
    for value, colour in zip(values, colours, strict=True):
        line = table.filter(pl.col(by) == value).sort(axis)
        handles.append(draw_line(axes, line, axis, colour))
        lines.append(line)
    positions = table[axis].to_numpy()
    axes.set_xlim(positions.min(), positions.max())
    if axes.get_yscale() == "linear":
        style.frame_lines(axes, table["mean"])
    if labels == "ends":
        style.label_ends(axes, [_last(line["mean"]) for line in lines], names, colours)
        return
    axes.legend(handles[::-1], names[::-1], loc="lower left")


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
