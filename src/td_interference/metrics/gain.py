"""Gain: how much one optimizer step lowers the loss nearby (paper, section 5, figures 3, 4, 11)."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from td_interference.metrics import Settings
from td_interference.metrics.subject import Subject
from td_interference.objectives.base import BaseObjective
from td_interference.replay import Window
from td_interference.storage.hdf5 import Arrays
from td_interference.updates import update

METRIC = {
    "title": "Pointwise loss before minus after one optimizer step",
    "source": "paper, figures 3, 4, 11",
    "about": "losses before and after one optimizer step",
    "formula": "J(S_{t+x}; θ) - J(S_{t+x}; θ'), θ' after a step on S_t and others (section 5)",
    "departures": [
        "J of Q-learning has the frozen network's target, with which the run trains; that of "
        "regressions has the network's own (eq. 10).",
        "In control, minibatches are drawn from the recent play that is kept with a checkpoint.",
    ],
    "version": 3,
    "checkpoints": "last",
    "fields": {
        "offset": {
            "dtype": "int64",
            "dimensions": ["offset"],
            "unit": "agent steps",
            "description": "distance in the trajectory, 0 = the sample",
        },
        "gain": {
            "dtype": "float32",
            "dimensions": ["minibatch", "sample", "offset"],
            "unit": "loss",
            "description": "at S_{t+offset}, for each S_t of the minibatch; NaN across an "
            "episode's end",
            "may_lack": True,
        },
        "gain_unrelated": {
            "dtype": "float32",
            "dimensions": ["minibatch", "unrelated"],
            "unit": "loss",
            "description": "at transitions drawn independently of the minibatch",
        },
    },
    "settings": {
        "minibatches": {
            "minimum": 2,
            "default": 64,
            "description": "steps taken on trial",
        },
        "half_width": {
            "minimum": 1,
            "default": 30,
            "unit": "agent steps",
            "description": "largest offset",
            "within_episode": 1,
        },
        "unrelated": {
            "minimum": 1,
            "default": 64,
            "description": "transitions drawn independently of each minibatch",
        },
    },
    "copies": 3,
}

_EVALUATION_BATCH = 256  # observations at a time


class _Draw(NamedTuple):
    """One minibatch and the transitions whose losses are compared."""

    minibatch: Tensor  # int64 [samples]
    window: Window  # around each of them
    unrelated: Tensor  # int64 [unrelated]
    looked_at: Tensor  # all of the latter two once, ascending, int64


def measure(subject: Subject, settings: Settings) -> Arrays:
    """Return the pointwise TD loss before minus after one real optimizer step.

    Positive gain is constructive interference.

    For each of several minibatches the step the run would have taken from this checkpoint is taken
    (momenta and all), the losses around each of its samples are compared, and the step is undone.
    The frozen network stays where the checkpoint left it, also where training would first copy the
    network to it.

    What does not hang on the minibatch is computed once: the losses before the step and, unless
    the network bootstraps from itself, the targets.

    Args:
        subject: The checkpoint.
        settings: "minibatches" to average over, "half_width" of the windows, and "unrelated"
            transitions to look at per minibatch, drawn independently of it.

    Returns:
        "offset" [2k + 1], "gain" [minibatches, samples, 2k + 1] (NaN across an episode's end), and
        "gain_unrelated" [minibatches, unrelated]; infinite where a loss is.
    """
    objective, half_width = subject.objective, settings.half_width
    generator = subject.generator("gain")
    draws = [
        _draw(subject, half_width, settings.unrelated, generator)
        for _ in range(settings.minibatches)
    ]
    everything = torch.cat([draw.looked_at for draw in draws]).unique()
    target = _td_targets(objective, everything)
    before = _losses(objective, everything, target)
    gains, unrelated_gains = [], []
    for draw in draws:
        update(objective, subject.optimizer(), draw.minibatch)
        known = torch.searchsorted(everything, draw.looked_at)
        moved = objective.td_target_moves
        target_after = _td_targets(objective, draw.looked_at) if moved else target[known]
        gain = before[known] - _losses(objective, draw.looked_at, target_after)
        gain[gain.isnan()] = torch.inf  # of infinite losses; NaN is for what is not there
        subject.restore_network()
        around = gain[torch.searchsorted(draw.looked_at, draw.window.index)]
        gains.append(torch.where(draw.window.valid, around, torch.nan).cpu().numpy())
        unrelated = gain[torch.searchsorted(draw.looked_at, draw.unrelated)]
        unrelated_gains.append(unrelated.cpu().numpy())
    return {
        "offset": np.arange(-half_width, half_width + 1),
        "gain": np.stack(gains),
        "gain_unrelated": np.stack(unrelated_gains),
    }


def _draw(
    subject: Subject, half_width: int, n_unrelated: int, generator: np.random.Generator
) -> _Draw:
    replay = subject.replay
    minibatch = replay.draw(subject.run.minibatch, generator)
    unrelated = replay.draw(n_unrelated, generator)
    window = replay.window(minibatch, half_width)
    looked_at = torch.cat([window.index.flatten(), unrelated]).unique()
    return _Draw(minibatch, window, unrelated, looked_at)


@torch.no_grad()
def _td_targets(objective: BaseObjective, index: Tensor) -> Tensor:
    """Return the targets of the pointwise TD losses of the transitions `index`, [N]."""
    return torch.cat([objective.td_target(part) for part in index.split(_EVALUATION_BATCH)])


@torch.no_grad()
def _losses(objective: BaseObjective, index: Tensor, td_target: Tensor) -> Tensor:
    """Return the pointwise TD losses of the transitions `index` towards `td_target`, both [N]."""
    parts = zip(index.split(_EVALUATION_BATCH), td_target.split(_EVALUATION_BATCH), strict=True)
    return torch.cat(
        [
            objective.td_loss(objective.network(objective.replay.observation(part)), part, target)
            for part, target in parts
        ]
    )
