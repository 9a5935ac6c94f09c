# What the machine and the user's environment bring along, taken care of before a job is started.

from td_interference.planning import plan, preflight, thread_variables

# Every job, here or on another machine, is started by a process that has read this line.
thread_variables.clear()

preflight.name_user()

try:
    preflight.check_memory_limit()
    if workflow.is_main_process:
        preflight.check(Path(), Path(at("")), plan.files_of_the_user(PLAN.config))
except (UserError, OSError) as error:
    raise WorkflowError(explained(error) or str(error)) from None
