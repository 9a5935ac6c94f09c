"""Learning rates and widths: what becomes of sign variance, score and interference (figure 6)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from td_interference.seeds import numpy_generator
from td_interference.statistics import mean_interval
from td_interference.tables.correlations import pearson
from td_interference.tables.plain import number
from td_interference.tables.reduce import Measured, all_diverged
from td_interference.tables.variants import Key, find_variants

TABLES = {
    "parameterizations": [
        {"experiment": "parameterizations", "metric": "sign_variance"},
        {"experiment": "parameterizations", "metric": "policy_score"},
        {"experiment": "parameterizations", "metric": "function_interference"},
    ],
    "parameterization_correlations": [
        {"experiment": "parameterizations", "metric": "sign_variance"},
        {"experiment": "parameterizations", "metric": "policy_score"},
        {"experiment": "parameterizations", "metric": "function_interference"},
    ],
}

_FIELDS = {
    "sign_variance": "sign_variance",
    "policy_score": "score",
    "function_interference": "function_interference",
}
_CELL = ("learning_rate", "hidden")  # runs of one differ in seed alone


def parameterizations(measured: Sequence[Measured], statistics: Mapping[str, Any]) -> pl.DataFrame:
    """One row per run; intervals are over what was drawn within it (segments, episodes, states).

    Rows are in the order of the games' names, then of variants, learning rates, widths and seeds.

    A run that diverged has NaN in all of them, and 1 in the column diverged; so it has if one of
    its measurements overflows.

    Raises:
        UserError: If all runs diverged.
    """
    variants = find_variants(_parameterization, measured)
    by_run: dict[str, list[Measured]] = {}
    for item in measured:
        by_run.setdefault(item.run.run_id, []).append(item)
    rows = []
    for run_id, items in by_run.items():
        run, diverged = items[0].run, any(item.diverged for item in items)
        row: dict[str, Any] = {**_parameterization(items[0]), "variant": variants.of(run)}
        row |= {"seed": run.seed}
        by_metric = {item.metric: item for item in items}
        for metric, column in _FIELDS.items():
            values = np.full((1, 1), np.nan) if diverged else number(by_metric[metric], column)
            interval = mean_interval(
                values,
                confidence=statistics["confidence"],
                resamples=statistics["resamples"],
                generator=numpy_generator(f"{run_id}-{column}", "bootstrap"),
            )
            for bound, (found,) in zip(("", "_low", "_high"), interval[:3], strict=True):
                row[f"{column}{bound}"] = float(found)
        rows.append({**row, "diverged": int(diverged)})
    if all(row["diverged"] for row in rows):
        raise all_diverged(by_run)

    def place(row: dict[str, Any]) -> tuple[Any, ...]:
        order = variants.order[row["variant"]]
        return row["game"], order, *(row[name] for name in (*_CELL, "seed"))

    return pl.DataFrame(sorted(rows, key=place))


def parameterization_correlations(
    measured: Sequence[Measured], statistics: Mapping[str, Any]
) -> pl.DataFrame:
    """Pearson's r of sign variance with score and with interference, over runs.

    Intervals are over parameterizations, each with all its seeds: the column cells counts them.
    The column diverged counts the runs left out.
    """
    table = parameterizations(measured, statistics)
    rows = []
    for (game, variant), all_runs in table.group_by("game", "variant", maintain_order=True):
        runs = all_runs.filter(pl.col("diverged") == 0)
        for y in ("score", "function_interference"):
            correlation = pearson(
                runs["sign_variance"].to_numpy(),
                runs[y].to_numpy(),
                confidence=statistics["confidence"],
                cells=[f"{rate} {hidden}" for rate, hidden in runs.select(_CELL).rows()],
            )
            row = {"game": game, "variant": variant, "x": "sign_variance", "y": y}
            row |= {**correlation._asdict(), "diverged": len(all_runs) - len(runs)}
            rows.append(row)
    return pl.DataFrame(rows)


def _parameterization(item: Measured) -> Key:
    run = item.run
    return {"game": run.game, "learning_rate": run.learning_rate, "hidden": run.hidden}
