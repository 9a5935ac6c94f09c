# make results/fig5.pdf               one figure, at the scale config.yaml names
# make results/fig5.pdf SCALE=smoke   the same at another scale
# make atari                          all figures on Atari
# make test                           lint and all tests but one
# make test-slurm                     figure 5 on a real Slurm (Debian, root; else it is skipped)
# make bench                          benchmarks
# The first call sets up .venv from requirements.lock.

PYTHON ?= python3
CORES ?= all
VENV := .venv
SCALE ?=
SNAKEMAKE = $(VENV)/bin/snakemake $@ --cores $(CORES) $(if $(SCALE),--config scale=$(SCALE))

.PHONY: atari test test-slurm bench setup FORCE

results/%: setup FORCE
	$(SNAKEMAKE)

atari: setup
	$(SNAKEMAKE)

test: setup
	$(VENV)/bin/python -m pytest

test-slurm: setup
	$(VENV)/bin/python -m pytest tests/slurm -m slurm -rs

bench: setup
	$(VENV)/bin/python benchmarks/gram_engine.py
	$(VENV)/bin/python benchmarks/training.py
	$(VENV)/bin/python benchmarks/replay.py
	$(VENV)/bin/python benchmarks/masked_image.py
	$(VENV)/bin/python benchmarks/stacked_training.py

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is older than 3.11; call make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
	  --no-deps --no-build-isolation --editable .
	touch $@

FORCE:
