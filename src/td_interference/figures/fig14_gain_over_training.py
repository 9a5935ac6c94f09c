"""Figure 14: gain of one update against temporal offset and training time."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, ScalarFormatter
from numpy.typing import NDArray

from td_interference.figures import style

FIGURE = {
    "name": "fig14",
    "means": {
        "gain_over_training": {
            "metric": "gain_over_training",
            "field": "gain",
            "experiments": ["control"],
            "first_game": True,
            "optimizers": ["adam"],
            "checkpoints": "all",
        },
    },
    "caption": "Gain of Q-learning in control over training: pointwise TD loss before minus after "
    "one real optimizer step, mean over runs. A cell reaches halfway to the neighbouring "
    "checkpoints. Dots: 0 is in the {of_a_mean}. Offset 0, of far higher gain, is left out.",
    "title": "{games}, control · {scale} scale · {runs}\n{interval} (dots: 0 is inside)",
}


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers: game, variant, update_step, offset, mean, low, high, n."""
    # "its magnitude would be too large and dim all other values" (below the paper's figure 14).
    drawn = style.means(tables["gain_over_training"], "variant", "update_step", "offset")
    return drawn.filter(pl.col("offset") != 0)


def plot(table: pl.DataFrame, title: str) -> Figure:
    """Return the figure, a panel for each game and variant; `title` states scale and runs."""
    parts = style.parts(table)
    figure, panels = style.new_figure(title, len(parts))
    known = table["mean"].filter(table["mean"].is_finite()).abs()
    largest = float(known.max() or 1.0)  # type: ignore[arg-type]
    scale = Normalize(-largest, largest)  # white is 0
    for part, axes in zip(parts, panels, strict=True):
        axes.set_title(part.name, loc="left")
        axes.set_ylabel("offset x (agent steps)")
        cells = _draw_cells(axes, part.rows, scale)
    panels[-1].set_xlabel("updates")
    exponent = ScalarFormatter(useMathText=True)
    exponent.set_powerlimits((-2, 2))
    figure.colorbar(
        cells, ax=panels, pad=0.02, format=exponent, label="gain in TD loss at S$_{t+x}$"
    )
    return figure


def _draw_cells(axes: Axes, table: pl.DataFrame, scale: Normalize) -> QuadMesh:
    """Draw one panel's cells, and a dot in those whose interval contains 0."""
    steps = table["update_step"].unique().sort().to_numpy()
    measured = table["offset"].to_numpy()
    offsets = np.arange(measured.min(), measured.max() + 1)
    gain = np.full((len(offsets), len(steps)), np.nan)  # what is left out stays grey
    column = np.searchsorted(steps, table["update_step"].to_numpy())
    gain[measured - offsets[0], column] = table["mean"].to_numpy()
    axes.set_facecolor("0.75")
    cells = axes.pcolormesh(
        cell_edges(steps),
        cell_edges(offsets),
        gain,
        norm=scale,
        cmap="RdBu_r",
        edgecolors="face",  # else PDF viewers show a hair of the ground between cells
        linewidth=0.1,
    )
    unsure = table.filter(pl.col("low") <= 0, pl.col("high") >= 0)
    axes.plot(unsure["update_step"], unsure["offset"], ".", color="0.35", markersize=1.2, mew=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    return cells


def cell_edges(centres: NDArray) -> NDArray[np.float64]:
    """Return the edges of cells around unevenly spaced centres, [C + 1] of [C] ascending ones.

    Inner edges lie halfway between centres; the outer cells reach as far out as in. A single cell
    is one unit wide.
    """
    centres = np.asarray(centres, dtype=np.float64)
    if len(centres) == 1:
        return centres[0] + np.array([-0.5, 0.5])
    inner = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - inner[0]], inner, [2 * centres[-1] - inner[-1]]])
