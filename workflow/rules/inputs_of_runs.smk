# Input and parameter functions of what trains and measures: experts, D*, runs, groups, metrics.


def expert_settings(wildcards):
    """Everything that decides a game's expert."""
    return PLAN.expert(wildcards.game)


def replay_settings(wildcards):
    """Everything that decides a D* file but the expert."""
    return PLAN.replay(wildcards.game, int(wildcards.seed))


def replay_of_run(wildcards):
    """D* that a run learns from: that of its game and seed."""
    run = PLAN.runs[wildcards.run_id]
    return f"results/{wildcards.scale}/replay/{run.game}-seed{run.seed}.h5"


def own_objective(wildcards):
    """Digest of the user's own objective that a run is trained towards, if it is."""
    file = PLAN.runs[wildcards.run_id].objective_file
    return None if file is None else sha256(file)


def run_settings(wildcards):
    """Everything that decides a run but its D*."""
    return PLAN.runs[wildcards.run_id].to_dict()


def control_settings(wildcards):
    """Everything that decides a control run."""
    return PLAN.control_runs[wildcards.run_id].to_dict()


def play_to_measure_on(wildcards):
    """Transitions a run is measured on: its D*, or in control the play of its own."""
    if wildcards.run_id in PLAN.control_runs:
        return f"results/{wildcards.scale}/runs/{wildcards.run_id}/windows"
    return replay_of_run(wildcards)


def measured_run(wildcards):
    """What measuring needs to know of a run."""
    return PLAN.measured_run(wildcards.run_id).to_dict()


def metric_settings(wildcards):
    """How much a metric looks at."""
    return PLAN.metric_settings(wildcards.metric)


def metric_code(wildcards):
    """Digest of the code whose change makes a measurement stale, the run's objective included."""
    run = PLAN.measured_run(wildcards.run_id)
    objective = run.objective_file and Path(run.objective_file)
    return code_of(
        "measure_run.py",
        f"metrics/{metrics.entry(wildcards.metric).module}.py",
        objective or f"objectives/{run.objective}.py",
    )


def study_code(wildcards):
    """Digest of the code whose change makes a study of random networks stale."""
    return code_of("measure_random_networks.py")


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


def group_cells(wildcards):
    """Everything that decides a group's runs but their data."""
    return [cell.to_dict() for cell in PLAN.groups[wildcards.group_id].cells]
