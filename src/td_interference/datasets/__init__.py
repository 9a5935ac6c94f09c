"""Data sets: images to classify, tables to regress on. One file each; `DATASETS` names them.

To add one, write a module with `FORMS` (the files it comes in, `()` for none) and `read(files)`,
and put an entry here. Data in an `.npz` of one's own need neither: see `npz`. The registry imports
nothing heavy, so the Snakefile can read it.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from td_interference.errors import UserError

KINDS = ("images", "regression")


class DatasetEntry(NamedTuple):
    """One data set."""

    name: str  # of its module and of the config key datasets.<name>
    kind: str  # one of KINDS: which table its file is of
    title: str  # what figures call it
    split: str  # how train and test came about
    n_train: int = 0  # samples of its train split, where it is whole; 0 for data of one's own
    embedded: bool = False  # comes with a library: needs neither files nor a download


DATASETS = (
    DatasetEntry("svhn", "images", "SVHN", "official", 73_257),
    DatasetEntry("cifar10", "images", "CIFAR-10", "official", 50_000),
    DatasetEntry(
        "california", "regression", "California Housing", "fixed shuffle, 5% test", 19_608
    ),
    # About a tenth of the training inputs stand in the official test file as well.
    DatasetEntry(
        "sarcos", "regression", "SARCOS", "official (test inputs stand in train too)", 44_484
    ),
    DatasetEntry("digits", "images", "UCI digits", "fixed shuffle, 20% test", 1_438, embedded=True),
    DatasetEntry(
        "diabetes", "regression", "Diabetes", "fixed shuffle, 20% test", 354, embedded=True
    ),
)


def entry(name: str, settings: Mapping[str, Any] | None = None) -> DatasetEntry:
    """Return the entry called `name`, or one made from the settings of a user's own data set.

    Args:
        name: A name of the registry, or any other for data of one's own.
        settings: The config block `datasets.<name>`. A name that is not in the registry needs
            `path`, an `.npz` file, and `kind`, one of `KINDS`.

    Raises:
        UserError: If `name` is not in the registry and the settings do not say what it is.
    """
    settings = settings or {}
    kind = settings.get("kind")
    for known in DATASETS:
        if known.name == name:
            if kind not in (None, known.kind):
                raise UserError(
                    f"config key 'datasets.{name}.kind': {name} is {known.kind}; remove the key, "
                    "or give data of your own another name"
                )
            return known
    if settings.get("path") is None or kind not in KINDS:
        raise UserError(
            f"config key 'datasets.{name}': no data set of this name (there are "
            f"{', '.join(known.name for known in DATASETS)}); for one of your own set "
            f"'datasets.{name}.path' to an .npz file and 'datasets.{name}.kind' to "
            f"{' or '.join(KINDS)}"
        )
    return DatasetEntry(name, kind, name, "as in the file")


def local_path(name: str, path: Path | str) -> Path:
    """Return where a user's own copy lies, with `~` for a home.

    Args:
        name: Of the data set, for the message.
        path: As the configuration has it.

    Raises:
        UserError: If no user has that home, or no system could have such a path.
    """
    try:
        whole = Path(path).expanduser()
        whole.exists()
    except (RuntimeError, OSError) as error:
        reason = getattr(error, "strerror", None) or "no user of this name has a home"
        raise UserError(f"config key 'datasets.{name}.path': {path}: {reason}") from None
    return whole


def load(name: str) -> ModuleType:
    """Return the module `datasets/<name>.py`, imported on demand.

    Raises:
        KeyError: If the registry has no such name.
    """
    if name not in {known.name for known in DATASETS}:
        raise KeyError(name)
    return importlib.import_module(f"{__name__}.{name}")
