/* SPDX-License-Identifier: MIT */
/*
 * split: cuts a dump into statements, as the mysql client would, from a stream of reads.
 *
 * Knows the client's own DELIMITER command and comments between statements; independent of where
 * the reads end. The text of one statement, or of a part of its rows, is whole in memory, the dump
 * never is. One thread.
 */
#ifndef EEFS_SQLIMPORT_SQL_SPLIT_H
#define EEFS_SQLIMPORT_SQL_SPLIT_H

#include <stdint.h>
#include <sys/types.h>

#include "sqlimport/sql/maker.h"
#include "sqlimport/sql/token.h"
#include "sync/common/err.h"

#define SPLIT_READ_SIZE     ((size_t)1 << 20)
#define SPLIT_PART          ((size_t)16 << 20) /* bytes of rows that are given at once */
#define SPLIT_ROW_MAX       ((size_t)64 << 20) /* bytes of one row, at most 4 parts */
#define SPLIT_STATEMENT_MAX ((size_t)16 << 20) /* bytes of a statement that is no INSERT */

/* Reads up to n bytes: count, 0 at the end, -errno. */
typedef ssize_t split_reader(void *arg, void *data, size_t n);

struct statement {
    const char *text; /* valid until the next split_next; no delimiter, not NUL-terminated */
    size_t len;
    off_t offset;  /* of text in the dump */
    uint64_t line; /* of text's first byte, from 1 */
    /* An INSERT or REPLACE that ends in rows of plain values: how many, and where in text the first
     * begins. rows is 0 for all others, and when it ends in something else. */
    int64_t rows;
    size_t rows_at;
    bool national;   /* with rows: an N'string' is among them or those of earlier parts */
    bool semicolon;  /* it ends with one, and with no other DELIMITER */
    uint64_t number; /* of statements and DELIMITERs */
    /* An INSERT larger than SPLIT_PART is given in parts, each with some of its rows. All but the
     * first begin with the head of the statement, so many bytes from there in the dump; `offset` is
     * then of what follows it. 0: text lies in the dump as it is. */
    size_t head_len;
    off_t head_offset;
};

struct split;

/* Asks the reader for read_size bytes at a time, or more within a large row. */
struct split *split_new(split_reader *reader, void *arg, size_t read_size);
void split_free(struct split *s);

/* 1: *ret is filled; 0: end of the dump; -errno. -EPROTO: the dump ends within a statement. */
int split_next(struct split *s, struct statement *ret, struct err *e);

/* How quotes are read from the next statement on. */
void split_set_mode(struct split *s, struct token_mode mode);

/* The program that made the dump, as a comment before the first statement names it. */
enum maker split_maker(const struct split *s);
/* The dump's last comment is its maker's end, and no statement came after it. */
bool split_is_closed(const struct split *s);
/* "-- Dump completed" was met as a comment of its own and no statement came after it. */
bool split_is_completed(const struct split *s);
/* A comment says that mysqldump was not allowed to read something ("-- insufficient privileges").
 */
bool split_is_unreadable(const struct split *s);
/* Bytes consumed so far. */
off_t split_offset(const struct split *s);

#endif
