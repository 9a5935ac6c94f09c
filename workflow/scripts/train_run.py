"""Rule ``train_run``: one training run from D*."""

from pathlib import Path
from typing import TYPE_CHECKING

from td_interference.device import resolve_device
from td_interference.grid import RunSpec
from td_interference.jobs import job
from td_interference.training import train

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0], snakemake.threads):
    train(
        RunSpec.from_dict(snakemake.params.run),
        Path(snakemake.input.replay),
        Path(snakemake.output.checkpoints),
        Path(snakemake.output.learning_curve),
        Path(snakemake.params.state),
        device=resolve_device(snakemake.config["device"]),
        resume_interval=snakemake.config["resume_interval"],
        on_divergence=snakemake.config["training"]["on_divergence"],
    )
