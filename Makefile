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

B       := build$(if $(SAN),-$(SAN))
ifneq ($(SAN),)
B       := build/san-$(SAN)
endif

PKGS    := fuse3 libcurl sqlite3 libmicrohttpd libzstd libcrypto jansson libmariadb
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
else
$(error SAN is address or thread)
endif
ALL_CFLAGS  = -std=gnu11 $(CFLAGS) $(WARN) $(HARDEN) $(SANFLAGS)
ALL_LDFLAGS = $(LDFLAGS) $(LDHARD) $(SANFLAGS) -pthread

# --- rooms and programs -------------------------------------------------------------------------
# A program is its folder plus the folders that it may include (see tests/check-layers).

src = $(sort $(foreach d,$(1),$(wildcard $(d)/*.c)))
obj = $(patsubst %.c,$(B)/%.o,$(call src,$(1)))
lib = $(shell pkg-config --libs $(1) 2>/dev/null)

COMMON := sync/common
PROTO  := sync/proto
BASE_LIBS := sqlite3 libcrypto jansson

PROGRAMS := eefs-master mount.eefs eefs-status eefs-sqlimport eefs-sqldump

OBJ_eefs-master    = $(call obj,$(COMMON) $(PROTO) sync/master)
LIB_eefs-master    = $(call lib,$(BASE_LIBS) libcurl libmicrohttpd libzstd)
OBJ_mount.eefs     = $(call obj,$(COMMON) $(PROTO) sync/mirror fs)
LIB_mount.eefs     = $(call lib,$(BASE_LIBS) libcurl libmicrohttpd libzstd fuse3)
OBJ_eefs-status    = $(call obj,$(COMMON) sync/status)
LIB_eefs-status    = $(call lib,$(BASE_LIBS))
SQL_MAINS          = $(B)/sqlimport/import_main.o $(B)/sqlimport/dump_main.o
OBJ_eefs-sqlimport = $(filter-out $(SQL_MAINS),$(call obj,$(COMMON) sqlimport)) $(B)/sqlimport/import_main.o
LIB_eefs-sqlimport = $(call lib,$(BASE_LIBS) libmariadb libzstd)
OBJ_eefs-sqldump   = $(filter-out $(SQL_MAINS),$(call obj,$(COMMON) sqlimport)) $(B)/sqlimport/dump_main.o
LIB_eefs-sqldump   = $(call lib,$(BASE_LIBS) libmariadb libzstd)

BINS := $(addprefix $(B)/bin/,$(PROGRAMS))

.PHONY: all
all: $(BINS)

define program
$(B)/bin/$(1): $$(OBJ_$(1))
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_LDFLAGS) -o $$@ $$(OBJ_$(1)) $$(LIB_$(1))
endef
$(foreach p,$(PROGRAMS),$(eval $(call program,$(p))))

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# --- unit tests: tests/unit/test_NOUN.c, linked with every object that is not a main --------------
MAIN_OBJS := $(B)/sync/master/main.o $(B)/fs/main.o $(B)/sync/status/main.o $(SQL_MAINS)
LIB_OBJS   = $(filter-out $(MAIN_OBJS),$(call obj,$(COMMON) $(PROTO) sync/master sync/mirror sync/status fs sqlimport))
UNIT_BINS  = $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))
ALL_LIBS   = $(call lib,$(PKGS))

$(B)/libeefs.a: $(LIB_OBJS)
	@rm -f $@
	ar rcs $@ $^

$(UNIT_BINS): $(B)/tests/unit/%: $(B)/tests/unit/%.o $(B)/libeefs.a
	$(CC) $(ALL_LDFLAGS) -o $@ $< $(B)/libeefs.a $(ALL_LIBS) -lcmocka

.PHONY: unit-bins
unit-bins: $(UNIT_BINS)

.PHONY: clean
clean:
	rm -rf build

-include $(shell find $(B) -name '*.d' 2>/dev/null)
