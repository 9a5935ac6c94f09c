"""What a person wants to know of an HDF5 file of the project at a glance."""

from pathlib import Path
from typing import Any

import h5py
import matplotlib.image
import numpy as np
from numpy.typing import NDArray

from td_interference.errors import UserError, rebuild
from td_interference.jobs import quantities
from td_interference.storage import hdf5, kinds, unreadable
from td_interference.storage.attributes import identity_of, parse_attributes
from td_interference.storage.files import atomic_path

Facts = dict[str, str]

_MONTAGE = "td-interference, frames of D*"
_ROWS, _COLUMNS = 4, 6  # of it


def summarise(path: Path | str) -> tuple[str, Facts]:
    """Return a title and facts, in the order to show them, of any file of the project.

    Raises:
        UserError: If the file is not good.
    """
    with hdf5.opened(path) as file, unreadable.one_line_if_unreadable(path):
        attributes, identity = parse_attributes(file), identity_of(file)
        size = Path(path).stat().st_size
        facts = {"size": f"{quantities.size(size)} on disk"}
        if attributes["schema"] == kinds.REPLAY.name:
            if not len(file["episode_length"]) or not len(file["action"]):
                raise UserError(f"{path}: has no episodes; {rebuild(path)}")
            facts |= _replay_facts(path, file, size)
        elif attributes["schema"] == kinds.CHECKPOINTS.name:
            facts |= _checkpoint_facts(path, file)
        else:
            facts |= _measurement_facts(path, file)
        if "name" in identity:
            facts = {"is of": str(identity["name"]), **facts}
        described = {
            **{name: identity.get(name) for name in ("run", "control", "replay", "settings")},
            "made from": identity.get("made_from"),
            "library_versions": attributes.get("library_versions"),
        }
        for name, values in described.items():
            if isinstance(values, dict):
                facts[name] = ", ".join(f"{key} {value}" for key, value in values.items())
        return str(attributes.get("title", "")), facts


def _replay_facts(path: Path | str, file: h5py.File, size: int) -> Facts:
    def numbers(name: str) -> NDArray[Any]:
        return hdf5.numbers(path, file[name])

    n = len(file["action"])
    score, length = numbers("episode_score"), numbers("episode_length")
    expert_value = numbers("expert_q").max(axis=1)
    monte_carlo = numbers("monte_carlo_return")
    actions = np.bincount(numbers("action"), minlength=file["expert_q"].shape[1]) / n
    return {
        "transitions": f"{n:,} in {len(score):,} episodes ({size / n:,.0f} bytes each)",
        "frames": f"{len(file['frames']):,}, each stored once",
        "episode score": f"mean {score.mean():,.0f}, from {score.min():,.0f} to {score.max():,.0f}",
        "episode length": f"mean {length.mean():,.0f} agent steps, "
        f"from {length.min():,} to {length.max():,}",
        "episode ends": f"{numbers('terminated').sum():,} terminated, "
        f"{numbers('truncated').sum():,} truncated",
        "rewards": f"{np.mean(numbers('reward') != 0):.1%} of the steps are rewarded",
        "Monte-Carlo return": range_of(monte_carlo),
        "max Q*": f"{range_of(expert_value)}; "
        f"correlation with the return {_correlation(expert_value, monte_carlo):.2f}",
        "actions": ", ".join(f"{index}: {share:.0%}" for index, share in enumerate(actions)),
    }


def _checkpoint_facts(path: Path | str, file: h5py.File) -> Facts:
    steps = hdf5.numbers(path, file["update_step"])
    sizes: list[int] = []
    for first in [name for name in file if name.startswith("step_")][:1]:
        parameters = file[first]["parameters"]
        if not isinstance(parameters, h5py.Group):
            raise TypeError(f"'{parameters.name}' is no group")
        parameters.visititems(
            lambda _, item: sizes.append(item.size) if isinstance(item, h5py.Dataset) else None
        )
    return {
        "update steps": ", ".join(f"{step:,}" for step in steps),
        "parameters": f"{sum(sizes):,} in {len(sizes)} tensors",
    }


def _measurement_facts(path: Path | str, file: h5py.File) -> Facts:
    return {
        name: f"{'x'.join(map(str, dataset.shape))}, {range_of(hdf5.numbers(path, dataset))} "
        f"{dataset.attrs['unit']}: {dataset.attrs['description']}"
        for name in kinds.FILE_KINDS[file.attrs["schema"]].fields
        for dataset in (file[name],)
    }


def range_of(values: NDArray[Any]) -> str:
    """Say what lies in an array of numbers or names."""
    if values.dtype.kind == "S":
        names = np.unique(values).astype(str)
        return f"{len(names)} different, the first {names[0]}" if len(names) else "none"
    known = values[np.isfinite(values)]
    if not known.size:
        return "all NaN"
    with np.errstate(over="ignore"):
        mean = known.mean(dtype=np.float64)
    return f"mean {mean:.4g}, from {known.min():.4g} to {known.max():.4g}"


def _correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    with np.errstate(all="ignore"):
        return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else float("nan")


def write_montage(path: Path | str, png_path: Path | str) -> None:
    """Draw frames of D*'s best episode, evenly spaced in time, from left to right and down.

    Raises:
        UserError: If the file is no D*, or the picture is not to be a PNG.
    """
    if Path(png_path).suffix.lower() != ".png":
        raise UserError(f"{png_path}: the montage is a PNG; give it a name that ends in .png")
    with hdf5.opened(path, kinds.REPLAY) as file, unreadable.one_line_if_unreadable(path):
        length = hdf5.numbers(path, file["episode_length"])
        best = int(hdf5.numbers(path, file["episode_score"]).argmax())
        first = int((length[:best] + 1).sum())  # an episode has one frame more than steps
        chosen = np.linspace(first, first + length[best], _ROWS * _COLUMNS).astype(int)
        frames = np.stack([file["frames"][index] for index in chosen])
    bordered = np.pad(frames, ((0, 0), (1, 1), (1, 1)), constant_values=255)
    sheet = np.block([list(row) for row in bordered.reshape(_ROWS, _COLUMNS, *bordered.shape[1:])])
    sheet = sheet.repeat(2, axis=0).repeat(2, axis=1)  # 84 pixels are small on today's screens
    with atomic_path(png_path) as temporary:
        matplotlib.image.imsave(
            temporary,
            sheet,
            cmap="gray",
            vmin=0,
            vmax=255,
            format="png",
            metadata={"Software": _MONTAGE},
        )


def is_montage(path: Path) -> bool:
    """Whether a file is a picture of `write_montage`, as it says itself."""
    with path.open("rb") as file:
        return f"tEXtSoftware\0{_MONTAGE}".encode() in file.read(512)
