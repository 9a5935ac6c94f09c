"""Files that a job keeps in its state directory: its parts on the way, its outputs at the end.

Each is known by its SHA-256 digest, so that what was damaged, deleted, exchanged or written under
other settings is found before it is used. Outputs are kept as hard links, which take no room: the
file that Snakemake removes and the one kept here are the same.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from td_interference.errors import UserError
from td_interference.storage.files import atomic_path, sha256, write_text

logger = logging.getLogger(__name__)


@dataclass
class Parts:
    """What a job writes on the way and puts together at its end, such as checkpoints."""

    directory: Path  # where they lie
    digests: dict[str, str] = field(default_factory=dict)  # by name

    @contextmanager
    def new(self, name: str) -> Iterator[Path]:
        """Yield the path to write a part to; what lies there is a part when the block ends."""
        path = self.at(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():  # which nothing could be renamed to
            remove(path)
        yield path
        self.digests[name] = sha256(path)

    def at(self, name: str) -> Path:
        """Return where a part of this name lies."""
        return self.directory / name

    def path(self, name: str) -> Path:
        """Return where a part lies, once it is seen to be as it was written.

        Raises:
            UserError: If it is not.
        """
        path = self.at(name)
        if (fault := _fault(path, self.digests.get(name))) is not None:
            raise UserError(
                f"{path}: {fault}; run the same command again, which goes on from before it"
            )
        return path

    def restore(self, digests: Mapping[str, str]) -> str | None:
        """Take the parts that there were at an earlier time, if all of them are good.

        Return what is wrong with one of them otherwise.
        """
        for name, digest in digests.items():
            if (fault := _fault(self.at(name), digest)) is not None:
                return f"{self.at(name)}: {fault}"
        self.digests = dict(digests)
        return None


def _fault(path: Path, digest: str | None) -> str | None:
    """Return what is wrong with a file that was of this digest."""
    try:
        found = sha256(path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if found == digest else "is not the file that this job wrote"


_OUTPUTS, _LIST = "outputs", "outputs.json"


def keep_outputs(directory: Path, identity: str, outputs: Sequence[Path]) -> bool:
    """Keep a job's outputs, files and folders of files, in its directory until `forget_outputs`.

    Return whether they are kept; they are not where the file system has no hard links.
    """
    forget_outputs(directory)
    parts = Parts(directory / _OUTPUTS)
    try:
        for name, path in _files(outputs):
            with parts.new(name) as kept:
                os.link(path, kept)
        if not _cover(parts.digests, outputs):
            raise UserError("an output is an empty folder")
        write_text(directory / _LIST, json.dumps({"identity": identity, "digests": parts.digests}))
    except (OSError, UserError) as error:
        logger.info("%s: outputs are not kept (%s); the resume state is", directory, error)
        forget_outputs(directory)
        return False
    return True


def restore_outputs(directory: Path, identity: str, outputs: Sequence[Path]) -> bool:
    """Put what `keep_outputs` kept of an earlier process where it belongs, if all of it is good.

    Return whether the outputs are there now.
    """
    try:
        kept = json.loads((directory / _LIST).read_text(encoding="utf-8"))
        same, digests = kept["identity"] == identity, dict(kept["digests"])
        whole = not same or _cover(digests, outputs)
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        whole = False
    if not whole:
        logger.warning("%s cannot be read; not used", directory / _LIST)
        return False
    if not same:
        logger.warning("%s: outputs of other settings are kept there; not used", directory)
        return False
    parts = Parts(directory / _OUTPUTS)
    if (fault := parts.restore(digests)) is not None:
        logger.warning("%s; the outputs are made anew", fault)
        return False
    for number, output in enumerate(outputs):
        if any(name.startswith(f"{number}/") for name in digests):
            output.mkdir(parents=True, exist_ok=True)
    for name in digests:
        number, _, inner = name.partition("/")
        _place(parts.at(name), outputs[int(number)] / inner)
    logger.info("an earlier process had ended this job; its outputs are in place again")
    return True


def forget_outputs(directory: Path) -> None:
    """Remove what is kept of a job's outputs; the outputs themselves stay."""
    remove(directory / _LIST)
    remove(directory / _OUTPUTS)


def forget(directory: Path | str) -> None:
    """Forget a job whose outputs are safe: all that is in its state directory."""
    # The list first: a removal that is cut short leaves no list of files that are not there.
    forget_outputs(Path(directory))
    shutil.rmtree(directory, ignore_errors=True)


def _cover(digests: Mapping[str, str], outputs: Sequence[Path]) -> bool:
    """Whether there are files of each output and of nothing else, by their names of `_files`."""
    return {name.partition("/")[0] for name in digests} == {str(n) for n in range(len(outputs))}


def remove(path: Path) -> None:
    """Remove whatever lies at a place of the job's own."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _files(outputs: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Yield each file with a name for it: the output's number, in folders and the way there."""
    for number, output in enumerate(outputs):
        if not output.is_dir():
            yield str(number), output
            continue
        for path in sorted(output.rglob("[!.]*")):
            if path.is_file():
                yield f"{number}/{path.relative_to(output)}", path


def _place(kept: Path, path: Path) -> None:
    """Make `path` the file that is kept, newly written as far as its time tells."""
    with atomic_path(path) as temporary:
        temporary.unlink()
        try:
            os.link(kept, temporary)
        except OSError:  # moved to a file system of its own since
            shutil.copyfile(kept, temporary)
        os.utime(temporary)
