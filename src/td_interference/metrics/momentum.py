"""Momentum: interference and its change under SGD with momentum (paper, section 6.1)."""

from torch import Tensor

from td_interference.errors import UserError
from td_interference.gradients.second_order import momentum_terms, regression_terms
from td_interference.metrics import Settings
from td_interference.metrics.second_order import drawn_pairs
from td_interference.metrics.subject import Subject
from td_interference.storage.hdf5 import Arrays

METRIC = {
    "title": "Interference and its change under momentum SGD",
    "source": "paper, section 6.1",
    "about": "interference under momentum for all pairs of a minibatch",
    "formula": "ρ_μ (eq. 20), ρ'_μ (eq. 21, its sign corrected) beside ρ and ρ' (eq. 14)",
    "departures": [
        "μ is (1 - β)/2 of PyTorch's buffer, of the run's loss δ² with its cap and weight decay.",
    ],
    "version": 3,
    "checkpoints": "all",
    "fields": {
        "transition": {
            "dtype": "int64",
            "dimensions": ["sample_a"],
            "unit": "transition",
            "description": "row of D* of each sample",
        },
        "interference": {
            "dtype": "float32",
            "dimensions": ["sample_a", "sample_b"],
            "unit": "1",
            "description": "rho = grad J_A . grad J_B, for J = delta^2 / 2, as all here",
        },
        "change": {
            "dtype": "float32",
            "dimensions": ["sample_a", "sample_b"],
            "unit": "1",
            "description": "rho', its derivative along -grad J_B",
        },
        "momentum_interference": {
            "dtype": "float32",
            "dimensions": ["sample_a", "sample_b"],
            "unit": "1",
            "description": "rho_mu (eq. 20)",
        },
        "momentum_change": {
            "dtype": "float32",
            "dimensions": ["sample_a", "sample_b"],
            "unit": "1",
            "description": "rho'_mu along the momentum update (eq. 19)",
        },
        "momentum_change_along_gradient": {
            "dtype": "float32",
            "dimensions": ["sample_a", "sample_b"],
            "unit": "1",
            "description": "rho'_mu along -grad J_B (eq. 21, corrected)",
        },
    },
    "settings": {
        "minibatch": {
            "minimum": 2,
            "default": 32,
            "description": "transitions whose pairs are taken",
        },
    },
    "measurable": [
        {
            "key": "run.optimizer",
            "equals": "momentum_sgd",
            "otherwise": "'momentum' is measured of runs with momentum_sgd in 'optimizers', not of "
            "{of.run.optimizer}",
        },
        {
            "key": "run.momentum",
            "above": 0,
            "otherwise": "'momentum' is measured of runs with 'momentum' above 0",
        },
        {
            "key": "objective.target_moves",
            "equals": False,
            "otherwise": "'momentum' needs targets that no update moves, unlike those of "
            "{of.run.objective}",
        },
    ],
    "copies": 8,
}


def measure(subject: Subject, settings: Settings) -> Arrays:
    """Return ρ, ρ', ρ_μ and ρ'_μ for all pairs of some transitions of D*.

    All are of J = δ²/2, for the objective's own targets, which no update moves. ρ_μ and ρ'_μ
    (eq. 20 and 21, see `gradients.second_order.momentum_terms`) are of an update at B alone with
    the momentum that the run has gathered; the paper's ρ'_μ is along a step of plain descent.

    Args:
        subject: The checkpoint, of a run with momentum SGD.
        settings: "minibatch", how many transitions to draw.

    Returns:
        "transition" [N]; "interference", ρ_AB; "change", ρ'_AB; "momentum_interference", ρ_μ;
        "momentum_change", ρ'_μ along the momentum update; "momentum_change_along_gradient", ρ'_μ
        along -∇J_B; all [N, N], row A, column B: the update is at B.

    Raises:
        UserError: If the targets of an objective of the user's own move with the network.
    """
    momentum = run_momentum(subject)
    objective = subject.objective
    if objective.bootstraps and objective.td_target_moves:
        raise UserError(
            f"{subject.run.run_id}: 'momentum' needs targets that no update moves, and those of "
            f"{subject.run.objective} move with the network; measure another of 'objectives'"
        )
    index, delta, pairs = drawn_pairs(subject, settings.minibatch, "momentum")
    terms = momentum_terms(pairs, delta, momentum=momentum, beta=subject.run.momentum)
    measured = {
        "interference": delta[:, None] * delta * pairs.gram,
        "change": regression_terms(pairs, delta).change,
        "momentum_interference": terms.interference,
        "momentum_change": terms.change,
        "momentum_change_along_gradient": terms.change_along_gradient,
    }
    return {
        "transition": index.cpu().numpy(),
        **{name: matrix.cpu().numpy() for name, matrix in measured.items()},
    }


def run_momentum(subject: Subject) -> dict[str, Tensor]:
    """Return μ, the moving average of gradients of J = δ²/2, of each parameter by name.

    PyTorch's buffer is b <- β b + g, so (1 - β) b is the average of eq. 18. There g is the gradient
    of the run's loss, which is δ² = 2 J where |δ| <= 1: hence a half, and hence the run's step is
    α m with α = 2 · learning rate / (1 - β). What is not J's stays in μ: the slope of the capped
    loss beyond |δ| = 1, where it is 1 and not 2 |δ|, and weight decay.
    """
    run, network = subject.run, subject.objective.network
    return {
        name: (1 - run.momentum) / 2 * subject.checkpoint.optimizer[n]["momentum_buffer"].to(weight)
        for n, (name, weight) in enumerate(network.named_parameters())
    }
