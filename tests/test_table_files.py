"""Tables on disk: what was written is what is read, and no damage passes."""

import hashlib
import re

import numpy as np
import polars as pl
import pytest
from peak_memory import peak_memory

from td_interference import figures
from td_interference.errors import UserError
from td_interference.figures.render import make_figure
from td_interference.storage import identity, parquet
from td_interference.storage.parquet import read_table, write_table

TABLE = pl.DataFrame(
    {
        "game": ["ms_pacman", "asterix", "with, a comma"],
        "offset": [-30, 0, 30],
        "mean": [1 / 3, float("nan"), -1e-300],
        "low": [float("-inf"), 0.0, 5e-324],
        "diverged": [False, True, False],
        "left_out": [None, "", "two\nlines"],
    }
)
IDENTITY = identity.of_table("t", {"confidence": 0.95}, "c0de", [])


@pytest.fixture
def path(tmp_path):
    """A good table where the workflow has its own."""
    place = tmp_path / "results" / "smoke" / "tables" / "t.parquet"
    write_table(TABLE, place, place.with_suffix(".csv"), IDENTITY)
    return place


def test_a_table_comes_back_as_it_was(path):
    assert read_table(path).equals(TABLE)
    assert path.with_suffix(".csv").read_bytes() == TABLE.write_csv().encode()
    assert pl.read_parquet(path).equals(TABLE)  # by other tools as well


def test_the_same_rows_give_the_same_bytes(path):
    before = path.read_bytes()
    write_table(TABLE, path, path.with_suffix(".csv"), IDENTITY)
    assert path.read_bytes() == before


def test_the_seal_can_be_computed_by_hand(path):
    """As docs/integrity.md says."""
    (said,) = (v for k, v in pl.read_parquet_metadata(path).items() if "SHA-256" in k)
    seal = said.removeprefix("sha256:").partition(" ")[0]
    zeros = path.read_bytes().replace(seal.encode(), b"0" * 64)
    assert hashlib.sha256(zeros).hexdigest() == seal


def refused(path, reason):
    with pytest.raises(UserError, match=reason) as error:
        read_table(path)
    said = str(error.value)
    assert "\n" not in said and str(path) in said
    assert said.endswith("-- results/smoke/tables/t.parquet")


def test_a_changed_number_is_found(path):
    """In a file that is good Parquet, as a bit flipped in memory before a copy leaves it."""
    seal = {k: v for k, v in pl.read_parquet_metadata(path).items() if "SHA-256" in k}
    changed = TABLE.with_columns(offset=pl.Series([-30, 0, 31]))
    changed.write_parquet(path, metadata=seal)
    assert pl.read_parquet(path).equals(changed)
    refused(path, "damaged: its bytes have not the SHA-256")


def test_a_table_of_another_program_is_refused(path):
    TABLE.write_parquet(path)
    refused(path, "Parquet without a seal")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a table .*an empty file"),
        (b"PAR1", "Parquet without a seal"),
        (b"no parquet", "looks like plain text"),
        (b"\0\1\2" * 50, "not a table .* no format that it knows"),
    ],
)
def test_what_is_no_table_is_named(path, content, reason):
    path.write_bytes(content)
    refused(path, reason)


def test_a_missing_table_is_named(path):
    path.unlink()
    with pytest.raises(UserError, match=r"t\.parquet: no such file$"):
        read_table(path)


@pytest.mark.parametrize("bits", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_every_flipped_bit_is_refused(path, bits):
    """Polars alone ends the process on some of them. By default one bit of each byte."""
    content = path.read_bytes()
    for bit in range(0, 8 * len(content), 8 // bits):
        bit += bit // 8 % 8 if bits == 1 else 0
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(UserError):
            read_table(path)


@pytest.mark.parametrize(
    ("wanted", "differs"),
    [
        (identity.of_table("u", {"confidence": 0.95}, "c0de", []), 'table "t"'),
        (identity.of_table("t", {"confidence": 0.9}, "c0de", []), "statistics.confidence 0.95"),
        (identity.of_table("t", {"confidence": 0.95}, "0ther", []), 'code "c0de"'),
        (identity.of_table("t", {"confidence": 0.95}, "c0de", ["0ther"]), "measurements"),
    ],
)
def test_a_table_of_something_else_is_refused(path, wanted, differs):
    assert read_table(path, IDENTITY).equals(TABLE)
    with pytest.raises(UserError, match=re.escape(differs)) as error:
        read_table(path, wanted)
    said = str(error.value)
    assert "the table t (" in said and f"but {wanted['name']} (" in said and "rm -r" in said


def test_every_truncation_is_refused(path):
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(UserError):
            read_table(path)
    path.write_bytes(content + b"\0")
    refused(path, "damaged")


def resealed(content):
    """Seal changed content again, as whoever changed it on purpose could; None without a seal."""
    seal = parquet._SEAL.search(content)
    if seal is None:
        return None
    start, end = seal.span(1)
    content[start:end] = b"0" * 64
    content[start:end] = hashlib.sha256(content).hexdigest().encode()
    return content


@pytest.mark.slow
def test_changed_bytes_under_a_right_seal_end_in_a_line(path, capfd):
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    refused_ = 0
    for _ in range(30):
        changed = bytearray(content)
        changed[int(generator.integers(4, len(content)))] = int(generator.integers(256))
        if resealed(changed) is None:
            continue
        path.write_bytes(changed)
        try:
            read_table(path)
        except UserError as error:
            assert "\n" not in str(error) and str(path) in str(error)
            refused_ += "not as this program writes it" in str(error)
    assert refused_ > 1
    assert capfd.readouterr().err == ""  # nor does polars say anything of its own


@pytest.mark.parametrize("value", [0x01, 0x7F])
def test_a_forged_number_of_values_does_not_end_the_process(path, value):
    """In the first page's header it makes polars ask for 2e18 bytes, and end the process."""
    changed = bytearray(path.read_bytes())
    changed[75] = value
    path.write_bytes(resealed(changed))
    with pytest.raises(UserError, match=r"refused, not as this program writes it \(memory alloc"):
        read_table(path)


def test_a_small_file_of_gigabytes_is_refused(path):
    """A million zeros are some bytes; 400 of them are 3 GB."""
    zeros = pl.DataFrame({name: np.zeros(1_000_000) for name in "abcd"})
    many = pl.concat([zeros] * 100, rechunk=False)
    many.write_parquet(path, metadata={parquet.PARQUET_SEAL: f"sha256:{'0' * 64} {{}}"})
    path.write_bytes(resealed(bytearray(path.read_bytes())))
    assert path.stat().st_size < 2_000_000
    with peak_memory() as peak:
        refused(path, r"refused, not as this program writes it \(memory alloc")
    assert peak.megabytes < 100


def test_a_table_of_other_columns_ends_a_figure_in_a_line(path, tmp_path):
    write_table(TABLE.rename({"offset": "something"}), path, tmp_path / "t.csv", IDENTITY)
    figure = figures.entry("fig5")
    with pytest.raises(UserError, match=r"t\.parquet: fig5 cannot be drawn of this"):
        make_figure(
            *("fig5", dict.fromkeys(figure.tables, path), "smoke", 0.95),
            *(tmp_path / f"f.{kind}" for kind in ("pdf", "png", "csv")),
        )
    assert not list(tmp_path.glob("f.*"))
