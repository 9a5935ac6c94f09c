"""Figure 12: singular values of the last hidden layer, control against policy evaluation."""

from collections.abc import Mapping

import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from td_interference.figures import style
from td_interference.figures.experiments import draw_experiments, experiment_handles
from td_interference.figures.lines import X_LABELS

FIGURE = {
    "name": "fig12",
    "means": {
        "singular_values_by_optimizer": {
            "metric": "singular_values",
            "field": "singular_value",
            "experiments": ["policy_evaluation", "control"],
            "by": ["experiment", "optimizer"],
            "games": "together",
            "first_game": True,
            "optimizers": ["adam", "rmsprop"],  # that the paper compares
            "checkpoints": "common",  # "after 100k" in the paper
        },
    },
    "caption": "Singular values of the last hidden layer's weights during Q-learning. Full lines: "
    "control; dashed: policy evaluation. {lines}",
}


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers: means by all that tells lines and panels apart."""
    columns = ("experiment", "optimizer", "variant", "update_step", "index")
    return style.means(tables["singular_values_by_optimizer"], *columns)


def plot(table: pl.DataFrame, title: str) -> Figure:
    """Return the figure, a panel for each game, variant and step; `title` states scale and runs."""
    optimizers = table["optimizer"].unique(maintain_order=True).to_list()
    names, colours = style.names_and_colours("optimizer", optimizers)
    handles = [Line2D([], [], color=colours[i], label=names[i]) for i in range(len(names))]
    panels_of = [
        (part.name, step, part.rows.filter(pl.col("update_step") == step))
        for part in style.parts(table)
        for step in part.rows["update_step"].unique().sort()
    ]
    figure, panels = style.new_figure(title, len(panels_of))
    for (of, update_step, panel), axes in zip(panels_of, panels, strict=True):
        heading = f"{of}, " if of else ""
        axes.set_title(f"{heading}after {update_step:,} updates", loc="left")
        axes.set_yscale("log")
        axes.set_ylabel("singular value")
        for optimizer, colour in zip(optimizers, colours, strict=True):
            line = panel.filter(pl.col("optimizer") == optimizer)
            draw_experiments(axes, line, "index", colour)
        index = panel["index"].to_numpy()
        axes.set_xlim(index.min(), index.max())
    panels[-1].set_xlabel(X_LABELS["index"])
    handles += experiment_handles(table)
    figure.legend(handles=handles, loc="outside lower left", ncols=2)
    return figure
