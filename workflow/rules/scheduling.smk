# What the process that schedules does around its jobs, see td_interference.planning.scheduling. Others
# read this file as well: those that run a job on a cluster, and dry runs, which change nothing.

import sys

from snakemake.exceptions import WorkflowError

from td_interference.planning import scheduling
from td_interference.errors import UserError, explained

if (
    workflow.is_main_process
    and not workflow.output_settings.dryrun
    and "--unlock" not in sys.argv
):
    try:
        # After `kill -9` the same command goes on, without `snakemake --unlock`.
        scheduling.begin()
    except (UserError, OSError) as error:
        raise WorkflowError(explained(error) or str(error)) from None


# Snakemake calls the last `onstart` alone: whoever has something to do then adds it here.
ON_START = [scheduling.started]


onstart:
    for do in ON_START:
        do()


onsuccess:
    scheduling.ended(workflow.dag)


onerror:
    scheduling.ended(workflow.dag)
