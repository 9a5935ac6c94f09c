# Input and parameter functions of tables and figures.

import time

THIS_CALL = time.time_ns()  # when; see missing_intermediates


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
            "identity": LINEAGE.measurement(run, part.metric),
            **labels(run),
        }
        for run, part in measured_runs(wildcards.table)
    ]


def labels(run):
    """What tables call a group of cells and its data."""
    return {name: getattr(run, name) for name in ("name", "data") if hasattr(run, name)}


def table_measurements(wildcards):
    """Measurements that a table reduces, in the order of `table_runs`."""
    return [
        f"results/{wildcards.scale}/metrics/{part.metric}/{run.run_id}.h5"
        for run, part in measured_runs(wildcards.table)
    ]


def table_code(wildcards):
    """Digest of the code whose change makes a table stale."""
    return LINEAGE.table_code(wildcards.table)


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
    sources = [
        part
        for table in figures.entry(wildcards.figure).tables
        for part in tables.entry(table).sources
    ]
    return PLAN.statistics(sources)["confidence"]


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
    # That each is there matters here; what changed reaches the figure by its tables.
    return [ancient(f"results/{PLAN.scale}/{path}") for path in sorted(chain)]


def missing_intermediates(wildcards):
    """What is not there any more of all that a figure, once made at this scale, came from.

    With the time of the call, so that it differs from what an earlier call recorded even where the
    same file was deleted before.
    """
    own = expand(
        "results/{scale}/figures/{figure}.{kind}",
        scale=PLAN.scale,
        figure=wildcards.figure,
        kind=["pdf", "png", "csv"],
    )
    # The log stays where Snakemake removed all three, for a job that then failed to draw them again.
    published = f"results/{PLAN.scale}/logs/publish/{wildcards.figure}.log"
    if not any(map(os.path.exists, [*own, published])):
        return []
    gone = [path for path in figure_chain(wildcards) + own if not os.path.exists(path)]
    return [*gone, THIS_CALL] if gone else []
