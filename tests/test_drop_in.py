"""A metric with its table and figure, each one new file: nothing else is changed."""

import json
import shutil
import subprocess
import sys

import pytest
from tree import ROOT

METRIC = """
METRIC = {
    "title": "Losses of transitions",
    "source": "nowhere",
    "about": "losses of transitions of D*",
    "version": 1,
    "checkpoints": "last",
    "fields": {
        "loss": {"dtype": "float32", "dimensions": ["sample"], "unit": "loss", "description": "x"}
    },
    "settings": {"samples": {"type": "integer", "minimum": 2, "default": 16, "description": "n"}},
}


def measure(subject, settings):
    index = subject.replay.draw(settings.samples, subject.generator("losses"))
    objective = subject.objective
    loss = objective.loss(objective.network(subject.replay.observation(index)), index)
    return {"loss": loss.detach().numpy()}
"""
TABLES = """
from td_interference.tables import curves
from td_interference.tables.reduce import means_by

TABLES = {"losses_by_lambda": [{"experiment": "td_lambda", "metric": "losses"}]}


def losses_by_lambda(measured, statistics):
    def key(item):
        return {"game": item.run.game, "lambda": item.run.lambda_}

    def curve(item):
        return curves.number(item.arrays["loss"][curves.LAST])

    return means_by(key, measured, curve, statistics)
"""
FIGURE = """
from matplotlib.figure import Figure

FIGURE = {"name": "losses", "tables": ["losses_by_lambda"], "caption": "Losses. {lines}"}


def data(tables):
    return tables["losses_by_lambda"]


def plot(tables, title):
    figure = Figure()
    figure.subplots().plot(data(tables)["lambda"], data(tables)["mean"])
    return figure
"""
PLANNED = """
import json
from td_interference.planning import plan, targets
from td_interference.storage import kinds

made = plan.make_plan({{"scale": "smoke", "metrics": {given}}}, "workflow")
print(json.dumps({{
    "settings": made.metric_settings("losses"),
    "targets": targets.wanted_by_all(made),
    "tables": targets.table_names(made),
    "fields": {{name: f.dimensions for name, f in kinds.MEASUREMENTS["losses"].fields.items()}},
}}))
"""


@pytest.fixture
def project(tmp_path):
    """A copy of the project with three files more."""
    for folder in ("src", "workflow"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    for folder, text in (("metrics", METRIC), ("tables", TABLES), ("figures", FIGURE)):
        (tmp_path / "src" / "td_interference" / folder / "losses.py").write_text(text)
    return tmp_path


def planned(project, given):
    return subprocess.run(
        [sys.executable, "-c", PLANNED.format(given=given)],
        cwd=project,
        env={"PYTHONPATH": str(project / "src")},
        capture_output=True,
        text=True,
    )


def test_a_metric_with_table_and_figure_is_three_new_files(project):
    done = planned(project, {})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["settings"] == {"checkpoints": "last", "samples": 16}
    assert "losses" in found["targets"] and "losses_by_lambda" in found["tables"]
    assert found["fields"] == {"update_step": ["checkpoint"], "loss": ["checkpoint", "sample"]}
    said = planned(project, {"losses": {"samples": 1}}).stderr
    assert "'metrics.losses.samples': 1 is less than the minimum of 2 (n)" in said
