"""Rule ``count``: count slowly; ``begun.txt`` lists the processes that did, and from where."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import td_interference.jobs.interruptible  # noqa: F401
from td_interference.jobs.job import job
from td_interference.jobs.resume import ResumeState
from td_interference.storage.files import write_text

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

outputs, wanted = [Path(snakemake.output[0])], int(snakemake.params.number)
with job(snakemake.log[0]):
    resume = ResumeState(snakemake.params.state, {"wanted": wanted}, 0.2)
    if not resume.finished(outputs):
        number = (resume.load() or {"number": 0})["number"]
        with Path("begun.txt").open("a") as file:
            file.write(f"{os.getpid()} {number}\n")
        while number < wanted or Path("hold").exists():
            time.sleep(0.05)
            number += 1
            if resume.due():
                resume.save({"number": number})
        write_text(outputs[0], f"{number}\n")
        resume.finish(outputs)
        while Path("linger").exists():  # the outputs are there, and Snakemake does not know
            time.sleep(0.05)
