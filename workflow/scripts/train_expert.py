"""Rule ``train_expert``: Rainbow on one game, evaluated against a random agent."""

from typing import TYPE_CHECKING

from td_interference.agents.settings import ExpertSettings
from td_interference.agents.train_expert import train_expert
from td_interference.device import resolve_device
from td_interference.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0], snakemake.threads):
    train_expert(ExpertSettings(**snakemake.params.expert))
