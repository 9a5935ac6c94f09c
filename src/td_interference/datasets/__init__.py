"""Data sets: images to classify, tables to regress on. One file each; the folder is the registry.

To add one, write a module with a card `DATASET` (see `DatasetEntry`), `FORMS` (the files it comes
in, `()` for none) and `read(files)`. Data in an `.npz` of one's own need none: see `npz`. The cards
are read without importing the modules, so the Snakefile can read them.
"""

import importlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

from td_interference.errors import UserError
from td_interference.planning import cards

Kind = Literal["images", "regression"]
KINDS = get_args(Kind)


class DatasetEntry(cards.Card):
    """One data set, as the card `DATASET` at the top of its file says it; the name is the file's.

    Attributes:
        name: Of its module and of the config key `datasets.<name>`; not in the card.
        kind: Which table its file is of.
        title: What figures call it.
        split: How train and test came about.
        n_train: Samples of its train split, where it is whole; 0 for data of one's own.
        embedded: Whether it comes with a library: it needs neither files nor a download then.
        colour: In figures, "#rrggbb"; None to take what is left over.
    """

    name: str = ""
    kind: Kind
    title: str
    split: str
    n_train: int = 0
    embedded: bool = False
    colour: str | None = None


@cache
def known() -> dict[str, DatasetEntry]:
    """Return every data set of the package by its name, sorted.

    Raises:
        UserError: If a card is wrong; names file and field.
    """
    read = cards.read("datasets", "DATASET", DatasetEntry)
    return {name: card.model_copy(update={"name": name}) for name, card in read.items()}


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
    if name in known():
        own = known()[name]
        if kind not in (None, own.kind):
            raise UserError(
                f"config key 'datasets.{name}.kind': {name} is {own.kind}; remove the key, "
                "or give data of your own another name"
            )
        return own
    if settings.get("path") is None or kind not in KINDS:
        raise UserError(
            f"config key 'datasets.{name}': no data set of this name (there are "
            f"{', '.join(known())}); for one of your own set "
            f"'datasets.{name}.path' to an .npz file and 'datasets.{name}.kind' to "
            f"{' or '.join(KINDS)}"
        )
    own_data = {"name": name, "kind": kind, "title": name, "split": "as in the file"}
    return DatasetEntry.model_validate(own_data)


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
    return importlib.import_module(f"{__name__}.{known()[name].name}")
