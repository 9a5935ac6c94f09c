"""Rule ``train_control``: Q-learning from scratch on play of its own."""

from pathlib import Path

import td_interference.jobs.interruptible  # noqa: F401
from td_interference.agents.control.training import train_control
from td_interference.device import resolve_device
from td_interference.jobs.job import job
from td_interference.jobs.resume import ResumeState
from td_interference.planning.control import ControlOutputs, ControlSettings

settings, state = snakemake.params.control, Path(snakemake.params.state)
with job(snakemake.log[0], snakemake.threads):
    train_control(
        ControlSettings.from_dict(settings),
        ControlOutputs(*map(Path, snakemake.output)),
        ResumeState(state, settings, snakemake.config["resume_interval"]),
        device=resolve_device(snakemake.config["device"]),
        threads=snakemake.threads,
        on_divergence=snakemake.config["training"]["on_divergence"],
    )
