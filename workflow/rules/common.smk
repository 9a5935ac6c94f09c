# What the rules share: the validated plan, and input functions.
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


def replay_of_run(wildcards):
    """D* that a run learns from: that of its game and seed."""
    run = PLAN.runs[wildcards.run_id]
    return f"results/{wildcards.scale}/replay/{run.game}-seed{run.seed}.h5"


def own_objective(wildcards):
    """File of the user's own objective that a run is trained towards, if it is."""
    file = PLAN.measured_run(wildcards.run_id).objective_file
    return [] if file is None else [file]


def play_to_measure_on(wildcards):
    """Transitions a run is measured on: its D*, or in control the play of its own."""
    if wildcards.run_id in PLAN.control_runs:
        return f"results/{wildcards.scale}/runs/{wildcards.run_id}/windows"
    return replay_of_run(wildcards)


def metric_code(wildcards):
    """Modules whose change makes a measurement stale; training is deliberately not among them."""
    return [source(name) for name in metrics.entry(wildcards.metric).modules]


def measured_runs(table):
    """Each run that a table reduces with the metric of it, in the table's order."""
    return [
        (run, part)
        for part in tables.entry(table).sources
        for run in PLAN.source_runs(part)
    ]


def table_runs(wildcards):
    """Descriptions of what a table reduces."""
    return [
        {
            "experiment": part.experiment,
            "metric": part.metric,
            "checkpoints": PLAN.checkpoints(part.experiment),
            "record": type(run).__name__,
            "run": run.to_dict(),
        }
        for run, part in measured_runs(wildcards.table)
    ]


def table_measurements(wildcards):
    """Measurements that a table reduces, in the order of `table_runs`."""
    return [
        f"results/{wildcards.scale}/metrics/{part.metric}/{run.run_id}.h5"
        for run, part in measured_runs(wildcards.table)
    ]


def table_code(wildcards):
    """Modules whose change makes a table stale."""
    entry = tables.entry(wildcards.table)
    names = (
        "statistics.py",
        "tables/reduce.py",
        "tables/curves.py",
        f"tables/{entry.module}.py",
        *entry.shared,
    )
    return [source(name) for name in names]


def table_statistics(wildcards):
    """How a table makes its intervals."""
    return PLAN.statistics(tables.entry(wildcards.table).sources)


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
        chain.add(f"tables/{table}.parquet")
        for run, part in measured_runs(table):
            chain |= {
                f"metrics/{part.metric}/{run.run_id}.h5",
                *PLAN.intermediates(run),
            }
    return sorted(f"results/{PLAN.scale}/{path}" for path in chain)


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


def figure_confidence(wildcards):
    """Confidence of a figure's intervals, which it states."""
    sources = [
        part
        for table in figures.entry(wildcards.figure).tables
        for part in tables.entry(table).sources
    ]
    return PLAN.statistics(sources)["confidence"]


def local_copy(wildcards):
    """The local copy that a data set is read from, if the configuration names one."""
    path = PLAN.dataset_settings(wildcards.dataset).get("path")
    return [] if path is None else [os.path.expanduser(path)]


def dataset_settings(wildcards):
    """What a data set of the user's own is."""
    return {"kind": PLAN.dataset_settings(wildcards.dataset).get("kind")}


def dataset_of_group(wildcards):
    """The data set that a group's runs learn from."""
    dataset = PLAN.groups[wildcards.group_id].dataset
    return f"results/{wildcards.scale}/datasets/{dataset}.h5"


def group_cells(wildcards):
    """Everything that decides a group's runs but their data."""
    return [cell.to_dict() for cell in PLAN.groups[wildcards.group_id].cells]


def expert_settings(wildcards):
    """Everything that decides a game's expert."""
    return PLAN.expert(wildcards.game)


def replay_settings(wildcards):
    """Everything that decides a D* file but the expert."""
    return PLAN.replay(wildcards.game, int(wildcards.seed))


def run_settings(wildcards):
    """Everything that decides a run but its D*."""
    return PLAN.runs[wildcards.run_id].to_dict()


def control_settings(wildcards):
    """Everything that decides a control run."""
    return PLAN.control_runs[wildcards.run_id].to_dict()


def study_settings(wildcards):
    """Everything that decides a study of random networks."""
    return PLAN.studies[wildcards.study_id].to_dict()


def measured_run(wildcards):
    """What measuring needs to know of a run."""
    return PLAN.measured_run(wildcards.run_id).to_dict()


def metric_settings(wildcards):
    """How much a metric looks at."""
    return PLAN.metric_settings(wildcards.metric)
