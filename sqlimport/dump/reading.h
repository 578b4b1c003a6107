/* SPDX-License-Identifier: MIT */
/*
 * reading: one statement of a dump while it is judged: a cursor over its tokens, and the names in
 * it.
 *
 * Functions that refuse leave -EPERM and a sentence in r->e. One thread.
 */
#ifndef EEFS_SQLIMPORT_DUMP_READING_H
#define EEFS_SQLIMPORT_DUMP_READING_H

#include "sqlimport/dump/objects.h"
#include "sqlimport/sql/split.h"
#include "sync/common/buf.h"

/* One statement on its way through: an INSERT as it stands in the dump, anything else as plain
 * text. */
struct reading {
    struct dump *d;
    const struct statement *st;
    struct buf plain;
    bool versioned; /* it began within a versioned comment */
    bool utf8;      /* `plain` is in UTF-8, whatever the dump's character set is */
    struct lexer l;
    struct token t;
    struct object *o;
    struct err *e;
};

void reading_next(struct reading *r);
/* -EPERM: "WHAT, which an import does not allow". */
int reading_refuse(struct reading *r, const char *what);
/* Steps over the word or character when it is the current token. */
bool reading_take(struct reading *r, const char *word);
bool reading_take_punct(struct reading *r, char c);
/* IF EXISTS, or IF NOT EXISTS, or neither; false: half of it. */
bool reading_take_if(struct reading *r, bool is_not);
/* The name of an object at the current token, in UTF-8, malloc'd; stands behind it afterwards.
 * NULL: refused. */
char *reading_object_name(struct reading *r);
/* A name that no dump may use. */
bool reading_is_reserved(const char *name);
/* Notes the database that the dump is of; -EPERM when it is another one than before. */
int reading_own_database(struct reading *r);
/* Writes r->plain in UTF-8 when the dump is in another character set there, and begins anew. */
int reading_make_utf8(struct reading *r);

#endif
