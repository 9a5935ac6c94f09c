# make results/fig5.pdf               one figure, at the scale config.yaml names
# make results/fig5.pdf SCALE=smoke   the same at another scale
# make atari                          all figures on Atari
# make generalization                 the figures of the generalization experiments (1, 2, 8, 9)
# make all                            all figures
# make test                           lint and all tests but the next two
# make test-kill                      kills every stage at random moments and compares the results
# make test-slurm                     figure 5 on a real Slurm (Debian, root; else it is skipped)
# make bench                          benchmarks
# make audit                          known vulnerabilities of the pinned packages (online)
# The first call sets up .venv from requirements.lock; with REQUIREMENTS=requirements.hashes pip
# compares the digest of every file (Python 3.11 on Linux, x86-64).

PYTHON ?= python3
REQUIREMENTS ?= requirements.lock
CORES ?= all
VENV := .venv
SCALE ?=
SNAKEMAKE = $(VENV)/bin/snakemake $@ --cores $(CORES) $(if $(SCALE),--config scale=$(SCALE))

.PHONY: atari generalization all test test-kill test-slurm bench audit setup FORCE

results/%: setup FORCE
	$(SNAKEMAKE)

atari generalization all: setup
	$(SNAKEMAKE)

test: setup
	$(VENV)/bin/python -m pytest

test-kill: setup
	$(VENV)/bin/python -m pytest -m kill -s tests/test_kill.py

test-slurm: setup
	$(VENV)/bin/python -m pytest tests/slurm -m slurm -rs

bench: setup
	$(VENV)/bin/python benchmarks/gram_engine.py
	$(VENV)/bin/python benchmarks/training.py
	$(VENV)/bin/python benchmarks/replay.py
	$(VENV)/bin/python benchmarks/resume.py
	$(VENV)/bin/python benchmarks/masked_image.py
	$(VENV)/bin/python benchmarks/stacked_training.py
	$(VENV)/bin/python benchmarks/integrity.py

# In an environment of its own, for the tool's dependencies are none of the project's.
audit:
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.*
	$(VENV)-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement requirements.lock

setup: $(VENV)/.ready

$(VENV)/.ready: $(REQUIREMENTS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is older than 3.11; call make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $(REQUIREMENTS)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
	  --no-deps --no-build-isolation --editable .
	touch $@

FORCE:
