# What the rules share: the validated plan, and input functions.
#
# Cheap stages (metrics, tables, figures) list the package modules they depend on as `code` inputs,
# so that an edited module makes their results stale. Dear stages (experts, replay, training) do
# not: their identity is their `params`, and profiles/default leaves the script trigger out.

import os
import re
from pathlib import Path

from snakemake.exceptions import WorkflowError

from td_interference import figures, metrics, planning, tables
from td_interference.errors import UserError

try:
    PLAN = planning.make_plan(config, Path(workflow.basedir) / "workflow")
except UserError as error:
    raise WorkflowError(str(error)) from None

# What decides how a job runs but not what comes out (device, resume_interval) reaches scripts
# through `config`, not through `params`, whose change would make results stale.
config.update(PLAN.config)

FIGURE_NAMES = [entry.name for entry in figures.FIGURES]
TABLE_NAMES = [entry.name for entry in tables.TABLES]
METRIC_NAMES = [entry.name for entry in metrics.METRICS]


wildcard_constraints:
    scale=PLAN.scale,
    game="|".join(PLAN.games),
    seed="[0-9]+",
    run_id="|".join(map(re.escape, PLAN.runs)),
    metric="|".join(METRIC_NAMES),
    table="|".join(TABLE_NAMES),
    figure="|".join(FIGURE_NAMES),


def source(name):
    """Path of a module of the package, relative, so that a moved directory changes nothing."""
    return os.path.relpath(Path(workflow.basedir) / "src" / "td_interference" / name)


def replay_of_run(wildcards):
    """D* that a run learns from: that of its game and seed."""
    run = PLAN.runs[wildcards.run_id]
    return f"results/{wildcards.scale}/replay/{run.game}-seed{run.seed}.h5"


def metric_code(wildcards):
    """Modules whose change makes a measurement stale; training is deliberately not among them."""
    return [source(name) for name in metrics.entry(wildcards.metric).modules]


def table_runs(wildcards):
    """Descriptions of the runs that a table reduces."""
    experiment = tables.entry(wildcards.table).experiment
    return [run.to_dict() for run in PLAN.experiment_runs(experiment)]


def table_measurements(wildcards):
    """Measurements that a table reduces, in the order of `table_runs`."""
    entry = tables.entry(wildcards.table)
    return expand(
        "results/{scale}/metrics/{metric}/{run_id}.h5",
        scale=wildcards.scale,
        metric=entry.metric,
        run_id=[run.run_id for run in PLAN.experiment_runs(entry.experiment)],
    )


def table_code(wildcards):
    """Modules whose change makes a table stale."""
    own = tables.entry(wildcards.table).module
    names = (
        "statistics.py",
        "tables/reduce.py",
        "tables/curves.py",
        f"tables/{own}.py",
    )
    return [source(name) for name in names]


def figure_tables(wildcards):
    """Tables that a figure draws."""
    return expand(
        "results/{scale}/tables/{table}.parquet",
        scale=wildcards.scale,
        table=figures.entry(wildcards.figure).tables,
    )


def figure_chain(wildcards):
    """Every intermediate that a figure came from, at the configuration's scale."""
    chain = set()
    for table in figures.entry(wildcards.figure).tables:
        entry = tables.entry(table)
        chain.add(f"results/{PLAN.scale}/tables/{table}.parquet")
        for run in PLAN.experiment_runs(entry.experiment):
            chain |= {
                f"results/{PLAN.scale}/experts/{run.game}/expert.safetensors",
                f"results/{PLAN.scale}/replay/{run.game}-seed{run.seed}.h5",
                f"results/{PLAN.scale}/runs/{run.run_id}/checkpoints.h5",
                f"results/{PLAN.scale}/metrics/{entry.metric}/{run.run_id}.h5",
            }
    return sorted(chain)


def missing_intermediates(wildcards):
    """What is not there any more of all that a figure, once made at this scale, came from."""
    own = expand(
        "results/{scale}/figures/{figure}.{kind}",
        scale=PLAN.scale,
        figure=wildcards.figure,
        kind=["pdf", "png", "csv"],
    )
    if not any(map(os.path.exists, own)):
        return []
    return [path for path in figure_chain(wildcards) + own if not os.path.exists(path)]


def figure_code(wildcards):
    """Modules whose change makes a figure stale."""
    entry = figures.entry(wildcards.figure)
    return [
        source(f"figures/{name}.py") for name in ("render", "style", *entry.modules)
    ]


def figure_table_names(wildcards):
    """Names of the tables that a figure draws, in the order of `figure_tables`."""
    return list(figures.entry(wildcards.figure).tables)


def figure_caption(wildcards):
    """What the report says below a figure; an edited caption redraws the figure."""
    return figures.entry(wildcards.figure).caption


def expert_settings(wildcards):
    """Everything that decides a game's expert."""
    return PLAN.expert(wildcards.game)


def replay_settings(wildcards):
    """Everything that decides a D* file but the expert."""
    return PLAN.replay(wildcards.game, int(wildcards.seed))


def run_settings(wildcards):
    """Everything that decides a run but its D*."""
    return PLAN.runs[wildcards.run_id].to_dict()


def metric_settings(wildcards):
    """How much a metric looks at."""
    return PLAN.config["metrics"][wildcards.metric]
