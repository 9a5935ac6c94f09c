"""Figure 12: singular values of the last hidden layer, control against policy evaluation."""

from collections.abc import Mapping

import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from td_interference.figures import style
from td_interference.figures.experiments import draw_experiments, experiment_handles

_COLUMNS = (
    *("game", "experiment", "optimizer", "update_step", "index"),
    *("mean", "low", "high", "n"),
)


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers: game, experiment, optimizer, update_step, index, mean, ..., n."""
    return tables["singular_values_by_optimizer"].select(_COLUMNS)


def plot(tables: Mapping[str, pl.DataFrame], title: str) -> Figure:
    """Return the figure, a panel for each game and update step; `title` states scale and runs."""
    table = data(tables)
    optimizers = table["optimizer"].unique(maintain_order=True).to_list()
    names, colours = style.names_and_colours("optimizer", optimizers)
    handles = [Line2D([], [], color=colours[i], label=names[i]) for i in range(len(names))]
    panels_of = table.select("game", "update_step").unique().sort("game", "update_step").rows()
    figure, panels = style.new_figure(len(panels_of))
    figure.suptitle(title, x=0.02, ha="left")
    for (game, update_step), axes in zip(panels_of, panels, strict=True):
        panel = table.filter(pl.col("game") == game, pl.col("update_step") == update_step)
        heading = f"{style.game_name(game)}, " if table["game"].n_unique() > 1 else ""
        axes.set_title(f"{heading}after {update_step:,} updates", loc="left")
        axes.set_yscale("log")
        axes.set_ylabel("singular value")
        for optimizer, colour in zip(optimizers, colours, strict=True):
            line = panel.filter(pl.col("optimizer") == optimizer)
            draw_experiments(axes, line, "index", colour)
        index = panel["index"].to_numpy()
        axes.set_xlim(index.min(), index.max())
    panels[-1].set_xlabel("index of the singular value")
    handles += experiment_handles(table)
    figure.legend(handles=handles, loc="outside lower left", ncols=2)
    return figure
