/* SPDX-License-Identifier: MIT */
/*
 * token: the words of SQL text as mysqldump writes it, on a statement that is whole in memory.
 *
 * Versioned comments (slash-star-bang NNNNN … and MariaDB's "M!" form) are SQL: their openers and
 * ends are skipped like white space and their inside is read; other comments are skipped. The
 * sandbox marker (version 999999) is a comment on every server. Pure; allocates nothing.
 */
#ifndef EEFS_SQLIMPORT_TOKEN_H
#define EEFS_SQLIMPORT_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

enum token_type {
    TOKEN_END,
    TOKEN_WORD,   /* keyword or bare name */
    TOKEN_NAME,   /* `name`, also "name" under ANSI_QUOTES; p and len with the quotes */
    TOKEN_STRING, /* 'text' or "text", with the quotes */
    TOKEN_NUMBER, /* 12, 1.5e-7, 0xFF */
    TOKEN_USER,   /* @name, @`name`, @'name' */
    TOKEN_SYSTEM, /* @@name */
    TOKEN_PUNCT,  /* one other byte */
};

/* Parts of sql_mode that change how text is cut into tokens. */
struct token_mode {
    bool no_backslash_escapes;
    bool ansi_quotes;
};

struct token {
    enum token_type type;
    const char *p;
    size_t len;
    bool versioned; /* inside a versioned comment */
};

struct lexer {
    const char *p, *end;
    struct token_mode mode;
    bool versioned;
    const char *close; /* where the versioned comment ends for a server that skips it, or NULL */
    bool twofold;      /* see token_is_twofold; of what was read so far */
};

void lexer_init(struct lexer *l, const char *text, size_t len, struct token_mode mode);
/* The next token; TOKEN_END at the end, and again whenever asked after it. */
void lexer_next(struct lexer *l, struct token *ret);

/*
 * True when a versioned comment that some servers skip (MySQL 5.7's and later numbers, MariaDB's)
 * ends elsewhere for them than for those that read it, for "*" "/" stands in a string or comment
 * within: what this text does depends on the server, and cannot be judged.
 */
bool token_is_twofold(const char *text, size_t len, struct token_mode mode);

/* Case-insensitive comparison of a TOKEN_WORD with an upper-case word. */
bool token_is(const struct token *t, const char *word);
bool token_is_punct(const struct token *t, char c);
/* malloc'd name without quotes (doubled quotes undone) of a WORD, NAME, STRING or USER token. */
char *token_text(const struct token *t, struct token_mode mode);

/* Whether a backslash escapes within this kind of quotes. */
bool token_escapes(char quote, struct token_mode mode);

/* Moves *p to the first `quote` that no backslash escapes (`escapes`: see token_escapes): true; or,
 * when there is none before `end`, to where the search goes on once there is more text: false. A
 * doubled quote is not told from one that closes. */
bool token_to_quote(const char **p, const char *end, char quote, bool escapes);

/* Finds the end of a quoted run that starts at p (p[0] is the quote): pointer behind the closing
 * quote, or NULL when it does not end before `end`. */
const char *token_quoted_end(const char *p, const char *end, struct token_mode mode);

#endif
