"""From tables to the three files of a figure: PDF, PNG, CSV."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from td_interference import figures, pictures
from td_interference.errors import UserError, rebuild
from td_interference.figures import FigureEntry, style
from td_interference.statistics import interval_note
from td_interference.storage.files import atomic_path
from td_interference.storage.identity import Identity
from td_interference.storage.parquet import read_table


def make_figure(
    name: str,
    table_paths: Mapping[str, Path | str],
    scale: str,
    confidence: float,
    pdf_path: Path | str,
    png_path: Path | str,
    csv_path: Path | str,
    wanted: Mapping[str, Identity] | None = None,
) -> None:
    """Draw one figure; the CSV holds the plotted numbers.

    Args:
        name: Of the figure, in `figures.FIGURES`.
        table_paths: The Parquet file of each table it draws.
        scale: Of the runs, stated in the picture.
        confidence: Of the tables' intervals, stated in the picture.
        pdf_path: File to write.
        png_path: File to write.
        csv_path: File to write.
        wanted: What each table must be of; None to take any.

    Raises:
        UserError: If a table cannot be read, is of something else, or lacks what the figure needs.
    """
    # A figure knows its tables by the registry's names, whichever experiment they are of.
    tables = {
        table.partition("-")[0]: read_table(path, None if wanted is None else wanted[table])
        for table, path in table_paths.items()
    }
    module, entry = figures.load(name), figures.entry(name)
    note = ""
    if "{left_out}" not in entry.title:  # else the figure counts what it leaves out itself
        note = _diverged(tables.values())
        tables = {name: _measured(table) for name, table in tables.items()}
    try:
        data: pl.DataFrame = module.data(tables)
        title = _title(entry, data, scale, confidence) + note
        with pictures.style():
            figure = module.plot(data, title)
    # Not a seal but the content is wrong: columns that are missing, or of another type.
    except pl.exceptions.PolarsError as error:
        paths = [*map(str, table_paths.values())]
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{', '.join(paths)}: {name} cannot be drawn of this ({type(error).__name__}: "
            f"{reason}); {rebuild(paths[0])}"
        ) from None
    with pictures.style():
        pictures.write(figure, pdf_path, entry.caption)
        pictures.write(figure, png_path, entry.caption)
    with atomic_path(csv_path) as temporary:
        data.write_csv(temporary)


def _title(entry: FigureEntry, data: pl.DataFrame, scale: str, confidence: float) -> str:
    n = [runs for runs in data["n"].to_list() if runs] or [0]
    # Not everything is about a game, and not everything has cells.
    names = data["game"].to_list() if "game" in data.columns else []
    cells = data["cells"].drop_nulls().to_list() if "cells" in data.columns else []
    return entry.title.format(
        games=", ".join(sorted({style.game_name(game) for game in names})),
        scale=scale,
        runs=f"{style.count(n)} run{'s' if max(n) != 1 else ''}",
        cells=style.count(cells or [0]),
        confidence=confidence,
        interval=interval_note(n, confidence),
        data="; ".join(data["data"].unique(maintain_order=True)) if "data" in data.columns else "",
        left_out=_left_out(data),
    )


def _left_out(data: pl.DataFrame) -> str:
    """Say how many runs the picture does without, and why."""
    reasons = {"diverged": "{} diverged", "not_positive": "{} with ρ ≤ 0"}
    counts = {reason: int(data[reason].sum()) for reason in reasons if reason in data.columns}
    said = [reasons[reason].format(count) for reason, count in counts.items() if count]
    return f"left out: {', '.join(said)}" if said else "no run left out"


def _measured(table: pl.DataFrame) -> pl.DataFrame:
    """Return a table without the rows that no run is behind, for all diverged.

    Where runs have nothing at a place, the row stays: it is a gap in a line.
    """
    if "not_measured" in table.columns:
        return table.filter((pl.col("n") > 0) | (pl.col("not_measured") > 0))
    if "n" in table.columns:
        return table.filter(pl.col("n") > 0)
    return table.filter(pl.col("diverged") == 0) if "diverged" in table.columns else table


def _diverged(tables: Iterable[pl.DataFrame]) -> str:
    """Say how many runs a mean does without at most, for they diverged; "" where none did."""
    counts = [table["diverged"] for table in tables if "diverged" in table.columns]
    diverged = max((n for column in counts for n in column), default=0)
    if not diverged:
        return ""
    return f"\nleft out, since diverged: up to {diverged} run{'s' if diverged > 1 else ''} per mean"
