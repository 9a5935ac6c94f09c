"""The whole workflow at smoke scale through `make`, and what Snakemake then finds to redo."""

import re
import shutil

import polars as pl
import pytest
import yaml
from checkpoint_files import checkpoint_steps
from projects import call, cpu_seconds, edited, make, planned, pretend, snakemake
from tree import ROOT, copy_tree

from td_interference import figures, metrics
from td_interference.agents.expert.file import load_expert
from td_interference.planning.plan import make_plan
from td_interference.replay import Replay
from td_interference.storage import hdf5, kinds

FIGURES = tuple(entry.name for entry in figures.FIGURES)
GENERALIZATION = ("fig1", "fig2", "fig8", "fig9")
N_RUNS = 4  # of TD(λ): two λ, two seeds
N_FIXED = 16  # runs from D* of all experiments, those that two of them want counted once
N_CONTROL = 4  # four optimizers, one seed
# Two seeds of one experiment, one of the others.
SEEDS = {
    "experiments": {
        name: {"n_seeds": 1}
        for name in ("regression", "policy_evaluation", "second_order", "momentum")
    },
    "control": {"n_seeds": 1},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """All figures made by `make` in an empty directory: 140 jobs, minutes."""
    directory = copy_tree(tmp_path_factory.mktemp("made"))
    with (directory / "config.yaml").open("a") as file:
        yaml.safe_dump(SEEDS, file)
    for target in ("generalization", "atari"):
        done = make(target, directory, cores=2)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-5000:]
        made = {path.stem for path in (directory / "results").glob("*.pdf")}
        assert (made == set(GENERALIZATION)) == (target == "generalization")
    return directory


@pytest.fixture(scope="module")
def pretended(tmp_path_factory):
    return pretend("all", tmp_path_factory.mktemp("pretended"))


@pytest.fixture(scope="module", params=["pretended", pytest.param("made", marks=pytest.mark.slow)])
def project(request):
    """A project in which every figure is made; what is to be done again is the same in both."""
    return request.getfixturevalue(request.param)


@pytest.mark.workflow
@pytest.mark.slow
def test_every_product_is_there_and_good(made):
    results = made / "results"
    for figure in FIGURES:
        for kind in ("pdf", "png", "csv"):
            assert (results / f"{figure}.{kind}").stat().st_size > 0
            published = (results / f"{figure}.{kind}").read_bytes()
            assert published == (results / "smoke" / "figures" / f"{figure}.{kind}").read_bytes()
    figure = pl.read_csv(results / "fig5.csv")
    assert figure.columns == ["game", "lambda", "variant", "offset", "mean", "low", "high", "n"]
    assert figure["offset"].unique().sort().to_list() == list(range(-30, 31))
    assert figure["n"].unique().to_list() == [2]
    smoke = results / "smoke"
    _, settings, _ = load_expert(smoke / "experts" / "ms_pacman" / "expert.safetensors")
    assert settings.game == "ms_pacman"
    assert pl.read_csv(smoke / "experts" / "ms_pacman" / "evaluation.csv")["agent"].n_unique() == 2
    for seed in (0, 1):
        replay = Replay.load(smoke / "replay" / f"ms_pacman-seed{seed}.h5")
        assert len(replay) >= 1500 and replay.n_actions == 9
    plan = make_plan({"scale": "smoke", **SEEDS}, made / "workflow")
    control, fixed = [], []
    for run in sorted((smoke / "runs").iterdir()):
        (control if "-control-" in run.name else fixed).append(run)
    assert (len(fixed), len(control)) == (N_FIXED, N_CONTROL)
    for run in fixed:
        assert checkpoint_steps(run / "checkpoints.h5") == list(plan.runs[run.name].checkpoints)
        assert pl.read_csv(run / "learning_curve.csv")["update_step"][-1] == 200
    for run in control:
        assert checkpoint_steps(run / "checkpoints.h5") == [100, 200]
        assert pl.read_csv(run / "evaluation.csv")["update_step"].unique().to_list() == [100, 200]
        for step in (100, 200):
            play = Replay.load(run / "windows" / f"window-{step}.h5")
            assert len(play) >= 400 and not play.terminated[play.truncated].any()
    for entry in metrics.METRICS:
        files = list((smoke / "metrics" / entry.name).iterdir())
        assert files, entry.name
        for path in files:
            hdf5.read(path, kinds.MEASUREMENTS[entry.module])
    groups = {path.stem: path for path in (smoke / "metrics" / "generalization").iterdir()}
    assert set(groups) == set(plan.of_kind("generalization"))
    for name, path in groups.items():
        cells = plan.of_kind("generalization")[name].cells
        arrays = hdf5.read(path, kinds.GENERALIZATION)
        n_runs = sum(len(cell.seeds) for cell in cells)
        assert len(arrays["run_id"]) == n_runs * cells[0].duration // cells[0].measure_every
    runs = pl.read_parquet(smoke / "tables" / "generalization_runs.parquet")
    assert set(runs["task"]) == {"classification", "regression", "double_dqn", "reinforce"}
    assert runs["train_loss"].is_finite().all() and not runs["diverged"].any()
    assert not list(smoke.glob("state/**/*.pt")), "resume states are removed after success"
    assert list(smoke.glob("logs/train_run/*.log")), "each job has its log"


@pytest.mark.workflow
def test_a_second_call_does_nothing_in_ten_seconds(project):
    before = cpu_seconds()
    done = make("results/fig5.pdf", project)
    assert done.returncode == 0 and cpu_seconds() - before < 10
    assert "Nothing to be done" in done.stdout + done.stderr
    assert planned(project, targets=[f"results/{figure}.pdf" for figure in FIGURES]) == {}


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("module", "jobs"),
    [
        ("figures/fig05_stiffness_by_lambda.py", {"make_figure": 1, "publish": 1}),
        ("figures/fig11_gain_by_lambda.py", {"make_figure": 1, "publish": 1}),
        ("figures/fig08_gap_by_size.py", {"make_figure": 1, "publish": 1}),
        ("figures/generalization.py", {"make_figure": 4, "publish": 4}),
        ("tables/capacity.py", {"compute_table": 2, "make_figure": 1, "publish": 1}),
        (
            "tables/generalization.py",
            {"compute_table": 7, "make_figure": 4, "publish": 4},
        ),
        ("generalization/training.py", {}),
        ("figures/style.py", {"make_figure": len(FIGURES), "publish": len(FIGURES)}),
        (
            "metrics/stiffness.py",
            {"measure_run": N_RUNS, "compute_table": 1, "make_figure": 1, "publish": 1},
        ),
        ("training.py", {}),  # dear stages go by their settings, not by their code
    ],
)
def test_edited_code_redoes_what_hangs_on_it(project, module, jobs):
    undo = edited(project / "src" / "td_interference" / module)
    try:
        assert planned(project, targets=[f"results/{figure}.pdf" for figure in FIGURES]) == jobs
    finally:
        undo()


@pytest.mark.workflow
def test_a_touched_script_redoes_nothing(project):
    undo = edited(project / "workflow" / "scripts" / "train_expert.py")
    try:
        assert planned(project) == {}
    finally:
        undo()


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("over", "jobs"),
    [
        # two new λ for two seeds each; λ = 1 and everything before it stay
        (
            "experiments={td_lambda: {lambdas: [0.5, 0.9, 1]}}",
            {"train_run": 4, "measure_run": 4, "compute_table": 1, "make_figure": 1, "publish": 1},
        ),
        # a third seed plays its own D*
        (
            "experiments={td_lambda: {n_seeds: 3}}",
            {
                "collect_replay": 1,
                "train_run": 2,
                "measure_run": 2,
                "compute_table": 1,
                "make_figure": 1,
                "publish": 1,
            },
        ),
        # fewer λ redo the table alone
        (
            "experiments={td_lambda: {lambdas: [1]}}",
            {"compute_table": 1, "make_figure": 1, "publish": 1},
        ),
        (
            "metrics={stiffness: {anchors: 40}}",
            {"measure_run": 4, "compute_table": 1, "make_figure": 1, "publish": 1},
        ),
        ("metrics={gain: {minibatches: 3}}", {}),  # figure 5 does not draw it
        ("resume_interval=5", {}),
        ("shared_replay=false", {}),
    ],
)
def test_changed_settings_redo_what_they_decide(project, over, jobs):
    assert planned(project, over) == jobs


CLASSIFICATION = "generalization={{experiments: {{svhn_classification: {{{}}}}}}}"
REDRAWN = {"compute_table": 1, "make_figure": 1, "publish": 1}


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("over", "jobs"),
    [
        # one more size of two widths; a cell is a job
        (CLASSIFICATION.format("n_train: [20, 200, 1000, 1400]"), {"train_group": 2, **REDRAWN}),
        # a job has all seeds of its cell
        (CLASSIFICATION.format("n_seeds: 3"), {"train_group": 6, **REDRAWN}),
        # of an MLP also all sizes; three widths
        (
            "generalization={experiments: {sarcos: {n_train: [20, 100, 300, 354]}}}",
            {"train_group": 3, **REDRAWN},
        ),
        (CLASSIFICATION.format("n_train: [20]"), REDRAWN),
        ("generalization={confidence: 0.5}", REDRAWN),
        ("generalization={keep_checkpoints: true}", {"train_group": 21, **REDRAWN}),
        # digits stand in for both, whatever is asked of the second
        (
            "generalization={experiments: {cifar10_classification: {dataset: cifar10, task: "
            "classification, hidden: [64], extra_layers: [3], n_train: [9], n_seeds: 9, "
            "updates: 9, learning_rate: 1, minibatch: 9, measure_every: 9, samples: 9, "
            "evaluation_samples: 9}}}",
            {},
        ),
        ("statistics={confidence: 0.5}", {}),  # of the other figures
        ("experiments={td_lambda: {n_seeds: 3}}", {}),
    ],
)
def test_changed_settings_train_the_groups_they_decide(project, over, jobs):
    assert planned(project, over, targets=["results/fig1.pdf"]) == jobs


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("intermediate", "jobs"),
    [
        (
            "metrics/stiffness/ms_pacman-td_lambda0-adam-lr0.0001-h8-seed0.h5",
            {"measure_run": 1, "compute_table": 1, "make_figure": 1, "publish": 1},
        ),
        (
            "runs/ms_pacman-td_lambda1-adam-lr0.0001-h8-seed1/checkpoints.h5",
            {"train_run": 1, "measure_run": 1, "compute_table": 1, "make_figure": 1, "publish": 1},
        ),
        # one seed's D*: its two runs, not those of the other seed
        (
            "replay/ms_pacman-seed1.h5",
            {
                "collect_replay": 1,
                "train_run": 2,
                "measure_run": 2,
                "compute_table": 1,
                "make_figure": 1,
                "publish": 1,
            },
        ),
        (
            "tables/stiffness_by_lambda.parquet",
            {"compute_table": 1, "make_figure": 1, "publish": 1},
        ),
        ("figures/fig5.pdf", {"make_figure": 1, "publish": 1}),
        ("metrics/gain/ms_pacman-td_lambda0-adam-lr0.0001-h8-seed0.h5", {}),  # not of figure 5
    ],
)
def test_deleted_intermediates_redo_what_hangs_on_them(project, tmp_path, intermediate, jobs):
    path = project / "results" / "smoke" / intermediate
    shutil.move(path, tmp_path)
    try:
        assert planned(project) == jobs
    finally:
        shutil.move(tmp_path / path.name, path)


@pytest.mark.workflow
@pytest.mark.slow
def test_figures_train_what_they_need_alone(tmp_path):
    """From nothing, at smoke scale: runs by rule, and which agents."""

    def planned_runs(figure):
        command = ["-n", f"results/{figure}.pdf", "--directory", str(tmp_path)]
        command += ["--snakefile", str(ROOT / "Snakefile")]
        command += ["--configfile", str(ROOT / "config.yaml"), "--config", "scale=smoke"]
        done = snakemake(command, ROOT)
        assert done.returncode == 0, done.stderr
        said = done.stdout + done.stderr
        jobs = dict(re.findall(r"^(\w+) +(\d+)$", said, flags=re.MULTILINE))
        return int(jobs.get("train_run", 0)), int(jobs.get("train_control", 0))

    assert planned_runs("fig3") == (6, 0)
    assert planned_runs("fig5") == planned_runs("fig11") == planned_runs("fig13") == (4, 0)
    assert planned_runs("fig4") == planned_runs("fig10") == (8, 8)
    assert planned_runs("fig6") == (4, 0)
    assert planned_runs("fig7") == (8, 0)
    assert planned_runs("fig12") == (4, 4)
    assert planned_runs("fig14") == (0, 2)
    assert planned_runs("momentum") == (2, 0)
    assert planned_runs("random_networks") == (0, 0)
    assert [planned_runs(figure) for figure in GENERALIZATION] == [(0, 0)] * 4


@pytest.mark.workflow
@pytest.mark.slow
def test_an_objective_of_ones_own_goes_through_the_pipeline(made):
    """One file outside of the package; it joins the figures that compare objectives."""
    shutil.copy2(ROOT / "tests" / "half_way.py", made)
    before = planned(made, targets=["results/fig3.pdf", "results/fig7.pdf"])
    assert before == {}
    over = ["--config", "scale=smoke", "own_objectives=[half_way.py]"]
    target = "results/smoke/figures/fig3.pdf"
    jobs = planned(made, "own_objectives=[half_way.py]", targets=[target])
    assert jobs == {"train_run": 1, "measure_run": 1, "compute_table": 1, "make_figure": 1}
    done = snakemake([target, "--cores", "2", *over], made)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    table = pl.read_csv(made / "results" / "smoke" / "figures" / "fig3.csv")
    assert table.filter(pl.col("objective") == "half_way")["mean"].is_finite().all()
    assert table["objective"].n_unique() == 4
    # An edited objective trains its own runs again, and no other.
    edited(made / "half_way.py")
    jobs = planned(made, "own_objectives=[half_way.py]", targets=[target])
    assert jobs == {"train_run": 1, "measure_run": 1, "compute_table": 1, "make_figure": 1}
    # Taken out again, the figure is that of the shipped objectives.
    done = snakemake(["results/fig3.pdf", "--cores", "2", *over[:2]], made)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert planned(made, targets=["results/fig3.pdf"]) == {}


@pytest.mark.workflow
def test_scales_do_not_disturb_each_other(project):
    other = snakemake(["-n", "results/fig5.pdf", "--config", "scale=laptop"], project)
    assert "train_expert" in other.stdout + other.stderr
    assert planned(project) == {}


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("over", "message"),
    [
        ("replai={}", "'replai' is unknown; did you mean 'replay'?"),
        ("experiments={td_lambda: {lambdas: [2]}}", "2 is greater than the maximum of 1"),
        ("experiments={td_lambda: {games: [ms_pacmann]}}", "did you mean ms_pacman"),
        (CLASSIFICATION.format("hiden: [2]"), "did you mean 'hidden'?"),
        (CLASSIFICATION.format("dataset: mnist"), "'datasets.mnist': no data set of this name"),
        ("datasets={svhn: {path: absent.npz}}", "absent.npz: no such file or folder"),
    ],
)
def test_wrong_settings_stop_before_the_first_job(project, over, message):
    done = snakemake(["results/fig5.pdf", "--cores", "1", "--config", over], project)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and message in said and "Traceback" not in said


@pytest.mark.workflow
def test_the_default_profile_holds_beside_that_of_slurm(project):
    undo = edited(project / "workflow" / "scripts" / "train_expert.py")
    try:
        assert planned(project, "--profile", "workflow/profiles/slurm") == {}
        command = ["-n", "results/fig5.pdf", "--config", "scale=smoke"]
        alone = snakemake([*command, "--workflow-profile", "none"], project)
        assert "train_expert" in alone.stdout + alone.stderr
    finally:
        undo()


@pytest.mark.slow
@pytest.mark.parametrize(("device", "gpus"), [("auto", 0), ("cuda", 1)])
def test_the_whole_study_plans_on_a_cluster(tmp_path, device, gpus):
    command = ["-n", "all", "--profile", str(ROOT / "workflow" / "profiles" / "slurm")]
    command += ["--directory", str(tmp_path), "--snakefile", str(ROOT / "Snakefile")]
    command += ["--configfile", str(ROOT / "config.yaml")]
    done = snakemake([*command, "--config", "scale=paper", f"device={device}"], ROOT)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", said, flags=re.MULTILINE))
    assert (jobs["train_run"], jobs["train_control"]) == ("313", "120")
    # Each kind of job of networks asks for a GPU where there are some; nothing else ever does.
    assert set(re.findall(r"\bgpu=(\d+)", said)) == {str(gpus)}
    # Measurements are in groups of eight.
    assert said.count("Group job measurements") == -(-int(jobs["measure_run"]) // 8)


def test_paper_scale_plans(tmp_path):
    """All of it, in 40 seconds of processor time: the clock's depends on what else runs."""
    before = cpu_seconds()
    command = ["snakemake", "-n", "all", "--directory", str(tmp_path)]
    command += ["--configfile", str(ROOT / "config.yaml"), "--config", "scale=paper"]
    done = call([*command, "--snakefile", str(ROOT / "Snakefile")], ROOT)
    assert done.returncode == 0, done.stderr
    assert cpu_seconds() - before <= 40
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.MULTILINE))
    assert (int(jobs["train_group"]), int(jobs["prepare_dataset"])) == (6 * 96 + 24, 4)
