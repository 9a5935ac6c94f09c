# Input and parameter functions of what trains and measures: experts, D*, runs, groups, metrics.


@once
def expert_settings(wildcards):
    """Everything that decides a game's expert."""
    return PLAN.expert(wildcards.game)


@once
def replay_identity(wildcards):
    """Everything that decides a D* file."""
    return LINEAGE.replay(wildcards.game, int(wildcards.seed))


def replay_of_run(wildcards):
    """D* that a run learns from: that of its game and seed."""
    run = PLAN.runs[wildcards.run_id]
    return f"results/{wildcards.scale}/replay/{run.game}-seed{run.seed}.h5"


@once
def run_identity(wildcards):
    """Everything that decides a run from D*."""
    return LINEAGE.run(PLAN.runs[wildcards.run_id])


@once
def control_settings(wildcards):
    """Everything that decides a control run."""
    return PLAN.control_runs[wildcards.run_id].to_dict()


def play_to_measure_on(wildcards):
    """Transitions a run is measured on: its D*, or in control the play of its own."""
    if wildcards.run_id in PLAN.control_runs:
        # A directory has no SHA-256 to tell a copy from a change. Its job writes the checkpoints
        # as well, which hold the digests of what is in it.
        return ancient(f"results/{wildcards.scale}/runs/{wildcards.run_id}/windows")
    return replay_of_run(wildcards)


@once
def measured_identity(wildcards):
    """Everything that decides what is measured of a run: run, metric, its settings and code."""
    run_id = wildcards.run_id
    run = PLAN.control_runs.get(run_id) or PLAN.runs[run_id]
    return LINEAGE.measurement(run, wildcards.metric)


def study_code(wildcards):
    """Digest of the code whose change makes a study of random networks stale."""
    return LINEAGE.study_code()


def study_settings(wildcards):
    """Everything that decides a study of random networks."""
    return PLAN.studies[wildcards.study_id].to_dict()


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


@once
def group_cells(wildcards):
    """Everything that decides a group's runs but their data."""
    return [cell.to_dict() for cell in PLAN.groups[wildcards.group_id].cells]
