# What the machine and the user's environment bring along, taken care of before a job is started.

import atexit

from td_interference.planning import plan, preflight, thread_variables
from td_interference.storage import raw_frames

# Every job, here or on another machine, is started by a process that has read this line.
thread_variables.clear()

preflight.name_user()

try:
    preflight.check_memory_limit()
    if workflow.is_main_process:
        preflight.check(Path(), Path(at("")), plan.files_of_the_user(PLAN.config))
except (UserError, OSError) as error:
    raise WorkflowError(explained(error) or str(error)) from None


# Jobs that run here side by side hold a D* once; those on the nodes of a cluster if asked to, and
# they leave no copy there.
if config["shared_replay"] == "auto":
    config["shared_replay"] = (
        workflow.is_main_process and (workflow.resource_settings.cores or 1) > 1
    )
if not workflow.is_main_process:
    atexit.register(raw_frames.remove_unused)
