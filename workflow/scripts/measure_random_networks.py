"""Rule ``measure_random_networks``: how interference would change in untrained networks."""

from pathlib import Path
from typing import TYPE_CHECKING

from td_interference.jobs import job
from td_interference.random_networks import measure_study
from td_interference.random_studies import Study

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0], snakemake.threads):
    measure_study(
        Study.from_dict(snakemake.params.study),
        snakemake.output.measurement,
        progress_directory=Path(snakemake.params.state),
    )
