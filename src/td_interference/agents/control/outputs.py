"""The files of a control run, written at its end from the parts kept on the way."""

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import polars

from td_interference.agents.learning_curve import TrainingEpisode, write_learning_curve
from td_interference.jobs.kept_files import Parts
from td_interference.planning.control import ControlOutputs, window_name
from td_interference.storage.checkpoints import merge_checkpoints
from td_interference.storage.files import atomic_path
from td_interference.storage.identity import Identity
from td_interference.storage.seal import sealed_digest

_EVALUATION_SCHEMA = {
    "update_step": polars.Int64,
    "episode": polars.Int64,
    "score": polars.Int64,
    "agent_steps": polars.Int64,
    "truncated": polars.Boolean,
}


def checkpoint_name(update_step: int) -> str:
    """Return the name of the file that holds one checkpoint until the end of the run."""
    return f"checkpoint-{update_step}.h5"


def write_outputs(
    outputs: ControlOutputs,
    parts: Parts,
    steps: Sequence[int],
    curve: Sequence[TrainingEpisode],
    evaluation: Sequence[Mapping[str, Any]],
    identity: Identity,
    attributes: Mapping[str, Any],
) -> None:
    """Write all files of a run.

    Args:
        outputs: Files to write.
        parts: The checkpoints and windows.
        steps: Update steps of the checkpoints that the run reached.
        curve: An episode of training each.
        evaluation: An episode of a checkpoint's evaluation each, by column.
        identity: Of the run.
        attributes: What else the file of checkpoints says of itself, beside the digests of the
            windows.

    Raises:
        UserError: If a part is not good, or of another run.
    """
    outputs.windows.mkdir(parents=True, exist_ok=True)  # also where there is none
    for step in steps:
        # Not moved: a job killed on the way must find them again.
        with atomic_path(outputs.windows / window_name(step)) as temporary:
            shutil.copyfile(parts.path(window_name(step)), temporary)
    windows = {str(step): sealed_digest(outputs.windows / window_name(step)) for step in steps}
    merge_checkpoints(
        outputs.checkpoints,
        [parts.path(checkpoint_name(step)) for step in steps],
        identity,
        {"windows": windows, **attributes},
    )
    write_learning_curve(outputs.learning_curve, curve)
    with atomic_path(outputs.evaluation) as temporary:
        polars.DataFrame(evaluation, schema=_EVALUATION_SCHEMA).write_csv(temporary)
