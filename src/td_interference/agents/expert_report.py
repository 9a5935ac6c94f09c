"""What the evaluation of an expert leaves for people: a table and a picture."""

from collections.abc import Sequence
from pathlib import Path

import polars
from matplotlib.figure import Figure

from td_interference.agents.evaluation import Evaluation
from td_interference.agents.learning_curve import TrainingEpisode
from td_interference.files import atomic_path


def write_evaluation(path: Path | str, evaluation: Evaluation) -> None:
    """Write one row per evaluation episode, with its agent's mean and interval, as CSV."""
    rows = []
    for agent, scores, interval in (
        ("expert", evaluation.expert, evaluation.expert_interval),
        ("random", evaluation.random, evaluation.random_interval),
    ):
        rows += [
            {
                "agent": agent,
                "episode": number,
                **episode._asdict(),
                "mean_score": interval.mean,
                "mean_score_low": interval.low,
                "mean_score_high": interval.high,
            }
            for number, episode in enumerate(scores)
        ]
    with atomic_path(path) as temporary:
        polars.DataFrame(rows).write_csv(temporary)


def draw(title: str, curve: Sequence[TrainingEpisode], evaluation: Evaluation) -> Figure:
    """Draw the learning curve, and beside it both agents' evaluation.

    Args:
        title: Of the picture, e.g. the game.
        curve: Training episodes; those cut short are left out of the returns.
        evaluation: Scores and intervals.
    """
    figure = Figure(figsize=(9, 3), layout="constrained")
    returns, losses, scores = figure.subplots(1, 3)
    whole = [row for row in curve if not row.truncated]
    returns.plot([row.agent_step for row in whole], [row.episode_return for row in whole], ".")
    returns.set(xlabel="agent steps", ylabel="training episode's score", title=title)
    if not whole:
        returns.text(0.5, 0.5, "no episode ended", ha="center", transform=returns.transAxes)
    learned = [row for row in curve if row.loss is not None]
    losses.plot([row.update_step for row in learned], [row.loss for row in learned])
    losses.set(xlabel="updates", ylabel="KL divergence (nats)", title="loss")
    for place, (episodes, interval) in enumerate(
        (
            (evaluation.random, evaluation.random_interval),
            (evaluation.expert, evaluation.expert_interval),
        )
    ):
        scores.plot([place] * len(episodes), [e.score for e in episodes], ".", color="0.7")
        if interval.low <= interval.mean <= interval.high:
            error = [[interval.mean - interval.low], [interval.high - interval.mean]]
            scores.errorbar([place + 0.15], [interval.mean], error, fmt="o", capsize=4)
    scores.set(
        xlim=(-0.5, 1.5),
        xticks=[0, 1],
        xticklabels=["random", "expert"],
        ylabel="score",
        title="evaluation, 95% intervals",
    )
    return figure


def write_picture(paths: Sequence[Path | str], figure: Figure) -> None:
    """Write a picture in each of the formats that the paths' suffixes name."""
    for path in map(Path, paths):
        # Without dates, equal pictures are equal files.
        metadata = {"CreationDate": None} if path.suffix == ".pdf" else {}
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=150, metadata=metadata)
