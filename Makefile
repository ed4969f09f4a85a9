# SPDX-License-Identifier: Apache-2.0
# The only makefile. Each folder's sources.mk adds its files to SRCS or BPF_SRCS.
# `make help` lists the targets; V=1 shows the commands; DEVELOPER=1 turns warnings into errors.

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:

VERSION ?= 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build
V ?= 0
CC = gcc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
Q = $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),@:,@printf '  %-7s %s\n')

SRCS :=
BPF_SRCS :=
include $(wildcard userspace/*/sources.mk userspace/*/*/sources.mk bpf/sources.mk)

# ---- flags ---------------------------------------------------------------------------------------
PKGS = libbpf libnl-3.0 libnl-route-3.0 jansson libhs libseccomp libcap libzstd zlib libcrypto libcurl libmicrohttpd
OPT ?= -O2 -g
WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wwrite-strings -Wvla -Wimplicit-fallthrough -Wno-unused-parameter
ifeq ($(DEVELOPER),1)
WARN += -Werror -Wformat=2 -Wno-format-nonliteral -Wundef
endif
HARDEN ?= -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
LDHARDEN ?= -pie -Wl,-z,relro,-z,now
SAN_FLAGS =
ifeq ($(SAN),address)
SAN_FLAGS = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
HARDEN = -fPIE
OPT = -O1 -g
endif
ifeq ($(SAN),thread)
SAN_FLAGS = -fsanitize=thread
HARDEN = -fPIE
OPT = -O1 -g
endif
ifeq ($(SAN),coverage)
SAN_FLAGS = --coverage
OPT = -O0 -g
endif
ifeq ($(SAN),fuzz)
CC = $(CLANG)
SAN_FLAGS = -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer
HARDEN = -fPIE
OPT = -O1 -g
endif
LLHTTP_DIR ?= /usr/share/llhttp
CPPFLAGS += -D_GNU_SOURCE -DWEIR_VERSION='"$(VERSION)"' -Iinclude -Iuserspace -I$(BUILD)/include \
	-isystem /usr/share/include/llhttp
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
ALL_CFLAGS = -std=gnu17 $(OPT) $(WARN) $(HARDEN) $(SAN_FLAGS) $(PKG_CFLAGS) $(CPPFLAGS) $(CFLAGS)
LIBS = $(shell pkg-config --libs $(PKGS) 2>/dev/null) -llmdb -lpg_query -lprotobuf-c -lpthread
ALL_LDFLAGS = $(SAN_FLAGS) $(LDHARDEN) $(LDFLAGS)

OBJS = $(SRCS:%.c=$(BUILD)/obj/%.o)
MAIN_OBJ = $(BUILD)/obj/userspace/cli/main.o
LLHTTP_OBJS = $(addprefix $(BUILD)/obj/llhttp/,api.o http.o llhttp.o)
LIB = $(BUILD)/libweir.a
SKELS = $(patsubst bpf/%.bpf.c,$(BUILD)/include/%.skel.h,$(BPF_SRCS))

.PHONY: all
all: $(BUILD)/weir ## build the weir binary and its BPF objects
.DEFAULT_GOAL := all

$(BUILD)/obj/%.o: %.c
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/obj/llhttp/%.o: $(LLHTTP_DIR)/%.c
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 $(OPT) $(HARDEN) $(SAN_FLAGS) -isystem /usr/share/include/llhttp -w -c $< -o $@

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.bpf.c bpf/*.bpf.h include/abi/*.h)
	$(say) BPF $<
	@mkdir -p $(@D)
	$(Q)$(CLANG) -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -D__bpf__ -Iinclude -Ibpf \
		-I/usr/include/$(shell gcc -print-multiarch) -c $< -o $@

$(BUILD)/include/%.skel.h: $(BUILD)/bpf/%.bpf.o
	$(say) SKEL $@
	@mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $(subst -,_,$*)_bpf > $@

$(filter $(BUILD)/obj/userspace/bpfctl/%.o,$(OBJS)): $(SKELS)

$(LIB): $(filter-out $(MAIN_OBJ),$(OBJS)) $(LLHTTP_OBJS)
	$(say) AR $@
	@rm -f $@
	$(Q)ar rcs $@ $^

$(BUILD)/weir: $(MAIN_OBJ) $(LIB)
	$(say) LINK $@
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

# ---- tests ---------------------------------------------------------------------------------------
# Every tests/unit/**/test_*.c, tests/bpf/test_*.c and tests/integration/test_*.c is a program of its
# own, linked with the library; malloc and friends are wrapped so that allocation failures can be
# played through. T=word keeps only the programs whose path has that word.
pick = $(if $(T),$(foreach p,$(1),$(if $(findstring $(T),$(p)),$(p))),$(1))
programs = $(patsubst %.c,$(BUILD)/%,$(sort $(1)))

UNIT_BINS = $(call programs,$(shell find tests/unit -name 'test_*.c'))
BPF_TEST_BINS = $(call programs,$(wildcard tests/bpf/test_*.c))
INTEGRATION_BINS = $(call programs,$(wildcard tests/integration/test_*.c))
FUZZ_BINS = $(call programs,$(wildcard tests/fuzz/fuzz_*.c))
BENCH_BINS = $(call programs,$(wildcard tests/bench/*.c))
REPLAY_OBJ = $(BUILD)/obj/tests/support/fuzz_replay.o
TEST_SUPPORT_SRCS = $(filter-out tests/support/fuzz_replay.c,$(sort $(wildcard tests/support/*.c)))
TEST_SUPPORT_OBJS = $(TEST_SUPPORT_SRCS:%.c=$(BUILD)/obj/%.o)
WRAP = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc

define link-test
$(say) LINK $@
@mkdir -p $(@D)
$(Q)$(CC) $(ALL_LDFLAGS) $(WRAP) $^ $(LIBS) -lcmocka -o $@
endef
define link-plain
$(say) LINK $@
@mkdir -p $(@D)
$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@
endef

$(BUILD)/obj/tests/%.o: CPPFLAGS += -Itests
$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(TEST_SUPPORT_OBJS) $(LIB)
	$(link-test)
$(BUILD)/tests/bpf/%: $(BUILD)/obj/tests/bpf/%.o $(TEST_SUPPORT_OBJS) $(LIB)
	$(link-test)
$(BUILD)/tests/integration/%: $(BUILD)/obj/tests/integration/%.o $(TEST_SUPPORT_OBJS) $(LIB)
	$(link-test)
$(BUILD)/tests/bench/%: $(BUILD)/obj/tests/bench/%.o $(LIB)
	$(link-plain)
$(BUILD)/tests/bench/bench_connect: LIBS += -lcmocka # it borrows the lab of tests/bpf
# Handlers' targets play their input through the harness of the unit tests.
HARNESS_OBJS = $(addprefix $(BUILD)/obj/tests/support/,proto_fuzz.o proto_golden.o proto_harness.o)
# With SAN=fuzz libFuzzer brings main; else fuzz_replay.c does, and plain gcc replays the corpus.
ifeq ($(SAN),fuzz)
$(BUILD)/tests/fuzz/%: ALL_LDFLAGS += -fsanitize=fuzzer
$(BUILD)/tests/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(HARNESS_OBJS) $(LIB)
	$(link-plain)
else
$(BUILD)/tests/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(REPLAY_OBJ) $(HARNESS_OBJS) $(LIB)
	$(link-plain)
endif

.PHONY: unit-bins test-bins bench-bins
unit-bins: $(UNIT_BINS)
test-bins: $(call pick,$(UNIT_BINS) $(FUZZ_BINS) $(INTEGRATION_BINS) $(BPF_TEST_BINS))
bench-bins: $(BENCH_BINS)
.SECONDARY:

# The scripts find the binaries that they test by WEIR_BUILD.
export WEIR_BUILD = $(abspath $(BUILD))
JOBS ?= $(shell nproc)
EXPECTED_SKIPS ?=
RUN_TESTS = tools/run-tests --log-dir $(BUILD)/test-logs $(EXPECTED_SKIPS:%=--expected-skips %)
TOOL_TESTS = $(sort $(wildcard tests/tools/test_*.sh))
INTEGRATION_SCRIPTS = $(sort $(wildcard tests/integration/test_*.sh))
E2E_SCRIPTS = $(sort $(wildcard tests/e2e/test_*.sh))
# Against real servers of their own, for minutes.
SERVER_SCRIPTS = $(addprefix tests/integration/,pg_grammar.py pg_effects.py)
HELPER_BINS = $(addprefix $(BUILD)/tests/integration/,pg_facts pg_relay)
CHECK_SUITES = --jobs $(JOBS) --timeout 300 --suite unit $(call pick,$(UNIT_BINS)) \
	--suite corpus $(call pick,$(FUZZ_BINS)) \
	--suite integration $(call pick,$(INTEGRATION_BINS) $(INTEGRATION_SCRIPTS)) \
	--suite tools $(call pick,$(TOOL_TESTS))
BPF_SUITE = --jobs 1 --timeout 300 --suite bpf $(call pick,$(BPF_TEST_BINS))
E2E_SUITE = --jobs 1 --timeout 600 --suite e2e $(call pick,$(E2E_SCRIPTS)) \
	--jobs 1 --timeout 900 --suite server $(call pick,$(SERVER_SCRIPTS))
again = $(MAKE) --no-print-directory -j$(JOBS)
give-back = @[ -z "$$SUDO_UID" ] || [ ! -d build ] || chown -R "$$SUDO_UID:$$SUDO_GID" build

.PHONY: check check-bpf check-e2e test test-run
check: all test-bins $(HELPER_BINS) ## unit, corpora, integration: no privileges, under a minute; T=word picks
	$(Q)$(RUN_TESTS) $(CHECK_SUITES)

check-bpf: all $(call pick,$(BPF_TEST_BINS)) ## root: the BPF programs in a private cgroup
	$(Q)$(RUN_TESTS) $(BPF_SUITE)

check-e2e: all $(HELPER_BINS) ## root: real servers and clients in a real cgroup; T=word picks
	$(Q)$(RUN_TESTS) $(E2E_SUITE)

test: ## everything that this machine can run, deps included; closes with the counts
	$(Q)tools/deps
	$(Q)$(again) all test-bins $(HELPER_BINS)
	$(Q)$(again) BUILD=$(BUILD)/asan SAN=address all test-bins
	$(Q)$(MAKE) --no-print-directory test-run; r=$$?; \
		[ -z "$$SUDO_UID" ] || chown -R "$$SUDO_UID:$$SUDO_GID" $(BUILD); exit $$r

test-run:
	$(Q)$(RUN_TESTS) $(CHECK_SUITES) $(BPF_SUITE) $(E2E_SUITE) \
		--jobs $(JOBS) --timeout 600 --suite asan-unit \
		$(call pick,$(UNIT_BINS:$(BUILD)/%=$(BUILD)/asan/%) $(FUZZ_BINS:$(BUILD)/%=$(BUILD)/asan/%)) \
		--jobs 1 --timeout 900 --suite asan-e2e --env WEIR_BUILD=$(abspath $(BUILD))/asan \
		$(call pick,$(E2E_SCRIPTS))

.PHONY: asan tsan valgrind coverage fuzz bench demo
asan: ## check with AddressSanitizer and UBSan, in its own build folder
	$(Q)$(again) BUILD=$(BUILD)/asan SAN=address check

tsan: ## check with ThreadSanitizer, in its own build folder
	$(Q)$(again) BUILD=$(BUILD)/tsan SAN=thread check

valgrind: test-bins ## the unit tests under valgrind
	$(Q)$(RUN_TESTS) --jobs $(JOBS) --timeout 1200 --suite valgrind \
		--wrap 'valgrind -q --error-exitcode=99 --leak-check=full' $(call pick,$(UNIT_BINS))

coverage: ## check with gcov, then covered lines by file
	$(Q)$(again) BUILD=$(BUILD)/coverage SAN=coverage check
	$(Q)tools/coverage $(BUILD)/coverage

FUZZ ?= $(patsubst fuzz_%,%,$(notdir $(FUZZ_BINS)))
TIME ?= 60
fuzz: ## libFuzzer, all targets or FUZZ=name, TIME=60 seconds each; crashes in build/crashes
	$(Q)$(again) BUILD=$(BUILD)/fuzz SAN=fuzz $(FUZZ:%=$(BUILD)/fuzz/tests/fuzz/fuzz_%)
	$(Q)for f in $(FUZZ); do tools/fuzz $(BUILD) $$f $(TIME) || exit 1; done

bench: ## ratios to a direct connection, HAProxy and PgBouncer; root
	$(Q)tools/deps
	$(Q)$(again) all bench-bins
	$(Q)tools/bench --build $(BUILD) --json $(BUILD)/bench.json --markdown $(BUILD)/bench.md
	$(give-back)

demo: ## an agent's view beside Weir's, from a fresh machine; root
	$(Q)tools/deps
	$(Q)$(again) all
	$(Q)tools/demo
	$(give-back)

# ---- upkeep --------------------------------------------------------------------------------------
C_FILES = $(shell git ls-files -co --exclude-standard 'bpf/*.[ch]' 'include/*.h' 'userspace/*.[ch]' \
	'tests/*.[ch]')
.PHONY: deps format format-check lint clean help
deps: ## install what building, testing and the demo need (Debian packages; root)
	$(Q)tools/deps

format: ## let clang-format have its way
	$(Q)clang-format -i $(C_FILES)

format-check: ## does clang-format agree?
	$(Q)clang-format --dry-run --Werror $(C_FILES)

lint: all ## floors, SPDX lines, clang-tidy, cppcheck, shellcheck, man pages
	$(Q)tools/lint --build $(BUILD) --cflags '$(ALL_CFLAGS)'

clean: ## remove the build folder
	$(Q)rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | sort | \
		while IFS="$$(printf '\t')" read -r t d; do printf '  %-13s %s\n' "$$t" "$$d"; done

# ---- install -------------------------------------------------------------------------------------
BINDIR = $(PREFIX)/bin
MANDIR = $(PREFIX)/share/man
SYSCONFDIR ?= $(if $(filter /usr /usr/local,$(PREFIX)),/etc,$(PREFIX)/etc)
COMPLETION = $(PREFIX)/share/bash-completion/completions/weir
UNIT = $(PREFIX)/lib/systemd/system/weir.service
SYSUSERS = $(PREFIX)/lib/sysusers.d/weir.conf
POLICY_DIR = $(PREFIX)/share/weir/policy
MAN_PAGES = $(wildcard docs/man/*.[158])
man-dest = $(foreach m,$(MAN_PAGES),$(MANDIR)/man$(subst .,,$(suffix $(m)))/$(notdir $(m)))
INSTALL = install

.PHONY: install uninstall dist
install: all ## DESTDIR, PREFIX: binary, man pages, completion, unit, user, policies
	$(Q)$(INSTALL) -D -m 755 $(BUILD)/weir $(DESTDIR)$(BINDIR)/weir
	$(Q)$(foreach m,$(MAN_PAGES),$(INSTALL) -D -m 644 $(m) \
		$(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(m)))/$(notdir $(m)) &&) true
	$(Q)$(INSTALL) -D -m 644 etc/weir.bash-completion $(DESTDIR)$(COMPLETION)
	$(Q)$(INSTALL) -D -m 644 etc/weir.sysusers $(DESTDIR)$(SYSUSERS)
	$(Q)$(INSTALL) -d $(dir $(DESTDIR)$(UNIT))
	$(Q)sed 's|@BINDIR@|$(BINDIR)|g' etc/weir.service.in > $(DESTDIR)$(UNIT)
	$(Q)chmod 644 $(DESTDIR)$(UNIT)
	$(Q)$(INSTALL) -d $(DESTDIR)$(POLICY_DIR) $(DESTDIR)$(SYSCONFDIR)/weir/policy.d
	$(Q)$(INSTALL) -m 644 policy/*.json $(DESTDIR)$(POLICY_DIR)

uninstall: ## what install put there, and nothing of the operator's
	$(Q)rm -f $(addprefix $(DESTDIR),$(BINDIR)/weir $(man-dest) $(COMPLETION) $(SYSUSERS) $(UNIT))
	$(Q)rm -rf $(DESTDIR)$(PREFIX)/share/weir
	$(Q)rmdir $(DESTDIR)$(SYSCONFDIR)/weir/policy.d $(DESTDIR)$(SYSCONFDIR)/weir 2>/dev/null || true

dist: ## the committed tree as build/weir-VERSION.tar.gz
	$(Q)mkdir -p $(BUILD)
	$(Q)git archive --prefix=weir-$(VERSION)/ -o $(BUILD)/weir-$(VERSION).tar.gz HEAD

-include $(OBJS:.o=.d) $(shell find $(BUILD)/obj/tests -name '*.d' 2>/dev/null)
