/* SPDX-License-Identifier: MIT */
/*
 * dump: what a whole dump consists of, read and judged before any of it is run.
 *
 * dump_read() cuts the dump into statements, accepts only those on its list, and sorts them by the
 * object that they make. A statement is what the server of `dialect` reads. Small texts (DDL) are
 * kept; rows stay in the file as ranges. Every object has a hash over all that makes it, so that
 * unchanged ones can be told from the last import. Not thread safe while reading; read-only
 * afterwards.
 */
#ifndef EEFS_SQLIMPORT_DUMP_DUMP_H
#define EEFS_SQLIMPORT_DUMP_DUMP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sqlimport/dump/rowhash.h"
#include "sqlimport/sql/token.h"
#include "sync/common/hash.h"
#include "sync/common/opt.h"

enum object_kind {
    OBJECT_TABLE,
    OBJECT_SEQUENCE, /* handled as a table */
    OBJECT_VIEW,
    OBJECT_TRIGGER,
    OBJECT_FUNCTION,
    OBJECT_PROCEDURE,
    OBJECT_EVENT,
};

/* A statement that fills a table, by its place in the dump; or many small ones that follow each
 * other, so that a dump with a statement for each row does not need memory for each. */
struct range {
    off_t offset;
    uint32_t len; /* without the head */
    uint32_t rows, statements;
    int env;
    uint32_t head_len; /* of a part of an INSERT: its head stands elsewhere, see split.h */
    off_t head_offset;
    uint64_t line;
    uint64_t number;             /* of the last statement */
    uint8_t hash[ROWHASH_BYTES]; /* looked at again before they are sent */
};

struct object {
    enum object_kind kind;
    char *name;
    char *table;   /* of a trigger: the table it belongs to */
    char *definer; /* the account that the dump names, as it is written there, or NULL */
    char *ddl;     /* "CREATE …" as plain text (plain.h), its DEFINER replaced by CURRENT_USER */
    size_t ddl_len;
    off_t offset;  /* of ddl in the dump */
    uint64_t line; /* the same */
    int env;       /* of ddl */
    struct range *ranges;
    size_t n_ranges;
    uint64_t rows, bytes;       /* of all ranges */
    struct strlist parents;     /* tables that foreign keys of this one name */
    int alters;                 /* ALTER TABLEs that were written into ddl */
    bool discarded;             /* dropped by the dump itself; while reading */
    struct hash hash;           /* of all that makes the object, and of what is in `own` */
    struct strlist own;         /* columns whose values stay this server's own */
    struct hash_stream *stream; /* while reading */
    struct rowhash *rows_stream;
};

struct dump {
    struct object **objects; /* in the order of the dump */
    size_t n, cap;
    bool discarded, triggers; /* some objects are; while reading */
    struct env *env;
    struct hash secret; /* of rowhash */
    struct hash hash;   /* of all bytes */
    off_t size;
    uint64_t rows;
    size_t ranges;               /* of all objects */
    struct strlist placeholders; /* of views, see classify.c */
    char *database;              /* the one database that USE or CREATE DATABASE names, or NULL */
    bool unmarked;               /* -EPROTO only because its maker marks no end */
    bool unreadable; /* mysqldump says that it could not read all routines or the like */
    void *index;     /* tsearch(3) tree of objects by kind and name */
};

/* Where a dump was refused. Nothing of its text: rows hold addresses and password hashes, and this
 * goes into logs and into a file that everybody may read. */
struct dump_fault {
    char table[256]; /* "" when unknown */
    off_t offset;
    uint64_t line;
};

/*
 * Reads the dump from offset 0 of fd; `secret` is this machine's for rowhash. -EPROTO: cut off or
 * not a dump; -EPERM: a statement that an import does not run; then *fault says where. Caller frees
 * *ret.
 */
int dump_read(int fd, const struct hash *secret, const struct dialect *dialect, struct dump **ret,
              struct dump_fault *fault, struct err *e);
/* The same from a reader, for tests and the fuzzer. */
struct split;
int dump_read_split(struct split *s, struct dump *d, struct dump_fault *fault, struct err *e);
struct dump *dump_new(const struct hash *secret, const struct dialect *dialect);
void dump_free(struct dump *d);

struct object *dump_find(const struct dump *d, enum object_kind kind, const char *name);
/* Names the columns whose values an import leaves alone; once. */
void object_set_own(struct object *o, const struct strlist *columns);
bool object_is_table(const struct object *o);        /* table or sequence */
const char *object_kind_name(enum object_kind kind); /* "TABLE", as in DROP … */

/* Fills out (cap bytes) with text, or as much of it as fits, in printable ASCII. */
void dump_excerpt(char *out, size_t cap, const char *text, size_t len);

#endif
