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
PKGS = libbpf libnl-3.0 libnl-route-3.0 jansson libseccomp libcap libzstd libcrypto
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

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.bpf.h include/abi/*.h)
	$(say) BPF $<
	@mkdir -p $(@D)
	$(Q)$(CLANG) -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -D__bpf__ -Iinclude -Ibpf \
		-I/usr/include/$(shell gcc -print-multiarch) -c $< -o $@

$(BUILD)/include/%.skel.h: $(BUILD)/bpf/%.bpf.o
	$(say) SKEL $@
	@mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $(subst -,_,$*)_bpf > $@

$(BUILD)/obj/userspace/bpfctl/%.o: $(SKELS)

$(LIB): $(filter-out $(MAIN_OBJ),$(OBJS)) $(LLHTTP_OBJS)
	$(say) AR $@
	@rm -f $@
	$(Q)ar rcs $@ $^

$(BUILD)/weir: $(MAIN_OBJ) $(LIB)
	$(say) LINK $@
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

# ---- tests ---------------------------------------------------------------------------------------
# Every tests/unit/**/test_*.c and tests/bpf/test_*.c is a program of its own, linked with the
# library; malloc and friends are wrapped so that allocation failures can be played through.
UNIT_SRCS = $(shell find tests/unit -name 'test_*.c' | sort)
UNIT_BINS = $(UNIT_SRCS:%.c=$(BUILD)/%)
BPF_TEST_SRCS = $(sort $(wildcard tests/bpf/test_*.c))
BPF_TEST_BINS = $(BPF_TEST_SRCS:%.c=$(BUILD)/%)
TEST_SUPPORT_SRCS = $(sort $(wildcard tests/support/*.c))
TEST_SUPPORT_OBJS = $(TEST_SUPPORT_SRCS:%.c=$(BUILD)/obj/%.o)
WRAP = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc

$(BUILD)/obj/tests/%.o: CPPFLAGS += -Itests
$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(TEST_SUPPORT_OBJS) $(LIB)
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) $(WRAP) $^ $(LIBS) -lcmocka -o $@
$(BUILD)/tests/bpf/%: $(BUILD)/obj/tests/bpf/%.o $(TEST_SUPPORT_OBJS) $(LIB)
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) $(WRAP) $^ $(LIBS) -lcmocka -o $@

.PHONY: unit-bins
unit-bins: $(UNIT_BINS)
.SECONDARY:

-include $(OBJS:.o=.d) $(shell find $(BUILD)/obj/tests -name '*.d' 2>/dev/null)
