"""One new file each adds an objective, a metric with its table and figure, a learner, a data set.

All are dropped into one copy of the tree, in which nothing else is changed.
"""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml
from projects import environment_of, snakemake
from tree import ROOT, copy_tree

DROPPED = {
    "metrics/losses.py": '''"""Losses of transitions."""

METRIC = {
    "title": "Losses of transitions",
    "source": "nowhere",
    "about": "losses of transitions of D*",
    "version": 1,
    "checkpoints": "last",
    "fields": {
        "loss": {"dtype": "float32", "dimensions": ["sample"], "unit": "loss", "description": "x"}
    },
    "settings": {"samples": {"minimum": 2, "default": 16, "description": "transitions"}},
}


def measure(subject, settings):
    """Return the loss of some transitions."""
    index = subject.replay.draw(settings.samples, subject.generator("losses"))
    objective = subject.objective
    loss = objective.loss(objective.network(subject.replay.observation(index)), index)
    return {"loss": loss.detach().numpy()}
''',
    "figures/losses.py": '''"""Losses by λ."""

from matplotlib.figure import Figure

FIGURE = {
    "name": "losses",
    "means": {
        "losses_by_lambda": {
            "metric": "losses",
            "field": "loss",
            "experiments": ["td_lambda"],
            "by": ["lambda"],
        },
    },
    "caption": "Losses. {lines}",
}


def data(tables):
    """Return the plotted numbers."""
    return tables["losses_by_lambda"]


def plot(data, title):
    """Return the figure."""
    figure = Figure()
    figure.subplots().plot(data["lambda"], data["mean"])
    return figure
''',
    "figures/gaps.py": '''"""Gaps by training set size, of a table that there is."""

from matplotlib.figure import Figure

FIGURE = {"name": "gaps", "tables": ["gap_by_size"], "caption": "Gaps. {lines}"}


def data(tables):
    """Return the plotted numbers."""
    return tables["gap_by_size"]


def plot(data, title):
    """Return the figure."""
    figure = Figure()
    figure.subplots().plot(data["n_train"], data["mean"])
    return figure
''',
    "generalization/margin.py": '''"""Classification by margins."""

from torch.nn import functional

from td_interference.generalization.tasks import Task

LEARNER = {
    "title": "margins",
    "family": "supervised",
    "data": "images",
    "function": "the largest output",
    "performance": "accuracy",
}


class Learner(Task):
    """Multi-class hinge loss."""

    def loss(self, outputs, targets):
        """Return the hinge loss of each sample, [M]."""
        return functional.multi_margin_loss(outputs, targets, reduction="none")

    def function(self, outputs):
        """Return the largest output, [M]."""
        return outputs.amax(1)

    def performance(self, outputs, targets):
        """Return the accuracy, 0..1."""
        return (outputs.argmax(1) == targets).double().mean().item()
''',
    "objectives/half.py": '''"""Half of the return."""

from td_interference.objectives.monte_carlo import Objective as MonteCarlo

OBJECTIVE = {"label": "half", "colour": "#882255"}


class Objective(MonteCarlo):
    """Q towards half of the return."""

    def target(self, index):
        """Return G_t / 2, [N]."""
        return super().target(index) / 2
''',
    "datasets/few.py": '''"""The first digits alone."""

from td_interference.datasets import digits

DATASET = {
    "kind": "images",
    "title": "few digits",
    "split": "as in digits",
    "n_train": 1_438,
    "embedded": True,
    "colour": "#332288",
}
FORMS = ()
read = digits.read
''',
}
MINE = {
    "dataset": "few", "task": "margin", "hidden": [1], "extra_layers": [0],
    "n_train": [20, 40], "n_seeds": 2, "learning_rate": 1e-3, "minibatch": 4, "updates": 4,
    "measure_every": 4, "samples": 3, "evaluation_samples": 3,
}  # fmt: skip
GRID = {"games": ["ms_pacman"], "n_seeds": 2, "hidden": [2], "checkpoints": [4]}
SMALL = {
    "scale": "smoke",
    "device": "cpu",
    "experiments": {
        "td_lambda": {**GRID, "lambdas": [0]},
        "regression": {**GRID, "objectives": ["half"]},
    },
    "training": {"updates": 4},
    "metrics": {"losses": {"samples": 4}},
}
FIGURES = ("losses", "gaps", "fig3", "fig8")  # of the dropped metric, figure, objective and learner
# What the workflow does for these figures, in one process and from a made-up D*.
PROGRAM = """
import sys
from pathlib import Path

import torch
import yaml
from problems import replay_arrays
from typer.testing import CliRunner

from td_interference import figures
from td_interference.cli import app
from td_interference.datasets.prepare import prepare_dataset
from td_interference.figures.render import make_figure
from td_interference.generalization.group_job import train_group
from td_interference.metrics.measuring import measure_run
from td_interference.planning import config, plan, reference
from td_interference.planning.lineage import Lineage
from td_interference.storage import hdf5, kinds
from td_interference.storage.identity import of_measured
from td_interference.tables.reduce import compute_table
from td_interference.training import train

made = plan.make_plan(yaml.safe_load(Path("small.yaml").read_text()), "workflow")
lineage, cpu = Lineage(made, Path("workflow/scripts")), torch.device("cpu")
metrics, own = Path("metrics"), {"device": cpu, "resume_interval": 60.0}


def measurement(run, metric):
    file, identity = metrics / metric / f"{run.run_id}.h5", lineage.measurement(run, metric)
    if file.exists():
        return file, identity
    if metric == "generalization":
        data = Path("few.h5")
        data.exists() or prepare_dataset("few", {}, data)
        train_group(run.run_id, run.cells, data, Path("state"), file, **own)
        return file, identity
    play, learned = Path(f"{run.seed}.h5"), Path(f"{run.run_id}.h5")
    replay = lineage.replay(run.game, run.seed)
    play.exists() or hdf5.write(play, kinds.REPLAY, replay_arrays(seed=run.seed), replay)
    state = Path("state") / run.run_id
    train(run, play, learned, Path("curve.csv"), state, identity=run.identity(lineage), **own)
    measure_run(
        metric, made.metric_settings(metric), run, play, learned, file,
        wanted=of_measured(identity), device=cpu, code=identity["code"],
    )
    return file, identity


def draw(figure):
    tables = {}
    for table in figures.entry(figure).tables:
        runs, files = [], []
        for run, source in made.measured_runs(table):
            file, identity = measurement(run, source.metric)
            files.append(file)
            checkpoints = made.checkpoints(source.experiment)
            runs.append({**source.model_dump(), "checkpoints": checkpoints, "identity": identity,
                         **run.labels})
        sources = [source for _, source in made.measured_runs(table)]
        tables[table] = Path(f"{table}.parquet")
        compute_table(table, runs, files, made.statistics(sources), tables[table],
                      Path(f"{table}.csv"), code=lineage.table_code(table))
    outputs = [Path(f"results/{figure}.{kind}") for kind in ("pdf", "png", "csv")]
    wanted = {table: lineage.table(table) for table in tables}
    make_figure(figure, tables, "smoke", made.statistics(sources)["confidence"], *outputs, wanted)


for figure in sys.argv[1:]:
    draw(figure)
schema = config.read_schema("workflow")
assert schema["properties"]["metrics"]["properties"]["losses"]["properties"]["samples"] == {
    "description": "transitions; default 16", "type": "integer", "minimum": 2}
assert "half" in schema["$defs"]["experiment"]["properties"]["objectives"]["items"]["enum"]
experiment = schema["$defs"]["generalization_experiment"]["properties"]
assert "margin" in experiment["task"]["enum"]
pages = reference.pages()
for page, name in (("metrics", "losses"), ("figures", "losses"), ("figures", "gaps"),
                   ("objectives", "half"), ("learners", "margin"), ("datasets", "few")):
    assert f"## `{name}`" in pages[f"{page}.md"], name
said = CliRunner(env={"COLUMNS": "300"}).invoke(app, ["plan", "--configfile", "small.yaml"]).output
for name in ("losses_by_lambda", "gaps", "ms_pacman-half-", "few-margin-"):
    assert name in said, said
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with these files more."""
    directory = copy_tree(tmp_path_factory.mktemp("project"))
    for name, text in DROPPED.items():
        assert len(text.splitlines()) <= 40
        (directory / "src" / "td_interference" / name).write_text(text)
    paper = yaml.safe_load((ROOT / "workflow" / "scales" / "paper.yaml").read_text())
    small = dict(SMALL, control=None, random_networks=None)
    small["experiments"] = {**dict.fromkeys(paper["experiments"]), **SMALL["experiments"]}
    theirs = dict.fromkeys(paper["generalization"]["experiments"])
    small["generalization"] = {"experiments": {**theirs, "mine": MINE}}
    (directory / "small.yaml").write_text(yaml.safe_dump(small))
    return directory


def python(project, *arguments):
    environment = environment_of(project)
    environment["PYTHONPATH"] += f":{ROOT / 'tests'}"
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=300
    )


def check_drawn(directory: Path):
    for name in FIGURES:
        assert all((directory / f"{name}.{kind}").stat().st_size for kind in ("pdf", "png"))
    losses, gaps, fig3, fig8 = (pl.read_csv(directory / f"{name}.csv") for name in FIGURES)
    assert losses["lambda"].to_list() == [0] and losses["n"].to_list() == [2]
    assert gaps["task"].unique().to_list() == ["margin"] and len(gaps) == 2
    assert fig3["objective"].unique().to_list() == ["half"]
    assert fig8["data"].unique().to_list() == ["few digits"] and len(fig8) == 4


def test_one_file_each_is_all(project):
    """They are planned, trained, measured, reduced and drawn, and stand in schema and docs."""
    done = python(project, "-c", PROGRAM, *FIGURES)
    assert done.returncode == 0, done.stderr[-3000:]
    check_drawn(project / "results")


@pytest.mark.slow
def test_the_workflow_draws_what_was_dropped_in(project):
    targets = [f"results/{name}.pdf" for name in FIGURES]
    arguments = [*targets, "--cores", "2", "--configfile", "small.yaml", "--forceall"]
    done = snakemake(arguments, project)
    assert done.returncode == 0, done.stderr[-5000:]
    check_drawn(project / "results")


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("metrics/losses.py", '"version": 1,\n', "", "METRIC, field 'version': is missing"),
        ("metrics/losses.py", '"default"', '"defualt"', "did you mean 'default'"),
        ("figures/losses.py", '"by"', '"per"', "field 'means.losses_by_lambda.per': is unknown"),
        ("figures/losses.py", '"field": "loss"', '"field": "lost"', "did you mean 'loss'"),
        ("generalization/margin.py", '"images"', '"sounds"', "LEARNER, field 'data': input should"),
        ("objectives/half.py", '"label": "half", ', "", "OBJECTIVE, field 'label': is missing"),
        ("datasets/few.py", '"kind": "images",', "", "DATASET, field 'kind': is missing"),
    ],
)
def test_a_wrong_card_is_one_line_of_the_command(project, file, old, new, said):
    path = project / "src" / "td_interference" / file
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new))
    try:
        command = "from td_interference.cli import main; main()"
        done = python(project, "-c", command, "plan", "--configfile", "small.yaml")
    finally:
        path.write_text(before)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(f"error: {path}: ") and said in done.stderr
    assert done.stderr.count("\n") == 1
