# What the rules share: the validated plan, names, and the rule about `code`.
#
# Cheap stages (metrics, tables, figures) list the package modules they depend on as `code` inputs,
# so that an edited module makes their results stale. Dear stages (experts, replay, training) do
# not: their identity is their `params`, and profiles/default leaves the script trigger out. An
# objective of the user's own is an input of its runs, for its file is all that describes it.

import os
import re
from pathlib import Path

from snakemake.exceptions import WorkflowError

from td_interference import (
    figures,
    metrics,
    planning,
    random_studies,
    tables,
)
from td_interference.errors import UserError
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


def source(name):
    """Path of a module of the package, relative, so that a moved directory changes nothing."""
    return os.path.relpath(Path(workflow.basedir) / "src" / "td_interference" / name)
