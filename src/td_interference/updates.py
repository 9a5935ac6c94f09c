"""One optimizer step on a minibatch: what training repeats, and metrics take on trial."""

from collections.abc import Mapping

import torch

from td_interference.objectives.base import BaseObjective
from td_interference.optimizers import make_optimizer
from td_interference.planning.grid import RunSpec


def run_optimizer(run: RunSpec, network: torch.nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer that `run` trains `network` with."""
    return make_optimizer(
        run.optimizer,
        network.parameters(),
        learning_rate=run.learning_rate,
        weight_decay=run.weight_decay,
        momentum=run.momentum,
    )


def update(
    objective: BaseObjective, optimizer: torch.optim.Optimizer, index: torch.Tensor
) -> torch.Tensor:
    """Take one optimizer step on the mean pointwise loss of the transitions `index`.

    Args:
        objective: Network and targets.
        optimizer: Over the network's parameters.
        index: The minibatch, int64 [N].

    Returns:
        Loss, prediction and target before the step, each the mean over the minibatch; [3].
    """
    # Before the step, which moves the target of a network that bootstraps from itself; and once,
    # for it may cost a pass over the minibatch's successors.
    target = objective.target(index)
    outputs = objective.network(objective.replay.observation(index))
    loss = objective.loss(outputs, index, target).mean()
    with torch.no_grad():
        prediction = objective.prediction(outputs, index)
        before = torch.stack([loss, prediction.mean(), target.mean()])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return before


def restore_optimizer(
    optimizer: torch.optim.Optimizer, state: Mapping[int, Mapping[str, torch.Tensor]]
) -> None:
    """Put an optimizer where a checkpoint left it, so that its next step is the run's own.

    Args:
        optimizer: As `run_optimizer` makes it.
        state: Tensors by position of the parameter; not changed by later steps.
    """
    copies = {
        position: {name: tensor.clone() for name, tensor in tensors.items()}
        for position, tensors in state.items()
    }
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": copies, "param_groups": groups})
