"""Every example of the documentation runs, as far as one can on one machine without a cluster."""

import ast
import errno
import os
import re
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import stages
import torch
import yaml
from examples import PROFILES, all_examples, in_comments, in_document
from problems import replay_arrays, run_spec
from projects import call, snakemake
from tree import ROOT, copy_tree

from td_interference.networks.atari import initialise, q_network
from td_interference.planning.config import merge, read_schema, read_yaml
from td_interference.planning.plan import make_plan
from td_interference.storage import hdf5, kinds
from td_interference.storage.identity import of_table
from td_interference.storage.parquet import write_table

# What no test can run, each with its reason.
NOT_RUN = {
    "git clone <this repository> td-interference": "the repository's address is the reader's",
    "cd td-interference": "of the clone",
    ". .venv/bin/activate": "the tests run in an environment already",
    "source .venv/bin/activate": "the tests run in an environment already",
    "conda env create -f environment.yml": "downloads 6 GB; a test compares the file with the lock",
    "conda activate td-interference": "of the environment that conda makes",
    "pip install --no-deps -e .": "would change the environment that the tests run in",
    "pip install --dry-run --ignore-installed --report FILE -r requirements.lock": (
        "asks the internet; says how requirements.hashes was made"
    ),
}
# Placeholders, and what the test puts in their place.
INSTEAD = {
    "td-interference inspect FILE": "td-interference inspect replay.h5",
    "td-interference measure": "td-interference measure --help",
    "td-interference measure stiffness --checkpoints … --replay … --output …": (
        "td-interference measure stiffness --checkpoints run/outputs/checkpoints.h5 "
        "--replay replay.h5 --output stiffness.h5 --scale smoke"
    ),
    "snakemake --cores 8 results/fig5-targets.pdf results/fig11-targets.pdf "
    "results/fig13-targets.pdf": (  # of the experiment in the block before
        "snakemake --cores 8 results/fig5-targets.pdf results/fig11-targets.pdf "
        "results/fig13-targets.pdf --configfile config.yaml targets.yaml"
    ),
    "snakemake --forcerun train_run …": (
        "snakemake --forcerun train_run -- results/fig5.pdf"  # the option takes any number of names
    ),
}
EXAMPLES = all_examples()


def of(language):
    """Parametrise a test with the examples in a language."""
    chosen = [
        # To plan the whole study takes half a minute.
        pytest.param(each, marks=pytest.mark.slow if "scale=paper" in each.content else ())
        for each in EXAMPLES
        if each.language == language
    ]
    return pytest.mark.parametrize("example", chosen, ids=lambda each: each.name)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A copy of the tracked files, with what the examples name of the reader's own."""
    folder = copy_tree(tmp_path_factory.mktemp("examples"))
    path = folder / "results/laptop/replay/ms_pacman-seed0.h5"
    hdf5.write(path, kinds.REPLAY, replay_arrays(np.full(4, 120)), stages.REPLAY_IDENTITY)
    shutil.copy2(path, folder / "replay.h5")
    stages.run(run_spec(), folder, folder / "run", 60.0)
    generator = np.random.default_rng(0)
    arrays = {
        f"x_{part}": generator.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
        for part, n in (("train", 1500), ("test", 300))
    } | {f"y_{part}": np.arange(n) % 10 for part, n in (("train", 1500), ("test", 300))}
    for name in ("mine", "cifar10"):
        np.savez(folder / f"{name}.npz", **arrays)
    (folder / "theirs.yaml").write_text("scale: smoke\n")
    for name, mark in (("half_way.py", "class Objective("), ("targets.yaml", "  targets:\n")):
        (folder / name).write_text(next(each.content for each in EXAMPLES if mark in each.content))
    return folder


def run_make(arguments, place):
    """Say what `make` would do; a target it does not know is an error."""
    command = ["make", "-n", *arguments, "PYTHON=true"]
    return subprocess.run(command, cwd=place, capture_output=True, text=True)


def run_snakemake(arguments, place):
    """Plan; only what changes nothing but a lock is done."""
    dry = [] if {"-n", "--dry-run", "--unlock"} & set(arguments) else ["-n"]
    # In front, for some options take all names that follow them.
    return snakemake([*dry, *arguments], place)


@of("sh")
def test_command(example, place):
    for shown, reason in NOT_RUN.items():
        if same(shown, example.content):
            pytest.skip(reason)
    instead = (own for shown, own in INSTEAD.items() if same(shown, example.content))
    program, *arguments = shlex.split(next(instead, example.content))
    if program == "make":
        done = run_make(arguments, place)
    elif program == "snakemake":
        done = run_snakemake(arguments, place)
    elif program == "python" and arguments[:2] == ["-m", "pytest"]:
        done = call([program, *arguments, "--collect-only"], ROOT)
    elif program == "td-interference":
        done = call([program, *arguments], place)
    else:
        pytest.fail(f"{example.place}: nothing here runs {example.content!r}; say how, or why not")
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "Traceback" not in said, f"{example.place}\n{said[-3000:]}"


def same(one, other):
    """Whether two commands have the same words, however they are quoted."""
    return shlex.split(one) == shlex.split(other)


@cache
def words_of_helps(place):
    """What each program's help says, in words."""
    helps = [snakemake(["--help"], place)]
    helps += [call(["td-interference", each, "--help"], place) for each in ("plan", "measure")]
    return [each.stdout.split() for each in helps]


@of("options")
def test_options(example, place):
    """Of Snakemake, called on the profile for clusters; a name alone is of it or of ours."""
    name, *values = shlex.split(example.content)
    if not values:
        assert any(name in words for words in words_of_helps(place)), example.place
        return
    arguments = ["-n", "--profile", "workflow/profiles/slurm", name, *values]
    done = snakemake([*arguments, "--", "results/fig5.pdf"], place)
    assert done.returncode == 0, f"{example.place}\n{(done.stdout + done.stderr)[-3000:]}"


def test_digests_by_hand(place):
    """As docs/integrity.md says, with the tools that it names."""
    text = (ROOT / "docs/integrity.md").read_text()
    head, tail, sed = (re.search(rf"`({tool} [^`]*)`", text)[1] for tool in ("head", "tail", "sed"))

    def run(command, **named):
        for name, value in named.items():
            command = re.sub(rf"\$?\b{name}\b", value, command)
        done = subprocess.run(command, shell=True, cwd=place, capture_output=True, check=True)
        return done.stdout.decode().split()

    assert run(tail, FILE="replay.h5")[0] in run(head, FILE="replay.h5")
    table, identity = place / "t.parquet", of_table("t", {}, "c0de", [])
    write_table(pl.DataFrame({"mean": [0.5]}), table, place / "t.csv", identity)
    digest = re.search(rb"sha256:([0-9a-f]{64})", table.read_bytes())[1].decode()
    assert run(sed, FILE=table.name, DIGEST=digest, ZEROS="0" * 64)[0] == digest


@pytest.fixture(scope="module")
def outputs(place):
    """The files of the results that a plan at laptop scale would make."""
    done = snakemake(["-n", "--forceall", "all", "all_tables"], place)
    assert done.returncode == 0, done.stderr
    listed = re.findall(
        r"^ +(?:output|log|benchmark): (.*)$", done.stdout + done.stderr, re.MULTILINE
    )
    return {path for line in listed for path in line.split(", ")}


def test_the_files_of_the_readme_are_made(outputs):
    (block,) = (each.content for each in EXAMPLES if each.language == "text")
    named = [line.split("  ")[0] for line in block.splitlines()]
    assert len(named) > 5
    for path, *further in (each.split() for each in named):
        for ending in ("", *further):
            wanted = re.escape(str(Path(path).with_suffix(ending)) if ending else path)
            wanted = wanted.replace("<run>", "[^/]+")
            assert any(re.match(wanted, made) for made in outputs), wanted


@of("yaml")
def test_configuration(example, place, monkeypatch):
    """Settings of the project go through its plan, those of a profile through Snakemake."""
    key, _, value = example.content.strip().partition(": ")
    if "\n" not in example.content.strip() and "." in key:
        block = yaml.safe_load(value)
        for name in reversed(key.split(".")):
            block = {name: block}
    else:
        block = yaml.safe_load(example.content)
    schema = read_schema(ROOT / "workflow")
    monkeypatch.chdir(place)
    if set(block) <= set(schema["properties"]):
        make_plan(merge(read_yaml(Path("config.yaml")), block), Path("workflow"))
        return
    assert "set-resources" in block, f"{example.place}: neither a configuration nor of a profile"
    folder = place / "profile_of_an_example"
    folder.mkdir(exist_ok=True)
    profile = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text())
    for rule, resources in block["set-resources"].items():
        profile["set-resources"].setdefault(rule, {}).update(resources)
    (folder / "config.yaml").write_text(yaml.safe_dump(profile))
    command = ["-n", "--profile", folder.name, "all", "--config", "scale=smoke"]
    done = snakemake([*command, "device=cuda"], place)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    for resources in block["set-resources"].values():
        for name, asked in resources.items():
            assert f"{name}={asked}" in said


@of("python")
def test_python(example, place, monkeypatch):
    """With a network and observations at hand, as the text around them says."""
    monkeypatch.chdir(place)
    generator = torch.Generator().manual_seed(0)
    names = {
        "network": initialise(q_network(9, 2), generator),
        "value": lambda outputs: outputs.amax(dim=1),
    }
    names["inputs"] = names["observations"] = torch.rand(5, 4, 84, 84, generator=generator)
    exec(compile(example.content, example.place, "exec"), names)


def test_messages_in_the_documentation_are_said():
    """Each part of them, between what differs, by the program or by the operating system."""
    nodes = (
        node
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
    )
    said = [str(node.value) for node in nodes if isinstance(node, ast.Constant)]
    said += map(os.strerror, errno.errorcode)
    rows = re.findall(r"^\| (`.*?) \| ", (ROOT / "docs/integrity.md").read_text(), re.MULTILINE)
    messages = [message for row in rows for message in re.findall(r"`([^`]+)`", row)]
    assert len(messages) > 10
    for part in (part for each in messages for part in re.split(r"…|, (?=[A-Z])", each)):
        assert any(part in text for text in said), part


def test_every_language_is_known():
    assert {each.language for each in EXAMPLES} == {"sh", "yaml", "python", "options", "text"}


def test_what_is_not_run_or_replaced_is_there():
    """So that the lists do not outlive the examples."""
    shown = [shlex.split(each.content) for each in EXAMPLES if each.language == "sh"]
    for listed in (*NOT_RUN, *INSTEAD):
        assert shlex.split(listed) in shown, listed


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.parent.name)
def test_profile_plans(profile, place):
    name = profile.parent.relative_to(ROOT)
    command = ["-n", "--profile", str(name), "results/fig5.pdf"]
    done = snakemake([*command, "--config", "scale=smoke"], place)
    assert done.returncode == 0, done.stderr


def test_new_examples_are_found(tmp_path, monkeypatch):
    path = tmp_path / "new.md"
    path.write_text(
        "Call `snakemake\n-n all`, or set `resume_interval: 5`; not `snakemake` alone, `x: 1`.\n\n"
        "Below `expert` set `n_step: 3`, or add `--retries 5`.\n\n"
        "```sh\nmake one && mpirun \\\n  two  # three\n```\n\n```julia\n1\n```\n"
    )
    monkeypatch.setattr("examples.ROOT", tmp_path)
    schema = tmp_path / "workflow" / "schemas"
    schema.mkdir(parents=True)
    shutil.copy2(ROOT / "workflow/schemas/config.schema.yaml", schema)
    found = [(each.language, each.content) for each in in_document(path)]
    assert found == [
        ("sh", "make one"),
        ("sh", "mpirun two"),
        ("julia", "1\n"),
        ("sh", "snakemake -n all"),
        ("yaml", "resume_interval: 5"),
        ("yaml", "n_step: 3"),  # no setting where it stands, which the test of it would say
        ("options", "--retries 5"),
    ]
    path.write_text("# Makes x:\n# make x   all\n#\n#   a:\n#     b: 1\n#\n# - or\n#   --c 'd'\n")
    found = [(each.language, each.content) for each in in_comments(path)]
    assert found == [("sh", "make x"), ("options", "--c 'd'"), ("yaml", "  a:\n    b: 1\n")]
    for indented in ("- Call\n\n      make x\n", "- Call\n  ```sh\n  make x\n  ```\n"):
        path.write_text(indented)
        with pytest.raises(AssertionError, match="indented"):
            in_document(path)
