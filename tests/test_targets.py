"""What can be asked for: figures that are off, those of an own experiment, and unknown targets."""

import re

import forked
import polars as pl
import pytest
import yaml
from measurements import write_table
from tree import ROOT

from td_interference import figures, tables
from td_interference.errors import UserError
from td_interference.figures.render import make_figure
from td_interference.planning import targets
from td_interference.planning.plan import make_plan

WORKFLOW = ROOT / "workflow"
MINE = {
    "objectives": ["expert_q", "q_learning"],
    "games": ["ms_pacman"],
    "n_seeds": 2,
    "optimizers": ["adam"],
    "learning_rates": [1e-4],
    "hidden": [8],
    "checkpoints": [100, 200],
}


def planned(**over):
    return make_plan({"scale": "smoke", **over}, WORKFLOW)


def dry_run(target, *config, directory=ROOT):
    arguments = ["-n", "-s", ROOT / "Snakefile", "-d", directory]
    arguments += [*([target] if target else []), "--config", "scale=smoke", *config]
    done = forked.snakemake(arguments, directory)
    return done.returncode, done.stdout + done.stderr


def states(**over):
    return targets.figure_states(planned(**over))


def draw(plan, figure, folder):
    """Make a figure of made-up measurements as the workflow would; return its numbers."""
    entry = figures.entry(figure)
    for table in entry.tables:
        write_table(table, folder, plan)
    paths = {table: folder / f"{table}.parquet" for table in entry.tables}
    files = [folder / f"{figure}.{kind}" for kind in ("pdf", "png", "csv")]
    make_figure(figure, paths, "smoke", 0.95, *files)
    assert all(file.stat().st_size for file in files)
    return pl.read_csv(files[-1])


def test_everything_can_be_drawn_as_shipped():
    for scale in ("smoke", "laptop", "paper"):
        plan = make_plan({"scale": scale}, WORKFLOW)
        names = [entry.name for entry in figures.FIGURES]
        assert targets.wanted_by_all(plan) == names and targets.left_out(plan) == ""
        assert targets.table_names(plan) == [entry.name for entry in tables.TABLES]


@pytest.mark.parametrize(
    ("over", "off"),
    [
        ({"experiments": {"td_lambda": None}}, "fig5 fig11 fig13"),
        ({"experiments": {"policy_evaluation": None}}, "fig4 fig10 fig12"),
        ({"experiments": {"regression": None, "momentum": None}}, "fig3 momentum"),
        ({"experiments": {"parameterizations": None, "second_order": None}}, "fig6 fig7"),
        ({"control": {"optimizers": ["sgd"]}}, "fig12 fig14"),
        ({"experiments": {"policy_evaluation": {"optimizers": ["sgd", "momentum_sgd"]}}}, "fig12"),
        ({"control": None}, "fig4 fig10 fig12 fig14"),
        ({"random_networks": None}, "random_networks"),
        ({"generalization": None}, "fig1 fig2 fig8 fig9"),
    ],
)
def test_what_is_left_out_takes_its_figures_along(over, off):
    plan = planned(**over)
    known = targets.figure_states(plan)
    assert [name for name, reason in known.items() if reason] == off.split()
    assert not set(off.split()) & set(targets.wanted_by_all(plan))
    line = targets.explain(f"results/{off.split()[0]}.pdf", known, "smoke", [])
    assert known[off.split()[0]] in line and "cannot be drawn" in line
    assert targets.left_out(plan).startswith(f"no {off.split()[0]}")
    kept = {figure for figure, reason in known.items() if not reason}
    needed = {table for figure in kept for table in figures.entry(figure).tables}
    assert needed <= set(targets.table_names(plan))
    for table in targets.table_names(plan):  # each has runs
        assert all(plan.source_runs(source) for source in tables.entry(table).sources)


def test_snakemake_goes_on_without_an_experiment_and_names_it_where_it_is_asked_for():
    code, said = dry_run(None, "experiments={td_lambda: null}")
    assert code == 0 and "no fig5, fig11, fig13: 'experiments.td_lambda' is left out" in said
    assert "td_lambda0" not in said and "results/fig4.pdf" in said
    code, said = dry_run("results/fig5.pdf", "experiments={td_lambda: null}")
    assert code != 0 and "fig5 cannot be drawn, for 'experiments.td_lambda' is left out" in said


def test_all_but_the_experiments_from_replay_can_be_left_out():
    left_out = ["control=null", "random_networks=null", "generalization=null"]
    code, said = dry_run(None, *left_out)
    assert code == 0 and "no fig4, fig10, fig12, fig14: 'control' is left out (null)" in said
    assert "train_run" in said and "train_control" not in said and "train_group" not in said
    code, said = dry_run("results/fig14.pdf", *left_out)
    assert code != 0 and "fig14 cannot be drawn, for 'control' is left out (null)" in said
    runs = "results/smoke/runs"
    code, said = dry_run(f"{runs}/ms_pacman-control-adam-lr0.0001-h8-seed0/windows", *left_out)
    assert code != 0 and "nothing of this name is made" in said


def test_an_own_experiment_has_the_figures_and_tables_of_any():
    plan = planned(experiments={"mine": MINE})
    own = [name for name in targets.wanted_by_all(plan) if "-" in name]
    assert own == ["fig5-mine", "fig11-mine", "fig13-mine"]
    known = targets.figure_states(plan)
    assert known["fig3-mine"] == known["fig7-mine"] == ""
    assert "momentum_sgd" in known["momentum-mine"]
    assert "fig4-mine" not in known and "fig1-mine" not in known
    # What was there before stays as it was.
    assert planned().runs.items() <= {**plan.runs, **planned().runs}.items()
    for run in planned().experiment_runs("td_lambda"):
        assert plan.runs[run.run_id] == run


@pytest.mark.parametrize(
    "figure",
    ["fig5-mine", *(pytest.param(f"{n}-mine", marks=pytest.mark.slow) for n in ("fig11", "fig13"))],
)
def test_an_own_experiment_is_drawn_by_objective_or_by_lambda(tmp_path, figure):
    by_objective = draw(planned(experiments={"mine": MINE}), figure, tmp_path / "objective")
    assert by_objective["objective"].unique().sort().to_list() == ["expert_q", "q_learning"]
    assert by_objective["n"].unique().to_list() == [2]
    over = {"mine": {**MINE, "objectives": ["td_lambda"], "lambdas": [0.2, 0.7]}}
    by_lambda = draw(planned(experiments=over), figure, tmp_path / "lambda")
    assert by_lambda["lambda"].unique().sort().to_list() == [0.2, 0.7]
    over["mine"]["objectives"] = ["td_lambda", "monte_carlo"]
    both = draw(planned(experiments=over), figure, tmp_path / "both")
    assert both["objective"].unique().sort().to_list() == [
        "monte_carlo",
        "td_lambda0.2",
        "td_lambda0.7",
    ]


@pytest.mark.parametrize(
    "figure", ["fig3", *(pytest.param(n, marks=pytest.mark.slow) for n in ("fig7", "momentum"))]
)
def test_further_figures_of_an_own_experiment(tmp_path, figure):
    mine = {**MINE, "optimizers": ["momentum_sgd"], "objectives": ["q_learning"]}
    plan = planned(experiments={"mine": mine})
    assert not draw(plan, f"{figure}-mine", tmp_path).is_empty()


def test_the_example_of_the_docs_is_planned_trained_and_drawn(tmp_path):
    text = (ROOT / "docs" / "extend.md").read_text()
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    example = next(block for block in blocks if "experiments" in block)
    (block,) = example["experiments"].values()
    block["checkpoints"] = [100, 200]  # of smoke scale; the example has those of laptop
    plan = planned(**example)
    (name,) = plan.own_experiments
    asked = re.findall(rf"results/([a-z0-9]+-{name})\.pdf", text)
    assert asked == [f for f in targets.wanted_by_all(plan) if f.endswith(f"-{name}")]
    assert not draw(plan, asked[0], tmp_path).is_empty()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(example))
    code, said = dry_run(f"results/{asked[0]}.pdf", directory=tmp_path)
    assert code == 0, said
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", said, flags=re.MULTILINE))
    assert jobs["train_run"] == jobs["measure_run"] == "4" and jobs["publish"] == "1"


def test_a_slip_in_an_experiments_name_is_no_own_experiment():
    with pytest.raises(UserError, match=r"'experiments.td_lamda.\w+' is missing.*'td_lambda'\?"):
        planned(experiments={"td_lamda": {"n_seeds": 1}})
    with pytest.raises(UserError, match=r"'experiments\.My-Own': a name here has small letters"):
        planned(experiments={"My-Own": MINE})


RULES = ["all", "atari", "generalization", "all_tables"]
UNKNOWN = {
    "results/fig99.pdf": "The figures are results/<name>.pdf of fig1, fig2,",
    "fig5": "did you mean results/fig5.pdf?",
    "Figure 5": "did you mean results/fig5.pdf?",
    "results/fig05.pdf": "did you mean results/fig5.pdf?",
    "results/fig6.svg": "did you mean results/fig6.pdf?",
    "fig14.png": "did you mean results/fig14.pdf?",
    "results/paper/figures/fig5.pdf": "is of the scale paper, and this call is of smoke; add",
    "results/laptop/runs/x/checkpoints.h5": "add --config scale=laptop",
    "/somewhere/results/fig5.pdf": "from the working directory: results/fig5.pdf",
    "generalisation": "did you mean 'generalization'?",
    "al_tables": "did you mean 'all_tables'?",
    "results/smoke/runs/x/checkpoints.h5": "nothing of this name is made at smoke scale",
    "results/momentun.pdf": "did you mean results/momentum.pdf?",
    "results/random_network.pdf": "did you mean results/random_networks.pdf?",
}


@pytest.mark.parametrize(("target", "said"), UNKNOWN.items())
def test_an_unknown_target_is_told_what_there_is(target, said):
    line = targets.explain(target, states(), "smoke", RULES)
    assert line.startswith(f"{target}: ") and said in line and "\n" not in line


@pytest.mark.parametrize(
    "target",
    [
        "results/fig99.pdf",
        "fig5",
        "results/laptop/figures/fig5.pdf",
        "results/smoke/runs/ms_pacman-q_learning-adam-lr7-h8-seed0/checkpoints.h5",
    ],
)
def test_snakemake_says_so_before_it_looks_for_a_rule(target):
    code, said = dry_run(target)
    assert code != 0 and "MissingRule" not in said
    assert targets.explain(target, states(), "smoke", RULES) in said


def test_the_ids_of_a_target_are_those_of_planned_runs():
    """The workflow's own patterns only know their form."""
    plan = planned()
    runs = {
        "run_id": plan.of_kind("training", "control"),
        "study_id": plan.of_kind("random_networks"),
        "group_id": plan.of_kind("generalization"),
    }
    for name, ids in runs.items():
        for run_id in ids:
            assert targets.are_planned(plan, {"scale": "smoke", name: run_id})
            assert not targets.are_planned(plan, {"scale": "smoke", name: f"{run_id}-x"})
            assert not any(
                targets.are_planned(plan, {other: run_id}) for other in runs.keys() - {name}
            )
        assert not targets.are_planned(plan, {name: "control-x"})
    assert targets.are_planned(plan, {"figure": "fig5"})


def test_runs_from_replay_and_of_control_are_told_by_the_patterns_of_their_rules():
    patterns = [
        re.search(r'run_id="(.*)",$', (WORKFLOW / "rules" / rule).read_text(), re.MULTILINE)[1]
        for rule in ("training.smk", "control.smk")
    ]
    for scale in ("smoke", "laptop", "paper"):
        plan = make_plan({"scale": scale}, WORKFLOW)
        for n, kind in enumerate(["training", "control"]):
            for run_id in plan.of_kind(kind):
                assert [bool(re.fullmatch(each, run_id)) for each in patterns] == [n == 0, n == 1]


@pytest.mark.parametrize(
    ("there", "gone"),
    [
        ("", ""),  # nothing was made
        ("figures", "tables metrics runs replay experts"),
        ("figures tables metrics runs experts", "replay"),
        ("tables", "metrics runs replay experts"),
        ("runs replay", "experts"),
        ("replay experts", ""),
        ("figures tables metrics runs replay experts", ""),
        ("logs", "figures tables metrics runs replay experts"),
    ],
)
def test_gone_is_what_is_not_there_though_something_made_of_it_is(there, gone):
    plan, folders = planned(), there.split()
    files = targets.gone(plan, "fig5", lambda path: path.partition("/")[0] in folders)
    assert {path.partition("/")[0] for path in files} == set(gone.split())
    if there == "logs":  # of a figure that failed to be drawn again
        assert len(files) == 3 + 1 + 4 + 4 + 2 + 1


def test_values_of_options_are_no_targets():
    def known(target):
        return target in ("results/fig5.pdf", "all")

    call = ["-n", "--cores", "2", "results/fig5.pdf", "--config", "scale=smoke", "device=cpu"]
    assert targets.asked_for(call, known) == []
    call += ["--rerun-triggers", "mtime", "params", "--executor", "local"]
    assert targets.asked_for(call, known) == []
    assert targets.asked_for([*call, "--", "fig5", "all"], known) == ["fig5"]
    for numbers in (["5"], ["-n", "5"], ["--cores", "2", "5"], ["-j2", "5"], ["-c", "2", "5"]):
        assert targets.asked_for(numbers, known) == ["5"]
    assert targets.asked_for(["-c", "2", "--jobs", "3", "-T", "1"], known) == []
    assert targets.asked_for(["--forcerun", "train_runn", "--until", "x"], known) == [
        "train_runn",
        "x",
    ]
