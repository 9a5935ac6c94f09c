"""Gain: how much one optimizer step lowers the loss nearby (paper, section 5, figures 3, 4, 11)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from td_interference.metrics.subject import Subject
from td_interference.storage import Arrays
from td_interference.training import update

_EVALUATION_BATCH = 256  # observations at a time


def measure(subject: Subject, settings: Mapping[str, Any]) -> Arrays:
    """Return the pointwise TD loss before minus after one real optimizer step.

    Positive gain is constructive interference.

    For each of several minibatches the step the run would have taken from this checkpoint is taken
    (momenta and all), the losses around each of its samples are compared, and the step is undone.
    Targets stay as they were: within one step the frozen network does not move.

    Args:
        subject: The checkpoint.
        settings: "minibatches" to average over, "half_width" of the windows, and "unrelated"
            transitions to look at per minibatch, drawn independently of it.

    Returns:
        "offset" [2k + 1], "gain" [minibatches, samples, 2k + 1] (NaN across an episode's end), and
        "gain_unrelated" [minibatches, unrelated].
    """
    replay, objective = subject.replay, subject.objective
    half_width = settings["half_width"]
    generator = subject.generator("gain")
    gains, unrelated_gains = [], []
    for _ in range(settings["minibatches"]):
        minibatch = replay.draw(subject.run.minibatch, generator)
        unrelated = replay.draw(settings["unrelated"], generator)
        window = replay.window(minibatch, half_width)
        index, place = torch.unique(
            torch.cat([window.index.flatten(), unrelated]), return_inverse=True
        )
        before = _losses(subject, index)
        update(objective, subject.optimizer(), minibatch)
        gain = (before - _losses(subject, index))[place]
        subject.restore_network()
        around = gain[: window.index.numel()].view_as(window.index)
        gains.append(torch.where(window.valid, around, torch.nan).cpu().numpy())
        unrelated_gains.append(gain[window.index.numel() :].cpu().numpy())
    return {
        "offset": np.arange(-half_width, half_width + 1),
        "gain": np.stack(gains),
        "gain_unrelated": np.stack(unrelated_gains),
    }


@torch.no_grad()
def _losses(subject: Subject, index: Tensor) -> Tensor:
    """Return the pointwise TD losses of the transitions `index`, [N]."""
    objective = subject.objective
    return torch.cat(
        [
            objective.td_loss(objective.network(objective.replay.observation(part)), part)
            for part in index.split(_EVALUATION_BATCH)
        ]
    )
