"""Canonical files: read right, and as the libraries that others read them with."""

import numpy as np
import pytest
import sklearn.datasets
import torchvision
from dataset_files import (
    WRITERS,
    california_rows,
    known,
    write_california,
    write_cifar10,
    write_sarcos,
    write_svhn,
)
from sklearn.datasets import _california_housing

from td_interference import datasets
from td_interference.datasets import california, cifar10, digits, svhn
from td_interference.datasets.arrays import read_dataset
from td_interference.datasets.prepare import prepare_dataset
from td_interference.seeds import numpy_generator
from td_interference.storage import hdf5


def prepared(name, folder, **settings):
    """The data set as its HDF5 file holds it, read from the canonical files in `folder`."""
    output = folder / f"{name}.h5"
    prepare_dataset(name, {"path": str(folder), **settings}, output, forms=known(folder, name))
    return read_dataset(output, datasets.entry(name).kind)


def assert_split(split, inputs, targets):
    np.testing.assert_array_equal(split.inputs, inputs)
    np.testing.assert_array_equal(split.targets, targets)


def test_addresses_and_checksums_are_those_of_the_libraries():
    for split, file in (("train", svhn.TRAIN), ("test", svhn.TEST)):
        url, name, md5 = torchvision.datasets.SVHN.split_list[split]
        assert file == (name, url, f"md5:{md5}")
    theirs = torchvision.datasets.CIFAR10
    assert (theirs.filename, theirs.url, f"md5:{theirs.tgz_md5}") == cifar10.ARCHIVE
    archive = _california_housing.ARCHIVE
    assert (archive.filename, archive.url, f"sha256:{archive.checksum}") == california.ARCHIVE


def test_svhn(tmp_path, monkeypatch):
    written = write_svhn(tmp_path)
    data = prepared("svhn", tmp_path)
    assert data.test.targets.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert data.train.targets.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    # Image 4, row 5, column 6, blue.
    assert data.train.inputs[4, 2, 5, 6] == written["train"]["X"][5, 6, 2, 4]
    lists = {
        split: [file.url, file.name, file.checksum.removeprefix("md5:")]
        for split, file in zip(("train", "test"), known(tmp_path, "svhn")[0], strict=True)
    }
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", lists | {"extra": None})
    for split, ours in zip(("train", "test"), data, strict=True):
        theirs = torchvision.datasets.SVHN(tmp_path, split)
        assert_split(ours, theirs.data, theirs.labels)


def test_cifar10(tmp_path):
    written = write_cifar10(tmp_path)
    data = prepared("cifar10", tmp_path)
    for split, names in ((data.train, list(written)[:5]), (data.test, ["test_batch"])):
        pixels = np.vstack([written[name]["data"] for name in names])
        labels = np.concatenate([written[name]["labels"] for name in names])
        assert_split(split, pixels.reshape(-1, 3, 32, 32), labels)
    # Batch 2, image 1, green, row 3, column 9: colours one after the other, row by row.
    green = written["data_batch_2"]["data"][1, 1024 + 3 * 32 + 9]
    assert data.train.inputs[4 + 1, 1, 3, 9] == green


def test_sarcos(tmp_path):
    written = write_sarcos(tmp_path)
    data = prepared("sarcos", tmp_path)
    for split, rows in zip(data, (written["train"], written["test"]), strict=True):
        assert split.inputs.shape[1] == 21 and split.targets.shape[1] == 7
        assert_split(split, rows[:, :21].astype(np.float32), rows[:, 21:].astype(np.float32))


@pytest.mark.parametrize("form", ["tgz", "data"])
def test_california_is_as_scikit_learn_builds_it(tmp_path, monkeypatch, form):
    write_california(tmp_path, form)
    data = prepared("california", tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    write_california(home)
    monkeypatch.setattr(
        _california_housing,
        "ARCHIVE",
        _california_housing.ARCHIVE._replace(
            checksum=known(home, "california")[0][0].checksum.removeprefix("sha256:")
        ),
    )
    features, value = sklearn.datasets.fetch_california_housing(data_home=home, return_X_y=True)
    order = numpy_generator("california", "split").permutation(len(value))
    assert len(order) == len(california_rows())
    test, train = order[:2], order[2:]  # 5% of 40
    for split, rows in ((data.train, train), (data.test, test)):
        assert_split(split, features[rows].astype(np.float32), value[rows, None].astype(np.float32))


def test_digits_are_enlarged_by_repetition(tmp_path):
    output = tmp_path / "digits.h5"
    prepare_dataset("digits", {}, output)
    data = read_dataset(output, "images")
    assert len(data.train.inputs) == 1438 and len(data.test.inputs) == 359
    order = numpy_generator("digits", "split").permutation(1797)
    small = sklearn.datasets.load_digits()
    image, label = small.images[order[0]], small.target[order[0]]
    assert data.test.targets[0] == label
    for row, column in ((0, 0), (3, 4), (13, 17), (31, 31)):
        for colour in range(3):
            value = round(image[row // 4, column // 4] * 255 / 16)
            assert data.test.inputs[0, colour, row, column] == value
    assert digits.enlarge(np.full((1, 8, 8), 16.0)).min() == 255


def test_diabetes(tmp_path):
    output = tmp_path / "diabetes.h5"
    prepare_dataset("diabetes", {}, output)
    data = read_dataset(output, "regression")
    features, target = sklearn.datasets.load_diabetes(return_X_y=True)
    order = numpy_generator("diabetes", "split").permutation(442)
    for split, rows in ((data.test, order[:88]), (data.train, order[88:])):
        assert_split(split, features[rows].astype(np.float32), target[rows, None])


@pytest.mark.parametrize("name", WRITERS)
def test_provenance_and_the_same_bytes_from_another_place(tmp_path, name):
    outputs = []
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        WRITERS[name](tmp_path / place)
        outputs.append(tmp_path / f"{place}.h5")
        forms = known(tmp_path / "here", name)
        if place == "there":  # an archive holds the time it was made
            for file in forms[0]:
                (tmp_path / place / file.name).write_bytes(
                    (tmp_path / "here" / file.name).read_bytes()
                )
        prepare_dataset(name, {"path": tmp_path / place}, outputs[-1], forms=forms)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    attributes = hdf5.read_attributes(outputs[0])
    assert attributes["source"] == "local copy" and attributes["identity"]["dataset"] == name
    found = {file["name"]: file["checksum"] for file in attributes["files"]}
    assert found == {file.name: file.checksum for file in forms[0]}
    data = read_dataset(outputs[0], datasets.entry(name).kind)
    assert attributes["counts"] == {
        "train": len(data.train.inputs),
        "test": len(data.test.inputs),
    }
