"""Rule ``measure_run``: one metric of one run, at each of its checkpoints."""

from pathlib import Path
from typing import TYPE_CHECKING

from td_interference.device import resolve_device
from td_interference.grid import RunSpec
from td_interference.jobs import job
from td_interference.metrics.measuring import measure_run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0], snakemake.threads):
    measure_run(
        snakemake.wildcards.metric,
        snakemake.params.settings,
        RunSpec.from_dict(snakemake.params.run),
        snakemake.input.play,
        snakemake.input.checkpoints,
        snakemake.output.measurement,
        device=resolve_device(snakemake.config["device"]),
        code=snakemake.params.code,
        state_directory=Path(snakemake.params.state),
        resume_interval=snakemake.config["resume_interval"],
    )
