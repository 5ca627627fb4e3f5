# Each target is a line of tools/course.py, which also works without make.
# make PYTHON=python3.12 lab          names the Python for a new environment
# make test ARGS="-k entropy"         passes arguments on
PYTHON ?= $(shell command -v python3 || command -v python)

TARGETS = lab course test test-lowest refresh site workshop test-browser test-backends test-hub test-wheel bench mutants format upgrade
.PHONY: help $(TARGETS)

help:
	@$(PYTHON) tools/course.py --help

$(TARGETS):
	@$(PYTHON) tools/course.py $@ $(ARGS)
