"""Resume states: what a killed job needs to go on as if it had never stopped.

They live beside the workflow's outputs, never among them: Snakemake deletes the outputs of a
failed job. A state is a dict of tensors, numbers, strings, lists and dicts of such; it is read
with `weights_only`, so nothing in it is ever executed.
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from td_interference.files import atomic_path

logger = logging.getLogger(__name__)

_VERSION = 2


class ResumeState:
    """The resume state of one job, replaced atomically at intervals.

    Args:
        directory: The job's own directory; created at the first save, removed by `remove`.
        identity: Everything that may change the job's result. A state written under another
            identity is ignored with a line in the log.
        interval: Seconds of wall time between two states.
    """

    def __init__(self, directory: Path | str, identity: Mapping[str, Any], interval: float = 60.0):
        """See the class."""
        self.directory = Path(directory)
        self.interval = interval
        encoded = json.dumps(identity, sort_keys=True, default=str).encode()
        self._identity = hashlib.sha256(encoded).hexdigest()
        self._saved_at = time.monotonic()

    @property
    def path(self) -> Path:
        """The file that holds the newest state."""
        return self.directory / "state.pt"

    def load(self) -> dict[str, Any] | None:
        """Return the newest state, or None where there is none to go on from.

        A state that cannot be read, or that another description of the job wrote, is not an
        error: the job starts anew, and says so in the log.
        """
        if not self.path.exists():
            return None
        try:
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
            version, identity, state = saved["version"], saved["identity"], saved["state"]
        except Exception as error:  # whatever a damaged file makes torch raise
            logger.warning("%s cannot be read (%s); starting anew", self.path, error)
            return None
        if (version, identity) != (_VERSION, self._identity):
            logger.warning("%s belongs to other settings; starting anew", self.path)
            return None
        return state

    def due(self) -> bool:
        """Whether the interval has passed since the last state (or since the start)."""
        return time.monotonic() - self._saved_at >= self.interval

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the newest state by `state`, atomically."""
        record = {"version": _VERSION, "identity": self._identity, "state": dict(state)}
        with atomic_path(self.path) as temporary:
            torch.save(record, temporary)
        self._saved_at = time.monotonic()

    def remove(self) -> None:
        """Forget the job's state; called once its outputs are in place."""
        shutil.rmtree(self.directory, ignore_errors=True)
