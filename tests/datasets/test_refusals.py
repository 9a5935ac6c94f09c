"""Files that are not right, and what cannot be had: one line, and nothing unpickled or written."""

import io
import os
import pickle
import resource
import struct
import tarfile
import zipfile
import zlib
from http.client import IncompleteRead
from urllib.error import URLError

import numpy as np
import psutil
import pytest
import scipy.io
import scipy.sparse
import sklearn.datasets
from dataset_files import WRITERS, known, write_cifar10, write_sarcos, write_svhn

from td_interference import datasets
from td_interference.datasets import cifar10, sarcos, svhn
from td_interference.datasets.arrays import DatasetArrays, Split, checked, read_dataset
from td_interference.datasets.prepare import prepare_dataset
from td_interference.errors import UserError
from td_interference.storage import hdf5


def refusal(tmp_path, name, settings, forms=None):
    """The one line that `prepare_dataset` ends with; it must leave no file behind."""
    output = tmp_path / "out" / f"{name}.h5"
    with pytest.raises(UserError) as error:
        prepare_dataset(name, settings, output, forms=forms)
    line = str(error.value)
    assert "\n" not in line
    assert not list(tmp_path.glob("out/*"))
    return line


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "flipped bit":
        content[len(content) // 2] ^= 1
    elif how == "truncated":
        del content[len(content) // 2 :]
    elif how == "empty":
        content.clear()
    elif how == "text":
        content[:] = b"<html>404 Not Found</html>"
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("how", ["flipped bit", "truncated", "empty", "text"])
@pytest.mark.parametrize("name", ["svhn", "cifar10", "california"])
def test_a_wrong_checksum_is_refused(tmp_path, name, how):
    WRITERS[name](tmp_path)
    forms = known(tmp_path, name)
    last = forms[0][-1]
    damage(tmp_path / last.name, how)
    line = refusal(tmp_path, name, {"path": tmp_path}, forms)
    assert str(tmp_path / last.name) in line and last.checksum in line and last.url in line


@pytest.mark.parametrize("how", ["truncated", "empty", "text"])
@pytest.mark.parametrize("name", WRITERS)
def test_unreadable_content_of_the_right_checksum_is_refused(tmp_path, name, how):
    WRITERS[name](tmp_path)
    file = datasets.load(name).FORMS[0][0]
    damage(tmp_path / file.name, how)
    line = refusal(tmp_path, name, {"path": tmp_path}, known(tmp_path, name))
    assert file.name in line and f"datasets.{name}.path" in line


def test_sarcos_training_file_is_known_by_its_size(tmp_path):
    write_sarcos(tmp_path)
    forms = known(tmp_path, "sarcos")
    damage(tmp_path / sarcos.TRAIN.name, "truncated")
    line = refusal(tmp_path, "sarcos", {"path": tmp_path}, forms)
    assert sarcos.TRAIN.name in line and "bytes:" in line
    # The canonical one: 44,484 rows of 28 float64, and what MATLAB's format adds to the test file.
    overhead = 996_776 - 4_449 * 28 * 8
    assert sarcos.TRAIN.checksum == f"bytes:{44_484 * 28 * 8 + overhead}"


class Malicious:
    """Unpickled, it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("checksum_is_right", [False, True])
def test_a_malicious_pickle_is_not_executed(tmp_path, checksum_is_right):
    trap = tmp_path / "trap"
    write_cifar10(tmp_path)
    forms = known(tmp_path, "cifar10")
    write_cifar10(tmp_path, {"data_batch_1": pickle.dumps(Malicious(trap))})
    if checksum_is_right:
        forms = known(tmp_path, "cifar10")
    line = refusal(tmp_path, "cifar10", {"path": tmp_path}, forms)
    assert ("names posix.mkdir" if checksum_is_right else "damaged") in line
    assert not trap.exists()
    with tarfile.open(tmp_path / cifar10.ARCHIVE.name) as archive:  # the trap works
        pickle.load(archive.extractfile("cifar-10-batches-py/data_batch_1"))
    assert trap.exists()


def test_nothing_is_unpickled_before_the_checksum_is_right(tmp_path, monkeypatch):
    write_cifar10(tmp_path)
    monkeypatch.setattr(cifar10, "_ArrayUnpickler", None)
    line = refusal(tmp_path, "cifar10", {"path": tmp_path})  # the canonical checksum
    assert "damaged or another file" in line


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_members_of_an_archive_lead_nowhere(tmp_path, kind):
    """Links, pipes and names that climb out of the folder are neither followed nor made."""
    write_cifar10(tmp_path)
    secret = tmp_path / "secret"
    secret.write_bytes(pickle.dumps({"data": [], "labels": []}))
    with tarfile.open(tmp_path / cifar10.ARCHIVE.name, "w:gz") as archive:
        member = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
        member.type, member.linkname = kind, str(secret)
        archive.addfile(member)
        archive.addfile(tarfile.TarInfo("../climbed"))
        archive.addfile(tarfile.TarInfo(str(tmp_path / "absolute")))
    before = set(tmp_path.rglob("*"))
    line = refusal(tmp_path, "cifar10", {"path": tmp_path}, known(tmp_path, "cifar10"))
    assert cifar10.ARCHIVE.name in line
    assert set(tmp_path.rglob("*")) - {tmp_path / "out"} == before


@pytest.mark.parametrize("shape", [(10**13,), (2**62, 4), (3, 10**12)])
def test_arrays_that_declare_terabytes(tmp_path, shape):
    path = tmp_path / "own.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            header = io.BytesIO()
            declared = {"descr": "<f8", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(header, declared)
            archive.writestr(f"{name}.npy", header.getvalue() + bytes(64))
    assert "own.npz" in refusal(tmp_path, "own", {"path": str(path), "kind": "regression"})


def test_objects_in_an_npz_are_not_unpickled(tmp_path):
    trap = tmp_path / "trap"
    evil = np.array([Malicious(trap)], dtype=object)
    np.savez(tmp_path / "own.npz", x_train=evil, y_train=evil, x_test=evil, y_test=evil)
    settings = {"path": str(tmp_path / "own.npz"), "kind": "regression"}
    assert "own.npz" in refusal(tmp_path, "own", settings)
    assert not trap.exists()


def mat_element(data_type, content):
    """One data element of a MATLAB 5 file."""
    return struct.pack("<II", data_type, len(content)) + content + bytes(-len(content) % 8)


def mat_array(name, shape, array_class=6, data=(9, bytes(8))):
    """A matrix of a class (6: double), which may declare more than it holds."""
    content = mat_element(6, struct.pack("<II", array_class, 0))
    content += mat_element(5, struct.pack(f"<{len(shape)}i", *shape))
    return mat_element(14, content + mat_element(1, name.encode()) + mat_element(*data))


def mat_file(*elements):
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    return header + b"".join(elements)


def saved_mat(**content):
    file = io.BytesIO()
    scipy.io.savemat(file, content)
    return file.getvalue()


OBJECTS = np.array([[1.0, "text"], [np.ones(3), {"a": 1}]], dtype=object)
MATS = {
    "terabytes": lambda name: mat_file(mat_array(name, (10**6, 10**6))),
    "negative sizes": lambda name: mat_file(mat_array(name, (-5, 28))),
    "sizes whose product overflows": lambda name: mat_file(mat_array(name, (2**30, 2**30, 16))),
    "a function": lambda name: mat_file(mat_array(name, (1, 1), 16, (1, b"system"))),
    "an opaque object": lambda name: mat_file(mat_array(name, (1, 1), 17, (1, b"MCOS"))),
    "an unknown class": lambda name: mat_file(mat_array(name, (1, 28), 99)),
    "a cell that holds nothing": lambda name: mat_file(mat_array(name, (10**6, 28), 1, (14, b""))),
    "a bomb": lambda name: mat_file(mat_element(15, zlib.compress(bytes(2**28)))),
    "cells in cells": lambda name: saved_mat(**{name: OBJECTS}),
    "a structure": lambda name: saved_mat(**{name: {"X": np.ones((3, 28))}}),
    "text": lambda name: saved_mat(**{name: "os.system"}),
    "complex numbers": lambda name: saved_mat(**{name: 1j * np.ones((3, 28))}),
    "a sparse matrix": lambda name: saved_mat(**{name: scipy.sparse.eye(28)}),
    "another name": lambda name: saved_mat(other=np.ones((3, 28))),
    "HDF5": lambda name: b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF" * 100,
}


@pytest.mark.parametrize("content", MATS)
@pytest.mark.parametrize("name", ["sarcos", "svhn"])
def test_a_crafted_matlab_file_is_refused(tmp_path, name, content):
    """Its checksum is right: of SARCOS' training file none but the size is known."""
    WRITERS[name](tmp_path)
    first = datasets.load(name).FORMS[0][0].name
    array = {"sarcos": "sarcos_inv", "svhn": "X"}[name]
    (tmp_path / first).write_bytes(MATS[content](array))
    limit = resource.getrlimit(resource.RLIMIT_AS)
    used = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**31, limit[1]))  # 2 GB, and none is lost
    try:
        line = refusal(tmp_path, name, {"path": tmp_path}, known(tmp_path, name))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
    assert first in line and f"datasets.{name}.path" in line


def test_a_batch_that_holds_something_else(tmp_path):
    write_cifar10(tmp_path, {"test_batch": pickle.dumps([1, 2])})
    line = refusal(tmp_path, "cifar10", {"path": tmp_path}, known(tmp_path, "cifar10"))
    assert "test_batch is not a batch" in line


@pytest.mark.parametrize("name", ["svhn", "cifar10", "california", "sarcos"])
@pytest.mark.parametrize("reason", [URLError("Name or service not known"), IncompleteRead(b"")])
def test_offline_and_no_copy(tmp_path, monkeypatch, name, reason):
    def offline(*_, **__):
        raise reason

    monkeypatch.setattr(sklearn.datasets, "fetch_file", offline)
    line = refusal(tmp_path, name, {})
    for file in datasets.load(name).FORMS[0]:
        assert file.name in line
    assert f"config key 'datasets.{name}.path'" in line


def test_downloads_are_verified(tmp_path):
    """The library that downloads takes file addresses too."""
    write_svhn(tmp_path)
    (form,) = known(tmp_path, "svhn")
    forms = [[file._replace(url=f"file://localhost{tmp_path / file.name}") for file in form]]
    output = tmp_path / "downloaded.h5"
    prepare_dataset("svhn", {}, output, forms=forms)
    assert len(read_dataset(output, "images").train.inputs) == 12
    attributes = hdf5.read_attributes(output)
    assert attributes["source"] == "download"
    assert [file["name"] for file in attributes["files"]] == [svhn.TRAIN.name, svhn.TEST.name]
    damage(tmp_path / svhn.TEST.name, "flipped bit")
    line = refusal(tmp_path, "svhn", {}, forms)
    assert f"get test_32x32.mat again from {forms[0][1].url}" in line


@pytest.mark.parametrize("place", ["missing", "a folder without them", "another file of it"])
def test_a_path_to_something_else(tmp_path, place):
    write_svhn(tmp_path)
    forms = known(tmp_path, "svhn")
    empty = tmp_path / "empty"
    empty.mkdir()
    other = tmp_path / "notes.txt"
    other.write_text("no data")
    paths = {"missing": tmp_path / "nowhere", "a folder without them": empty}
    line = refusal(tmp_path, "svhn", {"path": paths.get(place, other)}, forms)
    assert "datasets.svhn.path" in line and "train_32x32.mat and test_32x32.mat" in line


def test_a_path_to_one_of_the_files_finds_the_others(tmp_path):
    write_svhn(tmp_path)
    output = tmp_path / "svhn.h5"
    settings = {"path": tmp_path / "test_32x32.mat"}
    prepare_dataset("svhn", settings, output, forms=known(tmp_path, "svhn"))
    assert len(read_dataset(output, "images").test.inputs) == 7


def test_files_of_the_other_kind_are_refused(tmp_path):
    prepare_dataset("diabetes", {}, tmp_path / "diabetes.h5")
    with pytest.raises(UserError, match="holds regression, but images is needed"):
        read_dataset(tmp_path / "diabetes.h5", "images")


def test_first_samples_are_rows_0_to_n_and_never_fewer():
    split = Split(np.arange(12).reshape(6, 2), np.arange(6))
    assert split.first(4).targets.tolist() == [0, 1, 2, 3]
    assert len(split.first(6).inputs) == len(split.first(6).targets) == 6
    for count in (7, 0):
        with pytest.raises(UserError, match=f"{count} samples asked for"):
            split.first(count)


IMAGES = Split(np.zeros((3, 3, 32, 32), np.uint8), np.array([0, 5, 9]))
TABLE = Split(np.ones((3, 2)), np.ones(3))


@pytest.mark.parametrize(
    ("kind", "split", "message"),
    [
        ("images", Split(IMAGES.inputs / 255, IMAGES.targets), "need uint8"),
        ("images", Split(IMAGES.inputs[..., :31], IMAGES.targets), "need uint8"),
        ("images", Split(IMAGES.inputs[:0], IMAGES.targets[:0]), "N > 0"),
        ("images", Split(IMAGES.inputs, IMAGES.targets[:2]), r"need integers \(3,\)"),
        ("images", Split(IMAGES.inputs, IMAGES.targets * 1.0), "need integers"),
        ("images", Split(IMAGES.inputs, IMAGES.targets + 1), "span 1..10"),
        ("images", Split(IMAGES.inputs, IMAGES.targets - 1), "span -1..8"),
        ("regression", Split(TABLE.inputs[:2], TABLE.targets), "as many features as targets"),
        ("regression", Split(TABLE.inputs[:, 0], TABLE.targets), "need numbers"),
        ("regression", Split(TABLE.inputs.astype(str), TABLE.targets), "need numbers"),
        ("regression", Split(TABLE.inputs * np.nan, TABLE.targets), "features are not finite"),
        ("regression", Split(TABLE.inputs, TABLE.targets * np.inf), "targets are not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_arrays_that_fit_no_table(kind, split, message):
    good = IMAGES if kind == "images" else TABLE
    checked(kind, DatasetArrays(good, good))
    for data in (DatasetArrays(split, good), DatasetArrays(good, split)):
        with pytest.raises(ValueError, match=message):
            checked(kind, data)


def test_splits_must_fit_each_other():
    wider = Split(np.ones((3, 4)), np.ones(3))
    with pytest.raises(ValueError, match="differ in shape"):
        checked("regression", DatasetArrays(TABLE, wider))


def test_no_damage_ends_the_process(tmp_path):
    """Each byte before the numbers of SARCOS' training file, whose content has no known digest."""
    write_sarcos(tmp_path)
    path = tmp_path / sarcos.TRAIN.name
    content, forms = path.read_bytes(), known(tmp_path, "sarcos")
    for place in range(200):
        changed = bytearray(content)
        changed[place] ^= 0x55
        path.write_bytes(changed)
        if place < 124:  # a text for people
            prepare_dataset("sarcos", {"path": tmp_path}, tmp_path / "good.h5", forms=forms)
        else:
            assert "sarcos_inv" in refusal(tmp_path, "sarcos", {"path": tmp_path}, forms)
