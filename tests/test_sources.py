"""What an edit of the code makes stale: each module a result depends on, and nothing else."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from projects import planned, pretend, snakemake
from tree import ROOT

from td_interference import figures, metrics, tables
from td_interference.planning import sources

PACKAGE = ROOT / "src" / "td_interference"
SCRIPTS = ROOT / "workflow" / "scripts"
BIN = Path(sys.executable).parent

METRICS = {entry.name for entry in metrics.METRICS}
TABLES = {entry.name for entry in tables.TABLES}
FIGURES = {entry.name for entry in figures.FIGURES}
BY_GRADIENTS = {"stiffness", "function_interference", "second_order", "momentum"}
PLAIN = {entry.name for entry in tables.TABLES if entry.means is not None}
OF_RUNS = {entry.name for entry in tables.TABLES if entry.module == "parameterizations"}
OF_GENERALIZATION = {
    entry.name for entry in tables.TABLES if entry.module in ("generalization", "capacity")
}
OF_RANDOM_NETWORKS = {  # the figure takes names from the table
    "figure random_networks",
    *(f"table {entry.name}" for entry in tables.TABLES if entry.module == "random_networks"),
}


def roots():
    """What each cheap result is made by, as the rules of the workflow say it."""
    for entry in metrics.METRICS:
        own = SCRIPTS / "measure_run.py", f"metrics/{entry.module}.py", "objectives/td_lambda.py"
        yield entry.name, own
    yield "study", (SCRIPTS / "measure_random_networks.py",)
    for entry in tables.TABLES:
        yield f"table {entry.name}", (SCRIPTS / "compute_table.py", f"tables/{entry.module}.py")
    for entry in figures.FIGURES:
        yield f"figure {entry.name}", (SCRIPTS / "make_figure.py", f"figures/{entry.module}.py")


def digests(package=PACKAGE):
    return {name: sources.digest(*own, package=package) for name, own in roots()}


def named(kind, names):
    return {f"{kind} {name}" for name in names}


@pytest.fixture(scope="module")
def before():
    return digests()


@pytest.mark.parametrize(
    ("module", "stale"),
    [
        ("metrics/subject.py", METRICS),
        ("metrics/measuring.py", METRICS),
        ("networks/atari.py", METRICS | {"study"}),
        ("objectives/base.py", METRICS),
        ("objectives/td_lambda.py", METRICS),
        ("objectives/td_star.py", set()),  # of other runs
        ("seeds.py", METRICS | {"study", "figure random_networks"} | named("table", TABLES)),
        ("device.py", METRICS | {"study"}),
        ("updates.py", METRICS),
        # As what a control run is measured.
        ("planning/grid.py", METRICS | named("table", TABLES) | {"figure random_networks"}),
        ("planning/needs.py", set()),
        ("planning/layout.py", set()),
        ("optimizers.py", METRICS),
        ("objectives/losses.py", METRICS),
        ("replay.py", METRICS),
        ("environments/screen.py", METRICS | {"study"}),
        ("metrics/gain.py", {"gain", "gain_over_training"}),
        ("gradients/gram.py", BY_GRADIENTS | {"study"}),
        ("gradients/__init__.py", BY_GRADIENTS | {"study"}),
        ("gradients/second_order.py", {"second_order", "momentum", "study"}),
        ("environments/atari.py", {"policy_score"}),
        ("random_networks.py", {"study"}),
        ("statistics.py", named("table", TABLES) | named("figure", FIGURES) | {"policy_score"}),
        ("tables/plain.py", named("table", PLAIN | OF_RUNS)),
        ("tables/generalization.py", named("table", OF_GENERALIZATION)),
        ("tables/random_networks.py", OF_RANDOM_NETWORKS),
        ("tables/capacity.py", {"table interference_by_capacity", "table capacity_correlations"}),
        ("figures/style.py", named("figure", FIGURES)),
        ("figures/fig05_stiffness_by_lambda.py", {"figure fig5"}),
        ("figures/generalization.py", named("figure", ("fig1", "fig2", "fig8", "fig9"))),
        # Dear stages go by their settings.
        ("training.py", set()),
        ("collect.py", set()),
        ("agents/expert/training.py", set()),
        ("generalization/training.py", set()),
        # How a job runs and speaks, and names that say nothing of the others.
        ("storage/hdf5.py", set()),
        ("errors.py", set()),
        ("jobs/resume.py", set()),
        ("planning/plan.py", set()),
        ("metrics/__init__.py", set()),
    ],
)
def test_an_edited_module_makes_stale_what_imports_it(tmp_path, before, module, stale):
    package = tmp_path / "td_interference"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / module).write_text((package / module).read_text() + "\nEDITED = True\n")
    after = digests(package)
    assert {name for name in before if before[name] != after[name]} == stale


LOADED = """
import importlib, sys
for name in {names}:
    for module in [name for name in sys.modules if name.startswith("td_interference")]:
        del sys.modules[module]
    importlib.import_module(f"td_interference.metrics.{{name}}")
    print(*(name for name in sys.modules if name.startswith("td_interference")))
"""


@pytest.mark.slow
def test_what_is_followed_is_what_python_loads():
    names = sorted({entry.module for entry in metrics.METRICS})
    code = LOADED.format(names=names)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name, line in zip(names, done.stdout.splitlines(), strict=True):
        found = set(sources.followed(f"metrics/{name}.py"))
        modules = {file.removesuffix(".py").removesuffix("/__init__") for file in found}
        loaded = {module.replace(".", "/") for module in line.split()}
        assert {f"td_interference/{module}" for module in modules} <= loaded
        assert {"metrics/subject.py", "networks/atari.py", "seeds.py", "updates.py"} <= found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import td_interference.p.c", {"p/__init__.py", "p/c.py"}),
        ("import td_interference.p.c as c", {"p/__init__.py", "p/c.py"}),
        ("from td_interference.p import c", {"p/__init__.py", "p/c.py"}),
        ("from td_interference.p import NAME", {"p/__init__.py"}),
        ("from td_interference.p.c import name", {"p/__init__.py", "p/c.py"}),
        ("from td_interference import b", {"b.py"}),
        ("from . import b", {"b.py"}),
        ("from .p import c", {"p/__init__.py", "p/c.py"}),
        ("from .p.c import name", {"p/__init__.py", "p/c.py"}),
        ("def f():\n    from td_interference import b", {"b.py"}),
        ("try:\n    import td_interference.b\nexcept ImportError:\n    pass", {"b.py"}),
        ("import importlib\nm = importlib.import_module('td_interference.b')", {"b.py"}),
        ("from importlib import import_module\nm = import_module('td_interference.b')", {"b.py"}),
        ("from td_interference.d import *", {"d.py", "b.py"}),  # and what that one imports
        ("import numpy, torch.nn", set()),
        ("x = 'import td_interference.b'  # from td_interference import b", set()),
    ],
)
def test_every_form_of_import_is_followed(tmp_path, line, found):
    package = tmp_path / "td_interference"
    (package / "p").mkdir(parents=True)
    for name in ("__init__.py", "b.py", "p/__init__.py"):
        (package / name).write_text("NAME = 1\n")
    (package / "p" / "c.py").write_text("name = 2\n")
    (package / "d.py").write_text("from .b import NAME\n")
    (package / "a.py").write_text(line)
    assert set(sources.followed("a.py", package=package)) == found | {"a.py"}
    # A cycle ends.
    (package / "b.py").write_text("import td_interference.a")
    assert "a.py" in sources.followed("b.py", package=package)


def test_a_relative_import_in_a_package_starts_there(tmp_path):
    package = tmp_path / "td_interference"
    (package / "p" / "q").mkdir(parents=True)
    for name in ("b.py", "p/__init__.py", "p/b.py", "p/q/__init__.py"):
        (package / name).write_text("")
    (package / "p" / "q" / "a.py").write_text("from ..b import x\nfrom ...b import y\n")
    assert set(sources.followed("p/q/a.py", package=package)) == {
        "p/q/a.py",
        "p/q/__init__.py",
        "p/__init__.py",
        "p/b.py",
        "b.py",
    }


def test_comments_and_layout_are_no_edit_and_statements_are(tmp_path):
    file = tmp_path / "own.py"
    file.write_text('"""One."""\nx = {"a": 1.0}\n\ndef f(a):\n    """Two."""\n    return a - x\n')
    before = sources.digest(file)
    file.write_text('# New.\n"""Other."""\nx = {\n    "a": 1.0,\n}\ndef f(a): return (a - x)\n')
    assert sources.digest(file) == before
    moved = tmp_path / "elsewhere" / "own.py"
    moved.parent.mkdir()
    shutil.copy(file, moved)
    assert sources.digest(moved) == before
    for edited in ("x = {'a': 1}", "def f(a):\n    return x - a", "def f(b):\n    return b"):
        file.write_text(edited)
        assert sources.digest(file) != before


def test_an_own_objective_counts_with_what_it_imports(tmp_path):
    own = tmp_path / "half_way.py"
    own.write_text("from td_interference.objectives.q_base import QLearningObjective\n")
    followed = sources.followed("metrics/gain.py", own)
    assert "objectives/q_base.py" in followed
    assert "objectives/q_base.py" not in sources.followed("metrics/gain.py")
    before = sources.digest("metrics/gain.py", own)
    own.write_text(own.read_text() + "class Objective(QLearningObjective): pass\n")
    assert sources.digest("metrics/gain.py", own) != before


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project in which figure 5 was made, as far as Snakemake can tell."""
    return pretend("results/fig5.pdf", tmp_path_factory.mktemp("project"))


REDRAWN = {"make_figure": 1, "publish": 1}
REDUCED = {"compute_table": 1, **REDRAWN}


@pytest.mark.parametrize(
    ("module", "jobs"),
    [
        ("metrics/subject.py", {"measure_run": 4, **REDUCED}),
        ("statistics.py", REDUCED),
        ("metrics/gain.py", {}),
    ],
)
def test_snakemake_redoes_what_an_edit_makes_stale(made, module, jobs):
    path = made / "src" / "td_interference" / module
    before = path.read_text()
    path.write_text(before + "\nEDITED = True\n")
    try:
        assert planned(made) == jobs
    finally:
        path.write_text(before)


@pytest.mark.slow
def test_a_copy_redoes_nothing_and_other_content_does(tmp_path_factory):
    """`cp -r` gives files new times, in any order: here each result is older than its inputs."""
    targets = ["results/fig5.pdf", "results/fig14.pdf"]  # one of D*, one of control
    project = pretend(targets, tmp_path_factory.mktemp("original"))
    smoke, now = project / "results" / "smoke", time.time()
    for path in [*smoke.glob("replay/*"), *smoke.glob("runs/*/checkpoints.h5")]:
        path.write_bytes(bytes(2_000_000))  # more than Snakemake looks into by itself
    touch = [*targets, "--config", "scale=smoke", "--touch", "--forceall"]
    assert snakemake([*touch, "--cores", "16"], project).returncode == 0
    copy = tmp_path_factory.mktemp("copy") / "project"
    shutil.copytree(project, copy, symlinks=True, copy_function=shutil.copy)
    results = copy / "results"
    stages = ["", "figures", "tables", "metrics", "runs", "replay", "experts"]
    for path in results.rglob("*"):
        parts = path.relative_to(results).parts
        stage = parts[1] if parts[0] == "smoke" and len(parts) > 1 else ""
        age = 100 * (len(stages) - stages.index(stage)) if stage in stages else 0
        os.utime(path, (now - age, now - age))
    assert planned(copy, targets=targets) == {}
    replay = results / "smoke" / "replay" / "ms_pacman-seed0.h5"
    replay.write_bytes(bytes(1_999_999) + b"1")
    jobs = planned(copy, targets=targets)
    assert jobs == {"train_run": 2, "measure_run": 2, **REDUCED}


def test_a_fresh_clone_and_a_comment_redo_nothing(made):
    for path in [*made.rglob("*.py"), *made.rglob("*.yaml"), *made.rglob("*.smk")]:
        path.touch()
    with (made / "src" / "td_interference" / "metrics" / "subject.py").open("a") as file:
        file.write("# A comment.\n")
    assert planned(made) == {}
