# Two commands matter: `make demo` and `make test`. Both install into .venv first (once).
PYTHON ?= python3
VENV := .venv
# Processes that test at once; more gain on more cores, for they mostly wait for Ray and Serve.
WORKERS ?= 2
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Tests start hundreds of processes: none shall compile what another has compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check format types clean

demo: $(STAMP)
	@$(BIN)/eagleray demo $(ARGS)

test: $(STAMP)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder $(ARGS)

check: $(STAMP) types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest tests/test_house.py tests/test_face.py

format: $(STAMP)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# mypy must see the checkout under its package name.
types:
	@mkdir -p .typing && ln -sfn .. .typing/eagleray

$(STAMP): pyproject.toml constraints.txt .ci/install.py
	@$(PYTHON) .ci/install.py $(VENV)
	@touch $(STAMP)

clean:
	rm -rf $(VENV) .typing .mypy_cache .ruff_cache .pytest_cache .hypothesis
