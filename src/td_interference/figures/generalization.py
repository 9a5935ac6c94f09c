"""What the figures of the generalization experiments share: a panel for each family of learners."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from td_interference import pictures
from td_interference.figures import style
from td_interference.planning import cards
from td_interference.planning.learners import LearnerCard

PAIR = "train_train"  # of the interference that is drawn; the tables have all three

# By name; agents stand last.
LEARNERS = dict(
    sorted(
        cards.read("generalization", "LEARNER", LearnerCard).items(), key=lambda item: item[1].acts
    )
)


def _panels(title: str) -> dict[str, list[str]]:
    """Return the learners of each panel by its title, which is that field of their cards."""
    titles = {name: getattr(card, title) for name, card in LEARNERS.items()}
    return {panel: [name for name in titles if titles[name] == panel] for panel in titles.values()}


FAMILIES, SINGLE = _panels("family"), _panels("title")

_LARGEST_AREA, _SMALLEST_AREA = 40.0, 2.0  # points², of a run's circle
_SINGLE_ROW = 2.8  # inches at least, of the only row: all of the title is above it
_BESIDE_NAMES = 72.0  # points of a panel's width that its scale and a legend's lines take
_CLOSEST_LABELS = 0.045  # of the axis' length


class Panel(NamedTuple):
    """One family's panel."""

    title: str
    axes: Axes
    rows: pl.DataFrame
    experiments: list["Look"]
    room: float  # points, that names above it may be wide


class Look(NamedTuple):
    """One experiment: its rows, and how it is shown."""

    label: str
    colour: str
    rows: pl.DataFrame


def panels(
    table: pl.DataFrame, families: Mapping[str, Sequence[str]], title: str, *, row_height: float
) -> tuple[Figure, list[Panel]]:
    """Return a figure with a panel for each family that has experiments.

    Up to three stand side by side, more in two rows.

    Args:
        table: Columns name, data, dataset, task, and what is drawn; with those of `with_r` each
            experiment's label says its r.
        families: Titles of panels and the experiments of each.
        title: Over the picture.
        row_height: Inches.
    """
    present = {
        family: table.filter(pl.col("task").is_in(experiments))
        for family, experiments in families.items()
    }
    present = {family: rows for family, rows in present.items() if len(rows)}
    n_rows = 1 if len(present) < 4 else 2
    n_columns = math.ceil(len(present) / n_rows)
    width = style.COLUMN_WIDTH if n_columns == 1 else style.DOUBLE_WIDTH
    if n_rows == 1:
        row_height = max(row_height, _SINGLE_ROW)
    figure, columns = style.new_grid(title, n_rows, n_columns, width=width, row_height=row_height)
    # Row by row, from the columns that `new_grid` gives.
    ordered = [axes for row in zip(*columns, strict=True) for axes in row]
    room = 72 * width / n_columns - _BESIDE_NAMES
    drawn = []
    for axes in ordered[len(present) :]:
        axes.remove()
    for (family, rows), axes in zip(present.items(), ordered, strict=False):
        drawn.append(Panel(family, axes, rows, _looks(rows), room))
    return figure, drawn


def with_r(table: pl.DataFrame, correlations: pl.DataFrame, *counts: str) -> pl.DataFrame:
    """Add r of each experiment, its interval r_low, r_high, and the number of cells or more."""
    bounds = pl.col("low", "high").name.prefix("r_")
    own = correlations.select("name", "r", bounds, *counts, "cells")
    return table.join(own, on="name", how="left", maintain_order="left")


def _looks(rows: pl.DataFrame) -> list[Look]:
    names = rows.select("name", "data", "dataset").unique(maintain_order=True).rows()
    colours = style.experiment_colours({name: dataset for name, _, dataset in names})
    titles = [data for _, data, _ in names]
    looks = []
    for name, data, _ in names:
        own = rows.filter(pl.col("name") == name)
        label = data if titles.count(data) == 1 else name.replace("_", " ")
        if "r_low" in own.columns:
            label += f": {style.correlation(*own.select('r', 'r_low', 'r_high').row(0))}"
        looks.append(Look(label, colours[name], own))
    return looks


def circles(axes: Axes, runs: pl.DataFrame, x: str, y: str, capacity: str, **look: Any) -> None:
    """Draw a circle for each run, its area in proportion to its capacity, small ones on top.

    Args:
        axes: To draw into.
        runs: Columns `x`, `y` and `capacity`.
        x: Column of the horizontal axis.
        y: Column of the vertical axis.
        capacity: Column of the areas.
        **look: Colour and alpha.
    """
    runs = runs.sort(capacity, descending=True)
    sizes = [max(_SMALLEST_AREA, _LARGEST_AREA * n / runs[capacity][0]) for n in runs[capacity]]
    axes.scatter(runs[x], runs[y], s=sizes, lw=0, clip_on=False, **look)


def size_axis(axes: Axes, sizes: Iterable[int]) -> None:
    """Make the horizontal axis one of training sizes, logarithmic, marked where there are some."""
    axes.set_xscale("log")
    marked = sorted(set(sizes))
    nearest = _CLOSEST_LABELS * np.log(marked[-1] / marked[0])
    labels: dict[int, str] = {}
    for size in reversed(marked):  # the largest are closest; the whole set is always named
        crowded = labels and np.log(min(labels) / size) < nearest
        if not crowded:
            labels[size] = _short(size)
    axes.set_xticks(marked, [labels.get(size, "") for size in marked], rotation=90)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("training set size n$_T$")


def heading(panel: Panel) -> None:
    """Write the family and its drawn experiments above the panel, where they cover nothing."""
    legend = panel.axes.legend(
        title=panel.title,
        alignment="left",
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        borderpad=0.2,
        handlelength=1.2,
    )
    for text in legend.get_texts():
        name = pictures.broken(text.get_text(), panel.room, text.get_fontproperties(), (": ", " "))
        text.set_text(name)


def _short(size: int) -> str:
    """Return 5000 as "5k", 8152 as "8.15k", 500 as it is."""
    return f"{size / 1000:.3g}k" if size >= 1000 else f"{size}"
