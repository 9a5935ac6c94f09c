"""Singular values of the last hidden layer's weight matrix (paper, figures 12 and 13)."""

import torch

from td_interference.metrics import Settings
from td_interference.metrics.subject import Subject
from td_interference.networks.atari import last_hidden_layer
from td_interference.storage.hdf5 import Arrays

METRIC = {
    "title": "Singular values of the last hidden layer's weights, descending",
    "source": "paper, figures 12, 13",
    "about": "of the last hidden layer",
    "version": 3,
    "checkpoints": "all",
    "fields": {
        "singular_value": {
            "dtype": "float32",
            "dimensions": ["index"],
            "unit": "1",
            "description": "descending",
        },
    },
    "settings": {},
}


@torch.no_grad()
def measure(subject: Subject, settings: Settings) -> Arrays:
    """Return the singular values of the matrix (512 x 9216 in the paper), descending.

    Args:
        subject: The checkpoint.
        settings: None are needed.

    Returns:
        "singular_value" [smaller side of the matrix].
    """
    weight = last_hidden_layer(subject.objective.network).weight
    return {"singular_value": torch.linalg.svdvals(weight).cpu().numpy()}
