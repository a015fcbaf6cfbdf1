# `make help` lists all targets. They need Python ≥ 3.11 with venv, git and make, and install or build what else they need, unless their help names it.
PYTHON ?= python3
BIN := .venv/bin
# Tests start hundreds of Python processes: where this is set, each of them would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.PHONY: help demo test check lint fmt bench e2e faults hostile simulate browser generate docs pictures lock audit image clean venv

help:  ## this list
	@awk -F':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv:
	@$(PYTHON) dev/bootstrap.py dev

demo: venv  ## from a violation to an archived finding, live (ARGS=--keep: keep it running; ENGINES=1: with the real Kyverno and Gatekeeper; FLEET=1: three EKS clusters)
	@$(BIN)/python -m dev.demo $(if $(ENGINES),--engines) $(if $(FLEET),--fleet) $(ARGS)

test: venv  ## unit, component and integration tests (real API server, local Security Hub), with coverage
	@$(BIN)/python -m dev.cluster build etcd kube-apiserver helm kubectl
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=$(COVERAGE)
COVERAGE := 90
WORKERS := 4

check: venv  ## lint, format, types, import layers, generated files, pictures
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m dev.generated --check
	$(BIN)/python -m dev.pictures --check

lint: docs  ## the docs and their prose, Dockerfiles, CloudFormation, Lua, alerts (needs a C compiler; promtool of Debian's prometheus)
	@$(PYTHON) dev/bootstrap.py lint
	@$(BIN)/python -m dev.cluster build vale
	$$($(BIN)/python -m dev.cluster path vale) --no-global $(PROSE)
	$(BIN)/hadolint $$(git ls-files '*Dockerfile')
	$(BIN)/pytest tests/lint
PROSE := *.md docs charts/policyhub-access/README.md

fmt: venv  ## format, and fix what the linter can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: venv  ## write the generated files (CRDs, the chart's schema and README, the reference of metrics, dashboards)
	$(BIN)/python -m dev.generated --write

docs: venv  ## the documentation as a site with search, in build/site (links, anchors and the index are checked)
	@$(PYTHON) dev/bootstrap.py docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --clean
	@echo "==> open build/site/index.html"

pictures: venv  ## take the pictures of docs/images that show what has changed since (ARGS=findings-page.png: that one; Debian's chromium, prometheus)
	@$(PYTHON) dev/bootstrap.py browser
	@$(BIN)/python -m dev.cluster build etcd kube-apiserver helm
	$(BIN)/python -m dev.pictures $(ARGS)

browser: venv  ## the findings page in a real headless Chromium (needs one installed: Debian's chromium)
	@$(PYTHON) dev/bootstrap.py browser
	$(BIN)/pytest tests/browser $(ARGS)

bench: venv  ## the measurements of docs/performance.md
	@$(BIN)/python -m dev.cluster build etcd kube-apiserver helm
	$(BIN)/python -m tests.bench $(ARGS)

e2e: venv  ## Kyverno, Gatekeeper and the controllers of Kubernetes, built from source, in one story with the operator (RECORD=1 renews tests/data/engines)
	@$(BIN)/python -m dev.cluster build etcd kube-apiserver helm kube-controller-manager kyverno-reports-controller gatekeeper
	$(BIN)/python -m tests.e2e $(if $(RECORD),--record) $(ARGS)

faults: venv  ## every injected fault with several seeds, as a table (ARGS="--seeds 1-20 --fault mixed")
	@$(BIN)/python -m dev.cluster build etcd kube-apiserver helm
	$(BIN)/python -m tests.faults $(ARGS)

hostile: venv  ## attacks by a tenant, by a cluster and through a Secret, which must not affect other clusters; prints a table (ARGS="--scenario blanks --seconds 20")
	@$(BIN)/python -m dev.cluster build etcd kube-apiserver helm
	$(BIN)/python -m tests.hostile $(ARGS)

simulate: venv  ## weeks of a cluster's life in virtual time, by seed, with the whole operator (ARGS="--seeds 1-10000", ARGS="--story all")
	PYTHONPATH=operator:. $(BIN)/python -m tests.simulation $(ARGS)

image: venv  ## the container image, built with buildah, twice for comparison; then the demo in it (Debian; as root)
	dev/image/build.sh --twice --keep $(IMAGE)
	@$(BIN)/python -m dev.demo --image $(IMAGE) $(ARGS)
IMAGE := /var/tmp/policyhub-image/latest

lock: venv  ## renew the lock files from pyproject.toml (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml -o requirements/run.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header -c requirements/run.lock pyproject.toml --group dev -o requirements/dev.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header -c requirements/dev.lock --group browser -o requirements/browser.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header -c requirements/dev.lock --group lint -o requirements/lint.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header -c requirements/dev.lock --group audit -o requirements/audit.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header -c requirements/dev.lock --group docs -o requirements/docs.lock

# The operator's packages decide; what is known of the others reaches no cluster, and is listed.
audit: venv  ## known vulnerabilities of the locked Python packages (asks PyPI): fails for the operator's own, lists those of the others
	@$(PYTHON) dev/bootstrap.py audit
	@for lock in $(filter-out run,$(basename $(notdir $(wildcard requirements/*.lock)))) run; do \
	  echo "==> requirements/$$lock.lock"; \
	  $(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r requirements/$$lock.lock; found=$$?; \
	done; exit $$found

clean:  ## remove what make made in the repository
	rm -rf .venv .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build/site
