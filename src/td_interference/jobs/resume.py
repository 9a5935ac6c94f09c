"""Resume states: what a killed job needs to go on as if it had never stopped.

They live beside the workflow's outputs, never among them: Snakemake deletes the outputs of a
failed job, and those of a finished one that it did not live to see finish. A state is a dict of
tensors, numbers, strings, lists and dicts of such; it is read with `weights_only`, so nothing in it
is ever executed.
"""

import hashlib
import io
import json
import logging
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from td_interference.errors import UserError
from td_interference.jobs import ownership, preemption
from td_interference.jobs.kept_files import Parts, forget, keep_outputs, remove, restore_outputs
from td_interference.storage.files import atomic_path

logger = logging.getLogger(__name__)

_VERSION = 4
_DIGEST_BYTES = hashlib.sha256().digest_size
_NAME = re.compile(r"state-(\d+)\.pt")


class ResumeState:
    """The resume state of one job, written atomically at intervals; the last two are kept.

    One process at a time works in the directory; whoever comes second waits for it (`ownership`).
    A state knows the parts that were there when it was written: with one of them gone or changed,
    it is of no use.

    Args:
        directory: The job's own directory; created when it is first used.
        identity: Everything that may change the job's result. A state written under another
            identity is ignored with a line in the log.
        interval: Seconds of wall time between two states.

    Attributes:
        parts: What the job writes on the way beside its states, such as checkpoints.
        last_good: The newest state written or read by this process.
    """

    def __init__(self, directory: Path | str, identity: Mapping[str, Any], interval: float = 60.0):
        """See the class."""
        self.directory = Path(directory)
        self.interval = interval
        encoded = json.dumps(identity, sort_keys=True, default=str).encode()
        self._identity = hashlib.sha256(encoded).hexdigest()
        self._saved_at = time.monotonic()
        self.parts = Parts(self.directory)
        self.last_good: Path | None = None

    def load(self) -> dict[str, Any] | None:
        """Return the newest good state, or None where there is none to go on from.

        A state that cannot be read, or that another description of the job wrote, or some part of
        which is not as it was, is not an error: the job goes on from the one before or starts anew,
        and says so in the log.

        Raises:
            Preempted: If the process was asked to end while another one had the directory.
            UserError: If the directory cannot be written to.
        """
        ownership.own(self.directory)
        for left in self.directory.glob(".*.partial*"):  # by a save that was killed
            left.unlink(missing_ok=True)
        found = self._numbered()
        for _, path in sorted(found.items(), reverse=True):
            try:
                version, identity, digests, state = _read(path)
            except Exception as error:  # whatever a damaged file makes torch raise
                reason = " ".join(str(error).split())
                logger.warning("%s cannot be read (%s); trying the state before", path, reason)
                continue
            if (version, identity) != (_VERSION, self._identity):
                logger.warning("%s belongs to other settings; not used", path)
                continue
            if (fault := self.parts.restore(digests)) is not None:
                logger.warning("%s; %s needs it; trying the state before", fault, path)
                continue
            self.last_good = path
            return state
        if found:
            logger.warning("%s: no state to go on from; beginning anew", self.directory)
        return None

    def due(self) -> bool:
        """Whether it is time to `save`: the interval has passed, or the job is to end (SIGTERM)."""
        return preemption.requested() or time.monotonic() - self._saved_at >= self.interval

    def save(self, state: Mapping[str, Any]) -> None:
        """Write `state` as the newest, atomically, and forget all but the one before.

        Where it cannot be written (the disk is full) the states before stay, and the job goes on
        with a line in the log: only a kill before the next save would cost more than usual.

        Raises:
            Preempted: If the process was asked to end; the state is written then.
            UserError: If the directory cannot be written to.
        """
        ownership.own(self.directory)
        path = self._file(max(self._numbered(), default=0) + 1)
        record = {
            "version": _VERSION,
            "identity": self._identity,
            "parts": self.parts.digests,
            "state": dict(state),
        }
        try:
            with atomic_path(path) as temporary:
                _write(temporary, record)
        except (OSError, UserError) as error:
            kept = f"{self.last_good} stays" if self.last_good else "there is none before"
            logger.warning("no resume state was written (%s); %s, and the job goes on", error, kept)
        else:
            for other in self._numbered().values():
                if other not in (path, self.last_good):
                    remove(other)
            self.last_good = path
        self._saved_at = time.monotonic()
        preemption.leave(f"the resume state is {self.last_good}; run snakemake again to go on")

    def finished(self, outputs: Sequence[Path]) -> bool:
        """Whether an earlier process had ended the job; the outputs of `finish` are in place then.

        Raises:
            Preempted: If the process was asked to end while another one had the directory.
            UserError: If the directory or an output cannot be written to.
        """
        ownership.own(self.directory)
        done = restore_outputs(self.directory, self._identity, outputs)
        if done:
            ownership.disown(self.directory)
        return done

    def finish(self, outputs: Sequence[Path]) -> None:
        """Put what ended the job in place of what was on the way; called once outputs are there.

        Snakemake may not live to see them, and then removes them. So they are kept here too, until
        `forget` is called by who has seen them.
        """
        if keep_outputs(self.directory, self._identity, outputs):
            states, parts = self._numbered().values(), map(self.parts.at, self.parts.digests)
            for path in (*states, *parts):
                remove(path)
        self.last_good = None
        ownership.disown(self.directory)

    def remove(self) -> None:
        """Forget all of the job that is no output."""
        forget(self.directory)
        self.last_good = None
        ownership.disown(self.directory)

    def _file(self, number: int) -> Path:
        return self.directory / f"state-{number:06d}.pt"

    def _numbered(self) -> dict[int, Path]:
        found = ((_NAME.fullmatch(path.name), path) for path in self.directory.glob("state-*.pt"))
        return {int(match[1]): path for match, path in found if match}


def _write(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record and, behind it, the SHA-256 digest that torch's own format lacks."""
    encoded = io.BytesIO()
    torch.save(record, encoded)
    with path.open("wb") as file:
        file.write(encoded.getbuffer())
        file.write(hashlib.sha256(encoded.getbuffer()).digest())


def _read(path: Path) -> tuple[int, str, dict[str, str], dict[str, Any]]:
    """Return version, identity, digests of parts and state of a file of `_write`.

    It raises anything if the file is damaged.
    """
    content = memoryview(path.read_bytes())
    encoded, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if hashlib.sha256(encoded).digest() != digest:
        raise ValueError("its digest is not that of its content")
    saved = torch.load(io.BytesIO(encoded), map_location="cpu", weights_only=True)
    return saved["version"], saved["identity"], saved.get("parts", {}), saved["state"]


def read_state(path: Path | str) -> dict[str, Any]:
    """Return what is in one file of resume states, for a person to look at.

    Raises:
        UserError: If it cannot be read.
    """
    try:
        return dict(_read(Path(path))[3])
    except Exception as error:  # whatever a damaged file makes torch raise
        # What torch says of a file that would run code is how to let it.
        reason = type(error).__name__
        raise UserError(
            f"{path}: not a resume state that can be read ({reason}); do not use it"
        ) from None
