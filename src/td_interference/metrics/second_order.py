"""Second-order terms: how an update changes interference (paper, section 6, figure 7)."""

from functools import partial

from torch import Tensor

from td_interference.gradients import gram, per_sample_gradients
from td_interference.gradients.second_order import (
    ChangeTerms,
    PairProducts,
    pair_products,
    regression_terms,
    td_terms,
)
from td_interference.metrics import Settings
from td_interference.metrics.subject import Subject
from td_interference.storage.hdf5 import Arrays

METRIC = {
    "title": "Terms of rho' = -r1 - r2 - r3, the change of interference",
    "source": "paper, eq. 16, 17, figure 7",
    "about": "terms of the change of interference for all pairs of a minibatch",
    "formula": "ρ' = -r1 - r2 - r3: ρ'_reg (eq. 16), or ρ'_TD (eq. 17) of what bootstraps",
    "departures": [
        "r2 of regressions has the factor 1 of the derivative; eq. 16 prints 2.",
        "J = δ²/2, whatever loss the run trains with.",
        "All pairs of a minibatch, A = B among them.",
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
        "delta": {
            "dtype": "float32",
            "dimensions": ["sample_a"],
            "unit": "value",
            "description": "prediction minus target",
        },
        "r1": {
            "dtype": "float32",
            "dimensions": ["sample_a", "sample_b"],
            "unit": "1",
            "description": "delta_A changes; for J = delta^2 / 2, as r2 and r3",
        },
        "r2": {
            "dtype": "float32",
            "dimensions": ["sample_a", "sample_b"],
            "unit": "1",
            "description": "delta_B changes",
        },
        "r3": {
            "dtype": "float32",
            "dimensions": ["sample_a", "sample_b"],
            "unit": "1",
            "description": "the gradients of f turn",
        },
    },
    "settings": {
        "minibatch": {
            "minimum": 2,
            "default": 32,
            "description": "transitions whose pairs are taken",
        },
        "second_term_factor": {
            "enum": [1, 2],
            "default": 1,
            "description": "of r2 in regression: 1 as the derivative has it, 2 as eq. 16 prints it",
        },
    },
    "measurable": [
        {
            "key": "run.lambda_",
            "at_most": 0,
            "otherwise": "'second_order' knows targets of one step (eq. 17): 'lambdas' 0, not "
            "{of.run.lambda_:g}",
        },
    ],
    "copies": 8,
}


def measure(subject: Subject, settings: Settings) -> Arrays:
    """Return r1, r2 and r3 of ρ'_AB = -r1 - r2 - r3 for all pairs of some transitions of D*.

    f is the objective's prediction and δ = f - y with the objective's own target y, from whichever
    network. The terms are of J = δ²/2, whatever pointwise loss the run trains with: its factor and
    its cap are left out, as figure 7 compares what the targets do.

    An objective that bootstraps is measured by ρ'_TD (eq. 17), as if the value of S_{t+1} in its
    target were the online network's and moved with it: so does the paper for DQN, DDQN and QL
    alike. The others, regressions, are measured by ρ'_reg (eq. 16).

    Args:
        subject: The checkpoint.
        settings: "minibatch", how many transitions to draw, and "second_term_factor" of the r2 of
            regressions: 1 gives the derivative, 2 what eq. 16 prints.

    Returns:
        "transition" [N]; "delta" [N]; "r1", "r2" and "r3", [N, N], row A, column B: the update is
        at B.
    """
    index, delta, pairs = drawn_pairs(subject, settings.minibatch, "second_order")
    if subject.objective.bootstraps:
        terms = _td_terms(subject, index, pairs, delta)
    else:
        terms = regression_terms(pairs, delta, settings.second_term_factor)
    return {
        "transition": index.cpu().numpy(),
        "delta": delta.cpu().numpy(),
        **{name: term.cpu().numpy() for name, term in terms._asdict().items()},
    }


def drawn_pairs(subject: Subject, samples: int, metric: str) -> tuple[Tensor, Tensor, PairProducts]:
    """Return transitions of D*, int64 [N], their δ = prediction - target, [N], and their pairs."""
    replay, objective = subject.replay, subject.objective
    index = replay.draw(samples, subject.generator(metric))
    observation = replay.observation(index)
    delta = -objective.td_error(objective.network(observation), index).detach()
    pairs = pair_products(
        objective.network, observation, partial(objective.prediction, index=index)
    )
    return index, delta, pairs


def _td_terms(subject: Subject, index: Tensor, pairs: PairProducts, delta: Tensor) -> ChangeTerms:
    replay, objective = subject.replay, subject.objective
    successors = per_sample_gradients(
        objective.network, replay.next_observation(index), objective.successor_value
    )
    return td_terms(
        pairs,
        delta,
        successor_gram=gram(successors, pairs.gradients),
        terminated=replay.terminated[index],
        gamma=subject.run.gamma,
    )
