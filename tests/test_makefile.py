"""What `make` says and does by itself."""

import re
import shutil
import subprocess

import pytest
from tree import ROOT

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
