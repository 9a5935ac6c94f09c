"""The generalization experiments of a configuration: their grids, their data, their jobs."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from td_interference.datasets import entry, known
from td_interference.errors import UserError
from td_interference.planning import learners
from td_interference.planning.available_data import AvailableData, available_data
from td_interference.planning.cells import AXES, CellSpec, grouped
from td_interference.planning.grid import product
from td_interference.planning.layout import Result
from td_interference.planning.messages import did_you_mean
from td_interference.planning.needs import Needs, group_needs
from td_interference.storage.identity import Identity, of_group

if TYPE_CHECKING:
    from td_interference.planning.lineage import Lineage


@dataclasses.dataclass(frozen=True)
class CellGroup:
    """Cells whose runs one job trains: those of one width and depth of an MLP, or a single one.

    Small MLPs train faster together, whatever their n_T; larger networks take turns anyway
    (benchmarks/stacked_training.py), so that each cell of these has a job of its own.
    """

    kind: ClassVar[str] = "generalization"
    checkpoints: ClassVar[tuple[int, ...]] = ()
    measured_as: ClassVar[None] = None

    name: str  # of the experiment, for tables
    data: str  # that it shows, as figures call it
    cells: tuple[CellSpec, ...]

    @property
    def run_id(self) -> str:
        """Name of the group in paths; looked up, never parsed."""
        first = self.cells[0]
        return first.group_id if learners.known()[first.task].together else first.cell_id

    @property
    def labels(self) -> dict[str, str]:
        """What tables call it, beside what its identity says."""
        return {"name": self.name, "data": self.data}

    @property
    def dataset(self) -> str:
        """Name of the data set that its runs learn from."""
        return self.cells[0].dataset

    def identity(self, _: "Lineage") -> Identity:
        """Return the identity of what is measured of its runs."""
        return of_group(self.run_id, [cell.to_dict() for cell in self.cells])

    def products(self, config: Mapping[str, Any]) -> list[str]:
        """Return what that comes from."""
        kept = config[self.kind]["keep_checkpoints"]
        parameters = [Result.PARAMETERS.format(run_id=self.run_id)] if kept else []
        return [Result.DATASET.format(dataset=self.dataset), *parameters]

    def needs(self, config: Mapping[str, Any]) -> Needs:
        """Return what training and measuring its runs asks of a cluster."""
        return group_needs(self.cells, config["device"])

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, for Snakemake's params."""
        return {**self.labels, "cells": [cell.to_dict() for cell in self.cells]}


@dataclasses.dataclass(frozen=True)
class _Experiment:
    """One experiment with the data it gets."""

    name: str
    key: str  # where it stands in the configuration
    data: AvailableData
    settings: Mapping[str, Any]
    learner: learners.LearnerCard
    stands_in: bool  # with other data than it asks for

    @property
    def likeness(self) -> tuple[str, str]:
        """What two experiments have in common that are lines of one thing."""
        return self.data.dataset, self.settings["task"]


def expand_generalization(
    block: Mapping[str, Any], datasets: Mapping[str, Mapping[str, Any]]
) -> dict[str, CellGroup]:
    """Return every group of cells by its id, in the configuration's order.

    An experiment whose data another set stands in for is of that set. It is called by it, and
    where there is an experiment of the same kind on that set already (stood in or not), that one
    is for both: the same experiment twice would be two lines of one thing.

    Raises:
        UserError: If settings make no sense, or two experiments share a run.
    """
    _check_names(block, datasets)
    found = [
        _experiment(name, settings, datasets)
        for name, settings in block["experiments"].items()
        if settings is not None
    ]
    groups: dict[str, CellGroup] = {}
    for experiment in _distinct(found):
        cells = list(_cells(experiment))
        jobs = grouped(cells).values() if experiment.learner.together else [(c,) for c in cells]
        for job in jobs:
            group = CellGroup(experiment.name, experiment.data.title, job)
            if group.run_id in groups:
                raise UserError(
                    f"config key '{experiment.key}': the runs {group.run_id} are of the experiment "
                    f"{groups[group.run_id].name} too; let the two differ in learning rate, width "
                    "or data, or leave one out (null)"
                )
            groups[group.run_id] = group
    return groups


def _check_names(block: Mapping[str, Any], datasets: Mapping[str, Mapping[str, Any]]) -> None:
    """See that the settings of data sets are of some that are meant."""
    shipped = list(known())
    asked_for = {settings["dataset"] for settings in block["experiments"].values() if settings}
    asked_for |= {own.get("stand_in") for own in datasets.values()}
    for name, own in datasets.items():
        if name in shipped:
            entry(name, own)
        elif (
            name not in asked_for and not own.get("kind") and (hint := did_you_mean(name, shipped))
        ):
            raise UserError(f"config key 'datasets.{name}': no experiment asks for it{hint}")


def _experiment(
    name: str, settings: Mapping[str, Any], datasets: Mapping[str, Mapping[str, Any]]
) -> _Experiment:
    key = f"generalization.experiments.{name}"
    data = available_data(settings["dataset"], datasets)
    task = settings["task"]
    learner = learners.known()[task]
    stands_in = data.dataset != settings["dataset"]
    if data.kind != learner.data:
        where = f"datasets.{settings['dataset']}.stand_in" if stands_in else f"{key}.dataset"
        raise UserError(
            f"config key '{where}': {data.dataset} is {data.kind}, and {task} learns from "
            f"{learner.data}; choose another data set"
        )
    called = f"{data.dataset}_{task}" if stands_in else name
    return _Experiment(called, key, data, settings, learner, stands_in)


def _distinct(experiments: Sequence[_Experiment]) -> list[_Experiment]:
    """Return the experiments without those that a stand-in made the like of another."""
    asked_for = {experiment.likeness for experiment in experiments if not experiment.stands_in}
    distinct = []
    for experiment in experiments:
        if not experiment.stands_in or experiment.likeness not in asked_for:
            distinct.append(experiment)
        asked_for.add(experiment.likeness)
    return distinct


def _cells(experiment: _Experiment) -> Iterable[CellSpec]:
    settings, data = experiment.settings, experiment.data
    # More samples than there are: all of them, once.
    sizes = dict.fromkeys(min(size, data.n_train) for size in settings["n_train"])
    grid = {**settings, "dataset": data.dataset, "n_train": sizes}
    grid["seeds"] = range(grid.pop("n_seeds"))
    if experiment.learner.acts:
        grid.setdefault("agent", {})
    for fields in product(grid, dict(zip(AXES, AXES, strict=True))):
        try:
            yield CellSpec.from_dict(fields)
        except UserError as error:
            line = str(error).replace("'generalization.", f"'{experiment.key}.")
            raise UserError(line) from None
