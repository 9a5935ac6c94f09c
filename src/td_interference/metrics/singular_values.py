"""Singular values of the last hidden layer's weight matrix (paper, figures 12 and 13)."""

from collections.abc import Mapping
from typing import Any

import torch

from td_interference.metrics.subject import Subject
from td_interference.networks.atari import last_hidden_layer
from td_interference.storage.hdf5 import Arrays


@torch.no_grad()
def measure(subject: Subject, settings: Mapping[str, Any]) -> Arrays:
    """Return the singular values of the matrix (512 x 9216 in the paper), descending.

    Args:
        subject: The checkpoint.
        settings: None are needed.

    Returns:
        "singular_value" [smaller side of the matrix].
    """
    weight = last_hidden_layer(subject.objective.network).weight
    return {"singular_value": torch.linalg.svdvals(weight).cpu().numpy()}
