"""Made-up tables of every figure, of the sizes that real ones have."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from td_interference import figures

OFFSETS = np.arange(-30, 31)
STEPS = (10_000, 20_000, 50_000, 100_000)  # unevenly spaced


def draw_figure(name: str, tables: Mapping[str, pl.DataFrame], title: str = "") -> Figure:
    """Return the figure of some tables."""
    module = figures.load(name)
    return module.plot(module.data(tables), title)


def tables(n: int = 3, seed: int = 0) -> dict[str, pl.DataFrame]:
    """Return every table that a figure draws, by name; `n` runs each."""
    generator = np.random.default_rng(seed)
    return {
        "stiffness_by_lambda": by_lambda("offset", OFFSETS, 0.5, n),
        "gain_by_lambda": by_lambda("offset", OFFSETS, 0.01, n),
        "singular_values_by_lambda": by_lambda("index", np.arange(1, 65), 1.0, n),
        "gain_by_objective": gain_by_objective(n),
        "gain_by_optimizer": gain_by_optimizer(n, generator),
        "singular_values_by_optimizer": singular_values_by_optimizer(n),
        "gain_over_training": gain_over_training(n, generator),
        "parameterizations": parameterizations(n, generator),
        "parameterization_correlations": parameterization_correlations(n),
        "second_order_by_objective": second_order_by_objective(n, generator),
        "momentum_variance": momentum_variance(n, generator),
    }


def with_interval(rows: list[dict], n: int) -> pl.DataFrame:
    """Add an interval of a fifth of the mean on each side, and the numbers of runs."""
    table = pl.DataFrame(rows)
    half = 0.2 * pl.col("mean").abs()
    return table.with_columns(
        low=pl.col("mean") - half,
        high=pl.col("mean") + half,
        n=pl.lit(n),
        diverged=pl.lit(0),
        not_measured=pl.lit(0),
        variant=pl.lit(""),
    )


def decay(position, scale):
    return scale * np.exp(-np.abs(position) / 8)


def by_lambda(axis, positions, scale, n):
    return with_interval(
        [
            {"game": "ms_pacman", "lambda": lambda_, axis: int(position), "mean": mean}
            for lambda_ in (0.0, 0.9, 1.0)
            for position, mean in zip(
                positions, decay(positions, scale * (1 + lambda_)), strict=True
            )
        ],
        n,
    )


def gain_by_objective(n):
    return with_interval(
        [
            {"game": "asterix+ms_pacman", "objective": objective, "offset": int(x), "mean": mean}
            for k, objective in enumerate(("monte_carlo", "expert_q", "td_star"))
            for x, mean in zip(OFFSETS, decay(OFFSETS, 0.01 * (1 + k)), strict=True)
        ],
        n,
    )


def gain_by_optimizer(n, generator):
    """Gains from 1e-7 to 1e-1; RMSprop's is negative around 0, and highest at it."""
    rows = []
    scales = {"adam": 1e-3, "rmsprop": -4e-4, "sgd": 2e-6, "momentum_sgd": 2e-5}
    for experiment, factor in (("control", 1.0), ("policy_evaluation", 0.3)):
        for optimizer, scale in scales.items():
            mean = factor * decay(OFFSETS, scale)
            mean += 0.05 * abs(scale) * factor * generator.normal(size=len(OFFSETS))
            mean[OFFSETS == 0] = 40 * factor * abs(scale)
            rows += [
                {
                    "game": "asterix+ms_pacman",
                    "experiment": experiment,
                    "optimizer": optimizer,
                    "offset": int(x),
                    "mean": float(y),
                }
                for x, y in zip(OFFSETS, mean, strict=True)
            ]
    table = with_interval(rows, n)
    control = pl.col("experiment") == "control"
    return table.with_columns(n=pl.when(control).then(n).otherwise(n + 1))


def singular_values_by_optimizer(n):
    index = np.arange(1, 257)
    return with_interval(
        [
            {
                "game": "ms_pacman",
                "experiment": experiment,
                "optimizer": optimizer,
                "update_step": 100_000,
                "index": int(i),
                "mean": float(factor * level * i**-0.4),
            }
            for experiment, factor in (("control", 1.0), ("policy_evaluation", 1.6))
            for optimizer, level in (("adam", 3.0), ("rmsprop", 9.0))
            for i in index
        ],
        n,
    )


def gain_over_training(n, generator):
    rows = []
    for place, step in enumerate(STEPS):
        mean = decay(OFFSETS, 1e-3 / (1 + place)) + 1e-4 * generator.normal(size=len(OFFSETS))
        mean[OFFSETS == 0] = 0.05
        rows += [
            {"game": "ms_pacman", "update_step": step, "offset": int(x), "mean": float(y)}
            for x, y in zip(OFFSETS, mean, strict=True)
        ]
    table = with_interval(rows, n)
    far = pl.col("offset").abs() > 20  # not to be told from 0
    return table.with_columns(
        low=pl.when(far).then(pl.col("mean").abs().neg()).otherwise(pl.col("low")),
        high=pl.when(far).then(pl.col("mean").abs()).otherwise(pl.col("high")),
    )


def parameterizations(n, generator):
    rows = []
    for rate in (1e-5, 1e-4, 1e-3):
        for hidden in (8, 16, 32, 64):
            for seed in range(n):
                variance = 0.5 + 0.12 * np.log10(rate / 1e-4) + 0.04 * generator.normal()
                score = 1500 - 1800 * variance + 100 * generator.normal()
                interference = 10 ** (6 * variance - 2 + 0.4 * generator.normal())
                interference *= -0.1 if hidden == 8 and seed == 0 else 1
                rows.append(
                    {
                        "game": "ms_pacman",
                        "learning_rate": rate,
                        "hidden": hidden,
                        "variant": "",
                        "seed": seed,
                        "sign_variance": float(variance),
                        "score": float(score),
                        "score_low": float(score - 90),
                        "score_high": float(score + 110),
                        "function_interference": float(interference),
                        "function_interference_low": float(interference - 0.3 * abs(interference)),
                        "function_interference_high": float(interference + 0.2 * abs(interference)),
                    }
                )
    return pl.DataFrame(rows)


def parameterization_correlations(n):
    return pl.DataFrame(
        [
            ("ms_pacman", "", "sign_variance", "score", -0.62, -0.81, -0.4, 12 * n, 12),
            (
                "ms_pacman",
                "",
                "sign_variance",
                "function_interference",
                0.71,
                0.5,
                0.85,
                12 * n,
                12,
            ),
            ("ms_pacman", "", "function_interference", "score", -0.11, -0.2, -0.1, 12 * n, 12),
        ],
        schema=["game", "variant", "x", "y", "r", "low", "high", "n", "cells"],
        orient="row",
    )


def second_order_by_objective(n, generator):
    rows = []
    objectives = ("expert_q", "q_learning", "q_learning_ema", "q_learning_online")
    for k, objective in enumerate(objectives):
        for term, size in (("r1", 2e-2), ("r2", 5e-3), ("r3", 2e-4)):
            for step in STEPS:
                level = size * 10 ** (-0.7 * k + 0.3 * generator.normal())
                parts = {
                    "mean": 0.3 * level * (-1 if term == "r3" else 1),
                    "positive": level,
                    "negative": -0.4 * level,
                    "share_negative": 0.1 + 0.1 * k + 0.02 * int(term[1]),
                }
                rows += [
                    {
                        "game": "ms_pacman",
                        "objective": objective,
                        "term": term,
                        "part": part,
                        "update_step": step,
                        "mean": float(mean),
                    }
                    for part, mean in parts.items()
                ]
    return with_interval(rows, n)


def momentum_variance(n, generator):
    levels = {
        "change": 3e-1,
        "momentum_change": 4e-3,
        "interference": 1e-1,
        "momentum_interference": 2e-2,
        "change_ratio": 1.3e-2,
        "relative_change_ratio": 7e-2,
    }
    return with_interval(
        [
            {
                "game": "ms_pacman",
                "quantity": quantity,
                "update_step": step,
                "mean": float(level * np.exp(0.3 * generator.normal())),
            }
            for quantity, level in levels.items()
            for step in STEPS
        ],
        n,
    )
