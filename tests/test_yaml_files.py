"""Configuration files: each key once, no values without end, nothing built; which file it is."""

import subprocess
import sys
from pathlib import Path

import forked
import pytest
from tree import ROOT

from td_interference.errors import UserError
from td_interference.planning.yaml_files import (
    check_call,
    check_configuration,
    main_file,
    read_yaml,
)


def dry_run(*arguments, cwd=ROOT):
    command = ["-n", "-s", ROOT / "Snakefile", "results/fig5.pdf", *arguments]
    return forked.snakemake(command, cwd)


def test_yaml_tags_and_garbage_are_refused(tmp_path):
    path = tmp_path / "config.yaml"
    for content in ("!!python/object/apply:os.getcwd []", "a: [1", "- 1", "\x00"):
        path.write_text(content)
        with pytest.raises(UserError, match=r"config\.yaml"):
            read_yaml(path)
    with pytest.raises(UserError, match="no such file"):
        read_yaml(tmp_path / "absent.yaml")


TWICE = {
    "scale: smoke\nscale: paper": "'scale' stands twice, in lines 1 and 2",
    "experiments:\n  td_lambda: {n_seeds: 1}\nexperiments:\n  regression: {n_seeds: 1}": (
        "'experiments' stands twice, in lines 1 and 3"
    ),
    "expert:\n  hidden: 8\n  seed: 1\n  hidden: 16": (
        "'expert.hidden' stands twice, in lines 2 and 4"
    ),
    "expert: {hidden: 8, 'hidden': 16}": "'expert.hidden' stands twice, in line 1",
    "random_networks:\n  studies:\n    - {hidden: 2, hidden: 3}": (
        "'random_networks.studies.hidden' stands twice, in line 3"
    ),
    "metrics:\n  gain: &gain\n    half_width: 5\n    half_width: 6\n  other: *gain": (
        "'metrics.gain.half_width' stands twice, in lines 3 and 4"
    ),
    '{"scale": "smoke",\n\t"scale": "paper"}': "'scale' stands twice, in lines 1 and 2",
}


@pytest.mark.parametrize(("content", "said"), TWICE.items(), ids=range(len(TWICE)))
def test_a_key_that_stands_twice_is_named_with_its_lines(tmp_path, content, said):
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(UserError) as error:
        read_yaml(path)
    assert str(error.value).startswith(f"{path}: the key {said}; join the two")
    with pytest.raises(UserError):
        check_configuration([path])


def test_a_key_of_another_block_or_merged_in_is_no_repetition(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: {x: 1}\nd: [{x: 1}, {x: 2}]")
    content = read_yaml(path)
    assert content["b"] == {"x": 3, "y": 2} and content["d"] == [{"x": 1}, {"x": 2}]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("training: {updates: 0200}", "0200 in 'training.updates' means 128"),
        ("experiments: {td_lambda: {hidden: [8, 010]}}", "'experiments.td_lambda.hidden' means 8"),
        ("resume_interval: 1:30", "1:30 in 'resume_interval' means 90"),
        ("resume_interval: 1:30.5", "1:30.5 in 'resume_interval' means 90.5"),
        ("replay: {transitions: -07_0}", "means -56"),
    ],
)
def test_numbers_that_yaml_reads_in_another_base_are_refused(tmp_path, written, said):
    path = tmp_path / "mine.yaml"
    path.write_text(written)
    with pytest.raises(UserError, match="write the number") as error:
        read_yaml(path)
    assert said in str(error.value)
    key, _, value = written.partition(": ")
    with pytest.raises(UserError, match="write the number"):
        check_configuration([], [f"{key}={value}"])


def test_plain_numbers_texts_and_times_stay_as_they_are(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("[0, 0.5, -0.0, 1_000, 0x10, '010', 08, 'a:b', '1:30', 10:x]")
    with pytest.raises(UserError, match="expected a mapping"):
        read_yaml(path)
    path.write_text("a: [0, 0.5, 1_000, 0x10, '010', 'a:b', '1:30', 10:x]")
    assert read_yaml(path)["a"] == [0, 0.5, 1000, 16, "010", "a:b", "1:30", "10:x"]


def test_json_is_read_as_snakemake_reads_it(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"scale":\t"smoke",\n\t"own_objectives": []}')
    assert read_yaml(path) == {"scale": "smoke", "own_objectives": []}


def test_settings_of_the_command_line_are_looked_at_too():
    check_configuration(
        [], ["scale=smoke", "experiments={td_lambda: {n_seeds: 1}}", "device=[", "x"]
    )
    with pytest.raises(UserError, match=r"--config expert=…: the key 'expert\.seed' stands twice"):
        check_configuration([], ["scale=smoke", "expert={seed: 1, seed: 2}"])


def test_what_snakemake_would_drop_of_a_call_is_named(tmp_path):
    check_configuration([], ["a={x: 1}", "b=1", "a={y: 2}"])  # Snakemake joins these
    for twice in (["a=1", "a=2"], ["a={x: 1}", "a=null"], ["a=null", "a={x: 1}"]):
        with pytest.raises(UserError, match=r"--config a=…: the key 'a' stands twice"):
            check_configuration([], twice)
    check_call(["-n", "--config", "a=1", "b=2", "--configfile", "x.yaml", "y.yaml"])
    for twice in (["--config", "a=1", "-C", "b=1"], ["--configfile=x.yaml", "--configfiles", "y"]):
        with pytest.raises(UserError, match="stands twice, and Snakemake takes the last alone"):
            check_call(twice)
    done = dry_run("--config", "scale=smoke", "--config", "device=cpu")
    assert done.returncode != 0 and "--config stands twice" in done.stdout + done.stderr


def bomb(opening, closing, levels=12):
    """About 1 KB of YAML that unfolds to 9^levels values."""
    lines = [f"a0: &a0 {opening.format(1)}{closing}"]
    for level in range(levels):
        inner = ", ".join([f"*a{level}"] * 9)
        if opening.startswith("{"):
            inner = ", ".join(f"k{n}: *a{level}" for n in range(9))
        lines.append(f"a{level + 1}: &a{level + 1} {opening[0]}{inner}{closing}")
    return "\n".join(lines)


MERGED = "\n".join(
    ["a0: &a0 {x: 1}"]
    + [f"a{n + 1}: &a{n + 1} {{<<: [{', '.join([f'*a{n}'] * 9)}]}}" for n in range(12)]
)
BOMBS = {
    "lists": bomb("[{}", "]"),
    "mappings": bomb("{{k: {}", "}}".replace("}}", "}")),
    "merged": MERGED,
    "wide": "a: [" + "1," * 100_001 + "]",
    "circle": "a: &a [*a]",
    "circle of two": "a: &a {b: &b {c: *a, d: *b}}",
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS.keys())
def test_aliases_that_unfold_beyond_measure_are_refused(tmp_path, content):
    """Under a limit of memory, for what is refused too late would fill it."""
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    code = (
        "import resource, sys\n"
        "from td_interference.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (60, 60))\n"
        "sys.argv = ['td-interference', 'plan', '--configfile', sys.argv[1]]\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "YAML alias" in done.stderr and str(path) in done.stderr


def test_snakemake_stops_at_a_bomb_or_a_repeated_key_in_config_yaml(tmp_path):
    """Before Snakemake reads it: its own reading unfolds the aliases."""
    for content, said in ((BOMBS["mappings"], "YAML aliases"), ("scale: smoke\nscale: x", "twice")):
        (tmp_path / "config.yaml").write_text(content)
        done = dry_run("-d", tmp_path)
        assert done.returncode != 0 and said in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr


def test_snakemake_stops_at_a_repeated_key_of_a_further_file(tmp_path):
    path = tmp_path / "theirs.yaml"
    path.write_text("scale: smoke\nexperiments: {td_lambda: {n_seeds: 1}}\nexperiments: {}")
    done = dry_run("--configfile", path)
    assert done.returncode != 0
    assert (
        f"{path}: the key 'experiments' stands twice, in lines 2 and 3" in done.stdout + done.stderr
    )


def test_the_project_is_called_from_elsewhere_with_or_without_settings_there(tmp_path):
    """Without a config.yaml there, that of the project counts, as with --configfile beside it."""
    assert main_file("project", tmp_path) == str(Path("project") / "config.yaml")
    done = dry_run("-d", tmp_path, "--config", "scale=smoke", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "train_expert" in done.stdout + done.stderr
    (tmp_path / "config.yaml").write_text("scale: smoke\nexperiments: {td_lambda: {n_seeds: 1}}")
    done = dry_run("-d", tmp_path, cwd=tmp_path)
    assert done.returncode == 0 and "smoke/replay/ms_pacman-seed0" in done.stdout + done.stderr
    assert "seed1" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.mkdir [{trap!r}]",
        "!!python/object/new:os.mkdir [{trap!r}]",
        "!!python/object:os._Environ {{}}",
        "!!python/name:os.mkdir ''",
        "!!python/module:os ''",
        "!!python/tuple [smoke]",
    ],
)
def test_tags_in_a_file_given_to_snakemake_build_nothing(tmp_path, value):
    """Snakemake reads it before any code of this project runs."""
    trap, theirs = tmp_path / "trap", tmp_path / "theirs.yaml"
    theirs.write_text(f"scale: {value}".format(trap=str(trap)))
    done = forked.snakemake(
        ["-n", "results/fig5.pdf", "--configfile", "config.yaml", theirs], ROOT, timeout=60
    )
    assert done.returncode != 0 and "train_run" not in done.stdout
    assert not trap.exists()
    assert "Traceback" not in done.stdout + done.stderr
