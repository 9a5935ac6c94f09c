"""What the evaluation of an expert leaves for people: a table and a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars
from matplotlib.figure import Figure

from td_interference import pictures
from td_interference.agents.learning_curve import TrainingEpisode
from td_interference.agents.playing import Evaluation
from td_interference.storage.files import atomic_path


def write_evaluation(path: Path | str, evaluation: Evaluation) -> None:
    """Write one row per evaluation episode, with its agent's mean and interval, as CSV."""
    rows = []
    for agent, (episodes, mean) in evaluation._asdict().items():
        rows += [
            {
                "agent": agent,
                "episode": number,
                **episode._asdict(),
                "mean_score": mean.value,
                "mean_score_low": mean.low,
                "mean_score_high": mean.high,
            }
            for number, episode in enumerate(episodes)
        ]
    with atomic_path(path) as temporary:
        polars.DataFrame(rows).write_csv(temporary)


def write_picture(
    paths: Sequence[Path | str],
    title: str,
    curve: Sequence[TrainingEpisode],
    evaluation: Evaluation,
) -> None:
    """Draw the learning curve, and beside it both agents' evaluation.

    Args:
        paths: Files to write, .pdf or .png.
        title: Of the picture, e.g. the game.
        curve: Training episodes; those cut short are left out of the returns.
        evaluation: Scores and intervals.
    """
    with pictures.style():
        figure = _draw(title, curve, evaluation)
        for path in paths:
            pictures.write(figure, path)


def _draw(title: str, curve: Sequence[TrainingEpisode], evaluation: Evaluation) -> Figure:
    figure = Figure(figsize=(6.9, 2.3), layout="constrained")
    returns, losses, scores = figure.subplots(1, 3)
    whole = [row for row in curve if not row.truncated]
    steps, scored = [row.agent_step for row in whole], [row.episode_return for row in whole]
    returns.plot(steps, scored, ".", markersize=3)
    returns.set(xlabel="agent steps", ylabel="training episode's score", title=title)
    if not whole:
        returns.text(0.5, 0.5, "no episode ended", ha="center", transform=returns.transAxes)
    learned = [row for row in curve if row.loss is not None]
    losses.plot([row.update_step for row in learned], [row.loss for row in learned])
    losses.set(xlabel="updates", ylabel="KL divergence (nats)", title="loss")
    for axes in (returns, losses):
        axes.locator_params(axis="x", nbins=4)
    for place, (episodes, mean) in enumerate((evaluation.random, evaluation.expert)):
        drawn = [episode.score for episode in episodes]
        scores.plot([place] * len(drawn), drawn, ".", color="0.7")
        error = [[mean.value - mean.low], [mean.high - mean.value]]
        known = error if np.isfinite(error).all() else None
        scores.errorbar([place + 0.15], [mean.value], known, fmt="o", markersize=3, capsize=3)
    scores.set(
        xlim=(-0.5, 1.5),
        xticks=[0, 1],
        xticklabels=[
            f"random, n = {len(evaluation.random.episodes)}",
            f"expert, n = {len(evaluation.expert.episodes)}",
        ],
        ylabel="score",
        title="episodes; mean, 95% interval",
    )
    return figure
