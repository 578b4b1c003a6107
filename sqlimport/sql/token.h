/* SPDX-License-Identifier: MIT */
/*
 * token: the words of SQL text as one server reads it, on a statement that is whole in memory.
 *
 * A versioned comment (slash-star-bang NNNNN …, and MariaDB's "M!" form) is SQL for a server that
 * reads that version: its opener and end are skipped like white space. For another server all of it
 * is a comment. Which one it is, and where a comment ends that holds others, is decided as in the
 * servers' own lexers (sql/sql_lex.cc, consume_comment()). Pure; allocates nothing; linear.
 */
#ifndef EEFS_SQLIMPORT_SQL_TOKEN_H
#define EEFS_SQLIMPORT_SQL_TOKEN_H

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

/* Which versioned comments are read. */
struct dialect {
    bool mariadb;
    unsigned version;     /* 50624, 101106; 0: no server is known, all of them are read */
    const char *sql_mode; /* of a new session there, or NULL; the server's */
};

/* How bytes from 0x80 on make characters in names: what else a server would do there with bytes
 * that make none differs from version to version. */
enum token_charset {
    TOKEN_UTF8,
    TOKEN_SINGLE, /* each byte is a character */
    TOKEN_ASCII,  /* such bytes are not understood */
};

/* How text is cut into tokens: parts of sql_mode, the client's character set and the server. */
struct token_mode {
    bool no_backslash_escapes;
    bool ansi_quotes;
    enum token_charset charset;
    struct dialect dialect;
};

struct token {
    enum token_type type;
    const char *p;
    size_t len;
    bool versioned; /* inside a versioned comment that is read */
};

/* The text between two tokens, in pieces: a run of white space, or one comment, with its line's
 * end. NULL: something that is left out, a versioned comment that is not read, or the opener or end
 * of one that is. */
typedef void lexer_gap_fn(void *arg, const char *p, size_t len);

struct lexer {
    const char *p, *end;
    struct token_mode mode;
    bool versioned;    /* within a versioned comment that is read */
    bool commented;    /* a comment, or the opener or end of one, stands before the last token */
    bool bad;          /* something does not end, or servers disagree on what it is; set at once */
    lexer_gap_fn *gap; /* NULL at first */
    void *gap_arg;
};

void lexer_init(struct lexer *l, const char *text, size_t len, struct token_mode mode);
/* The next token; TOKEN_END at the end, and again whenever asked after it. */
void lexer_next(struct lexer *l, struct token *ret);

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
