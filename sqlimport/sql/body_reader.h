/* SPDX-License-Identifier: MIT */
/*
 * body_reader: where the one pass over a body's tokens stands; for body.c, body_names.c and
 * body_statements.c only. Functions that refuse leave -EPERM and half a sentence ("reads a file").
 */
#ifndef EEFS_SQLIMPORT_SQL_BODY_READER_H
#define EEFS_SQLIMPORT_SQL_BODY_READER_H

#include "sqlimport/sql/syntax.h"

#define BODY_DEPTH_MAX 200

enum place {
    PLACE_VALUE, /* a.b is a column */
    PLACE_TABLE, /* a.b is a table, or whatever else lies in a database */
    PLACE_AFTER, /* behind a table: its alias */
};

struct level {
    enum place place;
    bool tables; /* in a list of tables: a comma leads to the next one */
    bool query;  /* SELECT or DELETE was met: FROM belongs to it */
};

enum block { BLOCK_BEGIN, BLOCK_IF, BLOCK_CASE, BLOCK_CASE_VALUE, BLOCK_LOOP };

struct body {
    struct syntax s;
    const char *database;
    struct token last[3]; /* the ones before s.t, newest first */
    struct level levels[BODY_DEPTH_MAX];
    int depth;
    enum block blocks[BODY_DEPTH_MAX];
    int n_blocks;
    bool start; /* a statement begins here */
    bool head;  /* between IF and THEN, WHILE and DO, and the like */
    bool until; /* between UNTIL and END REPEAT */
    bool view;
    bool ddl;    /* in a CREATE, ALTER or DROP, before any SELECT */
    bool set;    /* in a SET statement */
    bool target; /* what SET assigns to stands here */
};

/* -EPERM with half a sentence. */
int body_refuse(struct body *b, const char *what);
void body_next(struct body *b);
/* The token at hand is this word, or one of these up to NULL. */
bool body_is(const struct body *b, const char *word);
bool body_is_any(const struct body *b, const char *const *words);
/* The token before it was this word. */
bool body_was(const struct body *b, const char *word);
/* The innermost bracket. */
struct level *body_level(struct body *b);
void body_expect(struct body *b, enum place place, bool tables);

#endif
