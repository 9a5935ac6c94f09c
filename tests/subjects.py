"""Subjects of the metrics: runs a few updates old, in float64 where a twin is compared."""

import copy

import numpy as np
from torch import Tensor

from td_interference.metrics.subject import Subject
from td_interference.planning.grid import RunSpec
from td_interference.replay import Replay
from td_interference.storage import hdf5
from td_interference.training import Trainer


class DoubleReplay(Replay):
    """D* whose pixels and numbers are float64, for networks in float64."""

    def __init__(self, arrays: hdf5.Arrays):
        super().__init__(
            {
                name: array.astype(np.float64) if array.dtype == np.float32 else array
                for name, array in arrays.items()
            }
        )

    def observation(self, index: Tensor) -> Tensor:
        return super().observation(index).double()

    def next_observation(self, index: Tensor) -> Tensor:
        return super().next_observation(index).double()


def trainer_of(run: RunSpec, replay: Replay, updates: int) -> Trainer:
    trainer = Trainer(run, replay)
    if isinstance(replay, DoubleReplay):
        trainer.objective.network.double()
        trainer.objective.frozen_network.double()
    for _ in range(updates):
        trainer.advance()
    return trainer


def subject_of(trainer: Trainer) -> Subject:
    return Subject(trainer.run, trainer.objective, copy.deepcopy(trainer.checkpoint()))


class _Fixed:
    """Stands in for a numpy generator: draws the same transitions each time, up to a number."""

    def __init__(self, transitions: list[int]):
        self.transitions = np.array(transitions)

    def integers(self, _low: int, _high: int, n: int) -> np.ndarray:
        return self.transitions[:n]


class _Drawing(Subject):
    """A subject whose metrics draw what a test wants them to."""

    draws: list[int]

    def generator(self, metric: str) -> _Fixed:
        return _Fixed(self.draws)


def drawing(subject: Subject, transitions: list[int]) -> Subject:
    other = _Drawing(*subject)
    other.draws = transitions
    return other
