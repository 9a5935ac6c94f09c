"""Rule ``train_group``: the runs of one group of the generalization experiments, measured."""

from pathlib import Path

import td_interference.jobs.interruptible  # noqa: F401
from td_interference.device import resolve_device
from td_interference.generalization.group_job import train_group
from td_interference.jobs.job import job
from td_interference.planning.cells import CellSpec

with job(snakemake.log[0], snakemake.threads):
    train_group(
        snakemake.wildcards.group_id,
        [CellSpec.from_dict(cell) for cell in snakemake.params.cells],
        Path(snakemake.input.dataset),
        Path(snakemake.params.state),
        *map(Path, snakemake.output),
        device=resolve_device(snakemake.config["device"]),
        resume_interval=snakemake.config["resume_interval"],
    )
