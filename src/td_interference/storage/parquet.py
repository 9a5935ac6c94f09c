"""Tables on disk: sealed Parquet, and the same rows as CSV.

The seal is the SHA-256 of the Parquet file, in the file's own metadata, taken while zeros stand in
its place; the table's identity follows it. The seal is compared before polars sees a byte: one
flipped bit can make polars end the whole process, or pass for another number. Other tools read the
file as any Parquet.
"""

import hashlib
import io
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl

from td_interference.storage.expansion import most_content
from td_interference.storage.files import atomic_path
from td_interference.storage.identity import Identity, check
from td_interference.storage.recognition import PARQUET_SEAL, damaged, read_whole, refusal
from td_interference.storage.unreadable import unreadable

_ZEROS = "0" * 64
# Parquet keeps its metadata uncompressed at the end: key, some bytes of structure, value.
_SEAL = re.compile(re.escape(PARQUET_SEAL.encode()) + rb".{1,8}?sha256:([0-9a-f]{64}) ", re.DOTALL)


def write_table(
    table: pl.DataFrame, parquet_path: Path | str, csv_path: Path | str, identity: Identity
) -> None:
    """Write a table as sealed Parquet and as CSV, each atomically.

    Args:
        table: Of numbers, booleans and text.
        parquet_path: File to write.
        csv_path: File to write.
        identity: What the table is of.
    """
    encoded, said = io.BytesIO(), json.dumps(identity, sort_keys=True)
    table.write_parquet(encoded, metadata={PARQUET_SEAL: f"sha256:{_ZEROS} {said}"})
    content = bytearray(encoded.getbuffer())
    (seal,) = _SEAL.finditer(content)
    start, end = seal.span(1)
    content[start:end] = hashlib.sha256(content).hexdigest().encode()
    with atomic_path(parquet_path) as temporary:
        temporary.write_bytes(content)
    with atomic_path(csv_path) as temporary:
        table.write_csv(temporary)


def read_table(path: Path | str, wanted: Identity | None = None) -> pl.DataFrame:
    """Return the table in a Parquet file of `write_table`, once its seal is right.

    Args:
        path: The file.
        wanted: What the table must be of; None to take any.

    Raises:
        UserError: If there is no such file, it is not as it was written, or of something else.
    """
    content = read_whole(path)
    if not _is_sealed(content):
        if PARQUET_SEAL.encode() not in content:
            raise refusal(path, "a table (Parquet)")
        raise damaged(path)
    _check_apart(path, content)
    try:
        with _without_stderr():
            said = pl.read_parquet_metadata(io.BytesIO(content))[PARQUET_SEAL].partition(" ")[2]
            found, table = dict(json.loads(said)), pl.read_parquet(io.BytesIO(content))
    except (Exception, pl.exceptions.PanicException) as error:
        said = str(error) or type(error).__name__
        raise unreadable(path, said.splitlines()[0][:200]) from None
    if wanted is not None:
        check(path, found, wanted)
    return table


def _check_apart(path: Path | str, content: bytes) -> None:
    """See that reading comes to its end, in a process that may end (a third of a second).

    Pages of a few bytes may stand for gigabytes, and a forged number of values makes polars ask for
    more memory than there is, which ends a process and cannot be caught.

    Raises:
        UserError: If that process did not come to its end.
    """
    program = f"from {__name__} import _read_within_bounds; _read_within_bounds()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        input=content,
        capture_output=True,
        env={**os.environ, "POLARS_MAX_THREADS": "1"},  # of which each takes its own memory
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [
            "polars cannot read it"
        ]
        raise unreadable(path, said[0 if done.returncode < 0 else -1][:200])


def _read_within_bounds() -> None:
    """Read a table from standard input, in no more memory than a file of its size may take."""
    content = sys.stdin.buffer.read()
    with suppress(OSError, ValueError):  # a lower limit already, or a system that has none
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        # Twice: as it is decoded and as it is then.
        most = pages * resource.getpagesize() + 2 * most_content(len(content))
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    pl.read_parquet(io.BytesIO(content))


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Keep to itself what polars says of content that makes no sense, before it raises an error."""
    sys.stderr.flush()
    before = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def _is_sealed(content: bytes) -> bool:
    seal = _SEAL.search(content)
    if seal is None:
        return False
    start, end = seal.span(1)
    unsealed = content[:start] + _ZEROS.encode() + content[end:]
    return hashlib.sha256(unsealed).hexdigest().encode() == seal[1]
