# Two commands are enough: `make up` and `make test`. Both work on a bare machine with Python 3.11+.

PYTHON ?= $(shell for each in python3.11 python3.12 python3.13 python3; do \
	$$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$each && break; done)
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.installed
ROUNDS ?= 1000
MUTATIONS := tests/identity/test_reference_verifier.py tests/identity/test_offline.py \
	tests/identity/test_status_format.py

.DEFAULT_GOAL := help
.PHONY: up day test test-site bench faults lint reset help

up: $(READY)  ## start everything, play the day the first time, stay up until Ctrl-C
	@$(RUN) manage.py up

day: $(READY)  ## play the citizen's day as a check, on the stack that is up or on one of its own
	@$(RUN) manage.py day

test: $(READY)  ## every test; installs Chromium where that is allowed
	@sh .ci/chromium
	@$(RUN) -m pytest $(if $(DATABASE_URL),,-n 2 --dist loadfile)

test-site: $(READY)  ## every test on your own PostgreSQL and Redis; says how to give them
	@$(RUN) -m tests.site
	@sh .ci/chromium
	@$(RUN) -m pytest

bench: $(READY)  ## measure; one line for each figure, and bench.json
	@$(RUN) -m tests.bench

faults: $(READY)  ## races, faults, mutations and bad input in full (ROUNDS=1000)
	@VPASS_ROUNDS=$(ROUNDS) $(RUN) -m pytest -s tests/races tests/faults $(MUTATIONS) \
		tests/contracts/test_bad_input.py

lint: $(READY)  ## format, lint, types, import contract
	@$(RUN) -m ruff format --check .
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy
	@$(VENV)/bin/lint-imports

reset: $(READY)  ## remove this checkout's data, secrets and logs (asks first)
	@$(RUN) manage.py reset

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

$(READY): requirements.lock
	@test -n "$(PYTHON)" || { echo "V Pass needs Python 3.11 or newer."; exit 1; }
	@echo "Making the virtual environment ($(VENV)) with $(PYTHON) ..."
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Python's venv is missing; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(RUN) -m pip install --disable-pip-version-check --no-input --require-hashes -r requirements.lock
	@touch $@
