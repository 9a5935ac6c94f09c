"""Rule ``measure_random_networks``: how interference would change in untrained networks."""

from pathlib import Path

import td_interference.jobs.interruptible  # noqa: F401
from td_interference.jobs.job import job
from td_interference.jobs.resume import ResumeState
from td_interference.planning.studies import Study
from td_interference.random_networks import measure_study

study, state = snakemake.params.study, Path(snakemake.params.state)
identity = {"study": study, "code": snakemake.params.code}
with job(snakemake.log[0], snakemake.threads):
    measure_study(
        Study.from_dict(study),
        snakemake.output.measurement,
        code=snakemake.params.code,
        resume=ResumeState(state, identity, snakemake.config["resume_interval"]),
        progress_directory=state,
    )
