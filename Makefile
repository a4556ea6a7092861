# One command per intention. Each sets up what it needs (see bin/setup) by itself.
#
#   make run      start everything with the demo, and stay up until Ctrl-C
#   make demo     load the demo once, print what arrived, and leave
#   make test     run every test; ARGS="tests/runtime -k stop" for some of them
#   make explore    the tests of properties, with other examples each time
#   make test-long  real outages, chaos and two Celery workers: minutes each
#   make check    formatting, lint, strict types, the layers between packages
#   make bench    measure against psql; results go to benchmarks/results/
#   make lock     choose new versions for requirements.lock (needs uv)
#   make clean    remove .venv and caches; the data in .sync is kept

.DEFAULT_GOAL := help
.PHONY: help setup run demo test explore test-long check bench lock clean
VENV := .venv/bin
ARGS ?=
export PYTHON

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@bin/setup

run: setup
	@exec $(VENV)/sync-pipelines up --demo $(ARGS)

demo: setup
	@exec $(VENV)/sync-pipelines demo $(ARGS)

test: setup
	@exec $(VENV)/python -m pytest -n 2 --dist loadscope $(ARGS)

explore: setup
	@exec $(VENV)/python -m pytest -n 2 --dist loadscope --hypothesis-profile default \
		$$(grep -rlE "hypothesis|import prove" tests --include="test_*.py") $(ARGS)

test-long: setup
	@exec env SYNC_LONG_TESTS=1 $(VENV)/python -m pytest -m long $(ARGS)

check: setup
	$(VENV)/ruff format --check
	$(VENV)/ruff check
	$(VENV)/mypy
	$(VENV)/lint-imports

bench: setup
	@exec $(VENV)/python -m benchmarks $(ARGS)

lock:
	uv pip compile pyproject.toml --extra demo --extra dev --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-strip-extras --no-header --no-annotate \
		--quiet --output-file requirements.lock

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
