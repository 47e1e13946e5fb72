# The commands of contributors. `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
MOTO   := $(VENV)/moto/.ready
SBOM   := $(VENV)/sbom/.ready
RABBIT := /usr/lib/rabbitmq/bin/rabbitmq-server
PROMETHEUS := /usr/bin/prometheus
CHROMIUM := /usr/bin/chromedriver
PACKAGES := certs cli controller crds dashboard files injection kube messages runtime sandbox telemetry webhook
LICENCES := MIT;Apache;BSD;ISC;PSF;Python Software Foundation;MPL;Mozilla Public License
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE  ?= asya-operator:$(VERSION)
DIST   ?= dist
# Address of the released files. The plugin's manifest contains it.
URL    ?= https://releases.invalid/asya-operator/v$(VERSION)
WEBHOOK_HOST ?= host.docker.internal

.DEFAULT_GOAL := help
.PHONY: help setup brokers demo sandbox sandbox-stop test messages chaos e2e matrix bench lint lock audit golden generate docs docs-version pictures release image image-load cluster-install run clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

setup: $(READY) ## Create the virtual environment in .venv

# moto has a virtual environment of its own: botocore and kubernetes need different versions of python-dateutil.
$(MOTO): $(READY)
	$(PYTHON) -m venv $(VENV)/moto
	$(VENV)/moto/bin/pip install --quiet --disable-pip-version-check 'moto[sqs]>=5.2,<6' 'flask>=3.1' 'flask-cors>=6' 'boto3>=1.40' 'pika>=1.3'
	@touch $@

brokers: $(MOTO) ## Install what tests need: moto, and as root with apt-get RabbitMQ, Prometheus and Chromium
	@if [ ! -x $(RABBIT) -o ! -x $(PROMETHEUS) -o ! -x $(CHROMIUM) ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  { apt-get update -qq && RUNLEVEL=1 apt-get install -y -qq --no-install-recommends rabbitmq-server prometheus \
	    chromium chromium-driver fonts-dejavu-core >/dev/null; } \
	  || echo "RabbitMQ, Prometheus or Chromium could not be installed; the tests that need them will be skipped" >&2; \
	fi

demo: $(READY) ## Apply the examples to a cluster and show the result (KEEP=1: the cluster keeps running)
	@$(BIN)/python -m tests.demo $(if $(KEEP),--keep)

sandbox: $(READY) ## Start a cluster with the operator in the background (make sandbox-stop stops it)
	@$(BIN)/python -m tests.demo.serve start

sandbox-stop: $(READY) ## Stop that cluster
	@$(BIN)/python -m tests.demo.serve stop

test: $(READY) ## Lint, type-check and run every test
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint brokers
	$(BIN)/python -m pytest

messages: $(READY) brokers ## Run the message tests in their long forms
	MESSAGES=full $(BIN)/python -m pytest tests/e2e -n 0

chaos: $(READY) ## Run the fault-injection suite in full
	CHAOS=full $(BIN)/python -m pytest tests/chaos tests/cluster/test_rest.py tests/cluster/test_health.py tests/unit -n 0

e2e: $(READY) ## Install on the current kind or minikube cluster, test there, uninstall (tests/node/__main__.py)
	$(BIN)/python -m tests.node

matrix: $(READY) ## Run the cluster tests on each control plane that KUBEBUILDER_ASSETS_1_25, …_1_36 name (tests/matrix.py)
	$(BIN)/python -m tests.matrix

bench: $(READY) ## Run the benchmarks (ONLY="webhook start": only these)
	$(BIN)/python -m tests.bench $(ONLY)

lint: $(READY) ## ruff, mypy --strict, import contracts, names and sizes, hadolint, shellcheck, actionlint (on Linux)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tests.style
	$(BIN)/hadolint Dockerfile
	$(BIN)/shellcheck .ci/run examples/minikube/*.sh
	[ ! -x $(BIN)/actionlint ] || $(BIN)/actionlint -shellcheck $(BIN)/shellcheck -pyflakes= .github/workflows/*.yml

COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --quiet \
  --custom-compile-command "make lock"

# image.lock omits the package `kubernetes`, which is two thirds of the size. It only reads kubeconfigs, and a cluster
# has none.
lock: $(READY) ## Lock the dependencies of the package and of the image, with hashes
	$(COMPILE) --upgrade --output-file requirements.lock
	printf 'kubernetes ; python_version < "3"\n' >$(VENV)/overrides.txt
	$(COMPILE) --constraint requirements.lock --override $(VENV)/overrides.txt --output-file image.lock

audit: $(READY) ## Check for known vulnerabilities, unsafe code and unsuitable licences
	$(BIN)/pip-audit --requirement requirements.lock --require-hashes --disable-pip --progress-spinner off
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive $(PACKAGES)
	$(BIN)/pip-licenses --partial-match --allow-only "$(LICENCES)" --packages $$(sed -n 's/^\([a-z0-9._-]*\)==.*/\1/p' requirements.lock) >/dev/null

golden: $(READY) ## Regenerate the results in the golden files
	$(BIN)/python -m tests.golden

generate: $(READY) ## Regenerate the CRD manifest, the manual's tables and docs/llms.txt
	$(BIN)/python -m crds.generate
	$(BIN)/python -m cli.manual
	$(BIN)/python -m tests.docs.llms

# Not --quiet: mkdocs then counts no warnings, so --strict has no effect.
docs: $(READY) ## Build the manual into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# mike starts mkdocs by its name.
docs-version: $(READY) ## Commit this version's manual to the local branch gh-pages, as the latest one; nothing is pushed
	PATH="$(CURDIR)/$(BIN):$$PATH" NO_MKDOCS_2_WARNING=1 $(BIN)/mike deploy --update-aliases $(basename $(VERSION)) latest
	$(BIN)/mike set-default latest

pictures: $(READY) brokers ## Draw the manual's pictures again
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[pictures]'
	$(BIN)/python -m tests.docs.pictures

# cyclonedx has a virtual environment of its own too. It installs a grammar, and every process that imports kubernetes
# would compile that grammar at its start, for seconds.
$(SBOM): $(READY)
	$(PYTHON) -m venv $(VENV)/sbom
	$(VENV)/sbom/bin/pip install --quiet --disable-pip-version-check 'cyclonedx-bom>=5,<8'
	@touch $@

release: $(READY) $(SBOM) ## Build a release in dist/: chart, install.yaml, plugin, wheel, SBOMs, checksums (IMAGE, URL)
	rm -rf $(DIST) build/lib
	$(BIN)/python -m build --wheel --outdir $(DIST)
	$(VENV)/sbom/bin/cyclonedx-py requirements image.lock --pyproject pyproject.toml --output-reproducible \
	  --output-file $(DIST)/asya-operator.cdx.json
	$(BIN)/python -m release --dist $(DIST) --image $(IMAGE) --url $(URL)

image: ## Build the image (IMAGE=asya-operator:VERSION, the name in the chart)
	docker build --tag $(IMAGE) .

image-load: ## Load the image into the current minikube or kind cluster
	@case "$$(kubectl config current-context)" in \
	  kind-*) kind load docker-image $(IMAGE) --name "$$(kubectl config current-context | sed s/kind-//)";; \
	  minikube*) minikube image load $(IMAGE);; \
	  *) echo "the current context is neither minikube nor kind" >&2; exit 1;; \
	esac

cluster-install: ## Apply CRD and RBAC to the cluster of kubectl's current context, and print the context
	@echo "applying to the context $$(kubectl config current-context)"
	kubectl create namespace asya-system --dry-run=client --output yaml | kubectl apply -f -
	helm template asya-operator charts/asya-operator --namespace asya-system \
	  --show-only templates/crd.yaml --show-only templates/rbac.yaml | kubectl apply -f -

run: $(READY) ## Run both processes on this host (WEBHOOK_HOST: the host's name for the API server)
	$(BIN)/asya-operator certs issue .run --name $(WEBHOOK_HOST)
	$(BIN)/asya-operator configurations --url https://$(WEBHOOK_HOST):8443 --ca .run/ca.crt | kubectl apply -f -
	trap 'kill 0' EXIT; \
	$(BIN)/asya-operator webhook --certificate .run/tls.crt --key .run/tls.key --metrics-port 8081 & \
	$(BIN)/asya-operator controller & wait

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .cache .run build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .demo
