"""The rules of the house: pins agree, registries match files, imports point one way."""

import ast
import dataclasses
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from tree import ROOT, tracked_files

from td_interference import datasets, figures, metrics, objectives, tables
from td_interference.figures import style
from td_interference.objectives.losses import LOSSES
from td_interference.optimizers import OPTIMIZERS
from td_interference.planning import config, learners
from td_interference.planning.cells import CellSpec
from td_interference.planning.expert import ExpertSettings
from td_interference.planning.grid import RunSpec
from td_interference.planning.replay import ReplaySpec
from td_interference.storage import kinds

PACKAGE = ROOT / "src" / "td_interference"
MODULES = sorted(PACKAGE.rglob("*.py"))


def normalised(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lines):
    matches = (re.match(r"\s*(?:- )?([\w.-]+)==([\w.+]+)\s*$", line) for line in lines)
    return {normalised(match[1]): match[2] for match in matches if match}


def test_lock_environment_and_pyproject_agree():
    lock = pins((ROOT / "requirements.lock").read_text().splitlines())
    conda = pins((ROOT / "environment.yml").read_text().splitlines())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        direct += extra
    assert {normalised(name) for name in direct} == set(conda)
    assert {name: lock.get(name) for name in conda} == conda


def test_lock_is_exact_and_has_no_urls():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    requirements = [line for line in lines if line and not line.startswith("#")]
    assert len(requirements) == len(pins(requirements))
    assert "://" not in "".join(requirements)


def test_hashes_are_of_the_locked_versions():
    lines = (ROOT / "requirements.hashes").read_text().splitlines()
    matches = [
        re.fullmatch(r"([\w.-]+)==([\w.+]+) --hash=sha256:[0-9a-f]{64}", line)
        for line in lines
        if not line.startswith("#")
    ]
    assert all(matches)
    hashed = {normalised(match[1]): match[2] for match in matches if match}
    lock = pins((ROOT / "requirements.lock").read_text().splitlines())
    assert {name: hashed.get(name) for name in lock} == lock
    brought_along = set(hashed) - set(lock)  # by torch, for NVIDIA's GPUs
    assert all(re.match("nvidia|cuda|triton", name) for name in brought_along)


def test_installed_versions_are_the_locked_ones():
    from importlib.metadata import version

    lock = pins((ROOT / "requirements.lock").read_text().splitlines())
    for name in ("torch", "snakemake", "ale-py", "h5py", "polars"):
        assert version(name).split("+")[0] == lock[name]


def stems(folder):
    return {path.stem for path in (PACKAGE / folder).glob("*.py")} - {"__init__"}


def test_registries_match_files():
    assert set(objectives.known()) | {"base", "losses", "own", "q_base"} == stems("objectives")
    assert {entry.name for entry in metrics.METRICS} | {"measuring", "subject"} == stems("metrics")
    assert {entry.module for entry in metrics.METRICS} == set(kinds.MEASUREMENTS)
    helpers = {"render", "style", "lines", "experiments", "generalization"}
    assert {entry.module for entry in figures.FIGURES} | helpers == stems("figures")
    measured = {entry.name for entry in metrics.METRICS} | {"random_networks", "generalization"}
    for entry in tables.TABLES:
        assert callable(tables.load(entry.name))
        assert {source.metric for source in entry.sources} <= measured
    assert {entry.module for entry in tables.TABLES} | {
        "reduce",
        "undrawn",
        "variants",
        "correlations",
    } == stems("tables")
    helpers = {"arrays", "npz", "prepare", "sources"}
    assert set(datasets.known()) | helpers == stems("datasets")
    for name in datasets.known():
        assert callable(datasets.load(name).read)
    assert set(style.OBJECTIVES) == set(objectives.known())
    for entry in metrics.METRICS:
        assert callable(metrics.load(entry.name))
    for entry in figures.FIGURES:
        assert callable(figures.load(entry.name).plot)
        assert set(entry.tables) <= {table.name for table in tables.TABLES}


LAYERS = [  # a module may import from its own layer and those above it in this list
    {"calls", "errors", "seeds"},
    {"storage"},
    {"device", "jobs", "pictures"},
    {"environments", "datasets"},
    {"planning"},
    {"optimizers", "returns", "statistics", "networks", "replay"},
    {"gradients", "objectives", "agents"},
    {"updates"},
    {"collect", "training"},
    {"metrics", "random_networks", "generalization"},
    {"tables"},
    {"figures"},
    {"commands", "cli"},
]
REGISTRIES = {"metrics", "tables", "figures", "objectives", "datasets"}


def layer(name):
    return next(number for number, names in enumerate(LAYERS) if name in names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("td_interference"):
            free = {"cards", "layout"}  # read literals and name paths; import errors at most
            if node.module == "td_interference.planning" and node.names[0].name in free:
                continue
            inner = node.module.split(".")[1:2] or [alias.name for alias in node.names]
            for name in inner:
                if own in ("planning", "storage") and name in REGISTRIES:
                    continue
                if (own, name) == ("tables", "figures") and path.name == "__init__.py":
                    continue  # tables stand in the cards of the figures that draw them
                assert layer(name) <= layer(own), f"{own} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_are_short(path):
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize(
    "path", list((ROOT / "workflow" / "scripts").glob("*.py")), ids=lambda p: p.stem
)
def test_scripts_are_thin(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 32
    assert not any(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(text)))


@pytest.mark.parametrize(
    "path", list((ROOT / "workflow" / "scripts").glob("*.py")), ids=lambda p: p.stem
)
def test_scripts_end_in_silence_while_they_import(path):
    """What is slow to import comes after it."""
    imports = [
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    ours = [name for name in imports if name not in sys.stdlib_module_names]
    assert ours[0] == "td_interference.jobs.interruptible"


def test_hdf5_names_stay_in_storage():
    """Only storage opens HDF5 files; the rest goes through its tables."""
    users = {
        path.relative_to(PACKAGE).parts[0] for path in MODULES if "import h5py" in path.read_text()
    }
    assert users <= {"storage", "commands"}


def test_what_the_snakefile_imports_is_light():
    heavy = "{'torch', 'polars', 'matplotlib', 'scipy', 'h5py'} & set(sys.modules)"
    names = (
        "planning.plan planning.needs planning.lineage planning.targets planning.scheduling "
        "planning.preflight"
    )
    imports = ", ".join(f"td_interference.{name}" for name in names.split())
    code = f"import sys, {imports}\nassert not {heavy}, {heavy}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_statistics_and_figures_do_without_torch():
    code = "import sys, td_interference.tables.plain, td_interference.figures.render, \
td_interference.jobs.job, \
td_interference.tables.capacity\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def random_calls(path):
    """Calls in a module that draw from, make or seed a random stream outside of `seeds`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None)]
            if "random" in names or "secrets" in names:
                yield node.lineno, "the module random"
        if not isinstance(node, ast.Call):
            continue
        name, given = ast.unparse(node.func), {keyword.arg for keyword in node.keywords}
        module, _, own = name.rpartition(".")
        drawn = (
            module in {"torch", "np.random", "numpy.random"} and own in DRAWS
        ) or own in IN_PLACE
        makes_a_stream = own in {"manual_seed", "default_rng", "RandomState", "Generator"}
        if (
            makes_a_stream
            or (drawn and "generator" not in given)
            or (own in TAKES and TAKES[own] not in given)
        ):
            yield node.lineno, name


TAKES = {"bootstrap": "rng", "train_test_split": "random_state"}
DRAWS = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "poisson"}
DRAWS |= {"random", "choice", "permutation", "shuffle", "uniform", "rand_like", "randn_like"}
DRAWS |= {"seed", "dropout"}
IN_PLACE = {"normal_", "uniform_", "random_", "bernoulli_", "exponential_", "trunc_normal_"}
IN_PLACE |= {"kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_random_stream_comes_from_seeds(path):
    if path.name != "seeds.py":
        assert not list(random_calls(path))


@pytest.mark.parametrize(
    "line",
    [
        "torch.manual_seed(0)",
        "np.random.default_rng(0)",
        "numpy.random.default_rng()",
        "np.random.seed(1)",
        "torch.randn(3)",
        "torch.Generator()",
        "weight.uniform_(-1, 1)",
        "stats.bootstrap((x,), np.mean)",
        "np.random.permutation(3)",
        "import random",
        "from random import choice",
        "train_test_split(x, y)",
    ],
)
def test_a_stray_random_stream_is_found(tmp_path, line):
    path = tmp_path / "module.py"
    path.write_text(line)
    assert list(random_calls(path))


def schema_nodes(node, path=""):
    yield path, node
    for name, below in (node.get("properties") or {}).items():
        yield from schema_nodes(below, f"{path}.{name}")
    for name, below in (node.get("$defs") or {}).items():
        yield from schema_nodes(below, f"{path}.{name}")


def test_schema_is_closed_and_described():
    schema = config.read_schema(ROOT / "workflow")
    for path, node in schema_nodes(schema):
        if node.get("type") == "object":
            assert node["additionalProperties"] is False, path
        if path.count(".") > 0 and "$ref" not in node and path != ".experiment":
            assert node.get("description"), path


def test_schema_and_records_have_the_same_keys():
    schema = config.read_schema(ROOT / "workflow")
    shared = {"game", "gamma", "max_frames_per_episode", "evaluation_repeat_action_probability"}
    fields = set(inspect.signature(ExpertSettings).parameters)
    assert set(schema["properties"]["expert"]["properties"]) == fields - shared
    replay = set(inspect.signature(ReplaySpec).parameters) - {"game", "seed"}
    environment = schema["properties"]["environment"]["properties"]
    assert set(schema["properties"]["replay"]["properties"]) | set(environment) == replay
    experiment = schema["$defs"]["experiment"]["properties"]
    assert experiment["objectives"]["items"]["enum"] == list(objectives.known())
    assert experiment["optimizers"]["items"]["enum"] == list(OPTIMIZERS)
    assert experiment["loss"]["enum"] == list(LOSSES)
    cell = {field.name for field in dataclasses.fields(CellSpec)}
    grid = schema["$defs"]["generalization_experiment"]["properties"]
    assert set(grid) - {"n_seeds"} == cell - {"seeds"}
    assert grid["task"]["enum"] == list(learners.known())
    run = set(inspect.signature(RunSpec).parameters)
    assert {"updates", "minibatch", "frozen_period", "loss", "checkpoints"} <= run


def test_every_module_has_a_first_sentence():
    for path in MODULES:
        name = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        module = importlib.import_module(name.removesuffix(".__init__"))
        assert module.__doc__ and module.__doc__.splitlines()[0].endswith((".", ":")), name


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["snakefmt", "--check", "Snakefile", "workflow"],
        ["snakemake", "--lint"],
        ["mypy"],
    ],
    ids=lambda command: " ".join(command),
)
def test_linters_are_clean(command):
    executable = Path(sys.executable).parent / command[0]
    done = subprocess.run([executable, *command[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_of_one_machine_is_in_the_tree():
    for name in tracked_files():
        path = ROOT / name
        assert path.stat().st_size < 5_000_000, name
        if path.suffix in {".py", ".md", ".yaml", ".yml", ".lock", ".smk", ".toml"}:
            hosts = re.findall("/(?:home|root|work)/[a-z]|python" + "hosted", path.read_text())
            assert not hosts, f"{name}: {hosts}"


def test_yaml_files_parse():
    for path in [*ROOT.glob("*.yml"), *ROOT.glob("*.yaml"), ROOT / "CITATION.cff"]:
        assert yaml.safe_load(path.read_text())
