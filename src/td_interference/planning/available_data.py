"""Which data an experiment gets, and how much of it, from the configuration alone.

The plan is made of this before any job has run, so it reads at most one array of a local copy.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from td_interference import datasets
from td_interference.errors import UserError
from td_interference.planning.messages import did_you_mean

Settings = Mapping[str, Mapping[str, Any]]


class AvailableData(NamedTuple):
    """A data set that can be had."""

    dataset: str  # name, as in the configuration
    kind: str  # one of `datasets.KINDS`
    n_train: int  # samples of its train split
    title: str  # what figures call it, with its size where it is not the whole: "CIFAR-10, 8,152"


def available_data(name: str, settings: Settings) -> AvailableData:
    """Return the data set `name`, or the one that stands in for it.

    It is itself where the user has a copy (`path`), lets it be downloaded (`download`), or it comes
    with a library. Otherwise its `stand_in` takes its place. The settings are those of all sets.

    Raises:
        UserError: If there is neither data nor a stand-in, or the local copy is not good.
    """
    own = settings.get(name, {})
    if not _at_hand(name, own):
        stand_in = own.get("stand_in")
        if stand_in is None:
            datasets.entry(name, own)  # an unknown name has a line of its own
            raise UserError(
                f"config key 'datasets.{name}': no data; set 'datasets.{name}.path' to a local "
                f"copy, 'datasets.{name}.download' to true, or 'datasets.{name}.stand_in' to "
                "another data set"
            )
        if not _at_hand(stand_in, settings.get(stand_in, {})):
            raise UserError(
                f"config key 'datasets.{name}.stand_in': {stand_in} is not at hand either; choose "
                "digits or diabetes, which need no download, or a data set whose path is set"
                + did_you_mean(stand_in, datasets.known())
            )
        name = stand_in
    own = settings.get(name, {})
    entry, n_train = datasets.entry(name, own), _n_train(name, own)
    unit = "images" if entry.kind == "images" else "rows"
    whole = n_train == entry.n_train
    return AvailableData(
        name, entry.kind, n_train, entry.title if whole else f"{entry.title}, {n_train:,} {unit}"
    )


def _at_hand(name: str, own: Mapping[str, Any]) -> bool:
    embedded = name in datasets.known() and datasets.known()[name].embedded
    return own.get("path") is not None or bool(own.get("download")) or embedded


def _n_train(name: str, own: Mapping[str, Any]) -> int:
    entry = datasets.entry(name, own)
    if own.get("path") is None:
        return entry.n_train
    key = f"config key 'datasets.{name}.path'"
    path = datasets.local_path(name, own["path"])
    if not path.exists():
        raise UserError(f"{key}: {path}: no such file or folder; give the path of your copy")
    if path.suffix != ".npz":  # the canonical files, whose checksums are compared before their use
        if not entry.n_train:
            raise UserError(f"{key}: {path}: not an .npz file")
        return entry.n_train
    from td_interference.datasets import npz  # numpy: a tenth of a second for these plans alone

    try:
        return npz.shapes(path)["y_train"].shape[0]  # as many as the inputs
    except UserError as error:
        raise UserError(f"{key}: {error}") from None
    except (
        Exception
    ) as error:  # whatever zipfile, zlib and numpy raise on bytes that are not theirs
        reason = " ".join(str(error).split())
        raise UserError(f"{key}: {path}: no .npz with an array y_train ({reason})") from None
