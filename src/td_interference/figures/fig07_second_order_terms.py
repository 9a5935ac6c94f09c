"""Figure 7: the terms r1, r2, r3 of ρ', the change of interference, early in training."""

from collections.abc import Mapping

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, PercentFormatter

from td_interference.figures import style
from td_interference.figures.lines import draw_line

FIGURE = {
    "name": "fig7",
    "tables": ["second_order_by_objective"],
    "caption": "Terms of the change of interference, ρ' = -r1 - r2 - r3 (eq. 16, 17), early in "
    "training: regression to Q* (reg) and Q-learning with a frozen network (DQN), with its moving "
    "average (DDQN) and with none (QL). Full lines: mean of the positive and of the negative "
    "pairs of samples; transparent dashed lines: mean of all. Each panel has a scale of its own. "
    "Bottom row: share of pairs with a negative term. {lines}",
}

_TERMS = {"r1": "-", "r2": "--", "r3": ":"}  # line styles in the panels of shares
_SIGNED_PARTS = ("positive", "negative")


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers: means by all that tells lines and panels apart."""
    columns = ("objective", "term", "variant", "part", "update_step")
    return style.means(tables["second_order_by_objective"], *columns)


def plot(table: pl.DataFrame, title: str) -> Figure:
    """Return the figure; `title` states scale, games and runs.

    A column for each objective. A row for each term, each panel on a scale of its own, for
    Q-learning without a frozen network can be ten orders of magnitude above the others; below them
    the share of pairs (A, B) with a negative term. Each game and variant has these rows.
    """
    parts = style.parts(table)
    objectives = table["objective"].unique(maintain_order=True).to_list()
    names, colours = style.names_and_colours("objective", objectives)
    n_rows = len(_TERMS) + 1
    figure, columns = style.new_grid(
        title,
        n_rows * len(parts),
        len(objectives),
        width=style.DOUBLE_WIDTH,
        row_height=1.35,
        sharex=True,
    )
    for place, part in enumerate(parts):
        rows = slice(n_rows * place, n_rows * (place + 1))
        _label_rows(columns[0][rows])
        for objective, name, colour, column in zip(
            objectives, names, colours, columns, strict=True
        ):
            heading = f"{part.name}, {name}" if part.name else name
            column[rows][0].set_title(heading, color=colour)
            of_objective = part.rows.filter(pl.col("objective") == objective)
            *term_panels, share_panel = column[rows]
            for term, axes in zip(_TERMS, term_panels, strict=True):
                _draw_term(axes, of_objective.filter(pl.col("term") == term), colour)
            _draw_shares(share_panel, of_objective, colour)
        columns[0][rows][-1].legend(
            loc="upper right", ncols=len(_TERMS), handlelength=1.5, columnspacing=1
        )
    for column in columns:
        column[-1].set_xlabel("updates")
    figure.legend(
        handles=[
            Line2D([], [], color="0.3", label="mean of the positive pairs, of the negative pairs"),
            Line2D([], [], color="0.3", alpha=0.6, ls="--", label="mean of all pairs"),
        ],
        loc="outside lower left",
        ncols=2,
    )
    return figure


def _label_rows(first_column: list[Axes]) -> None:
    """Name what each row shows."""
    *term_panels, share_panel = first_column
    for term, axes in zip(_TERMS, term_panels, strict=True):
        axes.set_ylabel(f"r$_{term[1]}$")
    share_panel.set_ylabel("pairs with\na negative term")


def _draw_term(axes: Axes, table: pl.DataFrame, colour: str) -> None:
    drawn = table.filter(pl.col("part") != "share_negative")
    note = style.symlog(axes, drawn.select("mean", "low", "high").to_numpy().ravel())
    axes.set_xlabel(note, fontsize="small")  # below its own panel: no two scales are the same
    axes.axhline(0, color="0.6", lw=0.5, zorder=0)
    for part in _SIGNED_PARTS:
        line = table.filter(pl.col("part") == part).sort("update_step")
        draw_line(axes, line, "update_step", colour, marker="o")
    # The paper's "transparent dashed lines".
    line = table.filter(pl.col("part") == "mean").sort("update_step")
    draw_line(axes, line, "update_step", colour, "--").set_alpha(0.6)


def _draw_shares(axes: Axes, table: pl.DataFrame, colour: str) -> None:
    for term, dashes in _TERMS.items():
        line = table.filter(pl.col("term") == term, pl.col("part") == "share_negative").sort(
            "update_step"
        )
        draw_line(axes, line, "update_step", colour, dashes).set_label(f"r$_{term[1]}$")
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
