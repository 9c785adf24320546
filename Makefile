# Netloom. `make help` lists the targets; `make demo` and `make test` start from a bare clone.
SHELL := /bin/sh
PY := .venv/bin/python
STAMPS := .venv/.stamps

.PHONY: help demo test check lab osken suites test-long test-oldest ovs-suite test-tempest bench bench-kmod fuzz soak record-neutron record-trace clean-host clean compiled
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 16

demo: $(STAMPS)/run compiled ## two stories on real packets, from nothing: one switch, three hosts (KEEP=1 keeps them; needs root)
	@.venv/bin/netloom demo vlan $(if $(KEEP),--keep)
	@.venv/bin/netloom demo networks $(if $(KEEP),--keep)

test: $(STAMPS)/test compiled ## every test, from nothing (needs root for namespaces and peers)
	@$(PY) tools/run_tests.py $(ARGS)

check: $(STAMPS)/test ## the quick checks: format, lint, types, imports, unit tests
	@$(PY) tools/run_tests.py --quick

lab: $(STAMPS)/test compiled ## only the tests with network namespaces and real packets (needs root)
	@$(PY) -m pytest tests/lab $(ARGS)

osken: $(STAMPS)/test compiled ## os-ken's whole switch test tool against Debian's switch and ours
	@$(PY) -m tests.interop.osken_runs $(ARGS)

test-long: $(STAMPS)/test compiled ## what takes minutes and shows details, beside `make test`
	@$(PY) -m pytest -m long tests

suites: $(STAMPS)/test compiled ## test-suites that others wrote, in full: Neutron's, os-vif's, Mininet's examples (needs root)
	@$(PY) tools/fetch_peers.py neutron-suites
	@$(PY) -m pytest -m "" tests/lab/test_neutron_suites.py tests/lab/test_os_vif.py \
		tests/lab/test_mininet.py $(ARGS)

ovs-suite: $(STAMPS)/test compiled ## Open vSwitch's own test suite with our programs (an hour; ARGS=ovs-ofctl --kernel …)
	@$(PY) -m tests.interop.ovs_suite_runs $(ARGS)

test-tempest: $(STAMPS)/test compiled ## Neutron's API tests, those of openstacksdk and of the client (20 minutes)
	@$(PY) -m tests.interop.tempest_runs $(ARGS)

bench: $(STAMPS)/bench compiled ## the benchmarks, side by side with Debian's Open vSwitch (needs root)
	@$(PY) -m bench $(ARGS)

bench-kmod: $(STAMPS)/bench ## instructions a packet beside openvswitch.ko, in a guest (needs root)
	@$(PY) tools/kmod_guest.py

test-oldest: $(STAMPS)/test ## the data path's tests on Linux 6.1, in a guest (an hour; ARGS=tests/datapath/...)
	@$(PY) tools/oldest_kernel.py $(ARGS)

record-neutron: $(STAMPS)/test ## ask a real Neutron (from PyPI) what the tests compare our answers with
	@$(PY) tools/record_neutron.py

record-trace: $(STAMPS)/test ## ask Debian's Open vSwitch again what the cases in tests/trace expect
	@NETLOOM_RECORD_TRACES=1 $(PY) -m pytest -q -k recorded_traces \
		tests/interop/test_trace_cases_peer.py tests/interop/test_whole_traces_peer.py

fuzz: $(STAMPS)/fuzz ## look with atheris for bytes that break a decoder (SECONDS=60 for each)
	@$(PY) -m fuzz $(or $(SECONDS),60) $(ARGS)

soak: $(STAMPS)/test compiled ## half an hour of changes and kills, both data paths (MINUTES=n; needs root)
	@$(PY) tools/soak.py $(or $(MINUTES),30) $(SEED)

clean-host: $(STAMPS)/run ## remove what a killed lab or test left behind
	@.venv/bin/netloom clean-host

clean: ## remove the virtual environment and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build src/*.egg-info

# The hot modules, if a source has changed since. After the stamps, which make $(PY).
.NOTPARALLEL:
compiled:
	@$(PY) tools/compile_hot.py

$(STAMPS)/run: pyproject.toml setup.py constraints.txt tools/setup.sh tools/compile_hot.py
	@sh tools/setup.sh run

$(STAMPS)/test: pyproject.toml setup.py constraints.txt tools/setup.sh tools/fetch_peers.py tools/compile_hot.py
	@sh tools/setup.sh test

$(STAMPS)/bench: pyproject.toml setup.py constraints.txt tools/setup.sh tools/fetch_peers.py tools/compile_hot.py
	@sh tools/setup.sh bench

$(STAMPS)/fuzz: $(STAMPS)/test
	@$(PY) -m pip install -qq -c constraints.txt -e ".[fuzz]" && touch $@
