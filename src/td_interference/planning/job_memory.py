"""The most that a job holds in memory, in MB, from its own settings.

Each function adds up the large things a job holds at once: frames, networks with their optimizer,
files (which are in memory whole), gradients written out. What is measured and what is asked for
stands in `docs/slurm.md`; a test measures every kind of job at every scale's largest settings.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from td_interference.planning import learners
from td_interference.planning.objectives import takes_lambda

if TYPE_CHECKING:
    from td_interference.planning.cells import CellSpec
    from td_interference.planning.control import ControlSettings
    from td_interference.planning.expert import ExpertSettings
    from td_interference.planning.grid import RunSpec
    from td_interference.planning.replay import ReplaySpec
    from td_interference.planning.studies import Study

MARGIN = 1.15  # of what is added up; other versions of the libraries, other games
CUDA = 3000  # of the host, for CUDA's libraries and context; assumed, not measured

_PROGRAM = 750  # Python and torch with its libraries; 530 to 690 measured
_FRAME = 7069 / 1e6  # an agent step in memory: a frame and 13 bytes
_STORED = 650 / 1e6  # an agent step in a file: 420 bytes in MsPacman; noisier games have more
_LISTED = 150 / 1e6  # an agent step's numbers in D*: Q* of 18 actions, targets, places
# An agent step in the λ-returns of whole episodes, which stand in rows as long as the longest:
# 27,000 steps, where the mean is 600, in three arrays of eight bytes.
_RETURNS = 3 * 8 * 27_000 / 600 / 1e6
_EMULATOR = 2.0  # with what was seen last; 1.1 measured
_TRANSITION = 0.6  # of an expert's minibatch, on its way through the networks; 0.5 measured
_NUMBER = 4 / 1e6  # a float32
_TRAINED = 5  # copies of a network that learns: itself, frozen, gradient, two moments of Adam
_KEPT = 4  # copies of a network in a checkpoint: itself, frozen, two moments
_WAITING = 2000  # agent steps an episode waits for those begun before it, in each emulator
_IMAGE = 3 * 32 * 32 / 1e6
_IMAGES = 100_000  # of a data set, train and test; SVHN has 99,289
_TEST_IMAGES = 26_032  # SVHN's


def expert(settings: "ExpertSettings") -> float:
    """Return what training and evaluating an expert holds."""
    features = {"data_efficient": 576, "canonical": 3136}[settings.architecture]
    outputs = settings.n_atoms * 19  # of 18 actions and the state
    parameters = 2 * settings.hidden * (2 * features + outputs)  # mean and noise of each
    networks = 2 * _TRAINED * parameters * _NUMBER
    emulators = max(settings.n_environments, settings.evaluation_environments)
    held = _EMULATOR * emulators + _TRANSITION * settings.minibatch
    # And what is drawn at the end.
    return MARGIN * (_PROGRAM + 110 + settings.replay_capacity * _FRAME + networks + held)


def replay(spec: "ReplaySpec") -> float:
    """Return what recording a D* holds: the file twice, and episodes under way."""
    written = spec.transitions * (2 * _STORED + _LISTED)
    return MARGIN * (_PROGRAM + written + spec.n_environments * _WAITING * _FRAME)


def run(spec: "RunSpec", transitions: int) -> float:
    """Return what training from a D* of `transitions` holds."""
    held, written = _training(spec)
    return MARGIN * (_PROGRAM + _play(transitions, spec) + held + written)


def control(settings: "ControlSettings") -> float:
    """Return what a control run holds."""
    held, written = _training(settings)
    window = settings.window * 3 * _STORED
    frames = settings.replay_capacity * (_FRAME + _LISTED)
    return MARGIN * (_PROGRAM + 150 + frames + held + max(written, window))


def measurement(
    metric: str, settings: Mapping[str, Any], spec: "RunSpec", transitions: int
) -> float:
    """Return what measuring a metric of a run on D* holds.

    Args:
        metric: A name of `metrics.METRICS`.
        settings: The metric's own.
        spec: The run.
        transitions: Of D*, or of a window of a control run.
    """
    network = _network(spec.hidden)
    read = (len(spec.checkpoints) + 1) * _KEPT * network
    from td_interference import metrics  # its cards read the runs' records, which need this module

    held = (_TRAINED + metrics.entry(metric).card.copies) * network
    n = _gradients_at_once(settings)
    gradients = n * _convolutions(spec.hidden) + _activations(spec.hidden, max(256, n))
    return MARGIN * (_PROGRAM + _play(transitions, spec) + read + held + gradients)


def _gradients_at_once(settings: Mapping[str, Any]) -> int:
    """Return the samples whose gradients a metric holds at once."""
    if "anchors_per_segment" in settings:
        return settings["anchors_per_segment"] + 2 * settings["half_width"]
    return settings.get("samples", settings.get("minibatch", 0))


def study(spec: "Study") -> float:
    """Return what a study of random networks holds: one network, and all that is measured."""
    written = 2 * spec.networks * spec.samples**2 * _NUMBER
    network = 8 * spec.hidden**2 * _NUMBER
    if spec.network in ("q", "value"):
        # Gradients with their graphs, of the samples that are checked one by one.
        network = (8 + 4 * spec.checked_samples) * _network(spec.hidden)
        network += _activations(spec.hidden, 4 * spec.samples)
        network += spec.samples * _convolutions(spec.hidden)
    return MARGIN * (_PROGRAM + 150 + network + written)  # and what torch.func loads


def group(cells: "Sequence[CellSpec]") -> float:
    """Return what training and measuring the runs of a group holds."""
    shared, n_runs = cells[0], sum(len(cell.seeds) for cell in cells)
    card = learners.known()[shared.task]
    if not card.of_images:
        parameters = 30 * shared.hidden + (shared.extra_layers + 1) * shared.hidden**2
        minibatches = shared.duration * shared.minibatch * n_runs * 8 / 1e6
        outputs = shared.evaluation_samples * n_runs * 8 * shared.hidden * _NUMBER
        networks = 3 * _TRAINED * n_runs * parameters * _NUMBER
        return MARGIN * (_PROGRAM + 150 + networks + 2 * minibatches + outputs)
    hidden, extra = shared.hidden, shared.extra_layers
    parameters = 100 * hidden + (1690 + 144 * extra) * hidden**2
    written_out = (100 * hidden + (90 + 144 * extra) * hidden**2) * _NUMBER
    # Sums of gradients and their products in float64; a state to go on from.
    held = (n_runs * _TRAINED + 14) * parameters * _NUMBER
    held += 2 * shared.samples * written_out
    # Activations and their gradients, of whatever goes through a network at once.
    n_samples = max(2 * shared.samples, shared.minibatch, shared.evaluation_samples)
    held += n_samples * (2_500 + 400 * extra) * hidden * 2 * _NUMBER
    data = 2 * _IMAGES * _IMAGE  # its file, and what was read of it
    if not card.acts:
        learned = max(cell.n_train for cell in cells) + _TEST_IMAGES
        data += 4 * learned * _IMAGE  # float32
        if n_runs > 1:
            held += n_runs * shared.evaluation_samples * 4 * _IMAGE
    held += n_runs * getattr(shared.agent, "replay_capacity", 0) * 200 / 1e6
    return MARGIN * (_PROGRAM + data + held)


def table(measured: Iterable[tuple[str, Mapping[str, Any], int]]) -> float:
    """Return what a table holds: all its measurements, as they are and while they are reduced.

    Args:
        measured: For each run, the metric (or what it is of, where it is none), the metric's
            settings, and how many checkpoints were measured.
    """
    numbers = sum(n * _measured_numbers(metric, settings) for metric, settings, n in measured)
    return MARGIN * (_PROGRAM + 4 * numbers * _NUMBER)


def _measured_numbers(metric: str, settings: Mapping[str, Any]) -> int:
    """Return about how many numbers a measurement of one checkpoint is."""
    window = 2 * settings.get("half_width", 0) + 1
    if "minibatches" in settings:
        return settings["minibatches"] * (32 * window + settings["unrelated"])
    if "anchors" in settings:
        return settings["anchors"] * window
    if "minibatch" in settings:
        return 5 * settings["minibatch"] ** 2
    return 300_000 if metric == "random_networks" else 10_000


def dataset() -> float:
    """Return what preparing a data set of the paper holds: images in several forms."""
    return MARGIN * (150 + 5 * _IMAGES * _IMAGE)


def _training(spec: "RunSpec | ControlSettings") -> tuple[float, float]:
    """Return the size of what learns, and that of its checkpoints as they are joined."""
    network = _network(spec.hidden)
    written = (2 * len(spec.checkpoints) + 2) * _KEPT * network
    return _TRAINED * network + _activations(spec.hidden, spec.minibatch), written


def _network(hidden: int) -> float:
    """Return the size of the paper's Atari network (`networks.q_network`)."""
    return (4676 * hidden**2 + 600 * hidden) * _NUMBER


def _convolutions(hidden: int) -> float:
    """Return the size of a gradient of its convolutions, which is written out for each sample."""
    return (68 * hidden**2 + 256 * hidden) * _NUMBER


def _activations(hidden: int, n_samples: int) -> float:
    """Return what `n_samples` leave on their way through it, and the gradients of that."""
    return n_samples * (28_224 + 2 * 2_200 * hidden) * _NUMBER


def _play(transitions: int, spec: "RunSpec") -> float:
    """Return the size of D* in memory, and either its file or what is computed of all of it.

    Of each job, though jobs of one machine may share the frames: whichever finds no room in scratch
    holds them by itself, and what is shared counts for the job that wrote it.
    """
    returns = _RETURNS if takes_lambda(spec.objective) else 0
    return transitions * (_FRAME + _LISTED + max(_STORED, returns))
