/* SPDX-License-Identifier: MIT */
/*
 * syntax: a reader of plain text (plain.h), one token ahead, for the grammars of CREATE statements.
 *
 * Each take_…() reads something and returns true, or leaves all as it was and returns false.
 */
#ifndef EEFS_SQLIMPORT_SQL_SYNTAX_H
#define EEFS_SQLIMPORT_SQL_SYNTAX_H

#include "sqlimport/sql/token.h"
#include "sync/common/err.h"

struct syntax {
    struct lexer l;
    struct token t; /* the next one */
    const char *begin;
    struct err *e;
};

void syntax_init(struct syntax *s, const char *text, size_t len, struct token_mode mode,
                 struct err *e);
void syntax_next(struct syntax *s);

bool syntax_is(const struct syntax *s, const char *word);
bool syntax_is_punct(const struct syntax *s, char c);
/* A bare word or a quoted name. */
bool syntax_is_name(const struct syntax *s);
/* The token behind the next one. */
struct token syntax_peek(const struct syntax *s);

/* The word, or the function of that name, which may be in quotes. */
bool syntax_is_called(const struct syntax *s, const char *word);

bool syntax_take(struct syntax *s, const char *word);
/* Both words, one behind the other. */
bool syntax_take_two(struct syntax *s, const char *first, const char *second);
bool syntax_take_punct(struct syntax *s, char c);
bool syntax_take_type(struct syntax *s, enum token_type type);
/* One of these words, up to NULL. */
bool syntax_take_any(struct syntax *s, const char *const *words);
/* A name that no '.' follows. */
bool syntax_take_name(struct syntax *s);

/* -EPERM with the sentence, and where in the statement it stands, unless there is one already. */
int syntax_refuse(struct syntax *s, const char *what);

#endif
