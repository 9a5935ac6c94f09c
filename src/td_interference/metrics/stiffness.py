"""Stiffness: cosine between the loss gradients of nearby states (paper, section 5.1, figure 5)."""

from functools import partial

import numpy as np
import torch

from td_interference.gradients import cosines, per_sample_gradients, squared_norms
from td_interference.metrics import Settings
from td_interference.metrics.subject import Subject
from td_interference.storage.hdf5 import Arrays

METRIC = {
    "title": "Cosine between the loss gradients at S_t and S_{t+offset}",
    "source": "paper, figure 5",
    "about": "cosines between the gradients of nearby states",
    "formula": "cos(∇J(S_t), ∇J(S_{t+x})), ∇ over all parameters (section 5.1)",
    "departures": [
        "At the last checkpoint of a run, the end of a target period; the paper does not say when.",
        "Anchor states come in segments of consecutive ones, so that each gradient is taken once.",
    ],
    "version": 4,
    "checkpoints": "last",
    "fields": {
        "offset": {
            "dtype": "int64",
            "dimensions": ["offset"],
            "unit": "agent steps",
            "description": "distance in the trajectory, 0 = the sample",
        },
        "first_anchor": {
            "dtype": "int64",
            "dimensions": ["segment"],
            "unit": "transition",
            "description": "first anchor state of each segment",
        },
        "cosine": {
            "dtype": "float32",
            "dimensions": ["segment", "anchor", "offset"],
            "unit": "cosine",
            "description": "NaN across an episode's end and where a gradient is exactly 0; inf "
            "where the length of a gradient overflows",
            "may_lack": True,
        },
    },
    "settings": {
        "anchors": {
            "minimum": 1,
            "default": 2000,
            "description": "anchor states in all",
        },
        "anchors_per_segment": {
            "minimum": 1,
            "default": 20,
            "description": "consecutive anchor states in one segment",
            "within_episode": 0,
        },
        "half_width": {
            "minimum": 5,
            "default": 30,
            "unit": "agent steps",
            "description": "largest offset",
            "within_episode": 1,
        },
    },
    "rules": [
        {
            "key": "anchors",
            "multiple_of": ["anchors_per_segment"],
            "otherwise": "is no multiple of the {of.anchors_per_segment} of "
            "'metrics.stiffness.anchors_per_segment'; take {near}",
        },
    ],
}


def measure(subject: Subject, settings: Settings) -> Arrays:
    """Return cos(∇J(S_t), ∇J(S_{t+x})) over all parameters, for anchors S_t and offsets x.

    Anchors come in segments of consecutive states, whose windows overlap: each gradient is taken
    once and serves all the windows it stands in.

    Args:
        subject: The checkpoint.
        settings: "anchors" in all, "anchors_per_segment", and "half_width" of the windows.

    Returns:
        "offset" [2k + 1], "first_anchor" [segments], and "cosine" [segments, anchors of a segment,
        2k + 1], NaN across an episode's end and where a gradient is exactly zero, infinite where
        the squared length of a gradient overflows.
    """
    replay, objective = subject.replay, subject.objective
    half_width, n_anchors = settings.half_width, settings.anchors_per_segment
    n_segments = settings.anchors // n_anchors
    first_anchors = replay.segments(n_segments, n_anchors, subject.generator("stiffness"))
    measured = []
    for first in first_anchors.tolist():
        anchor = torch.arange(first, first + n_anchors, device=replay.device)
        window = replay.window(anchor, half_width)
        low, high = int(window.index.min()), int(window.index.max())
        index = torch.arange(low, high + 1, device=replay.device)
        gradients = per_sample_gradients(
            objective.network, replay.observation(index), partial(objective.loss, index=index)
        )
        # Through an infinite length, a cosine would pass for 0.
        overflow = ~squared_norms(gradients).isfinite()
        among_all = cosines(gradients).masked_fill(overflow[:, None] | overflow, torch.inf)
        cosine = among_all[(anchor - low)[:, None], window.index - low]
        measured.append(torch.where(window.valid, cosine, torch.nan).cpu().numpy())
    return {
        "offset": np.arange(-half_width, half_width + 1),
        "first_anchor": first_anchors.cpu().numpy(),
        "cosine": np.stack(measured),
    }
