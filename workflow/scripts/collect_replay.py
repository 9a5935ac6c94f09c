"""Rule ``collect_replay``: D* of one game and seed."""

from pathlib import Path

import td_interference.jobs.interruptible  # noqa: F401
from td_interference.collect import collect_replay
from td_interference.device import resolve_device
from td_interference.jobs.job import job
from td_interference.jobs.resume import ResumeState
from td_interference.planning.replay import ReplaySpec
from td_interference.storage.files import sha256

identity, state = snakemake.params.replay, Path(snakemake.params.state)
decides = {**identity, "expert_file": sha256(snakemake.input.expert)}
with job(snakemake.log[0], snakemake.threads):
    collect_replay(
        ReplaySpec(**identity["replay"]),
        snakemake.input.expert,
        snakemake.output.replay,
        identity=identity,
        n_threads=snakemake.threads,
        device=resolve_device("cpu"),  # the emulators take the time; a GPU would stand idle
        resume=ResumeState(state, decides, snakemake.config["resume_interval"]),
    )
