"""Rule ``prepare_dataset``: one HDF5 file from a local copy, a download or a library."""

import td_interference.jobs.interruptible  # noqa: F401
from td_interference.datasets.prepare import prepare_dataset
from td_interference.jobs.job import job

local = snakemake.input.local  # the rule names at most one
with job(snakemake.log[0]):
    prepare_dataset(
        snakemake.wildcards.dataset,
        {**snakemake.params.settings, "path": local[0] if local else None},
        snakemake.output.dataset,
    )
