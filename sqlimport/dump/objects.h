/* SPDX-License-Identifier: MIT */
/*
 * objects: the parts of a dump: tables, views and the like, each with all that makes it.
 *
 * Small texts (DDL) are kept; rows stay in the file as ranges. Every object has a hash over all
 * that makes it, so that unchanged ones can be told from the last import. Not thread safe while the
 * dump is read (dump_read.h); read-only afterwards.
 */
#ifndef EEFS_SQLIMPORT_DUMP_OBJECTS_H
#define EEFS_SQLIMPORT_DUMP_OBJECTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sqlimport/dump/rowhash.h"
#include "sqlimport/sql/object_kind.h"
#include "sqlimport/sql/session_vars.h"
#include "sync/common/hash.h"
#include "sync/common/opt.h"

/* A statement that fills a table, by its place in the dump; or many small ones that follow each
 * other, so that a dump with a statement for each row does not need memory for each. */
struct range {
    off_t offset;
    uint32_t len; /* without the head */
    uint32_t rows, statements;
    int vars_id;
    int send_id; /* the settings that it is sent under: the same, or session_vars_as_bytes() */
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
    int vars_id;   /* of ddl */
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
    struct session_vars *vars;
    struct hash secret; /* of rowhash */
    struct hash hash;   /* of all bytes */
    off_t size;
    uint64_t rows;
    size_t ranges;               /* of all objects */
    struct strlist placeholders; /* of views, see define.c */
    char *database;              /* the one database that USE or CREATE DATABASE names, or NULL */
    bool unmarked;               /* -EPROTO only because its maker marks no end */
    bool unreadable; /* mysqldump says that it could not read all routines or the like */
    void *index;     /* tsearch(3) tree of objects by kind and name */
};

struct dump *dump_new(const struct hash *secret, const struct dialect *dialect);
/* NULL is fine. */
void dump_free(struct dump *d);

/* The object, owned by d; NULL: none. */
struct object *dump_find(const struct dump *d, enum object_kind kind, const char *name);
/* Names the columns whose values an import leaves alone; once. */
void object_set_own(struct object *o, const struct strlist *columns);
bool object_is_table(const struct object *o); /* table or sequence */

/* --- while the dump is read --- */

/* Finds the object, or adds an empty one. */
struct object *dump_object(struct dump *d, enum object_kind kind, const char *name);
/* Hashes the last range, to which nothing is added any more. */
void dump_end_range(struct object *o);
/* The same, and the hash of the whole object. */
void object_end(struct object *o);
/* Removes what a DROP names from the dump; its triggers go with a table. It is freed by
 * dump_remove_discarded(). */
void dump_discard(struct dump *d, enum object_kind kind, const char *name);
void dump_remove_discarded(struct dump *d);

#endif
