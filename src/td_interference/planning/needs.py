"""What a job asks of a cluster: memory (`job_memory`) and run time, from its own settings.

The figures below were measured on one core of a CPU (`docs/control.md`, `docs/expert.md`, benchmark
files of the `laptop` scale); a request is what follows from them with a margin.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from td_interference.planning import job_memory, learners

if TYPE_CHECKING:
    from td_interference.planning.cells import CellSpec
    from td_interference.planning.control import ControlSettings
    from td_interference.planning.expert import ExpertSettings
    from td_interference.planning.grid import RunSpec
    from td_interference.planning.replay import ReplaySpec
    from td_interference.planning.studies import Study

_UPDATE = 0.045  # s: minibatch 32 of the paper's network (hidden 32), forward, backward, Adam
_EXPERT_UPDATE = 0.03  # s: 0.012 to 0.018 measured for data-efficient Rainbow, canonical is larger
_STEP = 0.0012  # s: an agent step with its action
_RECORDED_STEP = 0.001  # s: an agent step of D*, compressed on disk
_PRODUCT = 2e-10  # s: a multiplication of a sample's forward and backward pass, 8 to 16 channels
# On a GPU starting the operations takes the time, so that neither width nor minibatch matters; on
# an H200 4 to 6 ms an update of hidden 32 or 64, 2 to 10 ms of image runs (`benchmarks/device.py`).
_UPDATE_ON_GPU = 0.008
_EXPERT_UPDATE_ON_GPU = 0.02  # s: 0.008 to 0.017 there, with the step of one emulator
_PRODUCT_ON_GPU = 4e-12  # s: a fiftieth of a core's, 19 to 34 measured where starting dominates

_MARGIN = 2.0  # busy or older machines
_START = 10.0  # minutes: Python and torch from a slow file system, reading D*
_CHECKPOINT = 5.0  # minutes to measure one; at most 0.2 measured at laptop scale, times 8 at paper
_NETWORKS = 2.0  # minutes for 16 samples of one random network; 0.01 measured with 8, hidden 8


class Needs(NamedTuple):
    """What one job asks for at its first attempt."""

    mem_mb: int
    minutes: int
    resumes: bool = False  # goes on from a resume state: a second attempt needs no longer

    def mem_mb_at(self, attempt: int) -> int:
        """Memory in MB at an attempt, counted from 1: more each time."""
        return self.mem_mb * attempt

    def minutes_at(self, attempt: int) -> int:
        """Run time at an attempt, counted from 1: more for a job that starts anew."""
        return self.minutes if self.resumes else self.minutes * attempt


DATASET_NEEDS = Needs(math.ceil(job_memory.dataset()), minutes=60)  # with the download
FIGURE_NEEDS = Needs(mem_mb=800, minutes=10)


def expert_needs(expert: "ExpertSettings", device: str = "cpu") -> Needs:
    """Return what training and evaluating an expert needs."""
    updates = expert.agent_steps * expert.updates_per_step
    episodes = expert.evaluation_episodes + expert.random_episodes
    steps = expert.agent_steps + 1000 * episodes  # of an episode: a few hundred, as a rule
    update = _EXPERT_UPDATE_ON_GPU if device == "cuda" else _EXPERT_UPDATE
    seconds = updates * update + steps * _STEP
    return _needs(job_memory.expert(expert), seconds, device, resumes=True)


def replay_needs(replay: "ReplaySpec") -> Needs:
    """Return what recording a D* needs."""
    return _needs(job_memory.replay(replay), replay.transitions * _RECORDED_STEP)


def run_needs(run: "RunSpec", transitions: int, device: str = "cpu") -> Needs:
    """Return what training from a D* of `transitions` needs."""
    seconds = run.updates * _update(run.hidden, run.minibatch, device)
    return _needs(job_memory.run(run, transitions), seconds, device, resumes=True)


def control_needs(control: "ControlSettings", device: str = "cpu") -> Needs:
    """Return what a control run needs; the paper's takes days."""
    steps = control.agent_steps + control.learning_starts
    seconds = steps * _STEP + control.updates * _update(control.hidden, control.minibatch, device)
    return _needs(job_memory.control(control), seconds, device, resumes=True)


def measurement_needs(
    metric: str,
    settings: Mapping[str, Any],
    run: "RunSpec",
    transitions: int,
    device: str = "cpu",
) -> Needs:
    """Return what a metric, with its settings, of a run on a D* of `transitions` needs."""
    n_checkpoints = 1 if settings["checkpoints"] == "last" else len(run.checkpoints)
    seconds = n_checkpoints * _CHECKPOINT * _width(run.hidden) * 60
    return _needs(job_memory.measurement(metric, settings, run, transitions), seconds, device)


def study_needs(study: "Study") -> Needs:
    """Return what a study of random networks needs."""
    networks = study.networks * (_width(study.hidden) if study.network == "q" else 0.01)
    seconds = networks * _NETWORKS * (study.samples / 16) ** 2 * 60
    return _needs(job_memory.study(study), seconds)


def group_needs(cells: "Sequence[CellSpec]", device: str = "cpu") -> Needs:
    """Return what training and measuring the runs of a group needs, all in one job."""
    products = sum(
        len(cell.seeds) * learners.samples_learned(cell) * _products(cell) for cell in cells
    )
    if device == "cuda":
        turns = sum(len(cell.seeds) * _turns(cell) for cell in cells)
        seconds = turns * _UPDATE_ON_GPU + products * _PRODUCT_ON_GPU
    else:
        seconds = products * _PRODUCT
    return _needs(job_memory.group(cells), seconds, device, resumes=True)


def table_needs(measured: Iterable[tuple[str, Mapping[str, Any], int]]) -> Needs:
    """Return what a table needs; for the argument see `job_memory.table`."""
    return Needs(math.ceil(job_memory.table(measured)), minutes=20)


def _turns(cell: "CellSpec") -> float:
    """Return how often a run gives a GPU something to do: updates, and an agent's choices."""
    choices = 0 if cell.agent is None else cell.duration / cell.agent.n_environments
    return learners.samples_learned(cell) / cell.minibatch + choices


def _products(cell: "CellSpec") -> float:
    """Return the multiplications of a sample's forward pass (`image_networks`), about."""
    hidden, extra = cell.hidden, cell.extra_layers
    if not learners.known()[cell.task].of_images:
        return 30 * hidden + extra * hidden**2
    return 19_600 * hidden + (11_392 + 14_400 * extra) * hidden**2


def _needs(memory: float, seconds: float, device: str = "cpu", *, resumes: bool = False) -> Needs:
    mem_mb = memory + (job_memory.CUDA if device == "cuda" else 0)
    return Needs(math.ceil(mem_mb), math.ceil(_START + _MARGIN * seconds / 60), resumes)


def _width(hidden: int) -> float:
    """Cost of a network against the paper's: convolutions grow with the square of their width."""
    relative = hidden / 32
    return max(relative, relative**2)


def _update(hidden: int, minibatch: int, device: str) -> float:
    if device == "cuda":
        return _UPDATE_ON_GPU
    return _UPDATE * _width(hidden) * max(1, minibatch / 32)
