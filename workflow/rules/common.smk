# What the rules share: the validated plan, names, and the rule about `code`.
#
# Cheap stages (metrics, tables, figures) have a digest of the statements they depend on among their
# params, so that an edited module makes their results stale, and a fresh clone or a copy does not.
# Dear stages (experts, replay, training) do not: their identity is their settings, and
# profiles/default leaves the script trigger out. Of a user's own objective its file's content is
# part of these settings, for that file is all that describes it.

import os
import re
from pathlib import Path

from snakemake.exceptions import WorkflowError

from td_interference import figures, metrics, planning, sources, tables
from td_interference.errors import UserError
from td_interference.files import sha256
from td_interference.instances import clear_stale_lock

# After `kill -9` the same command goes on, without `snakemake --unlock`.
clear_stale_lock()

try:
    PLAN = planning.make_plan(config, Path(workflow.basedir) / "workflow")
except UserError as error:
    raise WorkflowError(str(error)) from None

# What decides how a job runs but not what comes out (device, resume_interval) reaches scripts
# through `config`, not through `params`, whose change would make results stale.
config.update(PLAN.config)

FIGURE_NAMES = [entry.name for entry in figures.FIGURES]
ATARI_FIGURES = [entry.name for entry in figures.FIGURES if entry.about == "atari"]
GENERALIZATION_FIGURES = [
    entry.name for entry in figures.FIGURES if entry.about == "generalization"
]
TABLE_NAMES = [entry.name for entry in tables.TABLES]
METRIC_NAMES = [entry.name for entry in metrics.METRICS]


wildcard_constraints:
    scale=PLAN.scale,
    game="|".join(PLAN.games),
    seed="[0-9]+",
    run_id="|".join(map(re.escape, [*PLAN.runs, *PLAN.control_runs])),
    study_id="|".join(map(re.escape, PLAN.studies)),
    group_id="|".join(map(re.escape, PLAN.groups)),
    dataset="|".join(PLAN.datasets),
    metric="|".join(METRIC_NAMES),
    table="|".join(TABLE_NAMES),
    figure="|".join(FIGURE_NAMES),


def code_of(script, *modules):
    """Digest of the statements that a script and some modules of the package depend on."""
    return sources.digest(
        Path(workflow.basedir) / "workflow" / "scripts" / script, *modules
    )
