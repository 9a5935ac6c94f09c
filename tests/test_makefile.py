"""What `make` says and does by itself."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from tree import ROOT, copy_tree

TEXT = (ROOT / "Makefile").read_text()
TARGETS = set(" ".join(re.findall(r"^\.PHONY: (.*)$", TEXT, flags=re.MULTILINE)).split())


@pytest.mark.parametrize("arguments", [[], ["help"], ["SCALE=smoke"]], ids=" ".join)
def test_without_a_target_it_prints_help_and_makes_nothing(tmp_path, arguments):
    shutil.copy2(ROOT / "Makefile", tmp_path)
    done = subprocess.run(["make", *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["Makefile"]
    named = set(re.findall(r"^make ([\w-]+) {2,}\S", done.stdout, flags=re.MULTILINE))
    assert named == TARGETS - {"help", "FORCE"}
    assert "make results/fig5.pdf SCALE=smoke" in done.stdout
    assert "PYTHON ?=" not in done.stdout  # the recipes are not shown


def test_the_readme_names_no_other_target():
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"^make ([\w-]+)(?=\s)", text, flags=re.MULTILINE))
    assert named and named <= TARGETS


def test_coverage_counts_what_children_run_in_copies_of_the_project(tmp_path):
    """As Snakemake's jobs do in tests; else their lines would count for files that are gone."""
    copy = copy_tree(tmp_path / "copy")
    child = [sys.executable, "-c", "import td_interference.errors"]
    parent = tmp_path / "parent.py"
    parent.write_text(
        f"import subprocess\nsubprocess.run({child}, cwd={str(copy)!r}, check=True)\n"
    )
    environment = os.environ | {
        "COVERAGE_FILE": str(tmp_path / "data"),
        "PYTHONPATH": str(copy / "src"),
    }

    def coverage(*arguments):
        command = [sys.executable, "-m", "coverage", *arguments]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)

    coverage("run", str(parent))
    coverage("combine")
    coverage("json", "-o", str(tmp_path / "report.json"))
    files = json.loads((tmp_path / "report.json").read_text())["files"]
    assert files["src/td_interference/errors.py"]["summary"]["covered_lines"] > 3
    assert all(name.startswith("src/") for name in files)
