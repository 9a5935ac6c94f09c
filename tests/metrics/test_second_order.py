"""The second-order metrics through finite differences: ρ itself, before and after a real step."""

import dataclasses

import numpy as np
import pytest
import torch
from problems import replay_arrays, run_spec
from subjects import DoubleReplay, drawing, subject_of, trainer_of

from td_interference import metrics
from td_interference.errors import UserError

LENGTHS = np.array([12, 9, 14])  # agent steps; the second episode is truncated
TERMINAL, TRUNCATED = 11, 20  # last steps of the first two episodes
DRAWN = [TERMINAL, TRUNCATED, 3, 15, 4]
N = len(DRAWN)
INDEX = torch.tensor(DRAWN)
STEP = 1e-6  # of central differences, small enough that few units cross their kinks
LAMBDAS = {"td_lambda": 0.0}


def subject_for(objective, **over):
    settings = {"loss": "squared", "weight_decay": 0.0, "frozen_period": 5, **over}
    settings = {"lambda_": LAMBDAS.get(objective), **settings}
    run = run_spec(objective=objective, **settings)
    return drawing(
        subject_of(trainer_of(run, DoubleReplay(replay_arrays(LENGTHS)), updates=8)), DRAWN
    )


def measure(metric, subject, **settings):
    return metrics.load(metric)(subject, {"minibatch": N, **settings})


def prediction(subject):
    objective = subject.objective
    return objective.prediction(objective.network(subject.replay.observation(INDEX)), INDEX)


def gradients(subject):
    """∇f of each transition, [N, parameters], one by one."""
    parameters = list(subject.objective.network.parameters())
    rows = []
    for value in prediction(subject):
        parts = torch.autograd.grad(value, parameters, retain_graph=True)
        rows.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(rows)


def own_delta(subject):
    """δ towards the objective's own target, [N]: its sign is prediction minus target."""
    return prediction(subject).detach() - subject.objective.target(INDEX)


def moving_part(subject):
    """What of δ moves with the network, [N]: f, less γ times the online successor's value."""
    network, replay, objective = subject.objective.network, subject.replay, subject.objective
    with torch.no_grad():
        f = prediction(subject)
        if objective.run.objective in ("monte_carlo", "expert_q", "td_star"):
            return f
        outputs = network(replay.next_observation(INDEX))
        successor = outputs[:, 0] if objective.run.objective == "td_lambda" else outputs.amax(1)
        return f - objective.run.gamma * torch.where(replay.terminated[INDEX], 0, successor)


def slope(subject, quantity, direction):
    """d quantity() / dα at α = 0 as the network moves by α times `direction`."""
    parameters = list(subject.objective.network.parameters())
    values = []
    for step in (STEP, -STEP):
        with torch.no_grad():
            flat = torch.nn.utils.parameters_to_vector(parameters)
            torch.nn.utils.vector_to_parameters(flat + step * direction, parameters)
        values.append(quantity())
        subject.restore_network()
    return (values[0] - values[1]) / (2 * STEP)


def assert_close(found, expected):
    assert found.shape == expected.shape == (N, N)
    error = np.abs(found - expected.numpy()).max()
    assert error < 1e-6 * expected.abs().max().item()


@pytest.mark.parametrize(
    "objective", ["td_lambda", "q_learning", "q_learning_ema", "q_learning_online", "monte_carlo"]
)
def test_terms_are_finite_differences(objective):
    """ρ_AB = δ_A δ_B g_AB: each term is the change of one factor after descent at B."""
    subject = subject_for(objective)
    measured = measure("second_order", subject)
    assert measured["transition"].tolist() == DRAWN
    delta, at_start = own_delta(subject), moving_part(subject)
    np.testing.assert_allclose(measured["delta"], delta, rtol=1e-9)

    g = gradients(subject)
    moved, turned = [], []
    for b in range(N):
        descent = -delta[b] * g[b]
        moved.append(slope(subject, lambda: delta + moving_part(subject) - at_start, descent))
        turned.append(
            slope(subject, lambda b=b: gradients(subject) @ gradients(subject)[b], descent)
        )
    moved, turned, gram = torch.stack(moved, 1), torch.stack(turned, 1), g @ g.T
    assert_close(measured["r1"], -moved * delta * gram)
    assert_close(measured["r2"], -moved.diagonal() * delta[:, None] * gram)
    assert_close(measured["r3"], -delta[:, None] * delta * turned)


def test_the_successor_moves_as_it_does_in_the_networks_own_target():
    """Without a frozen network nothing is assumed: ρ of the objective's own δ, differentiated."""
    subject = subject_for("q_learning_online")
    terms = measure("second_order", subject)
    g, delta = gradients(subject), own_delta(subject)

    def interference(b):
        now, rows = own_delta(subject), gradients(subject)
        return now * now[b] * (rows @ rows[b])

    columns = [slope(subject, lambda b=b: interference(b), -delta[b] * g[b]) for b in range(N)]
    assert_close(-terms["r1"] - terms["r2"] - terms["r3"], torch.stack(columns, 1))


def test_the_printed_factor_doubles_the_second_term_of_regressions_alone():
    for objective, factor in (("monte_carlo", 2), ("q_learning", 1)):
        subject = subject_for(objective)
        one = measure("second_order", subject)
        two = measure("second_order", subject, second_term_factor=2)
        np.testing.assert_allclose(two["r2"], factor * one["r2"], rtol=1e-12)
        np.testing.assert_array_equal(two["r1"], one["r1"])


def test_the_runs_loss_does_not_matter():
    subject = subject_for("q_learning")
    capped = subject.objective.__class__(
        dataclasses.replace(subject.run, loss="capped"), subject.replay
    )
    capped.network.double(), capped.frozen_network.double()
    capped.restore(subject.checkpoint.parameters, subject.checkpoint.frozen_parameters)
    other = drawing(subject._replace(objective=capped), DRAWN)
    one, two = measure("second_order", subject), measure("second_order", other)
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


def test_lambda_above_zero_is_refused():
    subject = subject_for("td_lambda", lambda_=0.5)
    with pytest.raises(UserError, match=r"td_lambda0\.5-.*: 'second_order' .*'lambdas' is 0"):
        measure("second_order", subject)


def test_momentum_is_that_of_a_step_really_taken():
    """The run's own optimizer steps on B alone: losses fall by ρ_μ, and ρ_μ changes by ρ'_μ."""
    beta = 0.8
    subject = subject_for("q_learning", optimizer="momentum_sgd", momentum=beta)
    measured = measure("momentum", subject)
    assert measured["transition"].tolist() == DRAWN
    objective = subject.objective
    delta, g = own_delta(subject), gradients(subject)

    def after_step(b, alpha):
        """Loss and plain interference after θ' = θ - α m, by PyTorch's step on transition B."""
        optimizer = subject.optimizer()
        for group in optimizer.param_groups:
            group["lr"] = alpha * (1 - beta) / 2  # the run's loss is 2 J
        index = INDEX[b : b + 1]
        loss = objective.loss(objective.network(subject.replay.observation(index)), index).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        now, rows = own_delta(subject), gradients(subject)
        buffer = subject.checkpoint.optimizer
        mu = torch.cat([buffer[n]["momentum_buffer"].flatten() for n in sorted(buffer)])
        mu = mu * (1 - beta) / 2
        interference = (1 - beta) * now * now[b] * (rows @ rows[b]) + beta * now * (rows @ mu)
        subject.restore_network()
        return now.square() / 2, interference

    fall, change, plain = [], [], []
    for b in range(N):
        (loss_after, rho_after), (loss_before, rho_before) = (
            after_step(b, alpha) for alpha in (STEP, -STEP)
        )
        fall.append((loss_before - loss_after) / (2 * STEP))
        change.append((rho_after - rho_before) / (2 * STEP))

        def interference(b=b):
            now, rows = own_delta(subject), gradients(subject)
            return now * now[b] * (rows @ rows[b])

        plain.append(slope(subject, interference, -delta[b] * g[b]))
    assert_close(measured["momentum_interference"], torch.stack(fall, 1))
    assert_close(measured["momentum_change"], torch.stack(change, 1))
    assert_close(measured["interference"], delta[:, None] * delta * (g @ g.T))
    assert_close(measured["change"], torch.stack(plain, 1))


def test_momentum_along_the_gradient():
    """Eq. 21, its first sign corrected: ρ_μ after a step of plain descent at B."""
    subject = subject_for("monte_carlo", optimizer="momentum_sgd", momentum=0.6)
    measured = measure("momentum", subject)
    buffer = subject.checkpoint.optimizer
    mu = 0.2 * torch.cat([buffer[n]["momentum_buffer"].flatten() for n in sorted(buffer)])
    delta, g = own_delta(subject), gradients(subject)

    def interference(b):
        now, rows = own_delta(subject), gradients(subject)
        return 0.4 * now * now[b] * (rows @ rows[b]) + 0.6 * now * (rows @ mu)

    columns = [slope(subject, lambda b=b: interference(b), -delta[b] * g[b]) for b in range(N)]
    assert_close(measured["momentum_change_along_gradient"], torch.stack(columns, 1))


def test_momentum_is_refused_of_targets_that_move():
    with pytest.raises(UserError, match="q_learning_online move with"):
        measure("momentum", subject_for("q_learning_online", optimizer="momentum_sgd"))


def test_measuring_does_not_train():
    subject = subject_for("q_learning", optimizer="momentum_sgd")
    for metric in ("second_order", "momentum"):
        measure(metric, subject)
        for name, tensor in subject.objective.network.state_dict().items():
            assert torch.equal(tensor, subject.checkpoint.parameters[name])
