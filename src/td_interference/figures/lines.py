"""The picture that several figures share: a line and a band for each λ or objective."""

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

    Each game has a panel of its own.

    Args:
        table: Columns game, `by`, `axis`, mean, low, high, n.
        axis: Column of the horizontal axis.
        by: "lambda" or "objective".
        title: Over the picture: scale, games, number of runs.
        x_label: With unit.
        y_label: With unit.
        y_scale: "linear" (with a line at 0) or "log".
        labels: "ends" (names right of the lines) or "legend" (for lines whose ends coincide).
    """
    games = table["game"].unique().sort().to_list()
    figure, panels = style.new_figure(len(games))
    figure.suptitle(title, x=0.02, ha="left")
    for game, axes in zip(games, panels, strict=True):
        axes.set_yscale(y_scale)
        axes.set_ylabel(y_label)
        if y_scale == "linear":
            axes.axhline(0, color="0.6", lw=0.5, zorder=0)
        if len(games) > 1:
            axes.set_title(style.game_name(game), loc="left")
        _plot_game(axes, table.filter(pl.col("game") == game), axis, by, labels)
    panels[-1].set_xlabel(x_label)
    return figure


def _plot_game(axes: Axes, table: pl.DataFrame, axis: str, by: str, labels: str) -> None:
    values = table[by].unique(maintain_order=True).to_list()
    names, colours = style.names_and_colours(by, values)
    lines, handles = [], []
    for value, colour in zip(values, colours, strict=True):
        line = table.filter(pl.col(by) == value).sort(axis)
        handles.append(draw_line(axes, line, axis, colour))
        lines.append(line)
    positions = table[axis].to_numpy()
    axes.set_xlim(positions.min(), positions.max())
    if labels == "ends":
        style.label_ends(axes, [line["mean"][-1] for line in lines], names, colours)
        return
    axes.legend(handles[::-1], names[::-1], loc="lower left")


def draw_line(
    axes: Axes, line: pl.DataFrame, axis: str, colour: str, dashes: str = "-", marker: str = ""
) -> Line2D:
    """Draw one line and its interval; return the line.

    Args:
        axes: To draw into.
        line: Columns `axis`, mean, low, high; sorted by `axis`.
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
