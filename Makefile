# Two commands matter: `make demo` and `make test`. Both install into .venv first (once).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check format types clean

demo: $(STAMP)
	@$(BIN)/eagleray demo $(ARGS)

test: $(STAMP)
	@$(BIN)/python -m pytest $(ARGS)

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
