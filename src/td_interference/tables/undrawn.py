"""Plain means that no figure draws: what figures claim as numbers, and sums of other metrics."""

MEANS = {
    # Figure 5 near 0.
    "stiffness_nearby_by_lambda": {
        "metric": "stiffness",
        "field": "cosine",
        "over": [[1, 5]],
        "experiments": ["td_lambda"],
        "by": ["lambda"],
    },
    "sign_variance_by_lambda": {
        "metric": "sign_variance",
        "field": "sign_variance",
        "experiments": ["td_lambda"],
        "by": ["lambda"],
    },
    "function_interference_by_lambda": {
        "metric": "function_interference",
        "field": "function_interference",
        "experiments": ["td_lambda"],
        "by": ["lambda"],
    },
    # Figure 3 at 0, near it and far away.
    "gain_nearby_by_objective": {
        "metric": "gain",
        "parts": {
            "offset 0": {"field": "gain", "over": [[0, 0]]},
            "offsets 1 to 10": {"field": "gain", "over": [[-10, -1], [1, 10]]},
            "unrelated": {"field": "gain_unrelated"},
        },
        "experiments": ["regression"],
        "by": ["objective"],
        "games": "together",
    },
    # Figures 4 and 10, the same.
    "gain_nearby_by_optimizer": {
        "metric": "gain",
        "parts": {
            "offset 0": {"field": "gain", "over": [[0, 0]]},
            "offsets 1 to 10": {"field": "gain", "over": [[-10, -1], [1, 10]]},
            "unrelated": {"field": "gain_unrelated"},
        },
        "experiments": ["policy_evaluation", "control"],
        "by": ["experiment", "optimizer"],
        "games": "together",
    },
}
