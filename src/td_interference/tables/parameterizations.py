"""Learning rates and widths: what becomes of sign variance, score and interference (figure 6)."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from td_interference.seeds import numpy_generator
from td_interference.statistics import pearson
from td_interference.tables import curves
from td_interference.tables.reduce import Key, Measured, means_by

_CURVES = {
    "sign_variance": curves.sign_variance,
    "policy_score": curves.policy_score,
    "function_interference": curves.function_interference,
}


def parameterizations(measured: Sequence[Measured], statistics: Mapping[str, Any]) -> pl.DataFrame:
    """One row per run; intervals are over what was drawn within it (segments, episodes, states).

    A run that diverged has NaN in all of them, and 1 in the column diverged.
    """

    def key(item: Measured) -> Key:
        run = item.run
        return {
            "game": run.game,
            "learning_rate": run.learning_rate,
            "hidden": run.hidden,
            "seed": run.seed,
        }

    table = None
    for metric, curve in _CURVES.items():
        column = metric.removeprefix("policy_")
        items = [item for item in measured if item.metric == metric]
        means = means_by(key, items, curve, statistics).drop("n")
        if table is not None:  # a run diverged in all its measurements or in none
            means = means.drop("diverged")
        means = means.rename({"mean": column, "low": f"{column}_low", "high": f"{column}_high"})
        keys = ["game", "learning_rate", "hidden", "seed"]
        table = means if table is None else table.join(means, on=keys, validate="1:1")
    assert table is not None
    return table


def parameterization_correlations(
    measured: Sequence[Measured], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Pearson's r of sign variance with score and with interference, over runs.

    The column diverged counts those left out.
    """
    table = parameterizations(measured, statistics)
    rows = []
    for (game,), all_runs in table.group_by("game", maintain_order=True):
        runs = all_runs.filter(pl.col("diverged") == 0)
        diverged = len(all_runs) - len(runs)
        for y in ("score", "function_interference"):
            correlation = pearson(
                runs["sign_variance"].to_numpy(),
                runs[y].to_numpy(),
                confidence=statistics["confidence"],
                resamples=statistics["resamples"],
                generator=numpy_generator(f"{game}-{y}", "bootstrap"),
            )
            row = {"game": game, "x": "sign_variance", "y": y, **correlation._asdict()}
            rows.append({**row, "diverged": diverged})
    return pl.DataFrame(rows)
