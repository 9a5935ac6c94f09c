# What is asked for and nothing makes: said before Snakemake looks for a rule, with what there is. Read
# last, when all rules are known.

import sys

from snakemake.logging import logger


def is_known(target):
    """Whether a target is a rule, is there, or is made by a rule, of something that is planned."""
    path = os.path.normpath(target)
    return (
        workflow.is_rule(target)
        or os.path.exists(target)
        or any(
            targets.are_planned(PLAN, rule.get_wildcards(path))
            for rule in workflow.rules
            if rule.is_producer(path)
        )
    )


if workflow.is_main_process and "snakemake" in sys.argv[0]:
    UNKNOWN = targets.asked_for(sys.argv[1:], is_known)
    if UNKNOWN:
        RULES = [rule.name for rule in workflow.rules if not rule.has_wildcards()]
        raise WorkflowError(
            targets.explain(UNKNOWN[0], FIGURE_STATES, PLAN.scale, RULES)
        )
    if targets.left_out(PLAN):
        logger.info(targets.left_out(PLAN))
