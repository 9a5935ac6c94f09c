"""How every figure looks: one set of sizes and colours (`pictures` has matplotlib's settings).

Colours of ordered values run along viridis, whose lightness is monotone: they survive colour
blindness and grey print. Lines carry their names at their ends where there is room, so no legend
has to be matched by colour.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from td_interference import pictures
from td_interference.datasets import DatasetEntry
from td_interference.planning import cards
from td_interference.planning.digits import digits
from td_interference.planning.objectives import ObjectiveCard

COLUMN_WIDTH = 3.35  # inches, one column of a two-column page
DOUBLE_WIDTH = 6.9  # inches, both columns
ASPECT = 0.72  # height over width

# The name and colour of each objective in every figure. The colours are Okabe and Ito's, which the
# colour-blind can tell apart.
OBJECTIVES = {
    name: (card.label, card.colour)
    for name, card in cards.read("objectives", "OBJECTIVE", ObjectiveCard).items()
}

# The same of each optimizer; no figure compares objectives and optimizers by colour at once.
OPTIMIZERS = {
    "adam": ("Adam", "#0072B2"),
    "rmsprop": ("RMSprop", "#D55E00"),
    "sgd": ("SGD", "#009E73"),
    "momentum_sgd": ("momentum SGD", "#CC79A7"),
}

# The colour of each data set; no figure shows these and the above at once.
DATASETS = {
    name: card.colour
    for name, card in cards.read("datasets", "DATASET", DatasetEntry).items()
    if card.colour
}

# The name and line style of each experiment: the paper dashes policy evaluation.
EXPERIMENTS = {"control": ("control", "-"), "policy_evaluation": ("policy evaluation", "--")}

# Colours of what has none above, objectives and data sets of a user's own, in order: Tol's.
_OTHERS = ("#882255", "#332288", "#999933", "#AA4499", "#661100")

_NAMED = {"objective": OBJECTIVES, "optimizer": OPTIMIZERS}


class Part(NamedTuple):
    """What one game's panels, and one variant's, draw."""

    name: str  # of game and variant, where there are several; "" for the only one
    rows: pl.DataFrame


def parts(table: pl.DataFrame) -> list[Part]:
    """Return the rows of each game and variant by themselves, ordered by game.

    Args:
        table: Columns game and variant, and whatever is drawn.
    """
    keys = (
        table.select("game", "variant")
        .unique(maintain_order=True)
        .sort("game", maintain_order=True)
        .rows()
    )
    several_games = len({game for game, _ in keys}) > 1
    return [
        Part(
            ", ".join(filter(None, [game_name(game) if several_games else "", variant])),
            table.filter(pl.col("game") == game, pl.col("variant") == variant),
        )
        for game, variant in keys
    ]


def means(table: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Return what a figure draws of a table of means: game, some columns, mean, low, high, n."""
    return table.select("game", *columns, "mean", "low", "high", "n")


def new_figure(
    title: str, n_panels: int = 1, *, row_height: float = COLUMN_WIDTH * ASPECT, **shared: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure of one column's width with panels below one another; see `new_grid`."""
    figure, (panels,) = new_grid(
        title, n_panels, 1, width=COLUMN_WIDTH, row_height=row_height, **shared
    )
    return figure, panels


def new_grid(
    title: str, rows: int, columns: int, *, width: float, row_height: float, **shared: Any
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure and its panels, one list for each column, from top to bottom.

    Args:
        title: Over the panels, as `write_title` has it.
        rows: Of panels.
        columns: Of panels.
        width: Of the figure, inches.
        row_height: Of one row, inches.
        **shared: `sharex` and `sharey` of `Figure.subplots`.
    """
    figure = Figure(figsize=(width, row_height * rows), layout="constrained")
    write_title(figure, title)
    panels = figure.subplots(rows, columns, squeeze=False, **shared)
    return figure, [list(column) for column in panels.T]


def write_title(figure: Figure, title: str) -> None:
    """Write a figure's title above its panels, in lines that fit its width.

    Args:
        figure: The figure.
        title: Lines of parts joined by " · ", between which a line may be broken, else at spaces.
    """
    text = figure.suptitle("", x=0.02, ha="left")
    room = 0.96 * figure.get_figwidth() * 72
    text.set_text(pictures.broken(title, room, text.get_fontproperties(), (" · ", " ")))


def correlation(r: float | None, low: float, high: float) -> str:
    """Return a correlation with its interval, for a legend or title."""
    if r is None or not np.isfinite(r):
        return "r not known"
    if not np.isfinite(low):
        return f"r = {r:.2f} (too few cells for an interval)"
    return f"r = {r:.2f} [{low:.2f}, {high:.2f}]"


def names_and_colours(by: str, values: Sequence[Any]) -> tuple[list[str], list[Any]]:
    """Return how lines are called and coloured.

    Args:
        by: "lambda" (dark to light in ascending order), "objective" or "optimizer" (a colour of
            its own each).
        values: What the lines stand for, in order.

    An objective of a user's own is called as its file.
    """
    if by in _NAMED:
        others = sorted(set(values) - set(_NAMED[by]))
        own = {
            value: (value.replace("_", " "), colour)
            for value, colour in zip(others, itertools.cycle(_OTHERS), strict=False)
        }
        chosen = [(_NAMED[by] | own)[value] for value in values]
        return [name for name, _ in chosen], [colour for _, colour in chosen]
    return [f"λ = {digits(value)}" for value in values], ordered_colours(len(values))


def experiment_colours(datasets: Mapping[str, str]) -> dict[str, str]:
    """Return a colour for each experiment of a picture: its data set's, if no other has it.

    Args:
        datasets: The data set of each experiment, in order.
    """
    others = itertools.cycle(_OTHERS)
    colours: dict[str, str] = {}
    for name, dataset in datasets.items():
        own = DATASETS.get(dataset)
        colours[name] = next(others) if own is None or own in colours.values() else own
    return colours


def ordered_colours(n: int) -> list[Any]:
    """Return `n` colours of ordered values, dark to light."""
    # The yellow end of viridis is too light on white.
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, n))
    return [tuple(shade) for shade in shades]


def game_name(game: str) -> str:
    """Return a game as figures spell it."""
    return game.replace("_", " ")


def count(numbers: Iterable[int]) -> str:
    """Return how many there are where that may differ, "3" or "3 to 10"."""
    low, high = min(numbers := list(numbers)), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def symlog(axes: Axes, values: Iterable[float], decades: int = 3) -> str:
    """Make the vertical axis logarithmic on both sides of 0; return a note of where it is linear.

    Called before anything is drawn, since matplotlib settles the limits by the scale there is.

    It is linear within a power of ten, `decades` below that of the largest value, or above that
    where no value is so small.

    Args:
        axes: Whose scale is set.
        values: All that are drawn there; those not finite count for nothing.
        decades: Logarithmic ones on each side at most.
    """
    sizes = np.abs(np.asarray(list(values), dtype=np.float64))
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    if not sizes.size:
        return "linear"
    smallest, largest = np.log10(sizes.min()), np.log10(sizes.max())
    exponent = int(max(np.ceil(largest) - decades, np.floor(smallest)))
    # A hair above the power of ten: its logarithm may be rounded down, and matplotlib would then
    # put ticks a decade further in, on top of one another.
    axes.set_yscale("symlog", linthresh=10.0**exponent * (1 + 1e-9), linscale=1.0)
    return f"linear within ±10$^{{{exponent}}}$"


def frame_lines(axes: Axes, means: Iterable[float]) -> None:
    """Let the vertical axis reach as far beyond the lines, and 0, as these reach, and no further.

    The interval of two runs is a dozen times as wide as they are apart; it may run off the axes,
    for on its own scale the lines would be flat.

    Args:
        axes: Linear, with all its lines and bands.
        means: All that the lines are through.
    """
    known = np.array([0.0, *means], dtype=np.float64)
    known = known[np.isfinite(known)]
    room = np.ptp(known) or 1.0
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, known.min() - room), min(high, known.max() + room))


def label_ends(
    axes: Axes, ends: Sequence[float], names: Sequence[str], colours: Sequence[Any]
) -> None:
    """Write each line's name right of its end, moved apart where they would overlap.

    Args:
        axes: With all its lines; a thin leader joins a moved name to its line.
        ends: The lines' last values, in data units; NaN for a line without any, which is not drawn
            and gets no name.
        names: Of the lines.
        colours: Of the lines.
    """
    drawn = [place for place, end in enumerate(ends) if np.isfinite(end)]
    if not drawn:
        return
    ends, names = [ends[place] for place in drawn], [names[place] for place in drawn]
    colours = [colours[place] for place in drawn]
    line_height = 0.062  # of the axes, at the style's font size
    axes.get_ylim()  # settles the limits, which are otherwise found when drawing
    # In axes units, which a logarithmic scale bends.
    to_axes = axes.transData + axes.transAxes.inverted()
    x = axes.get_xlim()[1]
    actual = [to_axes.transform((x, end))[1] for end in ends]
    order = np.argsort(actual)
    placed = np.array(actual)[order]
    for place in range(1, len(placed)):
        placed[place] = max(placed[place], placed[place - 1] + line_height)
    overhang = max(0.0, placed[-1] - 1.0)
    placed -= overhang
    for place in reversed(range(len(placed) - 1)):
        placed[place] = min(placed[place], placed[place + 1] - line_height)
    for line, height in zip(order, placed, strict=True):
        axes.annotate(
            names[line],
            xy=(1.0, actual[line]),
            xytext=(1.05, height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            color=colours[line],
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": colours[line], "shrinkB": 0},
        )
