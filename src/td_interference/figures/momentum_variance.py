"""Momentum (section 6.1): how much the change of interference varies, with and without it."""

from collections.abc import Mapping

import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from td_interference.figures import style
from td_interference.figures.lines import draw_line

FIGURE = {
    "name": "momentum",
    "tables": ["momentum_variance"],
    "caption": "Standard deviation, over pairs of samples, of the change of interference along a "
    "plain gradient step (ρ') and along a momentum step (ρ'μ; eq. 14, 21) of the same runs (top), "
    "and ratios of the latter to the former, as they are and relative to the standard deviation "
    "of the interference itself (bottom). {lines}",
}

_GRADIENT, _MOMENTUM = style.OPTIMIZERS["sgd"][1], style.OPTIMIZERS["momentum_sgd"][1]

# The name, colour and line style of each quantity of the upper panel, and of the lower.
_DEVIATIONS = {
    "change": ("σ(ρ')", _GRADIENT, "-"),
    "momentum_change": ("σ(ρ'$_μ$)", _MOMENTUM, "-"),
}
_RATIOS = {
    "change_ratio": ("σ(ρ'$_μ$) / σ(ρ')", "0.1", "-"),
    "relative_change_ratio": ("(σ(ρ'$_μ$)/σ(ρ$_μ$)) / (σ(ρ')/σ(ρ))", "0.5", "--"),
}


def data(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the plotted numbers: game, variant, quantity, update_step, mean, low, high, n."""
    drawn = pl.col("quantity").is_in([*_DEVIATIONS, *_RATIOS])
    return style.means(
        tables["momentum_variance"].filter(drawn), "variant", "quantity", "update_step"
    )


def plot(table: pl.DataFrame, title: str) -> Figure:
    """Return the figure, two panels for each game and variant; `title` states scale and runs."""
    parts = style.parts(table)
    figure, panels = style.new_figure(title, 2 * len(parts), row_height=1.7, sharex=True)
    for place, axes in enumerate(panels):
        part, quantities = parts[place // 2], (_DEVIATIONS, _RATIOS)[place % 2]
        axes.set_title(part.name, loc="left")
        axes.set_yscale("log")
        for quantity, (name, colour, dashes) in quantities.items():
            line = part.rows.filter(pl.col("quantity") == quantity).sort("update_step")
            draw_line(axes, line, "update_step", colour, dashes, marker="o").set_label(name)
        if quantities is _RATIOS:
            axes.axhline(1, color="0.6", lw=0.5, zorder=0)
            axes.set_ylabel("ratio of σ")
        else:
            axes.set_ylabel("σ over pairs of samples")
        axes.legend()
    panels[-1].set_xlabel("updates")
    panels[-1].xaxis.set_major_formatter(EngFormatter(sep=""))
    return figure
