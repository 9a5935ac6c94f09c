"""Sign variance: how incoherent nearby TD errors are (paper, section 5.2, figure 6)."""

import torch

from td_interference.metrics import Settings
from td_interference.metrics.subject import Subject
from td_interference.storage.hdf5 import Arrays

METRIC = {
    "title": "Variance of sign(TD error) in windows of consecutive steps",
    "source": "paper, section 5.2",
    "about": "incoherence of nearby TD errors",
    "formula": "mean over windows of Var(sign δ), δ = target - prediction (section 5.2)",
    "departures": [
        "δ is of the objective's own target.",
    ],
    "version": 4,
    "checkpoints": "last",
    "fields": {
        "sign_variance": {
            "dtype": "float32",
            "dimensions": ["segment"],
            "unit": "1",
            "description": "mean over the windows of a segment",
        },
        "first_anchor": {
            "dtype": "int64",
            "dimensions": ["segment"],
            "unit": "transition",
            "description": "first anchor state of each segment",
        },
    },
    "settings": {
        "segments": {
            "minimum": 2,
            "default": 100,
            "description": "stretches of consecutive steps",
        },
        "steps_per_segment": {
            "minimum": 2,
            "default": 50,
            "unit": "agent steps",
            "description": "length of each",
            "within_episode": 0,
        },
        "window": {
            "minimum": 2,
            "default": 5,
            "unit": "agent steps",
            "description": "length of a window",
        },
    },
    "rules": [
        {
            "key": "window",
            "at_most": ["steps_per_segment"],
            "otherwise": "does not fit into the {of.steps_per_segment} of "
            "'metrics.sign_variance.steps_per_segment'",
        },
    ],
}


@torch.no_grad()
def measure(subject: Subject, settings: Settings) -> Arrays:
    """Return the variance of sign(δ) in windows of consecutive steps.

    The variance is that of the window's own values (divided by the window's length), 0 where all
    signs agree, at most 1; each segment's windows are averaged.

    Args:
        subject: The checkpoint.
        settings: "segments" to look at, their length "steps_per_segment", and the "window".

    Returns:
        "first_anchor" [segments] and "sign_variance" [segments].
    """
    replay, objective = subject.replay, subject.objective
    n_steps = settings.steps_per_segment
    first = replay.segments(settings.segments, n_steps, subject.generator("sign_variance"))
    variances = []
    for start in first:
        index = torch.arange(start, start + n_steps, device=replay.device)
        td_error = objective.td_error(objective.network(replay.observation(index)), index)
        windows = td_error.sign().unfold(0, settings.window, 1)
        variances.append(windows.var(dim=1, correction=0).mean())
    return {
        "first_anchor": first.cpu().numpy(),
        "sign_variance": torch.stack(variances).cpu().numpy(),
    }
