"""Rule ``compute_table``: the measurements of runs, reduced to a tidy table."""

import td_interference.jobs.interruptible  # noqa: F401
from td_interference.jobs.job import job
from td_interference.tables.reduce import compute_table

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
