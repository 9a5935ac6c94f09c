"""Which jobs run, how far they are, and which ended without finishing."""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from td_interference.calls import call_file
from td_interference.errors import UserError
from td_interference.jobs import progress
from td_interference.jobs.progress import Heartbeat
from td_interference.jobs.quantities import UNKNOWN, duration, rate
from td_interference.jobs.records import FILE_NAME, JobRecord, is_alive, read_as, read_record
from td_interference.planning import layout

COLUMNS = ("job", "state", "done", "rate", "time left", "")
_SILENCE = 120  # seconds after which a job that said nothing is called silent


class JobStatus(NamedTuple):
    """One job, as a row of what `status` shows."""

    job: str
    state: str  # "running", "failed" or "stopped"
    done: str
    rate: str
    left: str
    remark: str


def scales_in(directory: Path, scale: str = "") -> list[Path]:
    """Return the directories of all scales, or of one, in a directory of results.

    Raises:
        UserError: If there is no such directory, or no results are in it.
    """
    if not directory.is_dir():
        what = "is no directory" if os.path.lexists(directory) else "no such directory"
        raise UserError(f"{directory}: {what}; name the directory of the results")
    found = [path for path in sorted(directory.iterdir()) if path.is_dir() and _is_scale(path)]
    if (directory / layout.RESULTS).is_dir() and directory.name != layout.RESULTS:
        raise UserError(
            f"{directory}: holds no results itself; did you mean {directory / layout.RESULTS}?"
        )
    if not found:
        raise UserError(f"{directory}: holds no results; name the directory that snakemake fills")
    if scale and scale not in {path.name for path in found}:
        there = ", ".join(path.name for path in found)
        raise UserError(f"{directory}: has no results of the scale {scale!r}; there are {there}")
    return [path for path in found if scale in ("", path.name)]


def _is_scale(directory: Path) -> bool:
    """Whether Snakemake was called for this scale, or there is nothing but folders of a scale."""
    if call_file(directory.parent, directory.name).is_file():
        return True
    folders = {path.name for path in directory.iterdir() if path.is_dir()}
    return bool(folders) and folders <= layout.FOLDERS


def jobs_in(scale: Path) -> list[JobStatus]:
    """Return the jobs of a scale that run or ended without finishing, those that run first.

    What failed before Snakemake was last called is left out: it was begun anew, or nobody asked
    for it again.
    """
    state = scale / layout.STATE
    marks = [*state.rglob(FILE_NAME), *state.rglob(progress.FILE_NAME)]
    called_at = 0.0
    with suppress(OSError):
        called_at = call_file(scale.parent, scale.name).stat().st_mtime
    rows = []
    for directory in sorted({mark.parent for mark in marks}):
        record = read_record(directory)
        beat = read_as(Heartbeat, directory / progress.FILE_NAME)
        row = _status(directory.relative_to(state).as_posix(), scale, record, beat, called_at)
        if row is not None:
            rows.append(row)
    return sorted(rows, key=lambda row: row.state != "running")


def _status(
    name: str, scale: Path, record: JobRecord | None, beat: Heartbeat | None, called_at: float
) -> JobStatus | None:
    """Return what is known of one job; None where it is of an earlier call, or nothing is known."""
    owner = record or beat
    if owner is None:
        return None
    job = beat.job if beat is not None else name.replace("/", " ")
    said_at = max(mark.written_at for mark in (record, beat) if mark is not None)
    state, remark = "running", ""
    alive = is_alive(owner.process, owner.born, owner.machine)
    if record is not None and record.ended:
        state, remark = record.ended, f"{_log(name, scale)}: {record.reason}"
    elif alive is False:
        state = "failed"
        last = _last_line(Path(_log(name, scale)))
        said = f"; the last line: {last}" if last else ""
        remark = f"{_log(name, scale)}: ended without a word, as when it is killed{said}"
    elif (silent := time.time() - said_at) > _SILENCE and (beat is not None or alive is None):
        remark = f"silent for {duration(silent)}"
        if alive is None:
            remark += f", on {owner.machine}; whether it still runs cannot be seen from here"
    if state != "running":
        if said_at < called_at:
            return None
        remark = f"{duration(time.time() - said_at)} ago, {remark}"
    if beat is None:
        return JobStatus(job, state, UNKNOWN, UNKNOWN, UNKNOWN, remark)
    share = f"{beat.done / max(1, beat.total):.0%}"
    return JobStatus(
        job,
        state,
        f"{beat.done:,}/{beat.total:,} {beat.unit} ({share})",
        rate(beat.rate, beat.unit),
        duration(beat.seconds_left if state == "running" else None),
        remark,
    )


def _log(name: str, scale: Path) -> str:
    return str(scale / layout.log(name))


def _last_line(log: Path) -> str:
    with suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "")
    return ""
