"""Figure 6: score and function interference after training, against the sign variance."""

from collections.abc import Mapping
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from td_interference.figures import style

FIGURE = {
    "name": "fig6",
    "tables": ["parameterizations", "parameterization_correlations"],
    "caption": "Score of greedy rollouts (top) and function interference (bottom) after policy "
    "evaluation with Q-learning, against the sign variance of its TD errors. A marker is one run; "
    "its colour is the learning rate, its area in proportion to the hidden units. Bars: interval "
    "of the run's own mean, over episodes (top) or states (bottom), which says nothing about "
    "another run. r: Pearson correlation over runs; its interval is over cells, each a learning "
    "rate and width with all its seeds (Fisher's z, jackknife), and there is none where there are "
    "too few of them.",
    "title": "{games} · {scale} scale · {runs}, a marker each\nbars: {confidence:.0%} interval "
    "over a run's episodes or states · of r: over cells",
}

_X = "sign_variance"
_LABELS = {
    "score": "score (undiscounted)",
    "function_interference": "function interference $\\overline{ρ}$",
}
_LARGEST_AREA = 45  # points², of the widest network's marker

_COLUMNS = (
    *("game", "learning_rate", "hidden", "variant", "seed", _X),
    *(y + bound for y in _LABELS for bound in ("", "_low", "_high")),
)


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers, one row per run.

    Beside the run's own: n, the runs of its game and variant, and of the correlation of each y with
    the sign variance over these runs <y>_r, <y>_r_low, <y>_r_high, <y>_r_n, <y>_r_cells.
    """
    table = tables["parameterizations"].select(_COLUMNS)
    correlations = tables["parameterization_correlations"].filter(pl.col("x") == _X)
    for y in _LABELS:
        correlation = correlations.filter(pl.col("y") == y).select(
            "game",
            "variant",
            pl.col("r").alias(f"{y}_r"),
            pl.col("low", "high", "n", "cells").name.prefix(f"{y}_r_"),
        )
        table = table.join(correlation, on=["game", "variant"], how="left", maintain_order="left")
    return table.with_columns(n=pl.len().over("game", "variant"))


def plot(table: pl.DataFrame, title: str) -> Figure:
    """Return the figure, two panels for each game and variant; `title` states scale and runs."""
    parts = style.parts(table)
    rates = table["learning_rate"].unique().sort().to_list()
    colours = dict(zip(rates, style.ordered_colours(len(rates)), strict=True))
    widths = table["hidden"].unique().sort().to_list()
    areas = {hidden: _LARGEST_AREA * hidden / widths[-1] for hidden in widths}
    figure, panels = style.new_figure(title, 2 * len(parts), row_height=1.9, sharex=True)
    for place, axes in enumerate(panels):
        (name, rows), y = parts[place // 2], list(_LABELS)[place % 2]
        heading = f"{name}: " if name else ""
        axes.set_title(heading + _correlation(rows, y), loc="left")
        axes.set_ylabel(_LABELS[y])
        if y == "function_interference":
            bounds = rows.select(y, f"{y}_low", f"{y}_high").to_numpy().ravel()
            axes.set_ylabel(f"{_LABELS[y]}\n({style.symlog(axes, bounds, decades=4)})")
        _draw_runs(axes, rows, y, colours, areas)
    panels[-1].set_xlabel("sign variance of δ")
    colour_handles = [_handle(_scientific(rate), colours[rate], 25) for rate in rates]
    area_handles = [_handle(f"{hidden}", "0.4", areas[hidden]) for hidden in widths]
    look = {"ncols": 2, "handletextpad": 0.3}
    figure.legend(handles=colour_handles, loc="outside lower left", title="learning rate", **look)
    figure.legend(
        handles=area_handles, loc="outside lower right", title="hidden units n$_h$", **look
    )
    return figure


def _correlation(rows: pl.DataFrame, y: str) -> str:
    r, low, high, n, cells = rows.select(
        f"{y}_r", *(f"{y}_r_{of}" for of in ("low", "high", "n", "cells"))
    ).row(0)
    of = "" if r is None else f", {n} runs of {cells} cells"
    return style.correlation(r, low, high) + of


def _draw_runs(
    axes: Axes, rows: pl.DataFrame, y: str, colours: dict[float, Any], areas: dict[int, float]
) -> None:
    rows = rows.sort("hidden", descending=True)  # small markers on top of large ones
    of_runs = [colours[rate] for rate in rows["learning_rate"]]
    axes.vlines(rows[_X], rows[f"{y}_low"], rows[f"{y}_high"], of_runs, lw=0.5)
    axes.scatter(
        rows[_X],
        rows[y],
        s=[areas[hidden] for hidden in rows["hidden"]],
        c=of_runs,
        edgecolors="white",
        linewidths=0.3,
        zorder=3,
    )


def _scientific(number: float) -> str:
    """Return 0.00025 as "2.5e-4"."""
    mantissa, exponent = f"{number:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _handle(label: str, colour: Any, area: float) -> Line2D:
    return Line2D([], [], ls="", marker="o", color=colour, markersize=area**0.5, label=label)
