"""Tiny data sets in their canonical formats, and the checksums that make them known."""

import io
import pickle
import pickletools
import tarfile

import numpy as np
import scipy.io

from td_interference import datasets
from td_interference.datasets import california, cifar10, sarcos, svhn
from td_interference.datasets.sources import checksum

CALIFORNIA_ROWS = 40


def known(path, name=None):
    """The forms a data set has whose canonical files are those of the folder `path`."""
    forms = datasets.load(name or path.name).FORMS
    return tuple(
        tuple(
            file._replace(checksum=checksum(path / file.name, file.checksum.partition(":")[0]))
            for file in form
        )
        for form in forms
        if all((path / file.name).is_file() for file in form)
    )


def write_svhn(folder):
    generator = np.random.default_rng(0)
    written = {}
    for split, file, count in (("train", svhn.TRAIN, 12), ("test", svhn.TEST, 7)):
        content = {
            "X": generator.integers(0, 256, (32, 32, 3, count), dtype=np.uint8),
            "y": (np.arange(count, dtype=np.uint8)[:, None] % 10) + 1,  # 1..10, 10 is the digit 0
        }
        scipy.io.savemat(folder / file.name, content, do_compression=True)
        written[split] = content
    return written


def write_sarcos(folder):
    generator = np.random.default_rng(1)
    written = {}
    for split, file, count in (("train", sarcos.TRAIN, 30), ("test", sarcos.TEST, 6)):
        written[split] = generator.normal(size=(count, 28))
        scipy.io.savemat(folder / file.name, {file.name.removesuffix(".mat"): written[split]})
    return written


def python_2(pickled):
    """A pickle as Python 2 wrote it: text and bytes are its `str`, numpy's parts under `core`."""
    changed = bytearray(pickled)
    strings = {"BINUNICODE": b"T", "BINBYTES": b"T", "SHORT_BINBYTES": b"U"}
    for opcode, _, position in pickletools.genops(pickled):
        if opcode.name in strings:
            changed[position : position + 1] = strings[opcode.name]
    return (
        bytes(changed).replace(b"cnumpy._core.", b"cnumpy.core.").replace(b"\x80\x03", b"\x80\x02")
    )


def write_cifar10(folder, replace=()):
    """Batches of 4 images; `replace` holds the content of members to write in place of them."""
    generator = np.random.default_rng(2)
    written, replace = {}, dict(replace)
    with tarfile.open(folder / cifar10.ARCHIVE.name, "w:gz") as archive:
        for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
            batch = {
                "batch_label": name,
                "data": generator.integers(0, 256, (4, 3072), dtype=np.uint8),
                "labels": generator.integers(0, 10, 4).tolist(),
            }
            written[name] = batch
            content = replace.get(name, python_2(pickle.dumps(batch, protocol=3)))
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return written


def california_rows():
    """Rows as in the file: longitude, latitude, age, rooms, bedrooms, population, ..., value."""
    generator = np.random.default_rng(3)
    rows = generator.integers(1, 1000, (CALIFORNIA_ROWS, 9)).astype(float)
    rows[:, 0] *= -0.01
    return rows


def write_california(folder, form="tgz"):
    text = io.StringIO()
    np.savetxt(text, california_rows(), delimiter=",", fmt="%.6f")
    content = text.getvalue().encode()
    if form == "data":
        (folder / california.TABLE.name).write_bytes(content)
        return
    with tarfile.open(folder / california.ARCHIVE.name, "w:gz") as archive:
        member = tarfile.TarInfo("CaliforniaHousing/cal_housing.data")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))


WRITERS = {
    "svhn": write_svhn,
    "sarcos": write_sarcos,
    "cifar10": write_cifar10,
    "california": write_california,
}
