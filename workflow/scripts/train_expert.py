"""Rule ``train_expert``: Rainbow on one game, evaluated against a random agent."""

from pathlib import Path

import td_interference.jobs.interruptible  # noqa: F401
from td_interference.agents.expert.training import THREADS, ExpertOutputs, train_expert
from td_interference.device import resolve_device
from td_interference.jobs.job import job
from td_interference.jobs.resume import ResumeState
from td_interference.planning.expert import ExpertSettings

settings, state = snakemake.params.expert, Path(snakemake.params.state)
with job(snakemake.log[0], snakemake.threads):
    train_expert(
        ExpertSettings(**settings),
        ExpertOutputs(*map(Path, snakemake.output[:3]), tuple(map(Path, snakemake.output[3:]))),
        ResumeState(state, settings, snakemake.config["resume_interval"]),
        device=str(resolve_device(snakemake.config["device"])),
        threads=THREADS,
    )
