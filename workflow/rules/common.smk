# What the rules share: the validated plan, names, and the rule about `code`.
#
# Cheap stages (metrics, tables, figures) have a digest of the statements they depend on among their
# params, so that an edited module makes their results stale, and a fresh clone or a copy does not.
# Dear stages (experts, replay, training) do not: their identity is their settings, and
# profiles/default leaves the script trigger out. Of a user's own objective its file's content is
# part of these settings, for that file is all that describes it.

import inspect
import os
import re
from functools import partial
from pathlib import Path

from snakemake.exceptions import WorkflowError

from td_interference.calls import remember_call
from td_interference.errors import UserError, explained
from td_interference.planning import layout
from td_interference.planning.layout import Result

try:
    # Reads the cards of metrics, tables and figures, which may be wrong.
    from td_interference import figures, metrics, tables
    from td_interference.planning import plan, targets
    from td_interference.planning.lineage import Lineage

    PLAN = plan.make_plan(config, Path(workflow.basedir) / "workflow")
except (UserError, OSError) as error:
    raise WorkflowError(explained(error) or str(error)) from None

# What each file must say that it is of; see td_interference.storage.identity.
LINEAGE = Lineage(PLAN, Path(workflow.basedir) / "workflow" / "scripts")

# What decides how a job runs but not what comes out (device, resume_interval) reaches scripts
# through `config`, not through `params`, whose change would make results stale.
config.update(PLAN.config)


# So that advice on a bad result can repeat the call that makes it, with all its settings.
ON_START.append(partial(remember_call, PLAN.scale))

FIGURE_STATES = targets.figure_states(PLAN)
FIGURE_NAMES = targets.wanted_by_all(PLAN)
ATARI_FIGURES = [name for name in FIGURE_NAMES if figures.entry(name).about == "atari"]
GENERALIZATION_FIGURES = [
    name for name in FIGURE_NAMES if figures.entry(name).about == "generalization"
]
TABLE_NAMES = targets.table_names(PLAN)
METRIC_NAMES = [entry.name for entry in metrics.METRICS]


def at(below):
    """The path of a result from its part below the scale's directory."""
    return layout.at(PLAN.scale, below)


def one_of(names):
    """Regular expression of some names; without any it matches nothing."""
    return "|".join(map(re.escape, names)) or "(?!)"


def once(function):
    """Return an input, parameter or resource function that keeps its answers.

    Snakemake asks the same again and again, for each of thousands of jobs.
    """
    answers = {}

    def answer(wildcards):
        asked = tuple(sorted(wildcards.items()))
        if asked not in answers:
            answers[asked] = function(wildcards)
        return answers[asked]

    answer.__signature__ = inspect.signature(answer)  # looked at in each call
    return answer


# Snakemake reads and compiles these for each file: of thousands of runs it is the form of their ids
# that stands here, and targets.smk refuses those that are not planned. Where two rules make files of
# the same name, theirs tell the runs of one from those of the other (see constraints.check_before).
wildcard_constraints:
    game=one_of(PLAN.games),
    seed="[0-9]+",
    run_id="[^/]+",
    study_id="[^/]+",
    group_id="[^/]+",
    dataset=one_of(PLAN.datasets),
    metric=one_of(METRIC_NAMES),
    table=one_of(TABLE_NAMES),
    figure=one_of(name for name, reason in FIGURE_STATES.items() if not reason),
