# `make demo` and `make test` are the two commands of the README; each sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
CONFIG ?= relay.toml
# As it was typed, and in the environment: a path may have blanks, quotes and dollars in it, so no recipe spells it out.
override CONFIG := $(value CONFIG)
export CONFIG
EXAMPLES ?= 2000
# What `make test` leaves to `make check`: three of four examples, what takes minutes, and the local QStash's own tests.
EXTENT := -m "not slow"
LEFT_OUT := --ignore=tests/unit/qstash
SEED ?= 1
COUNT ?= 2000
CASES ?= 500

.PHONY: setup demo test test-relay test-unit test-infra test-deployed test-slow model chaos check lint types synth gate fuzz bench mutants deploy picture lock clean
.DEFAULT_GOAL := help

help:
	@echo "make demo     see webhooks go in, fan out, fail, be replayed and be found again, on this machine"
	@echo "make test     unit, infra, model and deployed tests"
	@echo "make model    everything that can happen to the relay, in EXAMPLES=2000 orders"
	@echo "make fuzz     random requests at the local QStash, CASES=500 of each operation"
	@echo "make check    all that there is: the same with four times the examples, chaos, a deploy under load, the local QStash's"
	@echo "              own tests, lint, types, synth and the gates"
	@echo "make bench    what the relay and the local QStash take, beside a yardstick of the same run"
	@echo "make mutants  plant faults in a copy of the code, one at a time, and say which test catches each"
	@echo "make chaos    send webhooks under the faults of SEED (1), count what arrives, write docs/reliability.md's tables"
	@echo "              and README.md's figures"
	@echo "make picture  record the demo, write docs/demo.svg, the picture in README.md"
	@echo "make deploy   deploy into the AWS account of AWS_PROFILE, then \`relay sync\` (CONFIG=FILE, default relay.toml;"
	@echo "              TAKE_OVER=1: a first deploy takes over what QStash holds of the relay's name)"
	@echo "make setup    only install what the others need, into .venv, .venv-aws and node_modules"

# Python reads and keeps compiled modules here as anywhere else, and no others than ours, whatever this shell is set to.
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME PYTHONOPTIMIZE PYTHONWARNINGS PYTHONIOENCODING PYTHONUTF8
unexport PYTEST_ADDOPTS PYTEST_PLUGINS NODE_OPTIONS MODEL_EXAMPLES FUZZ_CASES

# Every tool tells why it failed; this is what to do about it.
or_say = || { echo "error: $(1)" >&2; exit 1; }
OFFLINE = $(call or_say,the Python packages could not be installed: the lines above say why; check the network and its proxies)
define NODE
@command -v node >/dev/null $(call or_say,there is no Node: install Node 20 or newer (https://nodejs.org))
@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' \
	$(call or_say,the relay needs Node 20 or newer and this is $$(node --version): install it (https://nodejs.org) or put it first on the path)
@command -v npm >/dev/null $(call or_say,there is no npm: it comes with Node from https://nodejs.org; Debian and Ubuntu have it apart: apt install npm)
endef

setup: .venv/.ready .venv-aws/.ready node_modules/.ready

.venv/.uv: requirements/uv.txt
	@command -v "$(PYTHON)" >/dev/null $(call or_say,there is no \"$(PYTHON)\": install Python 3.11 or newer or say where it is: make PYTHON=python3.11)
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: this is Python %d.%d" % sys.version_info[:2])' \
		$(call or_say,the relay needs Python 3.11 or newer: make PYTHON=python3.11)
	@echo "making .venv with $(PYTHON)"
	@"$(PYTHON)" -m venv .venv \
		$(call or_say,this Python can make no virtual environment: install its venv and ensurepip (Debian and Ubuntu: apt install python3-venv))
	@echo "installing requirements/uv.txt"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/uv.txt $(OFFLINE)
	@touch $@

.venv/.ready: .venv/.uv requirements/dev.txt pyproject.toml
	@echo "installing requirements/dev.txt"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements/dev.txt $(OFFLINE)
	@echo "installing the relay"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable . $(OFFLINE)
	@touch $@

# The local AWS pins its own botocore, so it cannot share an environment with the relay's boto3.
.venv-aws/.ready: .venv/.uv requirements/local-aws.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-aws
	@echo "installing requirements/local-aws.txt"
	@$(BIN)/uv pip install --quiet --python .venv-aws/bin/python --require-hashes --requirement requirements/local-aws.txt $(OFFLINE)
	@touch $@

node_modules/.ready: package-lock.json
	$(NODE)
	@echo "installing $<"
	@npm ci --loglevel=error --no-audit --no-fund >/dev/null $(call or_say,npm could not install the packages: the lines above say why; check the network and its proxies and what \"npm config get registry\" says)
	@touch $@

# The providers' own SDKs, which judge the signature schemes: Python's in an environment of their own.
.venv-sdks/.ready: .venv/.uv requirements/sdks.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-sdks
	@echo "installing requirements/sdks.txt"
	@$(BIN)/uv pip install --quiet --python .venv-sdks/bin/python --require-hashes --requirement requirements/sdks.txt $(OFFLINE)
	@touch $@

# And JavaScript's, none of whose scripts is run.
tests/gate/provider_sdks/js/node_modules/.ready: tests/gate/provider_sdks/js/package-lock.json
	$(NODE)
	@echo "installing $<"
	@npm ci --loglevel=error --no-audit --no-fund --ignore-scripts --prefix $(@D)/.. >/dev/null $(call or_say,npm could not install the packages: the lines above say why; check the network and its proxies and what \"npm config get registry\" says)
	@touch $@

demo: setup
	$(BIN)/python -m infra.local.demo

# The picture of the demo in README.md, of a run made for it.
picture: setup
	$(BIN)/python -m infra.docs.recording

# All at a time: the deployed relay has a minute to wait for, which the others fill.
test: setup
	@$(MAKE) --no-print-directory --output-sync --jobs=4 test-deployed test-relay test-unit test-infra

test-relay:
	$(BIN)/pytest -q $(EXTENT) tests/unit/relay

test-unit:
	$(BIN)/pytest -q $(EXTENT) --ignore=tests/unit/relay $(LEFT_OUT) tests/unit tests/chaos

test-infra:
	$(BIN)/pytest -q $(EXTENT) tests/infra tests/model

test-deployed:
	$(BIN)/pytest -q $(EXTENT) tests/deployed

# What takes minutes: chaos with 500 webhooks, a deploy under load, and the demo where everything in the shell is nonsense.
test-slow: setup
	$(BIN)/pytest -q -m slow tests

# Many more ways of everything that can happen to the relay than `make test` tries, and others each time.
model: setup
	MODEL_EXAMPLES=$(EXAMPLES) $(BIN)/pytest tests/model

# The longest first, and two at a time.
check: setup .venv-sdks/.ready tests/gate/provider_sdks/js/node_modules/.ready
	@$(MAKE) --no-print-directory --output-sync --jobs=2 EXTENT='--hypothesis-profile=whole -m "not slow"' LEFT_OUT= \
		test-slow gate test-relay test-deployed test-infra test-unit types synth lint

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup
	$(BIN)/mypy

synth: setup
	npx cdk synth --quiet --context "config=$$CONFIG"

gate: setup .venv-sdks/.ready tests/gate/provider_sdks/js/node_modules/.ready
	$(BIN)/pytest tests/gate

# Random requests at the local QStash: so many cases of each operation, and others each time.
fuzz: setup
	FUZZ_CASES=$(CASES) $(BIN)/pytest tests/gate/qstash_fuzz

bench: setup .venv-sdks/.ready
	$(BIN)/python -m tests.bench.qstash
	$(BIN)/python -m tests.bench.latency
	$(BIN)/python -m tests.bench.drain
	PYTHONPATH=functions:. .venv-sdks/bin/python -m tests.bench.signatures

mutants: setup
	$(BIN)/python -m tests.mutants $(NAMES)

# What it sends, and what arrives, is counted outside the relay.
chaos: setup
	$(BIN)/python -m tests.chaos $(SEED) --count $(COUNT) --write

# CloudFormation asks QStash nothing where relay.toml says of it what the last deploy said: so it is asked here.  A deploy
# that takes over removes nothing of what another may still use; `relay sync` does so once that one is gone.
deploy: setup
	$(BIN)/relay check --account -- "$$CONFIG"
	npx cdk deploy --context "config=$$CONFIG" $(if $(TAKE_OVER),--context "take_over=$$TAKE_OVER")
	$(if $(TAKE_OVER),,@$(BIN)/relay sync --config "$$CONFIG" || { echo $(DEPLOYED) >&2; exit 1; })

DEPLOYED := "The deploy itself is done. What failed is the look at QStash after it, for what somebody changed there: once" \
	"that is mended, \`relay sync --config FILE\` does it."

lock: .venv/.uv
	$(BIN)/uv pip compile --quiet pyproject.toml --group dev --python-version 3.11 $(LOCK) --output-file requirements/dev.txt
	$(BIN)/uv pip compile --quiet --group functions --python-version 3.13 --python-platform aarch64-manylinux2014 $(LOCK) --output-file requirements/functions.txt
	$(BIN)/uv pip compile --quiet --group public-keys --python-version 3.13 --python-platform aarch64-manylinux2014 $(LOCK) --output-file requirements/public-keys.txt
	$(BIN)/uv pip compile --quiet --group local-aws --python-version 3.11 $(LOCK) --output-file requirements/local-aws.txt
	$(BIN)/uv pip compile --quiet --group sdks --python-version 3.11 $(LOCK) --output-file requirements/sdks.txt
	npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund

LOCK := --generate-hashes --no-header --no-emit-index-url --no-annotate

clean:
	rm -rf .venv .venv-aws .venv-sdks node_modules cdk.out build .pytest_cache .mypy_cache .ruff_cache
