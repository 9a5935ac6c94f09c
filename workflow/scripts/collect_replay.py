"""Rule ``collect_replay``: D* of one game and seed."""

from pathlib import Path
from typing import TYPE_CHECKING

from td_interference.collect import collect_replay
from td_interference.device import resolve_device
from td_interference.grid import ReplaySpec
from td_interference.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0], snakemake.threads):
    collect_replay(
        ReplaySpec(**snakemake.params.replay),
        snakemake.input.expert,
        snakemake.output.replay,
        n_threads=snakemake.threads,
        device=resolve_device(snakemake.config["device"]),
        progress_directory=Path(snakemake.params.state),
    )
