"""Gain at each checkpoint of the runs whose gain is followed over training (paper, figure 14)."""

METRIC = {
    "variant_of": "gain",
    "about": "as gain, of the runs whose gain is followed over training (figure 14)",
    "checkpoints": "all",
}
