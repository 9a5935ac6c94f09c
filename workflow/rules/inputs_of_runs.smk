# Input and parameter functions of what trains and measures: experts, D*, runs, groups, metrics.


@once
def expert_settings(wildcards):
    """Everything that decides a game's expert."""
    return PLAN.expert(wildcards.game)


@once
def replay_identity(wildcards):
    """Everything that decides a D* file."""
    return LINEAGE.replay(wildcards.game, int(wildcards.seed))


def run_of(wildcards):
    """The run that a job is of, of whatever kind."""
    (run_id,) = (wildcards[name] for name in targets.KINDS if name in wildcards.keys())
    return PLAN.runs[run_id]


@once
def run_settings(wildcards):
    """Everything that decides a run."""
    return run_of(wildcards).to_dict()


@once
def run_identity(wildcards):
    """Everything that decides a run from D*, with what decides its D*."""
    return run_of(wildcards).identity(LINEAGE)


def play_of_run(wildcards):
    """Transitions that a run is measured on: its D*, or in control the play of its own."""
    path = at(run_of(wildcards).play)
    # A directory has no SHA-256 to tell a copy from a change. Its job writes the checkpoints as
    # well, which hold the digests of what is in it.
    return ancient(path) if run_of(wildcards).kind == plan.CONTROL else path


@once
def measured_identity(wildcards):
    """Everything that decides what is measured of a run: run, metric, its settings and code."""
    return LINEAGE.measurement(run_of(wildcards), wildcards.metric)


def study_code(wildcards):
    """Digest of the code whose change makes a study of random networks stale."""
    return LINEAGE.study_code()


def local_copy(wildcards):
    """The local copy that a data set is read from, if the configuration names one."""
    path = PLAN.dataset_settings(wildcards.dataset).get("path")
    return [] if path is None else [os.path.expanduser(path)]


def dataset_settings(wildcards):
    """What a data set of the user's own is."""
    return {"kind": PLAN.dataset_settings(wildcards.dataset).get("kind")}


def dataset_of_group(wildcards):
    """The data set that a group's runs learn from."""
    return at(Result.DATASET.format(dataset=run_of(wildcards).dataset))


def group_cells(wildcards):
    """Everything that decides a group's runs but their data."""
    return run_settings(wildcards)["cells"]
