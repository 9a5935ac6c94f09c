"""Where each result lies below results/: said once, for rules, lineage, status and advice alike.

Standard library only: whatever has a line on a bad file imports this.
"""

import re
from enum import StrEnum
from functools import cache

RESULTS = "results"
STATE, LOGS, BENCHMARKS = "state", "logs", "benchmarks"  # folders of a scale beside its results


class Result(StrEnum):
    """Patterns of paths below results/<scale>/, with wildcards as Snakemake has them."""

    EXPERT = "experts/{game}/expert.safetensors"
    EXPERT_CURVE = "experts/{game}/learning_curve.csv"
    EXPERT_EVALUATION = "experts/{game}/evaluation.csv"
    EXPERT_PDF = "experts/{game}/expert.pdf"
    EXPERT_PNG = "experts/{game}/expert.png"
    REPLAY = "replay/{game}-seed{seed}.h5"
    DATASET = "datasets/{dataset}.h5"
    CHECKPOINTS = "runs/{run_id}/checkpoints.h5"
    LEARNING_CURVE = "runs/{run_id}/learning_curve.csv"
    EVALUATION = "runs/{run_id}/evaluation.csv"
    WINDOWS = "runs/{run_id}/windows"
    WINDOW = "runs/{run_id}/windows/window-{update_step}.h5"  # no target of its own
    MEASUREMENT = "metrics/{metric}/{run_id}.h5"
    PARAMETERS = "parameters/{run_id}.h5"
    TABLE = "tables/{table}.parquet"
    TABLE_CSV = "tables/{table}.csv"
    FIGURE_PDF = "figures/{figure}.pdf"
    FIGURE_PNG = "figures/{figure}.png"
    FIGURE_CSV = "figures/{figure}.csv"


FOLDERS = {result.partition("/")[0] for result in Result} | {STATE, LOGS, BENCHMARKS}

_FORMS = {"game": "[a-z0-9_]+", "seed": r"\d+", "update_step": r"\d+"}  # others: no "/"


def at(scale: str, below: str) -> str:
    """Return a path from its part below the scale's directory; a pattern gives a pattern."""
    return f"{RESULTS}/{scale}/{below}"


def log(job: str) -> str:
    """Return the log of a job, called "<rule>/<wildcards>", below the scale's directory."""
    return f"{LOGS}/{job}.log"


def published(kind: str, figure: str = "{figure}") -> str:
    """Return where a figure of the chosen scale is put for its user: results/fig5.pdf."""
    return f"{RESULTS}/{figure}.{kind}"


def figure_files(figure: str) -> list[str]:
    """Return the files of a figure, below the scale's directory."""
    kinds = (Result.FIGURE_PDF, Result.FIGURE_PNG, Result.FIGURE_CSV)
    return [kind.format(figure=figure) for kind in kinds]


def benchmark(job: str) -> str:
    """Return a job's benchmark file, below the scale's directory."""
    return f"{BENCHMARKS}/{job}.tsv"


def state(job: str) -> str:
    """Return the directory of a job's resume state and progress, below the scale's directory."""
    return f"{STATE}/{job}"


def target(below: str) -> str | None:
    """Return what to ask Snakemake for, to have a file made; None where no rule makes its like.

    Both are paths below the scale's directory.
    """
    for result in Result:
        if re.fullmatch(_form(result), below):
            # All windows of a run are one target.
            return below.rpartition("/")[0] if result is Result.WINDOW else below
    return None


@cache
def _form(result: Result) -> str:
    """Return the regular expression of the paths that a pattern is of."""
    return re.sub(r"\\\{(\w+)\\\}", lambda name: _FORMS.get(name[1], "[^/]+"), re.escape(result))
