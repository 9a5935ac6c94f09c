"""Rule ``make_figure``: one figure from its tables."""

import td_interference.jobs.interruptible  # noqa: F401
from td_interference.figures.render import make_figure
from td_interference.jobs.job import job

with job(snakemake.log[0]):
    make_figure(
        snakemake.wildcards.figure,
        dict(zip(snakemake.params.tables, snakemake.input.tables, strict=True)),
        snakemake.config["scale"],
        snakemake.params.confidence,
        snakemake.output.pdf,
        snakemake.output.png,
        snakemake.output.csv,
        snakemake.params.tables,
    )
