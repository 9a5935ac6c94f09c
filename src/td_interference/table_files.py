"""Tables on disk: sealed Parquet, and the same rows as CSV.

The seal is the SHA-256 of the Parquet file, in the file's own metadata, taken while zeros stand in
its place. It is compared before polars sees a byte: one flipped bit can make polars end the whole
process, or pass for another number. Other tools read the file as any Parquet.
"""

import hashlib
import io
import re
from pathlib import Path

import polars as pl

from td_interference.errors import UserError, rebuild
from td_interference.files import atomic_path

_KEY = "td-interference: SHA-256 of this file with 64 zeros in place of these digits"
_ZEROS = "0" * 64
# Parquet keeps its metadata uncompressed at the end: key, two bytes of structure, value.
_SEAL = re.compile(re.escape(_KEY.encode()) + rb"..([0-9a-f]{64})", re.DOTALL)
_MAGIC = b"PAR1"


def write_table(table: pl.DataFrame, parquet_path: Path | str, csv_path: Path | str) -> None:
    """Write a table as sealed Parquet and as CSV, each atomically.

    Args:
        table: Of numbers, booleans and text.
        parquet_path: File to write.
        csv_path: File to write.
    """
    encoded = io.BytesIO()
    table.write_parquet(encoded, metadata={_KEY: _ZEROS})
    content = bytearray(encoded.getbuffer())
    (seal,) = _SEAL.finditer(content)
    start, end = seal.span(1)
    content[start:end] = hashlib.sha256(content).hexdigest().encode()
    with atomic_path(parquet_path) as temporary:
        temporary.write_bytes(content)
    with atomic_path(csv_path) as temporary:
        table.write_csv(temporary)


def read_table(path: Path | str) -> pl.DataFrame:
    """Return the table in a Parquet file of `write_table`, once its seal is right.

    Raises:
        UserError: If there is no such file, or it is not as it was written.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {rebuild(path)}") from None
    if not _is_sealed(content):
        raise UserError(f"{path}: {_reason(content)}; {rebuild(path)}")
    return pl.read_parquet(io.BytesIO(content))


def _is_sealed(content: bytes) -> bool:
    seal = _SEAL.search(content)
    if seal is None:
        return False
    start, end = seal.span(1)
    unsealed = content[:start] + _ZEROS.encode() + content[end:]
    return hashlib.sha256(unsealed).hexdigest().encode() == seal[1]


def _reason(content: bytes) -> str:
    """Say what is wrong with a file whose seal is."""
    if _KEY.encode() in content:
        return "damaged: its bytes have not the SHA-256 that was written with them"
    if content.startswith(_MAGIC) and content.endswith(_MAGIC):
        return "Parquet without a seal: another program or an earlier version wrote it"
    return "damaged or not a table"
