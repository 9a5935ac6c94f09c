"""Rule ``measure_run``: one metric of one run, at each of its checkpoints."""

import td_interference.jobs.interruptible  # noqa: F401
from td_interference.device import resolve_device
from td_interference.jobs.job import job
from td_interference.metrics.measuring import measure_run
from td_interference.planning.runs import run_of
from td_interference.storage.identity import of_measured

wanted = snakemake.params.measured
with job(snakemake.log[0], snakemake.threads):
    measure_run(
        wanted["metric"],
        wanted["settings"],
        run_of(wanted, snakemake.config["own_objectives"]),
        snakemake.input.play,
        snakemake.input.checkpoints,
        snakemake.output.measurement,
        wanted=of_measured(wanted),
        device=resolve_device(snakemake.config["device"]),
        code=wanted["code"],
        state_directory=snakemake.params.state,
        resume_interval=snakemake.config["resume_interval"],
        shared_replay=snakemake.config["shared_replay"],
    )
