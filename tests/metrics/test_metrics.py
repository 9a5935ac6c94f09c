"""Metrics against slow twins, such as one autograd call per sample; and the files of all."""

import copy
import dataclasses
import itertools

import identities
import numpy as np
import pytest
import torch
from problems import replay_arrays, run_spec

from td_interference import metrics
from td_interference.errors import UserError
from td_interference.jobs.resume import ResumeState
from td_interference.metrics.measuring import measure_run
from td_interference.metrics.subject import Subject
from td_interference.planning.control import ControlSettings, window_name
from td_interference.planning.grid import RunSpec
from td_interference.storage import attributes, hdf5, kinds, seal
from td_interference.storage.checkpoints import merge_checkpoints, read_checkpoint, write_checkpoint
from td_interference.storage.identity import made_from, of_control, of_measurement, of_window
from td_interference.training import Trainer, train

SETTINGS = {
    "stiffness": {"anchors": 20, "anchors_per_segment": 10, "half_width": 6},
    "gain": {"minibatches": 3, "half_width": 4, "unrelated": 5},
    "singular_values": {},
    "sign_variance": {"segments": 6, "steps_per_segment": 12, "window": 5},
    "function_interference": {"samples": 12},
    "second_order": {"minibatch": 3, "second_term_factor": 1},
    "momentum": {"minibatch": 3},
    "policy_score": {
        "episodes": 2,
        "n_environments": 2,
        "epsilon": 0.0,
        "repeat_action_probability": 0.25,
        "max_frames_per_episode": 80,
    },
}


@pytest.fixture(scope="module")
def subject(replay):
    """A run a few updates old, in the middle of training."""
    spec = run_spec(updates=30, frozen_period=10, checkpoints=(25,))
    trainer = Trainer(spec, replay)
    for _ in range(25):
        trainer.advance()
    return Subject(spec, trainer.objective, copy.deepcopy(trainer.checkpoint()))


def gradient(subject, transition, value):
    """∇value of one transition over all parameters, by one autograd call."""
    index = torch.tensor([transition])
    outputs = subject.objective.network(subject.replay.observation(index))
    parts = torch.autograd.grad(
        value(outputs, index).sum(), list(subject.objective.network.parameters())
    )
    return torch.cat([part.flatten() for part in parts]).double()


def test_stiffness_is_the_cosine_of_single_gradients(subject):
    measured = metrics.load("stiffness")(subject, SETTINGS["stiffness"])
    assert measured["offset"].tolist() == list(range(-6, 7))
    assert measured["cosine"].shape == (2, 10, 13)
    episode = subject.replay.episode
    for segment, first in enumerate(measured["first_anchor"]):
        for anchor, column in ((0, 0), (0, 7), (3, 6), (9, 12), (5, 1)):
            here = int(first) + anchor
            there = here + int(measured["offset"][column])
            cosine = measured["cosine"][segment, anchor, column]
            inside = 0 <= there < len(subject.replay) and episode[there] == episode[here]
            if not inside:
                assert np.isnan(cosine)
                continue
            a, b = (gradient(subject, t, subject.objective.loss) for t in (here, there))
            expected = (a @ b / (a.norm() * b.norm())).item()
            assert cosine == pytest.approx(expected, abs=1e-4)
    at_zero = measured["cosine"][:, :, 6]
    np.testing.assert_allclose(at_zero[~np.isnan(at_zero)], 1, atol=1e-5)


def test_small_steps_gain_learning_rate_times_interference(replay, subject):
    """The identity behind the paper: gain → α ρ as α shrinks (eq. 11 to 13), here for SGD."""
    spec = RunSpec.from_dict(
        {
            **subject.run.to_dict(),
            "optimizer": "sgd",
            "learning_rate": 1e-5,
            "weight_decay": 0.0,
            "minibatch": 1,
            "loss": "squared",
            "lambda_": 1.0,
        }
    )
    trainer = Trainer(spec, replay)
    objective = trainer.objective
    objective.synchronise()
    objective.network.double()

    def outputs(index):
        return objective.network(replay.observation(index).double())

    a, b = torch.tensor([10]), torch.tensor([12])
    single = {}
    for key, index in (("a", a), ("b", b)):
        loss = objective.loss(outputs(index), index).sum()
        single[key] = torch.autograd.grad(loss, list(objective.network.parameters()))
    interference = sum((x * y).sum() for x, y in zip(single["a"], single["b"], strict=True))
    before = objective.loss(outputs(a), a).item()
    with torch.no_grad():
        for parameter, step in zip(objective.network.parameters(), single["b"], strict=True):
            parameter -= spec.learning_rate * step
    gain = before - objective.loss(outputs(a), a).item()
    assert gain == pytest.approx(spec.learning_rate * interference.item(), rel=0.02)


def test_singular_values_are_those_of_the_matrix(subject):
    weight = subject.objective.network[-3].weight
    values = metrics.load("singular_values")(subject, {})["singular_value"]
    eigenvalues = torch.linalg.eigvalsh(weight.double() @ weight.double().T).flip(0)
    np.testing.assert_allclose(values**2, eigenvalues.detach(), rtol=1e-4, atol=1e-6)


def test_sign_variance_by_loops(subject):
    measured = metrics.load("sign_variance")(subject, SETTINGS["sign_variance"])
    objective, replay = subject.objective, subject.replay
    for first, value in zip(measured["first_anchor"], measured["sign_variance"], strict=True):
        index = torch.arange(int(first), int(first) + 12)
        with torch.no_grad():
            td_error = objective.td_error(objective.network(replay.observation(index)), index)
        signs = np.sign(td_error.numpy())
        variances = [np.var(signs[start : start + 5]) for start in range(8)]
        assert value == pytest.approx(np.mean(variances), abs=1e-6)


def test_function_interference_is_the_mean_over_pairs(subject):
    measured = metrics.load("function_interference")(subject, SETTINGS["function_interference"])
    index = subject.replay.draw(12, subject.generator("function_interference"))
    gradients = [
        gradient(subject, t, lambda outputs, _: outputs.max(dim=1).values) for t in index.tolist()
    ]
    pairs = [a @ b for i, a in enumerate(gradients) for j, b in enumerate(gradients) if i != j]
    mean = measured["function_interference"].mean()
    assert mean == pytest.approx(torch.stack(pairs).mean().item(), rel=1e-4)
    norms = [float(g @ g) for g in gradients]
    np.testing.assert_allclose(measured["squared_norm"], norms, rtol=1e-4)


@pytest.fixture(scope="module")
def trained(subject, replay_path, tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    """A run that every metric can be measured of."""
    other = {"objective": "q_learning", "lambda_": None, "optimizer": "momentum_sgd"}
    steps = {"updates": 4, "checkpoints": [2, 4]}
    spec = RunSpec.from_dict({**subject.run.to_dict(), **other, **steps})
    train(
        spec,
        replay_path,
        directory / "checkpoints.h5",
        directory / "curve.csv",
        directory / "state",
        identity=identities.of_run(spec),
        device=torch.device("cpu"),
        resume_interval=60,
    )
    return spec, directory / "checkpoints.h5"


@pytest.mark.parametrize("which", ["all", "last"])
@pytest.mark.parametrize("metric", SETTINGS)
def test_every_metric_writes_its_table(trained, replay_path, tmp_path, metric, which):
    spec, checkpoints = trained
    settings = {**SETTINGS[metric], "checkpoints": which}
    measure_run(
        metric,
        settings,
        spec,
        replay_path,
        checkpoints,
        tmp_path / "m.h5",
        wanted=identities.of_run(spec),
        code="c0de",
        device=torch.device("cpu"),
    )
    read = hdf5.read(tmp_path / "m.h5", kinds.MEASUREMENTS[metric])
    assert read["update_step"].tolist() == ([2, 4] if which == "all" else [4])
    with hdf5.opened(tmp_path / "m.h5") as file:
        found = attributes.identity_of(file)
    expected = of_measurement(metric, settings, "c0de", identities.of_run(spec))
    inputs = seal.sealed_digest(checkpoints), seal.sealed_digest(replay_path)
    expected = made_from(expected, checkpoints=inputs[0], replay=inputs[1])
    assert found == expected and found["name"] == f"{metric} of the run {spec.run_id}"


def test_control_is_measured_on_the_window_of_each_checkpoint(trained, arrays, tmp_path):
    """As a run from a D* that is this window."""
    spec, checkpoints = trained
    settings = {**SETTINGS["function_interference"], "checkpoints": "all"}
    control = ControlSettings("ms_pacman", hidden=spec.hidden, optimizer=spec.optimizer)
    play = {step: replay_arrays(seed=step) for step in (2, 4)}

    def measured(run, path, checkpoints):
        arguments = settings, run, path, checkpoints, tmp_path / "m.h5"
        measure_run("function_interference", *arguments, wanted=None, device=torch.device("cpu"))
        return hdf5.read(tmp_path / "m.h5", kinds.MEASUREMENTS["function_interference"])

    windows, digests = tmp_path / "windows", {}
    for step, values in play.items():
        path = windows / window_name(step)
        hdf5.write(path, kinds.REPLAY, values, of_window(of_control(control), step))
        digests[str(step)] = seal.sealed_digest(path)
    parts = []
    for step in play:
        parts.append(tmp_path / f"part-{step}.h5")
        write_checkpoint(parts[-1], read_checkpoint(checkpoints, step), of_control(control))
    merged = tmp_path / "control.h5"
    merge_checkpoints(merged, parts, of_control(control), {"windows": digests})
    own = measured(control, windows, merged)["function_interference"]
    for place, step in enumerate((2, 4)):
        replay = tmp_path / f"{step}.h5"
        hdf5.write(replay, kinds.REPLAY, play[step], identities.of_replay())
        identity = made_from(identities.of_run(spec), replay=seal.sealed_digest(replay))
        alone = tmp_path / f"alone-{step}.h5"
        write_checkpoint(alone, read_checkpoint(checkpoints, step), identity)
        spec = dataclasses.replace(control.measured_as, seed=control.seed)
        expected = measured(spec, replay, alone)["function_interference"]
        np.testing.assert_array_equal(own[place], expected[0])
        assert not np.array_equal(own[1 - place], expected[0])


@pytest.mark.parametrize("saves", [1, 2, 3])
def test_a_killed_measurement_goes_on_at_the_next_checkpoint(
    replay_path, tmp_path, monkeypatch, saves
):
    spec, checkpoints = run_spec(updates=3, checkpoints=(1, 2, 3)), tmp_path / "checkpoints.h5"
    paths = checkpoints, tmp_path / "curve.csv", tmp_path / "training"
    train(
        spec,
        replay_path,
        *paths,
        identity=identities.of_run(spec),
        device=torch.device("cpu"),
        resume_interval=60,
    )
    looked_at = []

    def measured(name):
        looked_at.clear()
        measure_run(
            "function_interference",
            {**SETTINGS["function_interference"], "checkpoints": "all"},
            spec,
            replay_path,
            checkpoints,
            tmp_path / name,
            wanted=identities.of_run(spec),
            device=torch.device("cpu"),
            state_directory=tmp_path / f"state of {name}",
            resume_interval=0,
        )
        return (tmp_path / name).read_bytes()

    measure = metrics.load("function_interference")

    def watched(subject, settings):
        looked_at.append(subject.checkpoint.update_step)
        return measure(subject, settings)

    monkeypatch.setattr(metrics, "load", lambda name: watched)
    whole = measured("whole.h5")
    assert looked_at == [1, 2, 3]
    save, count = ResumeState.save, itertools.count(1)

    def save_and_die(self, state):
        save(self, state)
        if next(count) == saves:
            raise KeyboardInterrupt

    monkeypatch.setattr(ResumeState, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        measured("resumed.h5")
    monkeypatch.setattr(ResumeState, "save", save)
    assert measured("resumed.h5") == whole
    assert looked_at == [1, 2, 3][saves:]


def test_checkpoints_of_another_network_are_refused(trained, replay_path, tmp_path):
    spec, checkpoints = trained
    wider = RunSpec.from_dict({**spec.to_dict(), "hidden": 4})
    with pytest.raises(UserError, match=r"checkpoints\.h5: holds another network"):
        measure_run(
            "singular_values",
            {"checkpoints": "all"},
            wider,
            replay_path,
            checkpoints,
            tmp_path / "m.h5",
            wanted=None,
            device=torch.device("cpu"),
        )
    assert not (tmp_path / "m.h5").exists()


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("momentum", r"^c\.h5: 'momentum' is measured of runs with momentum_sgd"),
        ("second_order", r"^c\.h5: 'second_order' knows targets of one step"),
    ],
)
def test_a_run_that_a_metric_is_not_of_is_refused_before_a_file_is_opened(metric, said, tmp_path):
    settings = {"checkpoints": "all", **SETTINGS[metric]}
    with pytest.raises(UserError, match=said):
        measure_run(
            *(metric, settings, run_spec(), "d.h5", "c.h5", tmp_path / "m.h5"),
            wanted=None,
            device=torch.device("cpu"),
        )
    assert not list(tmp_path.iterdir())
