"""Grids of the configuration: groups, stand-ins, sizes, and wrong keys."""

import json

import numpy as np
import pytest

from td_interference.datasets import known
from td_interference.errors import UserError
from td_interference.planning.cells import CellSpec
from td_interference.planning.generalization import CellGroup, expand_generalization

DATA = {
    "svhn": {"stand_in": "digits"},
    "cifar10": {"stand_in": "digits"},
    "sarcos": {"stand_in": "diabetes"},
}


def experiment(**over):
    settings = {
        "dataset": "digits",
        "task": "classification",
        "hidden": [2, 4],
        "extra_layers": [0, 1],
        "n_train": [20, 100],
        "n_seeds": 3,
        "learning_rate": 1e-3,
        "minibatch": 8,
        "updates": 20,
        "measure_every": 10,
        "samples": 4,
        "evaluation_samples": 4,
    }
    if over.get("task") in ("double_dqn", "reinforce"):
        settings["agent_steps"] = settings.pop("updates")
    return {**settings, **over}


def expand(datasets=DATA, **experiments):
    return expand_generalization({"experiments": experiments}, datasets)


def names(groups):
    return {group.name for group in groups.values()}


def test_images_have_a_job_for_each_cell_and_mlps_for_each_width_and_depth():
    groups = expand(images=experiment(), table=experiment(dataset="diabetes", task="regression"))
    assert len(groups) == 2 * 2 * 2 + 2 * 2
    cell = groups["digits-classification-lr0.001-h4-l1-n100"].cells[0]
    assert (cell.hidden, cell.extra_layers, cell.n_train, cell.seeds) == (4, 1, 100, (0, 1, 2))
    together = groups["diabetes-regression-lr0.001-h4-l1"].cells
    assert [cell.n_train for cell in together] == [20, 100]
    assert all(group.run_id == name for name, group in groups.items())


def test_the_dictionary_survives_json():
    agents = experiment(task="double_dqn", agent={"tau": 0.2, "learning_starts": 9})
    for group in expand(images=experiment(), agents=agents).values():
        described = json.loads(json.dumps(group.to_dict()))
        cells = tuple(map(CellSpec.from_dict, described.pop("cells")))
        assert CellGroup(**described, cells=cells) == group


def test_what_is_not_at_hand_is_stood_in_for_and_says_so():
    groups = expand(svhn_classification=experiment(dataset="svhn"))
    assert {(group.name, group.data, group.dataset) for group in groups.values()} == {
        ("digits_classification", "UCI digits", "digits")
    }
    downloaded = expand(
        {**DATA, "svhn": {"download": True}}, svhn_classification=experiment(dataset="svhn")
    )
    assert {(group.name, group.data, group.dataset) for group in downloaded.values()} == {
        ("svhn_classification", "SVHN", "svhn")
    }


def test_experiments_that_become_equal_are_one():
    """The first stands for both; one that asks for the stand-in itself, wherever, for all."""
    first, second = experiment(dataset="svhn"), experiment(dataset="cifar10", hidden=[8])
    both = expand(a=first, b=second)
    assert both == expand(a=first)
    assert expand(b=second, a=first) == expand(b=second)
    mine = experiment(hidden=[16])
    assert expand(a=first, b=second, mine=mine) == expand(mine=mine)
    kept = expand(a=first, other=experiment(dataset="cifar10", task="reinforce"))
    assert names(kept) == {"digits_classification", "digits_reinforce"}


def test_more_samples_than_there_are_means_all_of_them_once(tmp_path):
    groups = expand(a=experiment(n_train=[20, 1438, 5000, 50000], hidden=[2], extra_layers=[0]))
    assert [group.cells[0].n_train for group in groups.values()] == [20, 1438]
    path = tmp_path / "part.npz"
    np.savez(path, y_train=np.zeros(70), x_train=np.zeros((70, 2)))
    groups = expand(
        {"sarcos": {"path": str(path)}},
        s=experiment(dataset="sarcos", task="regression", n_train=[20, 100], hidden=[2]),
    )
    assert [cell.n_train for cell in next(iter(groups.values())).cells] == [20, 70]
    assert {group.data for group in groups.values()} == {"SARCOS, 70 rows"}


def test_data_of_ones_own(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, y_train=np.zeros(30, dtype=np.int64))
    own = {"mine": {"path": str(path), "kind": "images"}}
    groups = expand(own, a=experiment(dataset="mine"))
    assert {(group.data, group.cells[0].n_train) for group in groups.values()} == {
        ("mine, 30 images", 20),
        ("mine, 30 images", 30),
    }


def test_null_leaves_an_experiment_out():
    assert expand(a=experiment(), b=None) == expand(a=experiment())


@pytest.mark.parametrize(
    ("datasets", "over", "message"),
    [
        (DATA, {"dataset": "mnist"}, "'datasets.mnist': no data set of this name"),
        ({}, {"dataset": "svhn"}, "'datasets.svhn.path' to a local copy, 'datasets.svhn.download'"),
        ({"svhn": {"stand_in": "cifar10"}}, {"dataset": "svhn"}, "cifar10 is not at hand either"),
        ({"svhn": {"path": "absent.npz"}}, {"dataset": "svhn"}, "absent.npz: no such file"),
        (DATA, {"dataset": "diabetes"}, "diabetes is regression, and classification learns from"),
        (
            DATA,
            {"measure_every": 7},
            "'generalization.experiments.a.measure_every': 7 must divide the 20 updates",
        ),
        (DATA, {"agent": {"tau": 1}}, "classification has no such settings"),
        (DATA, {"task": "reinforce", "agent": {"tau": 1}}, "no such settings (tau)"),
    ],
)
def test_wrong_keys_are_named(datasets, over, message):
    with pytest.raises(UserError) as error:
        expand(datasets, a=experiment(**over))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_two_experiments_do_not_share_runs():
    with pytest.raises(UserError, match=r"experiments\.b': the runs digits-.* of the experiment a"):
        expand(a=experiment(), b=experiment(n_seeds=2))


@pytest.mark.parametrize("content", [b"not a zip", b""])
def test_a_copy_that_cannot_be_read_is_one_line(tmp_path, content):
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"'datasets\.svhn\.path': .*broken\.npz: no \.npz with"):
        expand({"svhn": {"path": str(path)}}, a=experiment(dataset="svhn"))


def test_sizes_of_the_registry_are_those_of_the_embedded_sets(tmp_path):
    from td_interference.datasets import load
    from td_interference.datasets.arrays import read_dataset
    from td_interference.datasets.prepare import prepare_dataset

    for entry in known().values():
        assert entry.embedded == (load(entry.name).FORMS == ())
        if entry.embedded:
            prepare_dataset(entry.name, {}, tmp_path / "data.h5")
            data = read_dataset(tmp_path / "data.h5", entry.kind)
            assert len(data.train.inputs) == entry.n_train
