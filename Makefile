# The documented commands as targets. `make help` lists them.
PYTHON := .venv/bin/python

.PHONY: help demo test check format docs lock up images hooks
help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo:  ## Run the whole chain on the embedded models; results are in out/
	./demo
test:  ## Run all checks and all tests
	./test
check:  ## Run the checks only: ruff, mypy, import-linter, codespell, generated files
	./test --checks
format:  ## Format the code and apply safe fixes
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
docs:  ## Generate the reference documents from the code
	$(PYTHON) -m tools.docs
lock:  ## Resolve the requirement files again
	$(PYTHON) -m tools.lock
up:  ## Start the platform and all workers on this machine, until Ctrl-C
	$(PYTHON) -m localpod up
images:  ## Build the four images with the embedded weights
	$(PYTHON) -m tools.images
hooks:  ## Install the Git hooks of .pre-commit-config.yaml
	.venv/bin/pre-commit install
