"""What a person wants to know of any file or directory of the project, by what it looks like."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from td_interference.commands import inspection
from td_interference.commands.inspection import Facts, range_of
from td_interference.errors import UserError, rebuild
from td_interference.jobs.quantities import size
from td_interference.storage.parquet import read_table
from td_interference.storage.recognition import look, read_whole, refusal

_SHOWN = 12  # entries of a long list


def summarise(path: Path | str) -> tuple[str, Facts]:
    """Return a title and facts of a file or a directory, in the order to show them.

    Raises:
        UserError: If it is not good, or none of the project's: then the line says what it looks
            like and how such a thing is measured.
    """
    path = Path(path)
    if path.is_dir():
        return _directory(path)
    looks = look(path)
    readers: dict[str, Callable[[Path], tuple[str, Facts]]] = {
        "hdf5": inspection.summarise,
        "table": _table,
        "expert": _expert,
        "resume": _resume_state,
        "a table in text (CSV)": _csv,
        "a PDF": _pdf,
        "a PNG picture": _png,
    }
    if reader := readers.get(looks.own or looks.what):
        return reader(path)
    # A library may have put anything into a log.
    unlike_others = not looks.known or looks.what in ("plain text", "JSON")
    if path.suffix == ".log" and unlike_others and path.stat().st_size:
        return _log(path)
    raise refusal(path, "a file")


def _on_disk(path: Path) -> Facts:
    return {"size": f"{size(path.stat().st_size)} on disk"}


def _expert(path: Path) -> tuple[str, Facts]:
    from td_interference.agents.expert.file import load_expert  # torch takes seconds

    network, settings, _ = load_expert(path)
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    return "Expert: the weights of a Rainbow agent", {
        **_on_disk(path),
        "game": settings.game,
        "parameters": f"{n_parameters:,}",
        "settings": ", ".join(f"{key} {value}" for key, value in vars(settings).items()),
    }


def _resume_state(path: Path) -> tuple[str, Facts]:
    from td_interference.jobs.resume import read_state  # torch takes seconds

    state = read_state(path)
    facts = {**_on_disk(path), "holds": ", ".join(map(str, state))}
    return "Resume state of a job: where it goes on after a kill", facts


def _table(path: Path) -> tuple[str, Facts]:
    return "Table: means and intervals over runs", _on_disk(path) | _columns(read_table(path))


def _csv(path: Path) -> tuple[str, Facts]:
    separator = "\t" if path.suffix == ".tsv" else ","
    try:
        table = pl.read_csv(
            io.BytesIO(read_whole(path)), separator=separator, infer_schema_length=None
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise UserError(f"{path}: no table in text ({reason}); give another file") from None
    return "Table in text", _on_disk(path) | _columns(table)


def _columns(table: pl.DataFrame) -> Facts:
    facts = {"rows": f"{table.height:,}"}
    for column in table:
        if column.dtype.is_numeric():
            facts[column.name] = range_of(
                column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
            )
        else:
            values = column.drop_nulls().unique().sort().to_list()
            more = f", … ({len(values)} in all)" if len(values) > _SHOWN else ""
            facts[column.name] = ", ".join(map(str, values[:_SHOWN])) + more
    return facts


def _log(path: Path) -> tuple[str, Facts]:
    lines = read_whole(path).decode("utf-8", "replace").splitlines()
    last = next((line for line in reversed(lines) if line.strip()), "")
    return "Log of a job", {**_on_disk(path), "lines": f"{len(lines):,}", "the last": last}


def _pdf(path: Path) -> tuple[str, Facts]:
    content = read_whole(path)
    pages = len(re.findall(rb"/Type\s*/Page\b", content))
    whole = {} if b"%%EOF" in content[-1024:] else {"damaged": "it is cut off at its end"}
    caption = re.search(rb"/Subject \(((?:\\.|[^\\)])*)\)", content)
    facts = {**_on_disk(path), "pages": str(pages), **whole}
    if caption is not None:
        facts["caption"] = re.sub(rb"\\(.)", rb"\1", caption[1]).decode("utf-8", "replace")
    return "Figure as PDF", facts


def _png(path: Path) -> tuple[str, Facts]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(read_whole(path)), formats=["PNG"]) as picture:
            facts = {**_on_disk(path), "pixels": f"{picture.width} x {picture.height}"}
            caption: Any = picture.info.get("Description")
            picture.verify()
    except UserError:
        raise
    except Exception:  # whatever a damaged picture makes the library raise
        raise UserError(
            f"{path}: damaged: begins as a PNG and does not go on so; "
            f"{rebuild(path, made_here=False)}"
        ) from None
    return "Figure as PNG", facts | ({"caption": caption} if isinstance(caption, str) else {})


def _directory(path: Path) -> tuple[str, Facts]:
    try:
        entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    names = {entry.name for entry in entries}
    for marks, what in (
        ({"saved_model.pb"}, "a network of TensorFlow"),
        ({"config.json", "model.safetensors"}, "a model of Hugging Face"),
        ({"config.json", "model.safetensors.index.json"}, "a model of Hugging Face"),
        ({"config.json", "pytorch_model.bin"}, "a model of Hugging Face"),
        ({"main_data.hdf5"}, "a Minari data set"),
    ):
        if marks <= names or marks <= {entry.name for entry in path.glob("data/*")}:
            raise UserError(
                f"{path}: looks like {what}, not a directory of results of td-interference; a "
                "network of any PyTorch code is measured in Python, by td_interference.gradients "
                '(README.md, "Measuring your own network")'
            )
    facts = {}
    for entry in entries[:200]:
        if entry.is_dir():
            files = [file for file in entry.rglob("*") if file.is_file()]
            total = sum(file.stat().st_size for file in files)
            plural = "" if len(files) == 1 else "s"
            facts[f"{entry.name}/"] = f"{len(files):,} file{plural}, {size(total)}"
        elif entry.is_file():
            facts[entry.name] = size(entry.stat().st_size)
    if len(entries) > 200:
        facts["…"] = f"{len(entries) - 200:,} more"
    return "Directory", facts or {"empty": "there is nothing in it"}
