"""Rule ``train_run``: one training run from D*."""

from pathlib import Path

import td_interference.jobs.interruptible  # noqa: F401
from td_interference.device import resolve_device
from td_interference.jobs.job import job
from td_interference.planning.runs import run_of
from td_interference.training import train

with job(snakemake.log[0], snakemake.threads):
    train(
        run_of(snakemake.params.run, snakemake.config["own_objectives"]),
        Path(snakemake.input.replay),
        Path(snakemake.output.checkpoints),
        Path(snakemake.output.learning_curve),
        Path(snakemake.params.state),
        identity=snakemake.params.run,
        device=resolve_device(snakemake.config["device"]),
        resume_interval=snakemake.config["resume_interval"],
        on_divergence=snakemake.config["training"]["on_divergence"],
        shared_replay=snakemake.config["shared_replay"],
    )
