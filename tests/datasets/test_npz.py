"""Data in `.npz` files, of a user's own and the real ones where they are at hand."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from td_interference import datasets
from td_interference.datasets import npz
from td_interference.datasets.arrays import read_dataset
from td_interference.datasets.prepare import prepare_dataset
from td_interference.errors import UserError
from td_interference.planning.available_data import available_data
from td_interference.storage import hdf5

SHARED = Path(__file__).parents[3] / "shared" / "data"


def images(channels_last=True):
    generator = np.random.default_rng(0)
    shape = (32, 32, 3) if channels_last else (3, 32, 32)
    return {
        "x_train": generator.integers(0, 256, (5, *shape), dtype=np.uint8),
        "y_train": np.array([0, 1, 2, 9, 4]),
        "x_test": generator.integers(0, 256, (2, *shape), dtype=np.uint8),
        "y_test": np.array([3, 9], dtype=np.uint8),
    }


@pytest.mark.parametrize("channels_last", [True, False])
def test_images(tmp_path, channels_last):
    arrays = images(channels_last)
    np.savez(tmp_path / "own.npz", **arrays)
    settings = {"path": tmp_path / "own.npz", "kind": "images"}
    prepare_dataset("own", settings, tmp_path / "own.h5")
    data = read_dataset(tmp_path / "own.h5", "images")
    blue = arrays["x_train"][4, 7, 8, 2] if channels_last else arrays["x_train"][4, 2, 7, 8]
    assert data.train.inputs[4, 2, 7, 8] == blue
    assert data.train.targets.tolist() == [0, 1, 2, 9, 4] and data.test.targets.tolist() == [3, 9]
    attributes = hdf5.read_attributes(tmp_path / "own.h5")
    assert attributes["split"] == "as in the file" and attributes["dataset_title"] == "own"


def test_a_copy_of_a_known_set_says_that_its_split_is_its_own(tmp_path):
    np.savez(tmp_path / "part.npz", **images())
    prepare_dataset("cifar10", {"path": tmp_path / "part.npz"}, tmp_path / "cifar10.h5")
    attributes = hdf5.read_attributes(tmp_path / "cifar10.h5")
    assert attributes["split"] == "as in the file"
    assert attributes["dataset_title"] == "CIFAR-10"
    assert attributes["counts"] == {"train": 5, "test": 2}
    assert attributes["files"][0]["checksum"].startswith("sha256:")


def test_tables(tmp_path):
    arrays = {
        "x_train": np.arange(6).reshape(3, 2),
        "y_train": np.array([0.5, 1, 2]),
        "x_test": np.ones((1, 2)),
        "y_test": np.array([7.0]),
    }
    np.savez(tmp_path / "own.npz", **arrays)
    settings = {"path": tmp_path / "own.npz", "kind": "regression"}
    prepare_dataset("own", settings, tmp_path / "own.h5")
    data = read_dataset(tmp_path / "own.h5", "regression")
    assert data.train.inputs.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert data.train.targets.tolist() == [[0.5], [1], [2]] and data.test.targets.tolist() == [[7]]


class Exploding:
    """Unpickled, it ends the test with an error of its own."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def broken(path, how):
    arrays = images()
    if how == "pickle inside":
        np.savez(path, **arrays | {"y_test": np.array([Exploding()], dtype=object)})
        return
    if how == "array missing":
        del arrays["y_test"]
    np.savez(path, **arrays)
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "flipped bit":
        middle = len(content) // 4  # among the pixels of x_train
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("no archive")
    elif how == "one array":
        np.save(path.with_suffix(".npy"), arrays["x_train"])
        path.with_suffix(".npy").replace(path)


@pytest.mark.parametrize(
    "how",
    ["pickle inside", "array missing", "truncated", "flipped bit", "empty", "text", "one array"],
)
def test_bad_files_are_refused_in_one_line(tmp_path, how):
    path = tmp_path / "own.npz"
    broken(path, how)
    with pytest.raises(UserError) as error:
        prepare_dataset("own", {"path": path, "kind": "images"}, tmp_path / "out" / "own.h5")
    line = str(error.value)
    assert str(path) in line and "datasets.own.path" in line and "\n" not in line
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("own", {}, r"'datasets\.own': no data set of this name \(there are california, cifar10"),
        ("own", {"path": "own.npz"}, r"'datasets\.own\.kind' to images or regression"),
        ("own", {"path": "own.npz", "kind": "text"}, r"'datasets\.own\.kind' to images"),
        ("own", {"path": "own.mat", "kind": "images"}, r"own\.mat: not an \.npz file"),
        ("own", {"path": "own.npz", "kind": "images"}, r"own\.npz: no such file"),
        ("svhn", {"kind": "regression"}, r"'datasets\.svhn\.kind': svhn is images"),
        ("digits", {"path": "nowhere"}, "remove the key: scikit-learn brings"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, monkeypatch, name, settings, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        prepare_dataset(name, settings, tmp_path / "out.h5")


def test_registry():
    for entry in datasets.known().values():
        module = datasets.load(entry.name)
        assert callable(module.read) and entry.kind in datasets.KINDS
        assert datasets.entry(entry.name, {"kind": entry.kind}) == entry
    with pytest.raises(KeyError):
        datasets.load("npz")


REAL = {  # file, samples for training and test
    "cifar10": ("cifar10.npz", (8152, 1017)),
    "california": ("california.npz", (19_608, 1032)),
    "sarcos": ("sarcos.npz", (4000, 449)),
}


@pytest.mark.parametrize("name", REAL)
def test_real_data(tmp_path, name):
    file, counts = REAL[name]
    if not (SHARED / file).is_file():
        pytest.skip(f"no {file} in ../shared/data")
    prepare_dataset(name, {"path": SHARED / file}, tmp_path / "out.h5")
    data = read_dataset(tmp_path / "out.h5", datasets.entry(name).kind)
    assert tuple(len(split.inputs) for split in data) == counts
    with np.load(SHARED / file) as arrays:
        inputs, targets = arrays["x_test"], arrays["y_test"]
    if name == "cifar10":
        inputs = inputs.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(data.test.inputs, inputs)
    np.testing.assert_array_equal(data.test.targets, targets.reshape(data.test.targets.shape))


def test_real_california_table(tmp_path):
    """The canonical file under its canonical checksum, against features built elsewhere."""
    if not (SHARED / "cal_housing.data").is_file():
        pytest.skip("no cal_housing.data in ../shared/data")
    prepare_dataset("california", {"path": SHARED / "cal_housing.data"}, tmp_path / "out.h5")
    data = read_dataset(tmp_path / "out.h5", "regression")
    ours = np.concatenate([np.hstack(split) for split in data])
    with np.load(SHARED / "california.npz") as arrays:
        theirs = np.concatenate(
            [np.c_[arrays[f"x_{split}"], arrays[f"y_{split}"]] for split in ("train", "test")]
        )
    assert len(data.test.inputs) == 1032
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])


def test_real_sarcos_test_file(tmp_path):
    """The official test file, which here stands for the training file too."""
    import scipy.io
    from dataset_files import known

    from td_interference.datasets import sarcos

    official = SHARED / sarcos.TEST.name
    if not official.is_file():
        pytest.skip("no sarcos_inv_test.mat in ../shared/data")
    rows = scipy.io.loadmat(official)["sarcos_inv_test"]
    (tmp_path / sarcos.TEST.name).write_bytes(official.read_bytes())
    scipy.io.savemat(tmp_path / sarcos.TRAIN.name, {"sarcos_inv": rows})
    forms = known(tmp_path, "sarcos")
    assert forms[0][1] == sarcos.TEST
    prepare_dataset("sarcos", {"path": tmp_path}, tmp_path / "out.h5", forms=forms)
    data = read_dataset(tmp_path / "out.h5", "regression")
    assert data.test.inputs.shape == (4449, 21) and data.test.targets.shape == (4449, 7)
    np.testing.assert_array_equal(data.test.targets[:, 6], rows[:, 27].astype(np.float32))


def bomb(path, shapes_, dtype=np.uint8):
    """Write an archive of zeros, of which each megabyte takes a kilobyte."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, shape in shapes_.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                left = int(np.prod(shape)) * np.dtype(dtype).itemsize
                while left:
                    file.write(bytes(min(left, 1 << 22)))
                    left -= min(left, 1 << 22)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("npz") / "own.npz"
    n = 400_000
    bomb(path, dict.fromkeys(npz.KEYS, (n, 1000)))
    assert path.stat().st_size < 2_000_000
    return path


LIMITED = """
import sys
from td_interference.planning.available_data import available_data
from td_interference.datasets.prepare import prepare_dataset
from td_interference.errors import UserError
own = {"path": sys.argv[1], "kind": "regression"}
print(available_data("own", {"own": own}).n_train)
try:
    prepare_dataset("own", own, sys.argv[2])
except UserError as error:
    print(error)
peak = next(l for l in open('/proc/self/status') if l.startswith('VmHWM'))
print(int(peak.split()[1]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak")
def test_a_small_file_does_not_become_a_huge_one(large, tmp_path):
    command = [sys.executable, "-c", LIMITED, str(large), str(tmp_path / "own.h5")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    n_train, line, megabytes = done.stdout.splitlines()
    assert n_train == "400000" and "it declares 1,600,000,000 bytes of content in" in line
    assert int(megabytes) < 700


HEADER = """
import sys
from td_interference.datasets import npz
try:
    npz.shapes(sys.argv[1])
except ValueError as error:
    print(error)
peak = next(l for l in open('/proc/self/status') if l.startswith('VmHWM'))
print(int(peak.split()[1]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak")
def test_a_header_of_half_a_gigabyte_is_not_read(tmp_path):
    """Numpy reads all that a header declares of itself, and then finds it too long."""
    path, length = tmp_path / "own.npz", 500_000_000
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("x_train.npy", "w") as file,
    ):
        file.write(np.lib.format.magic(2, 0) + length.to_bytes(4, "little"))
        for _ in range(length // 4_000_000):
            file.write(b" " * 4_000_000)
    command = [sys.executable, "-c", HEADER, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    line, megabytes = done.stdout.splitlines()
    assert "expected 500000000 bytes" in line and int(megabytes) < 400


def test_what_was_looked_at_is_what_is_read(tmp_path):
    """Numpy prefers a member without the suffix .npy, whose header nobody has compared."""
    path = tmp_path / "own.npz"
    np.savez(path, **{key: np.ones((3, 2)) for key in npz.KEYS})
    with zipfile.ZipFile(path, "a") as archive, archive.open("x_train", "w") as file:
        np.lib.format.write_array(file, np.full((3, 2), 7.0))
    assert (npz.read(path, "regression").train.inputs == 1).all()


@pytest.mark.parametrize(
    ("shape", "said"),
    [((10**12,), "declares 1,000,000,000,000 bytes, the archive holds 10"), ((3,), "declares 3")],
)
def test_a_header_that_contradicts_the_archive_is_found(tmp_path, shape, said):
    path = tmp_path / "own.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("y_train.npy", "w") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(10))
    with pytest.raises(ValueError, match=said):
        npz.shapes(path)
    with pytest.raises(UserError, match=said):
        available_data("own", {"own": {"path": str(path), "kind": "images"}})


@pytest.mark.parametrize("path", ["~nobody_of_this_name/x.npz", "x" * 5000 + ".npz"])
def test_paths_that_cannot_be_are_named(path, tmp_path):
    own = {"path": path, "kind": "images"}
    for call in (
        lambda: available_data("own", {"own": own}),
        lambda: prepare_dataset("own", own, tmp_path / "o.h5"),
    ):
        with pytest.raises(UserError, match=r"config key 'datasets\.own\.path': ") as error:
            call()
        assert "\n" not in str(error.value)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "own.npz")
    own = {"path": str(tmp_path / "own.npz"), "kind": "images"}
    with pytest.raises(UserError, match="is a named pipe, not a file"):
        available_data("own", {"own": own})
