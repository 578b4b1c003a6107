# SPDX-License-Identifier: MIT
# eefs: hand-written, parallel, with dependency tracking. `make help` lists the targets.

SHELL   := /bin/bash
VERSION := 0.1.0
CC      ?= gcc
PREFIX  ?= /usr
DESTDIR ?=
SAN     ?=
WERROR  ?=
PYTEST  ?= pytest-3
V       ?=
ifeq ($(filter -j% --jobserver%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc)
endif
# $(call say,WORD) before a command: "WORD target" instead of the command, unless V=1.
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $@;)

B       := build$(if $(SAN),/san-$(SAN))

PKGS    := fuse3 libcurl sqlite3 libmicrohttpd libzstd libcrypto jansson libmariadb libutf8proc zlib
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)

WARN := -Wall -Wextra -Wformat=2 -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
  -Wcast-qual -Wwrite-strings -Wvla -Wundef -Wredundant-decls -Wimplicit-fallthrough \
  -Wnull-dereference -Wconversion -Wno-sign-conversion -Wdouble-promotion $(if $(WERROR),-Werror)
CPPFLAGS += -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=314 \
  -DEEFS_VERSION='"$(VERSION)"' $(PKG_CFLAGS)
CFLAGS  ?= -O2 -g
HARDEN  := -fstack-protector-strong -fstack-clash-protection -fPIE
LDHARD  := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
ifeq ($(SAN),)
HARDEN  += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
else ifeq ($(SAN),address)
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1
else ifeq ($(SAN),thread)
SANFLAGS := -fsanitize=thread -fno-omit-frame-pointer -O1
else ifeq ($(SAN),fuzzer)
CC       := clang
SANFLAGS := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -O1
else
$(error SAN is address or thread (fuzzer is for `make fuzz`))
endif
ALL_CFLAGS  = -std=gnu11 $(CFLAGS) $(WARN) $(HARDEN) $(SANFLAGS)
ALL_LDFLAGS = $(LDFLAGS) $(LDHARD) $(SANFLAGS) -pthread

# --- rooms ------------------------------------------------------------------------------------------
# A room is a folder, and its units are the .c files in it. SEES_<room>: the rooms (or single headers) that
# it may include and call besides itself; a new room is one such line. tests/check-layers holds it up.

BASE := sync/common sync/proto
SEES_sync/common :=
SEES_sync/proto  := sync/common
SEES_sync/status := $(BASE)
SEES_sync/dns    := $(BASE)

# db <- folder <- publish <- ops <- commit <- { scan, versions, http, recovery } <- control <- serve.c, main.c
M := sync/master
M_GROUND := $(BASE) $(M)/master.h
M_LOWER  := $(M_GROUND) $(M)/db $(M)/folder $(M)/publish $(M)/ops $(M)/commit
SEES_$(M)/db       := $(BASE)
SEES_$(M)/folder   := $(BASE) $(M)/db
SEES_$(M)/publish  := $(M_GROUND) $(M)/db $(M)/folder
SEES_$(M)/ops      := $(M_GROUND) $(M)/db $(M)/folder $(M)/publish
SEES_$(M)/commit   := $(M_GROUND) $(M)/db $(M)/folder $(M)/publish $(M)/ops
SEES_$(M)/scan     := $(M_LOWER)
SEES_$(M)/versions := $(M_LOWER)
SEES_$(M)/http     := $(M_LOWER)
SEES_$(M)/recovery := $(M_LOWER)
SEES_$(M)/control  := $(M_LOWER) $(M)/scan $(M)/versions $(M)/http $(M)/recovery
SEES_$(M)/cli      := $(BASE) $(M)/db
SEES_$(M)          := $(M_LOWER) $(M)/scan $(M)/versions $(M)/http $(M)/control $(M)/cli

# { store, replica } <- transfer <- control <- mirror.c
R := sync/mirror
SEES_$(R)/store    := $(BASE)
SEES_$(R)/replica  := $(BASE)
SEES_$(R)/transfer := $(BASE) $(R)/config.h $(R)/store $(R)/replica
SEES_$(R)/control  := $(BASE) $(R)/config.h $(R)/store $(R)/replica $(R)/transfer
SEES_$(R)          := $(BASE) $(R)/store $(R)/replica $(R)/transfer $(R)/control

# file <- ops <- mount <- main.c
MIRROR := sync/common $(R)/mirror.h $(R)/replica/replica.h $(R)/store/store.h
SEES_fs/file  := $(MIRROR)
SEES_fs/ops   := $(MIRROR) fs/file
SEES_fs/mount := $(MIRROR) fs/file fs/ops
SEES_fs       := $(MIRROR) fs/file fs/ops fs/mount

# sql <- dump <- server <- compare <- plan <- apply <- importer; record: seen from plan on
Q := sqlimport
SEES_$(Q)/sql      := sync/common
SEES_$(Q)/dump     := sync/common $(Q)/sql
SEES_$(Q)/server   := sync/common $(Q)/sql $(Q)/dump
SEES_$(Q)/compare  := $(SEES_$(Q)/server) $(Q)/server
SEES_$(Q)/record   := sync/common $(Q)/sql $(Q)/dump
SEES_$(Q)/plan     := $(SEES_$(Q)/compare) $(Q)/compare $(Q)/record
SEES_$(Q)/apply    := $(SEES_$(Q)/plan) $(Q)/plan
SEES_$(Q)/importer := $(SEES_$(Q)/apply) $(Q)/apply
SEES_$(Q)/sqldump  := $(SEES_$(Q)/server) $(Q)/server

# Libraries of a room and of those in folders below it.
PKGS_sync/common := sqlite3 libcrypto jansson
PKGS_sync/proto  := libcurl libmicrohttpd libzstd
PKGS_sync/master := libutf8proc
PKGS_sync/mirror := libzstd
PKGS_fs          := fuse3
PKGS_sqlimport   := libmariadb zlib libzstd

ROOMS := $(sort $(patsubst SEES_%,%,$(filter SEES_%,$(.VARIABLES))))
PKGS_OF := $(patsubst PKGS_%,%,$(filter PKGS_%,$(.VARIABLES)))

# NEED_<room>: the rooms that a program with it is linked with: itself, those that it sees, and so on.
# A header that is seen brings the room of its unit.
seen_room = $(filter-out %.h,$(1)) $(if $(filter %.h,$(1)),$(patsubst %/,%,$(dir $(wildcard $(1:.h=.c)))))
seen = $(sort $(1) $(foreach d,$(1),$(foreach s,$(SEES_$(d)),$(call seen_room,$(s)))))
need = $(if $(filter-out $(1),$(seen)),$(call need,$(seen)),$(1))
$(foreach d,$(ROOMS),$(eval NEED_$(d) := $(call need,$(d))))

src = $(sort $(foreach d,$(1),$(wildcard $(d)/*.c)))
obj = $(patsubst %.c,$(B)/%.o,$(call src,$(1)))
lib = $(if $(strip $(1)),$(shell pkg-config --libs $(1) 2>/dev/null))
pkgs = $(sort $(foreach p,$(PKGS_OF),$(if $(filter $(p) $(p)/%,$(1)),$(PKGS_$(p)))))

.PHONY: rooms
rooms: ## the rooms, and what each may include and call
	@$(foreach d,$(ROOMS),echo '$(d): $(sort $(SEES_$(d)))';)

# --- programs: the main of each, which lies in the room that the program is made of --------------------

PROGRAMS := eefs-master mount.eefs eefs-status eefs-dns eefs-sqlimport eefs-sqldump
MAIN_eefs-master    := sync/master/main.c
MAIN_mount.eefs     := fs/main.c
MAIN_eefs-status    := sync/status/main.c
MAIN_eefs-dns       := sync/dns/main.c
MAIN_eefs-sqlimport := sqlimport/importer/main.c
MAIN_eefs-sqldump   := sqlimport/sqldump/main.c
MAIN_OBJS := $(foreach p,$(PROGRAMS),$(B)/$(MAIN_$(p):.c=.o))

room_of   = $(patsubst %/,%,$(dir $(MAIN_$(1))))
room_objs = $(filter-out $(MAIN_OBJS),$(call obj,$(1)))

BINS := $(addprefix $(B)/bin/,$(PROGRAMS))

.PHONY: all
all: $(BINS) ## build the programs into build/bin (SAN=address|thread: build/san-…/bin; V=1 shows commands)

define program
OBJ_$(1) = $$(call room_objs,$$(NEED_$(call room_of,$(1)))) $$(B)/$$(MAIN_$(1):.c=.o)
$$(B)/bin/$(1): $$(OBJ_$(1))
	@mkdir -p $$(@D)
	$$(call say,LINK)$$(CC) $$(ALL_LDFLAGS) -o $$@ $$(OBJ_$(1)) $$(call lib,$$(call pkgs,$$(NEED_$(call room_of,$(1)))))
endef
$(foreach p,$(PROGRAMS),$(eval $(call program,$(p))))

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# --- small C programs of the tests -------------------------------------------------------------------
# tests/unit/test_NOUN.c (cmocka) and tests/fuzz/fuzz_NOUN.c (libFuzzer) are linked with the rooms
# whose headers they include, and with what those rooms need; so one room can be tested while
# another does not compile.

UNIT_SRCS  := $(wildcard tests/unit/test_*.c)
FUZZ_SRCS  := $(wildcard tests/fuzz/fuzz_*.c)
UNIT_BINS  := $(UNIT_SRCS:%.c=$(B)/%)
FUZZ_BINS  := $(FUZZ_SRCS:%.c=$(B)/%)
HELP_SRCS  := $(wildcard tests/bench/*.c tests/integration/*.c)
HELPERS    := $(HELP_SRCS:%.c=$(B)/%)
PRELOADS   := $(patsubst %.c,$(B)/%.so,$(wildcard tests/preload/*.c))

test_rooms = $(or $(sort $(foreach d,$(filter $(ROOMS),$(patsubst %/,%,$(dir $(shell \
  sed -n 's/^ *\#include "\(.*\)".*/\1/p' $(1))))),$(NEED_$(d)))),sync/common)

define test_program
ROOMS_$(1) := $(call test_rooms,$(1))
$(1:%.c=$(B)/%): $(1:%.c=$(B)/%.o) $$(call room_objs,$$(ROOMS_$(1))) $(2)
	$$(call say,LINK)$$(CC) $$(ALL_LDFLAGS) -o $$@ $$(filter %.o,$$^) $$(call lib,$$(call pkgs,$$(ROOMS_$(1)))) $(3)
endef
$(foreach t,$(UNIT_SRCS),$(eval $(call test_program,$(t),,-lcmocka)))
# Everywhere but in the fuzzer build a target only replays its corpus (tests/fuzz/replay.c).
$(foreach t,$(FUZZ_SRCS),$(eval $(call test_program,$(t),$(if $(filter fuzzer,$(SAN)),,$(B)/tests/fuzz/replay.o),\
  $(if $(filter fuzzer,$(SAN)),-fsanitize=fuzzer))))

$(foreach t,$(HELP_SRCS),$(eval $(call test_program,$(t),,$(if $(filter tests/bench/floor.c,$(t)),$(call lib,fuse3)))))

# tests/preload/NOUN.c: libraries that stand between a program and the C library (LD_PRELOAD).
$(PRELOADS): $(B)/%.so: %.c
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(CPPFLAGS) -std=gnu11 $(CFLAGS) $(WARN) -U_FORTIFY_SOURCE -fPIC -shared -o $@ $<

.PHONY: unit-bins fuzz-bins helpers
unit-bins: $(UNIT_BINS)
fuzz-bins: $(FUZZ_BINS)
helpers: $(HELPERS) $(PRELOADS)

# --- tests -------------------------------------------------------------------------------------------
# TESTS: files or folders for pytest, K: pytest's -k, MARK: pytest's -m.

TESTS ?= tests/integration
MARK  ?= not long

.PHONY: test unit integration test-long demo bench fuzz doc check-doc lint
test: unit integration ## unit and integration tests; ends with the runners' summaries

unit: $(UNIT_BINS) $(FUZZ_BINS) ## unit tests, and the fuzz targets over their corpus
	@tests/unit/run $(UNIT_BINS) $(FUZZ_BINS)

integration: $(BINS) $(HELPERS) $(PRELOADS) | unit ## tests with real mounts and servers (TESTS=… K=… MARK=…)
	EEFS_BIN=$(abspath $(B)/bin) PYTHONDONTWRITEBYTECODE=1 \
	  $(PYTEST) -q -rs -p no:cacheprovider -m '$(MARK)' $(if $(K),-k '$(K)') $(TESTS)

test-long: ## all tests, those marked "long" too
	$(MAKE) test MARK='long or not long'

demo: $(BINS) ## a site, a master and two mirrors in a private folder, step by step (KEEP=1 leaves it running)
	EEFS_BIN=$(abspath $(B)/bin) PYTHONDONTWRITEBYTECODE=1 python3 tests/demo/demo.py

bench: $(BINS) $(HELPERS) ## figures: latency, first sync against rsync, hot paths against the disk's filesystem
	EEFS_BIN=$(abspath $(B)/bin) PYTHONDONTWRITEBYTECODE=1 python3 tests/bench/bench.py $(BENCH)

FUZZ_SECONDS ?= 60
fuzz: $(BINS) $(HELPERS) ## run each libFuzzer target (needs clang), and dumps against a MariaDB, for FUZZ_SECONDS; new inputs go to build/fuzz-corpus
	EEFS_BIN=$(abspath $(B)/bin) PYTHONDONTWRITEBYTECODE=1 python3 tests/fuzz/judge.py --seconds $(FUZZ_SECONDS)
	$(MAKE) SAN=fuzzer fuzz-bins
	@for t in $(notdir $(FUZZ_SRCS:.c=)); do \
	  mkdir -p build/fuzz-corpus/$$t; \
	  echo "== $$t"; build/san-fuzzer/tests/fuzz/$$t -max_total_time=$(FUZZ_SECONDS) \
	    -artifact_prefix=build/fuzz-corpus/ build/fuzz-corpus/$$t tests/fuzz/corpus/$${t#fuzz_} || exit 1; \
	done

C_FILES := $(wildcard $(addsuffix /*.[ch],$(ROOMS)) tests/unit/*.[ch] tests/fuzz/*.[ch] tests/bench/*.[ch] \
  tests/integration/*.[ch] tests/preload/*.[ch])

# From the option tables: options.md, man pages (with the text in packaging/man), completions of shells.
OPTIONS_MD  := packaging/doc/options.md
GENERATE    := packaging/doc/generate
MAN_PAGES   := $(patsubst packaging/%,$(B)/%,$(wildcard packaging/man/*.[0-9]))
COMPLETIONS := $(foreach s,bash zsh,$(PROGRAMS:%=$(B)/completion/%.$(s)))

$(B)/man/%: packaging/man/% $(GENERATE) $(BINS)
	@mkdir -p $(@D)
	$(call say,MAN)$(GENERATE) man $(B)/bin $* > $@.new && mv $@.new $@

$(COMPLETIONS): $(B)/completion/%: $(GENERATE) $(BINS)
	@mkdir -p $(@D)
	$(call say,COMP)$(GENERATE) $(patsubst .%,%,$(suffix $@)) $(B)/bin $(basename $*) > $@.new && mv $@.new $@

doc: $(BINS) ## write packaging/doc/options.md anew from the programs' option tables
	$(GENERATE) markdown $(B)/bin > $(OPTIONS_MD).new
	mv $(OPTIONS_MD).new $(OPTIONS_MD)

check-doc: $(BINS) $(COMPLETIONS)
	@$(GENERATE) markdown $(B)/bin | diff -u $(OPTIONS_MD) - || \
	  { echo "lint: $(OPTIONS_MD) is stale; 'make doc' writes it anew" >&2; exit 1; }
	@$(GENERATE) check $(B)/bin
	@for f in $(filter %.bash,$(COMPLETIONS)); do bash -n $$f || exit 1; done

.PHONY: check-layers
check-layers: $(BINS) ## layers of includes and calls alone
	tests/check-layers $(B)

lint: ## layers of includes and calls, formatting, warnings of gcc and clang as errors, options.md and man pages as the tables have it
	clang-format --dry-run -Werror $(C_FILES)
	$(MAKE) B=build/lint WERROR=1 all unit-bins fuzz-bins helpers check-doc
	tests/check-layers build/lint
	@command -v clang >/dev/null || { echo 'lint: clang is not installed' >&2; exit 1; }
	$(call say,CLANG)clang -fsyntax-only -std=gnu11 -O2 $(CPPFLAGS) $(WARN) -Werror $(filter %.c,$(C_FILES))

# --- install -------------------------------------------------------------------------------------------

# As packages: packaging/build-deb.sh.

# A unit of packaging/systemd is installed twice: for the settings in /etc/eefs, and as a template for
# those of a site in /etc/eefs/SITE.
UNITS     := $(foreach u,$(patsubst packaging/systemd/%.in,%,$(wildcard packaging/systemd/*.in)),\
  $(B)/systemd/$(u) $(B)/systemd/$(basename $(u))@$(suffix $(u)))
unit = sed -e '/^@HARDENED@$$/{r packaging/systemd/hardened' -e 'd}' \
  -e 's:@ETC@:/etc/eefs$(1):; s:@SITE@:$(2):; s:@OF_SITE@:$(3):'

$(filter-out $(B)/systemd/%@.service $(B)/systemd/%@.timer,$(UNITS)): $(B)/systemd/%: packaging/systemd/%.in packaging/systemd/hardened
	@mkdir -p $(@D)
	$(call say,UNIT)$(call unit) $< > $@.new && mv $@.new $@

.SECONDEXPANSION:
$(filter $(B)/systemd/%@.service $(B)/systemd/%@.timer,$(UNITS)): packaging/systemd/$$(subst @,,$$(@F)).in packaging/systemd/hardened
	@mkdir -p $(@D)
	$(call say,UNIT)$(call unit,/%i,-%i, (%i)) $< > $@.new && mv $@.new $@

DEST     = $(DESTDIR)$(PREFIX)
UNITDIR ?= $(PREFIX)/lib/systemd/system

.PHONY: install clean help
install: all $(MAN_PAGES) $(COMPLETIONS) $(UNITS) ## install into $(DESTDIR)$(PREFIX)
	install -d $(DEST)/bin $(DEST)/sbin $(DESTDIR)$(UNITDIR)
	install -m 0755 $(filter-out %/mount.eefs,$(BINS)) $(DEST)/bin
	install -m 0755 $(B)/bin/mount.eefs $(DEST)/sbin/mount.eefs
	ln -sf mount.eefs $(DEST)/sbin/mount.fuse.eefs
	install -m 0644 $(UNITS) $(DESTDIR)$(UNITDIR)
	install -D -m 0644 packaging/eefs.sysusers $(DEST)/lib/sysusers.d/eefs.conf
	install -D -m 0644 packaging/eefs.tmpfiles $(DEST)/lib/tmpfiles.d/eefs.conf
	for p in $(MAN_PAGES); do install -D -m 0644 $$p $(DEST)/share/man/man$${p##*.}/$${p##*/}; done
	ln -sf mount.eefs.8 $(DEST)/share/man/man8/mount.fuse.eefs.8
	for p in $(PROGRAMS); do \
	  install -D -m 0644 $(B)/completion/$$p.bash $(DEST)/share/bash-completion/completions/$$p; \
	  install -D -m 0644 $(B)/completion/$$p.zsh $(DEST)/share/zsh/vendor-completions/_$$p; done

clean: ## remove build/
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 14

-include $(wildcard $(foreach d,$(ROOMS) tests/unit tests/fuzz tests/bench tests/integration,$(B)/$(d)/*.d))
