"""Function interference: inner products of output gradients (paper, eq. 8)."""

from td_interference.gradients import gram, per_sample_gradients
from td_interference.metrics import Settings
from td_interference.metrics.subject import Subject
from td_interference.storage.hdf5 import Arrays

METRIC = {
    "title": "Inner products of output gradients, grad f(u) . grad f(v), u != v",
    "source": "paper, eq. 8",
    "about": "inner products of output gradients",
    "formula": "mean over u ≠ v of ∇f(u)·∇f(v), f the largest output (eq. 8)",
    "version": 3,
    "checkpoints": "last",
    "fields": {
        "function_interference": {
            "dtype": "float32",
            "dimensions": ["sample"],
            "unit": "1",
            "description": "mean over all v != u of one sample u; its mean is the mean over pairs",
            "of_pairs": True,
        },
        "squared_norm": {
            "dtype": "float32",
            "dimensions": ["sample"],
            "unit": "1",
            "description": "of grad f(u)",
        },
    },
    "settings": {
        "samples": {
            "minimum": 2,
            "default": 256,
            "description": "states to draw",
        },
    },
}


def measure(subject: Subject, settings: Settings) -> Arrays:
    """Return the mean of ∇f(u)·∇f(v) over all v != u, for states u and v drawn from D*.

    f is the network's largest output (paper, below eq. 8), so V itself where there is one output.

    Args:
        subject: The checkpoint.
        settings: "samples" to draw.

    Returns:
        "function_interference" [samples] and "squared_norm" [samples].
    """
    replay = subject.replay
    index = replay.draw(settings.samples, subject.generator("function_interference"))
    inner_products = gram(
        per_sample_gradients(
            subject.objective.network,
            replay.observation(index),
            lambda outputs: outputs.amax(dim=1),
        )
    )
    squared_norm = inner_products.diagonal()
    others = (inner_products.sum(dim=1) - squared_norm) / (len(index) - 1)
    return {
        "function_interference": others.cpu().numpy(),
        "squared_norm": squared_norm.cpu().numpy(),
    }
