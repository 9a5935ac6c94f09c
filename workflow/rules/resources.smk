# What jobs ask of a cluster: memory and run time from their own settings, see
# td_interference.planning.needs.

from td_interference.planning import needs
from td_interference.planning.expert import ExpertSettings
from td_interference.planning.replay import ReplaySpec

# What a job of networks asks a cluster for: a GPU only where the configuration says there are some.
DEVICE = PLAN.config["device"]
GPUS = 1 if DEVICE == "cuda" else 0


def memory(asked):
    """Resource function: MB that a job asks for, by `asked(wildcards)` and its attempt."""

    def mem_mb(wildcards, attempt):
        return asked(wildcards).mem_mb_at(attempt)

    mem_mb.__signature__ = inspect.signature(mem_mb)
    return mem_mb


def run_time(asked):
    """Resource function: minutes that a job asks for, by `asked(wildcards)` and its attempt."""

    def runtime(wildcards, attempt):
        return asked(wildcards).minutes_at(attempt)

    runtime.__signature__ = inspect.signature(runtime)
    return runtime


@once
def expert_needs(wildcards):
    """Memory and time of a game's expert."""
    return needs.expert_needs(ExpertSettings(**expert_settings(wildcards)), DEVICE)


@once
def replay_needs(wildcards):
    """Memory and time of recording a D*."""
    return needs.replay_needs(ReplaySpec(**replay_identity(wildcards)["replay"]))


@once
def run_needs(wildcards):
    """Memory and time of a run of any kind."""
    return run_of(wildcards).needs(PLAN.config)


@once
def measurement_needs(wildcards):
    """Memory and time of one metric of one run."""
    run, metric = run_of(wildcards), wildcards.metric
    settings, transitions = PLAN.metric_settings(metric), run.transitions(PLAN.config)
    return needs.measurement_needs(
        metric, settings, run.measured_as, transitions, DEVICE
    )


@once
def table_needs(wildcards):
    """Memory and time of a table, which reads all measurements of its runs."""
    return needs.table_needs(PLAN.measured_by(wildcards.table))


@once
def figure_needs(wildcards):
    """Memory and time of a figure."""
    return needs.FIGURE_NEEDS


@once
def dataset_needs(wildcards):
    """Memory and time of a data set: its arrays a few times over, and the download."""
    return needs.DATASET_NEEDS
