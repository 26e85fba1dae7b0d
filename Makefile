# ferrod: `make run` serves, `make test` proves, `make help` lists the rest.
#
# VARIANT=release|debug|asan|tsan chooses build/<variant>/. CC may be gcc or clang. Nothing here looks at
# the machine before a recipe needs it, so `make deps` works where only make and a package manager exist.

VARIANT ?= release
BUILD ?= build/$(VARIANT)
ARGS ?=
PYTHON ?= /usr/bin/python3
ifeq ($(origin CC),default)
CC := gcc
endif
AR ?= ar
PKG_CONFIG ?= pkg-config

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# ---- flags -------------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wwrite-strings -Wformat=2 -Wundef -Wvla -Wswitch-enum -Wnull-dereference \
	-Wimplicit-fallthrough -Werror

HARDENING = -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection \
	$(if $(filter x86_64 i%86,$(ARCH)),-fcf-protection)
ARCH = $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))

FLAGS_release = -O2 -g $(HARDENING)
FLAGS_debug = -Og -g3
FLAGS_asan = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FLAGS_tsan = -O1 -g -fsanitize=thread -fno-omit-frame-pointer
FLAGS_fuzz = -O1 -g -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all -fno-omit-frame-pointer
FLAGS_fault = $(FLAGS_asan) -DFERROD_FAULTS
# libpq's calls that the fault build makes fail (store/driver/postgres/fault_postgres.c)
FAULT_CALLS := PQsendQuery PQsendQueryParams PQsendPrepare PQsendQueryPrepared PQconsumeInput PQflush PQpipelineSync PQsendPipelineSync \
	PQsendClosePrepared \
	PQenterPipelineMode PQsetnonblocking PQconnectStartParams PQconnectPoll PQputCopyData PQputCopyEnd
LDFLAGS_fault = $(patsubst %,-Wl$(comma)--wrap=%,$(FAULT_CALLS))
comma := ,
ifeq ($(filter $(VARIANT),release debug asan tsan fuzz fault),)
$(error VARIANT is release, debug, asan or tsan, not "$(VARIANT)")
endif

PKGS := libmicrohttpd gnutls jansson libpq sqlite3 zlib libzstd
PKG_CFLAGS = $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags $(PKGS)))
PKG_LIBS = $(shell $(PKG_CONFIG) --libs $(PKGS))

ALL_CPPFLAGS = -D_GNU_SOURCE -I. $(PKG_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS = -std=c11 $(WARNINGS) $(FLAGS_$(VARIANT)) -fPIE -pthread $(CFLAGS)
ALL_LDFLAGS = $(filter -fsanitize=%,$(FLAGS_$(VARIANT))) -pie -Wl,-z,relro,-z,now -pthread $(LDFLAGS_$(VARIANT)) $(LDFLAGS)
ALL_LIBS = $(PKG_LIBS) -lm $(LIBS)

# ---- files -------------------------------------------------------------------------------------------

SRC := $(sort $(shell find service handlers store openapi -name '*.[cS]' 2>/dev/null))
OBJ := $(patsubst %,$(BUILD)/obj/%.o,$(basename $(SRC)))
LIB_OBJ := $(filter-out $(BUILD)/obj/service/main.o,$(OBJ))
LIB := $(BUILD)/libferrod.a
BIN := $(BUILD)/ferrod

# Every tests/{unit,golden}/**/test_*.c is one cmocka program, every tests/fuzz/fuzz_*.c one replay program;
# what they share is tests/support/*.c.
TEST_SRC := $(sort $(shell find tests/unit tests/golden -name 'test_*.c' 2>/dev/null))
TEST_BIN := $(patsubst tests/%.c,$(BUILD)/tests/%,$(TEST_SRC))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_BIN := $(patsubst tests/%.c,$(BUILD)/tests/%,$(FUZZ_SRC))
SUPPORT_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out tests/support/replay_main.c,$(wildcard tests/support/*.c)))
REPLAY_OBJ := $(BUILD)/obj/tests/support/replay_main.o

# How far a first build is: each object that is not there yet counts. What is only compiled anew has no number.
ABSENT := $(words $(filter-out $(wildcard $(OBJ)),$(OBJ)))
STEP = $(eval DONE += .)$(if $(filter $(words $(DONE)),$(wordlist 1,$(ABSENT),$(NUMBERS))),[$(words $(DONE))/$(ABSENT)] )
NUMBERS := $(shell seq 1 $(words $(OBJ)))

# ---- build -------------------------------------------------------------------------------------------

.PHONY: build tests
build: $(BIN) ## compile build/<variant>/ferrod
tests: $(TEST_BIN) $(FUZZ_BIN) ## compile the unit, golden and fuzz replay programs

# Objects depend on the command that makes them: another compiler or flag recompiles.
FLAGS_FILE := $(BUILD)/flags
FLAGS_NOW = $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(ALL_LIBS)
.PHONY: FORCE
$(FLAGS_FILE): FORCE
	@$(PKG_CONFIG) --exists $(PKGS) 2>/dev/null || { \
		echo "ferrod: libraries or pkg-config are missing ($(PKGS)): run make deps" >&2; exit 1; }
	@mkdir -p $(@D)
	@echo '$(FLAGS_NOW)' | cmp -s - $@ || echo '$(FLAGS_NOW)' > $@

$(BUILD)/obj/%.o: %.c $(FLAGS_FILE)
	@mkdir -p $(@D)
	@echo '  CC   $(STEP)$<'
	@$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/obj/%.o: %.S $(FLAGS_FILE)
	@mkdir -p $(@D)
	@echo '  AS   $<'
	@$(CC) $(ALL_CPPFLAGS) -fPIE -I$(BUILD)/gen -MMD -MP -c -o $@ $<

# The API description travels in the binary: the YAML as it is, its JSON forms made here; so does the docs page.
$(BUILD)/obj/openapi/assets.o: openapi/openapi.yaml $(BUILD)/gen/openapi.json $(BUILD)/gen/openapi-3.0.json \
	$(wildcard openapi/docs/*)
$(BUILD)/gen/openapi.json: openapi/openapi.yaml openapi/to_json.py
	@mkdir -p $(@D)
	@echo '  JSON $<'
	@$(PYTHON) openapi/to_json.py $< $@
$(BUILD)/gen/openapi-3.0.json: openapi/openapi.yaml openapi/to_json.py
	@mkdir -p $(@D)
	@echo '  JSON $<'
	@$(PYTHON) openapi/to_json.py --3.0 $< $@

# Rebuilt whole, and whenever the list of objects changes, so that no removed file lingers.
$(BUILD)/objects: FORCE
	@mkdir -p $(@D)
	@echo '$(LIB_OBJ)' | cmp -s - $@ || echo '$(LIB_OBJ)' > $@
$(LIB): $(LIB_OBJ) $(BUILD)/objects
	@rm -f $@.new
	@$(AR) rcs $@.new $(LIB_OBJ) && mv $@.new $@

$(BIN): $(BUILD)/obj/service/main.o $(LIB)
	@echo '  LINK $@'
	@$(CC) $(ALL_LDFLAGS) -o $@.new $^ $(ALL_LIBS) && mv $@.new $@

$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(SUPPORT_OBJ) $(LIB)
	@mkdir -p $(@D)
	@echo '  LINK $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(ALL_LIBS)
$(BUILD)/tests/golden/%: $(BUILD)/obj/tests/golden/%.o $(SUPPORT_OBJ) $(LIB)
	@mkdir -p $(@D)
	@echo '  LINK $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(ALL_LIBS)
$(BUILD)/tests/bench/%: $(BUILD)/obj/tests/bench/%.o $(LIB)
	@mkdir -p $(@D)
	@echo '  LINK $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LIBS)
$(BUILD)/tests/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(REPLAY_OBJ) $(LIB)
	@mkdir -p $(@D)
	@echo '  LINK $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LIBS)

.PRECIOUS: $(BUILD)/obj/%.o $(BUILD)/gen/%
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# ---- run and test ------------------------------------------------------------------------------------
# These install first and build in a second make: what pkg-config says is only known after the first.

RUN_TESTS = $(PYTHON) -B tests/support/run_tests.py --build $(BUILD)

.PHONY: run test unit golden api isolation soak lint fuzz-replay asan tsan faults bench bench-json profile
run: ## install what is missing, build, serve (ARGS="--listen 127.0.0.1:9000")
	@.ci/deps run
	@$(MAKE) --no-print-directory -j$$(nproc 2>/dev/null || echo 2) build
	@exec $(PYTHON) -B service/dist/run.py $(BIN) $(ARGS)

test: ## install what is missing, build, run every suite; the last line is the total
	@.ci/deps run test
	@$(MAKE) --no-print-directory -j$$(nproc 2>/dev/null || echo 2) build tests
	@$(RUN_TESTS) unit golden fuzz lint api isolation browser

unit golden: build tests ## only tests/unit, only tests/golden
	@$(RUN_TESTS) $@
# Coverage-guided (libFuzzer): each target FUZZ_SECONDS, starting from the stored corpus; new inputs stay in build/.
FUZZ_SECONDS ?= 60
FUZZERS = $(patsubst tests/fuzz/fuzz_%.c,%,$(FUZZ_SRC))
.PHONY: fuzz fuzzers
fuzz: ## fuzz every target for FUZZ_SECONDS (60)
	@.ci/deps run fuzz
	@$(MAKE) --no-print-directory VARIANT=fuzz CC=clang fuzzers
	@set -e; for t in $(FUZZERS); do \
		mkdir -p build/fuzz/corpus/$$t build/fuzz/found; \
		echo "fuzz_$$t: $(FUZZ_SECONDS) s"; \
		build/fuzz/fuzz_$$t -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -print_final_stats=0 -verbosity=0 \
			-artifact_prefix=build/fuzz/found/ build/fuzz/corpus/$$t tests/fuzz/corpus/$$t; \
	done
fuzzers: $(LIB)
	@set -e; for t in $(FUZZERS); do \
		$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -fsanitize=fuzzer -o build/fuzz/fuzz_$$t tests/fuzz/fuzz_$$t.c $(LIB) $(ALL_LIBS); \
	done

fuzz-replay: tests ## feed the stored fuzz corpus to the fuzz targets
	@$(RUN_TESTS) fuzz
lint: build ## tables in code against documents, layers, file and function lengths
	@$(RUN_TESTS) lint
api: build ## black-box tests over HTTP (T="tests/api/test_x.py -k name" for some of them)
	@$(RUN_TESTS) api -- $(T)

.PHONY: long-test
long-test: build ## the tests that are many of a kind and take long, which make test leaves out
	@FERROD_TESTS=long $(RUN_TESTS) api --

.PHONY: differential
differential: build ## random queries against an evaluator of the tests' own: 10,000 a database
	@FERROD_DIFF_QUERIES=$${FERROD_DIFF_QUERIES:-10000} $(RUN_TESTS) api -- tests/api/test_differential.py

.PHONY: browser-test
browser-test: ## the docs page and console in headless Chromium, installed if missing (make test: only if it is there)
	@.ci/deps run test browser
	@$(MAKE) --no-print-directory build
	@$(RUN_TESTS) browser

isolation: build ## interleavings of sessions and transactions, and a short soak (FERROD_ISOLATION=all: every interleaving)
	@$(RUN_TESTS) isolation
soak: build ## money moves for ten minutes while clients and backends die, identity maps for ten (FERROD_SOAK_SECONDS, FERROD_SOAK_VANISH, FERROD_MATRIX_SECONDS)
	@FERROD_BIN=$(abspath $(BIN)) $(PYTHON) -B -u tests/soak/soak.py --seconds $${FERROD_SOAK_SECONDS:-600} \
		--vanish $${FERROD_SOAK_VANISH:-20000}
	@FERROD_BIN=$(abspath $(BIN)) $(PYTHON) -B -u tests/soak/identity.py --seconds $${FERROD_MATRIX_SECONDS:-600}

.PHONY: clients-test
clients-test: ## public linters over the API description; generated clients (TypeScript, Go, Java, Rust, Python) drive the server
	@.ci/deps run test clients
	@$(MAKE) --no-print-directory build
	@$(PYTHON) -B tests/clients/run.py --build $(BUILD)

.PHONY: nodes-test
nodes-test: ## several nodes behind HAProxy are drained, killed, paused (SECONDS=300 BEFORE=older-binary ONLY=1,2,... LAME=--lame)
	@.ci/deps run test nodes
	@$(MAKE) --no-print-directory build
	@FERROD_BIN=$(abspath $(BIN)) $(PYTHON) -B -u tests/nodes/run.py --seconds $(or $(SECONDS),300) $(if $(ONLY),--only $(ONLY)) \
		$(if $(BEFORE),--before $(BEFORE)) $(LAME)

.PHONY: docker-test
docker-test: ## build the Dockerfile without an engine, run it read-only, compose file, HAProxy pair and Kubernetes file too (root; BASE_TREE=)
	@.ci/deps run test docker
	@$(MAKE) --no-print-directory build
	@$(PYTHON) -B tests/docker/run.py --build $(BUILD) $(if $(BASE_TREE),--base $(BASE_TREE))

.PHONY: foreign-test
foreign-test: ## what others made judges the server: llhttp's request cases, schemathesis' coverage phase (PART=framing|coverage|tools)
	@.ci/deps run test foreign
	@$(MAKE) --no-print-directory build
	@$(PYTHON) -B tests/foreign/run.py --build $(BUILD) $(if $(PART),--only $(PART))

# Other systems, in roots that debootstrap makes; what has been loaded stays in ROOTS (build/roots).
ROOTS ?= build/roots
SYSTEMS = ROOTS=$(ROOTS) $(PYTHON) -B tests/systems/run.py
.PHONY: debian13-test first-page-test arm64-test
debian13-test: ## the suites of make test in a Debian 13 root, with its compiler, libraries and PostgreSQL (root; T="api -- tests/api/test_x.py", T="foreign framing coverage")
	@.ci/deps systems
	@$(SYSTEMS) suite --release trixie -- $(T)
first-page-test: ## README's first page from git clone on Debian 12 and 13, as root and as a user (root)
	@.ci/deps systems
	@$(SYSTEMS) first-page --release bookworm --release trixie
arm64-test: ## cross-built for aarch64, unit and golden tests under qemu-user, in a Debian 13 root (root)
	@.ci/deps systems
	@$(SYSTEMS) arm64

.PHONY: metrics-test
metrics-test: ## promtool judges a live /metrics on which both databases have left their marks, and the alerts
	@.ci/deps run test metrics
	@$(MAKE) --no-print-directory build
	@FERROD_BIN=$(abspath $(BIN)) $(PYTHON) -B tests/support/metrics.py

.PHONY: migrate-large
migrate-large: build ## migrate a table of a million rows on both databases, the daemon's memory watched
	@FERROD_TEST_MIGRATE_ROWS=1000000 $(RUN_TESTS) api -- tests/api/test_migrate_together.py -k large

asan: ## everything under AddressSanitizer and UndefinedBehaviorSanitizer, the load of 200 clients for half a minute a database
	@FERROD_LOAD_SECONDS=$${FERROD_LOAD_SECONDS:-60} $(MAKE) --no-print-directory test VARIANT=asan
faults: ## allocations and driver calls fail one by one through the API paths, under the address sanitizer
	@.ci/deps run test
	@$(MAKE) --no-print-directory build VARIANT=fault
	@FERROD_BIN=build/fault/ferrod $(PYTHON) -B -m pytest -c tests/pytest.ini --rootdir=tests -q tests/fault/test_injected.py
tsan: ## everything under ThreadSanitizer
	@$(MAKE) --no-print-directory test VARIANT=tsan

bench: ## the performance bars (BARS=http,sqlite,write,pg,lanes,bulk,stream,memory,scale,asking,large,held ROUNDS=5)
	@.ci/deps run bench
	@$(MAKE) --no-print-directory build
	@$(PYTHON) -B tests/bench/bench.py --bin $(BIN)

bench-json: $(BUILD)/tests/bench/json_readers ## what readers of JSON cost, against jansson alone
	@$<

profile: ## where a request's instructions go (REQUEST=hello|get|hit|query|rows|insert|raw|batch|pgget|pgquery|pgrows|pginsert), under callgrind
	@.ci/deps run bench
	@$(MAKE) --no-print-directory build
	@$(PYTHON) -B tests/bench/profile.py $(BIN)

# ---- the rest ----------------------------------------------------------------------------------------

FORMATTED = $(shell find service handlers store tests -name '*.[ch]')

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
UNITDIR ?= $(PREFIX)/lib/systemd/system
.PHONY: install
install: build ## binary, manual page, systemd units, completions, alerts and examples (DESTDIR=, PREFIX=/usr/local)
	@$(PYTHON) -B service/dist/man.py $(BIN) $(BUILD)/gen/ferrod.8
	install -D -m 755 $(BIN) $(DESTDIR)$(BINDIR)/ferrod
	install -D -m 644 $(BUILD)/gen/ferrod.8 $(DESTDIR)$(PREFIX)/share/man/man8/ferrod.8
	install -D -m 644 service/dist/ferrod.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ferrod
	install -D -m 644 service/dist/_ferrod $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_ferrod
	install -D -m 644 service/dist/ferrod.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/ferrod.fish
	install -D -m 644 service/dist/ferrod.socket $(DESTDIR)$(UNITDIR)/ferrod.socket
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/ferrod service/dist/haproxy.cfg service/dist/kubernetes.yaml \
		service/dist/alerts.yml service/dist/dashboard.json
	sed 's|@BINDIR@|$(BINDIR)|' service/dist/ferrod.service > $(BUILD)/gen/ferrod.service
	install -D -m 644 $(BUILD)/gen/ferrod.service $(DESTDIR)$(UNITDIR)/ferrod.service

.PHONY: check fmt layers valgrind tidy deps clean help
check: ## all that a change must pass: layers, format, both compilers, static analysis, sanitizers, valgrind
	@.ci/deps run test check
	@$(MAKE) --no-print-directory layers
	@clang-format --dry-run -Werror $(FORMATTED)
	@echo 'format: clean'
	@$(MAKE) --no-print-directory build tests CC=gcc
	@$(MAKE) --no-print-directory build tests CC=clang BUILD=build/clang
	@$(MAKE) --no-print-directory tidy
	@$(MAKE) --no-print-directory long-test
	@$(MAKE) --no-print-directory valgrind
	@$(MAKE) --no-print-directory asan
	@echo 'check: clean'

# Each file's verdict is kept by what it rests on; TIDY_CACHE may be a folder that several checkouts share.
TIDY_CACHE ?= build/tidy
TIDY_JOBS ?= $(shell nproc 2>/dev/null || echo 2)
tidy: ## static analysis (clang-tidy with the path-sensitive checks) of what has changed
	@$(PYTHON) -B tests/lint/tidy.py --cache $(TIDY_CACHE) --jobs $(TIDY_JOBS) $(filter %.c,$(SRC)) -- -std=c11 $(ALL_CPPFLAGS)

valgrind: build tests ## the unit and golden programs under valgrind
	@$(RUN_TESTS) --valgrind unit golden

fmt: ## clang-format every C file in place
	@clang-format -i $(FORMATTED)

layers: ## who includes whom, banned calls, lengths
	@$(PYTHON) -B tests/lint/layers.py

deps: ## install the packages that run, test and check need
	@.ci/deps run test check

clean: ## remove build/
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z0-9 -]*:.*## /{printf "  make %-15s %s\n", $$1, $$2}' Makefile
	@echo '  VARIANT=release|debug|asan|tsan   CC=gcc|clang   ARGS="..." for run'
