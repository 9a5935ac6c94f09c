# make results/fig5.pdf               one figure, at the scale config.yaml names
# make results/fig5.pdf SCALE=smoke   the same at another scale
# make atari                          all figures on Atari
# make generalization                 the figures of the generalization experiments (1, 2, 8, 9)
# make all                            all figures
# make setup                          only the environment .venv
# make test                           lint and all tests but those of the next four
# make test-all                       also the tests that take minutes each
# make test-kill                      kills every stage at random moments and compares the results
# make test-slurm                     figure 5 on a real Slurm (Debian, root; else it is skipped)
# make test-memory                    what every kind of job holds, against what it asks for
# make coverage                       which lines of src the tests of `make test` never reach
# make bench                          benchmarks
# make audit                          known vulnerabilities of the pinned packages (online)
#
# The first call sets up .venv from requirements.lock; with REQUIREMENTS=requirements.hashes pip
# compares the digest of every file (Python 3.11 on Linux, x86-64). CORES bounds the cores that a
# figure is made on, WORKERS those of the tests; PYTHON names the interpreter.

PYTHON ?= python3
REQUIREMENTS ?= requirements.lock
CORES ?= all
WORKERS ?= 2
VENV := .venv
SCALE ?=
SNAKEMAKE = $(VENV)/bin/snakemake $@ --cores $(CORES) $(if $(SCALE),--config scale=$(SCALE))
# A file's tests run in one process, so that what they share is made once; the files in the order
# in which they are collected, the longest first.
PYTEST = $(VENV)/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: help atari generalization all setup test test-all test-kill test-slurm test-memory
.PHONY: coverage bench audit
.PHONY: FORCE

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

results/%: setup FORCE
	$(SNAKEMAKE)

atari generalization all: setup
	$(SNAKEMAKE)

test: setup
	$(PYTEST)

test-all: setup
	$(PYTEST) -m 'not kill and not slurm and not memory' --hypothesis-profile thorough

test-kill: setup
	$(VENV)/bin/python -m pytest -m kill -s tests/test_kill.py

test-slurm: setup
	$(VENV)/bin/python -m pytest tests/slurm -m slurm -rs

test-memory: setup
	$(VENV)/bin/python -m pytest -m memory -s tests/test_memory.py

coverage: setup
	$(PYTEST) --cov --cov-report=term-missing:skip-covered

bench: setup
	set -e; for benchmark in benchmarks/*.py; do \
	  echo; echo "$$benchmark"; $(VENV)/bin/python "$$benchmark"; \
	done

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
