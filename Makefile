# On a fresh machine `make demo`, `make test` and `make figures` do everything, their own set-up too: a virtual
# environment in .venv and the compiled package in it.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
SOURCES := setup.py pyproject.toml $(shell find slide/_kernels -name '*.pyx' -o -name '*.pxd' -o -name '*.h')

.PHONY: demo test test-fast docs build figures fuzz sanitize soak clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.installed
	@echo "== training SLIDE and the full softmax on synthetic data (figures/demo.png)"
	$(PY) -m experiments run demo --again

test: $(VENV)/.installed
	@echo "== lint"
	$(VENV)/bin/ruff check .
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" cython-lint slide/_kernels
	$(VENV)/bin/clang-format --dry-run --Werror slide/_kernels/simd/*.h
	$(VENV)/bin/mypy
	@echo "== tests"
	$(PY) -m pytest

test-fast: $(VENV)/.installed
	@echo "== lint, and the tests that take no seconds"
	$(VENV)/bin/ruff check .
	$(PY) -m pytest -m "not slow" --hypothesis-profile=quick

# docs/_build/html/index.html; a warning is an error. The docstrings are checked by numpydoc, which comes with it.
docs: $(VENV)/.installed
	@$(PY) -c "import furo, myst_parser, numpydoc" 2>/dev/null || \
	  $(PY) -m pip install --quiet --disable-pip-version-check -e '.[docs]'
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

fuzz: $(VENV)/.installed
	$(PY) -m tests.robustness.fuzz parsers --number $(PARSERS) --seed $(SEED)
	$(PY) -m tests.robustness.fuzz models --number $(MODELS) --seed $(SEED)
	$(PY) -m tests.robustness.fuzz calls --number $(CALLS) --seed $(SEED)
	@test ! -e tests/robustness/kill.py || $(PY) -m tests.robustness.kill $(KILLS)

sanitize: $(VENV)/.installed
	PYTHON=$(PY) tests/robustness/sanitize.sh address
	PYTHON=$(PY) tests/robustness/sanitize.sh thread

soak: $(VENV)/.installed
	$(PY) -m tests.robustness.soak --minutes $(MINUTES)

$(VENV)/.installed: $(SOURCES)
	@echo "== setting up $(VENV) with $$($(PYTHON) --version)"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) || { \
	  echo "cannot make a virtual environment: on Debian or Ubuntu run 'sudo apt install python3-venv python3-dev'"; exit 1; }
	@echo "== building slide and installing its requirements"
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

clean:
	rm -rf build $(VENV)/.installed; find slide -name '*.so' -delete
