"""Rule ``compute_table``: the measurements of runs, reduced to a tidy table."""

from typing import TYPE_CHECKING

import td_interference.jobs.interruptible  # noqa: F401
from td_interference.jobs.job import job
from td_interference.tables.reduce import compute_table

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    compute_table(
        snakemake.wildcards.table,
        snakemake.params.runs,
        snakemake.input.measurements,
        snakemake.params.statistics,
        snakemake.output.parquet,
        snakemake.output.csv,
        snakemake.params.on_divergence,
        snakemake.params.code,
    )
