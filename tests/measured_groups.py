"""Made-up measurements of generalization experiments, as jobs of groups write them."""

import numpy as np

from td_interference.planning.generalization import expand_generalization
from td_interference.storage import kinds
from td_interference.tables.reduce import MeasuredGroup

SHARED = {
    "hidden": [2, 4, 8],
    "extra_layers": [0, 1],
    "n_train": [20, 100, 300],
    "n_seeds": 2,
    "learning_rate": 1e-3,
    "minibatch": 8,
    "measure_every": 10,
    "samples": 4,
    "evaluation_samples": 4,
}
EXPERIMENTS = {
    "images": {"dataset": "digits", "task": "classification", "updates": 20},
    "table": {"dataset": "diabetes", "task": "regression", "updates": 20},
    "values": {
        "dataset": "digits",
        "task": "double_dqn",
        "agent_steps": 20,
        "agent": {"learning_starts": 9},
    },
    "policies": {"dataset": "digits", "task": "reinforce", "agent_steps": 20},
}


def measured_groups(names=tuple(EXPERIMENTS), seed=0):
    """Return the groups of some experiments; numbers are noise, but gaps fall with n_T."""
    experiments = {name: {**SHARED, **EXPERIMENTS[name]} for name in names}
    groups = expand_generalization({"experiments": experiments}, {})
    generator = np.random.default_rng(seed)
    return [measured(group, generator) for group in groups.values()]


def measured(group, generator):
    rows = [
        (cell, run_id, seed, step)
        for step in (10, 20)
        for cell in group.cells
        for run_id, seed in zip(cell.run_ids, cell.seeds, strict=True)
    ]
    n_train = np.array([cell.n_train for cell, *_ in rows])
    arrays = {
        name: generator.lognormal(size=len(rows)).astype(field.dtype)
        for name, field in kinds.GENERALIZATION.fields.items()
        if field.dtype == "float64"
    }
    first = group.cells[0]
    agents = first.agent is not None
    arrays |= {
        "run_id": np.array([run_id for _, run_id, _, _ in rows], "S160"),
        "cell_id": np.array([cell.cell_id for cell, *_ in rows], "S160"),
        "dataset": np.array([first.dataset] * len(rows), "S160"),
        "task": np.array([first.task] * len(rows), "S160"),
        "hidden": np.full(len(rows), first.hidden),
        "extra_layers": np.full(len(rows), first.extra_layers),
        "n_train": n_train,
        "seed": np.array([seed for *_, seed, _ in rows]),
        # An agent may have done no update yet, or as many as before.
        "update_step": np.array([0 if agents else step for *_, step in rows]),
        "agent_step": np.array([step if agents else 0 for *_, step in rows]),
        "diverged": np.zeros(len(rows), bool),
        "generalization_gap": 1 / n_train + 0.01 * generator.normal(size=len(rows)),
    }
    ordered = {name: arrays[name] for name in kinds.GENERALIZATION.fields}
    return MeasuredGroup(group, ordered, 100 * first.hidden**2 * (1 + first.extra_layers))


def spoil(group, run, **values):
    """Return the group with some numbers of one run set differently at all its steps."""
    run_ids = list(dict.fromkeys(group.arrays["run_id"].tolist()))
    at = group.arrays["run_id"] == run_ids[run]
    arrays = {name: array.copy() for name, array in group.arrays.items()}
    for name, value in values.items():
        arrays[name][at] = value
    return group._replace(arrays=arrays)
