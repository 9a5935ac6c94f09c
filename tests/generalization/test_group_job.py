"""The job of a group: rows, kept parameters, and a killed job that goes on with the same bits."""

import numpy as np
import pytest
import torch
from cells import cell_spec
from checkpoint_files import checkpoint_steps
from stages import left_behind

from td_interference.datasets.prepare import prepare_dataset
from td_interference.errors import UserError
from td_interference.generalization import group_job
from td_interference.generalization.group_job import make_training, train_group
from td_interference.jobs.resume import ResumeState
from td_interference.planning.learners import settings_record
from td_interference.storage import hdf5, kinds
from td_interference.storage.checkpoints import read_checkpoint

DoubleDQNSettings = settings_record("double_dqn")
ReinforceSettings = settings_record("reinforce")

CPU = torch.device("cpu")
SHARED = {"samples": 5, "evaluation_samples": 9, "seeds": (0, 1), "hidden": 2, "extra_layers": 0}
REGRESSION = [
    cell_spec(**SHARED, dataset="diabetes", n_train=size, updates=60, measure_every=20)
    for size in (5, 40)
]
IMAGES = {**SHARED, "dataset": "digits", "n_train": 20}
GROUPS = {
    "regression": REGRESSION,
    "classification": [
        cell_spec(**IMAGES, task="classification", updates=6, measure_every=2),
    ],
    "double_dqn": [
        cell_spec(
            **IMAGES,
            task="double_dqn",
            agent_steps=120,
            measure_every=40,
            agent=DoubleDQNSettings(
                learning_starts=20, replay_capacity=60, epsilon_decay_steps=50, n_environments=4
            ),
        )
    ],
    "reinforce": [
        cell_spec(
            **IMAGES,
            task="reinforce",
            agent_steps=120,
            measure_every=40,
            minibatch=30,
            agent=ReinforceSettings(n_environments=4),
        )
    ],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name in ("digits", "diabetes"):
        prepare_dataset(name, {}, folder / f"{name}.h5")
    return folder


def train(kind, data, folder, **over):
    cells = GROUPS[kind]
    outputs = folder / "runs.h5", folder / "parameters.h5"
    settings = {"device": CPU, "resume_interval": 1e9, **over}
    path = data / f"{cells[0].dataset}.h5"
    train_group(kind, cells, path, folder / "state", *outputs, **settings)
    return hdf5.read(outputs[0], kinds.GENERALIZATION)


def assert_equal(ours, theirs):
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array, err_msg=name)


class KilledError(Exception):
    """As if the machine had gone down."""


@pytest.mark.parametrize("kind", GROUPS)
@pytest.mark.parametrize("saves_before_the_kill", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_killed_job_goes_on_with_the_same_bits(
    kind, saves_before_the_kill, data, tmp_path, monkeypatch
):
    """Killed at its n-th save: before the first measurement, and between two later ones."""
    monkeypatch.setattr(group_job, "_STEPS_AT_ONCE", {"classification": 1}.get(kind, 16))
    whole = train(kind, data, tmp_path / "whole")
    saves = []
    save = ResumeState.save

    def save_and_die(self, state):
        save(self, state)
        saves.append(state["training"])
        if len(saves) == saves_before_the_kill:
            raise KilledError

    monkeypatch.setattr(ResumeState, "save", save_and_die)
    with pytest.raises(KilledError):
        train(kind, data, tmp_path / "killed", resume_interval=0)
    assert not (tmp_path / "killed" / "runs.h5").exists()
    monkeypatch.setattr(ResumeState, "save", save)

    started_at = []
    made = group_job.make_training

    def make(*arguments):
        training = made(*arguments)
        load = training.load_state_dict
        training.load_state_dict = lambda state: (load(state), started_at.append(1))
        return training

    monkeypatch.setattr(group_job, "make_training", make)
    resumed = train(kind, data, tmp_path / "killed")
    assert started_at == [1]
    assert_equal(resumed, whole)
    assert not left_behind(tmp_path / "killed" / "state")
    steps = checkpoint_steps(tmp_path / "whole" / "parameters.h5")
    for step in steps:
        kept = [
            read_checkpoint(tmp_path / which / "parameters.h5", step).parameters
            for which in ("whole", "killed")
        ]
        assert all(torch.equal(kept[1][name], tensor) for name, tensor in kept[0].items())


def test_rows_are_those_of_the_training(data, tmp_path):
    """In the order of steps, then cells, then seeds; and only the measured steps."""
    arrays = train("regression", data, tmp_path)
    training = make_training(REGRESSION, data / "diabetes.h5", CPU)
    expected = []
    for _ in range(3):
        training.advance(20)
        expected += training.measure()
    assert arrays["update_step"].tolist() == [20] * 4 + [40] * 4 + [60] * 4
    assert arrays["n_train"].tolist() == [5, 5, 40, 40] * 3
    for name, ours in arrays.items():
        theirs = [row[name] for row in expected]
        assert (ours.astype(str) if ours.dtype.kind == "S" else ours).tolist() == theirs


def test_kept_parameters_are_those_that_were_measured(data, tmp_path):
    train("classification", data, tmp_path)
    path = tmp_path / "parameters.h5"
    assert checkpoint_steps(path) == [2, 4, 6]
    training = make_training(GROUPS["classification"], data / "digits.h5", CPU)
    training.advance(4)
    kept = read_checkpoint(path, 4).parameters
    for run, network in enumerate(training.networks):
        for name, tensor in network.state_dict().items():
            assert torch.equal(kept[name][run], tensor)
    attributes = hdf5.read_attributes(path, kinds.CHECKPOINTS)
    assert attributes["run_ids"] == list(GROUPS["classification"][0].run_ids)
    assert attributes["n_parameters"] == sum(p.numel() for p in training.networks[0].parameters())


def test_nothing_is_kept_unasked(data, tmp_path):
    path, state, file = data / "diabetes.h5", tmp_path / "state", tmp_path / "runs.h5"
    train_group("g", REGRESSION, path, state, file, device=CPU, resume_interval=1e9)
    assert {path.name for path in tmp_path.iterdir()} == {"runs.h5", "state"}
    assert not left_behind(state)


def test_the_table_describes_its_fields():
    for field in kinds.GENERALIZATION.fields.values():
        assert field.dimensions == ("row",) and field.description


def test_the_wrong_kind_of_data_is_one_line(data, tmp_path):
    with pytest.raises(UserError, match=r"digits\.h5: holds images, but regression is needed"):
        make_training(REGRESSION, data / "digits.h5", CPU)
