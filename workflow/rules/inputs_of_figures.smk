# Input and parameter functions of tables and figures.

import time
from functools import cache

THIS_CALL = time.time_ns()  # when; see missing_intermediates


@once
def table_runs(wildcards):
    """Descriptions of what a table reduces."""
    return [
        {
            "experiment": part.experiment,
            "metric": part.metric,
            "checkpoints": PLAN.checkpoints(part.experiment),
            "identity": LINEAGE.measurement(run, part.metric),
            **run.labels,
        }
        for run, part in PLAN.measured_runs(wildcards.table)
    ]


@once
def table_measurements(wildcards):
    """Measurements that a table reduces, in the order of `table_runs`."""
    return [
        at(Result.MEASUREMENT.format(metric=part.metric, run_id=run.run_id))
        for run, part in PLAN.measured_runs(wildcards.table)
    ]


def table_code(wildcards):
    """Digest of the code whose change makes a table stale."""
    return LINEAGE.table_code(wildcards.table)


@once
def table_statistics(wildcards):
    """How a table makes its intervals."""
    return PLAN.statistics(tables.entry(wildcards.table).sources)


def figure_tables(wildcards):
    """Tables that a figure draws."""
    return expand(at(Result.TABLE), table=figures.entry(wildcards.figure).tables)


@once
def figure_table_identities(wildcards):
    """What each table that a figure draws must be of, by name, in the order of `figure_tables`."""
    return {
        name: LINEAGE.table(name) for name in figures.entry(wildcards.figure).tables
    }


def figure_code(wildcards):
    """Digest of the code whose change makes a figure stale."""
    return LINEAGE.figure_code(wildcards.figure)


def figure_caption(wildcards):
    """What the report says below a figure; an edited caption redraws the figure."""
    return figures.entry(wildcards.figure).caption


def figure_words(wildcards):
    """What stands over a figure; edited, it redraws the figure."""
    return figures.entry(wildcards.figure).title


def figure_confidence(wildcards):
    """Confidence of a figure's intervals, which it states."""
    return PLAN.statistics(targets.sources(wildcards.figure))["confidence"]


@cache
def is_there(path):
    """Return whether a file is there, by its path below the scale's directory."""
    return os.path.exists(at(path))


@cache
def gone(figure):
    """Files below results/ that a figure came from and that are not there any more."""
    return [at(path) for path in targets.gone(PLAN, figure, is_there)]


def missing_intermediates(wildcards):
    """What a figure came from and is not there any more, but for the figure itself.

    Of what is there nothing is said: what changed in it reaches the figure by its tables, and
    thousands of inputs would be looked at in each call.
    """
    own = [at(file) for file in layout.figure_files(wildcards.figure)]
    return [ancient(path) for path in gone(wildcards.figure) if path not in own]


def what_is_missing(wildcards):
    """All that is not there any more, the figure included.

    With the time of the call, so that it differs from what an earlier call recorded even where the
    same file was deleted before.
    """
    return [*gone(wildcards.figure), THIS_CALL] if gone(wildcards.figure) else []
