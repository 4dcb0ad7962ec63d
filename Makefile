# `make demo` and `make test` on a fresh machine; everything lies in .venv
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# PyPI's torch for Linux brings several GB of CUDA: without an NVIDIA GPU take PyTorch's CPU build, unless pip has been
# told where to look. An index out of reach costs seconds, then PyPI serves.
TORCH_INDEX := $(shell \
  if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1 \
     && [ -z "$$PIP_FIND_LINKS$$PIP_INDEX_URL$$PIP_EXTRA_INDEX_URL" ] \
     && ! $(PYTHON) -m pip config list 2>/dev/null | grep -qE 'find-links|index-url'; \
  then echo "--retries 1 --timeout 15 --extra-index-url https://download.pytorch.org/whl/cpu"; fi)
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)

.PHONY: demo test check format install clean
demo: install
	$(BIN)/edubba demo

test: install check
	$(BIN)/python -m edubba.quantum.warm
	$(BIN)/python -m pytest

check: install
	$(BIN)/ruff format --check src tests recipes bench
	$(BIN)/ruff check src tests recipes bench
	$(BIN)/ty check src

format: install
	$(BIN)/ruff format src tests recipes bench
	$(BIN)/ruff check --fix src tests recipes bench

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check $(TORCH_INDEX) $(TORCH)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[demo,test]"
	touch $@

clean:
	rm -rf $(VENV)
