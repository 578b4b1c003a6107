/* SPDX-License-Identifier: MIT */
/*
 * The cursor is one token ahead (r->t). A name is taken in UTF-8, whatever the dump's character set
 * is; a whole statement is written in UTF-8 where it makes a table.
 */
#include "sqlimport/dump/reading.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlimport/sql/charset.h"

#define NAME_MAX_CHARS 64 /* of a server's names */

void reading_next(struct reading *r)
{
    lexer_next(&r->l, &r->t);
}

int reading_refuse(struct reading *r, const char *what)
{
    return err_set(r->e, EPERM, "%s, which an import does not allow", what);
}

bool reading_take(struct reading *r, const char *word)
{
    if (!token_is(&r->t, word))
        return false;
    reading_next(r);
    return true;
}

bool reading_take_punct(struct reading *r, char c)
{
    if (!token_is_punct(&r->t, c))
        return false;
    reading_next(r);
    return true;
}

/* IF EXISTS, IF NOT EXISTS; false: half of it. */
bool reading_take_if(struct reading *r, bool is_not)
{
    return !reading_take(r, "IF") ||
           ((!is_not || reading_take(r, "NOT")) && reading_take(r, "EXISTS"));
}

/* malloc'd name at the current token, in UTF-8. NULL: refused. */
static char *name_of(struct reading *r)
{
    char *name = token_text(&r->t, r->l.mode);
    struct buf b = BUF_INIT;
    int rc;

    if (r->utf8)
        return name;
    rc = charset_to_utf8(&b, session_vars_charset(r->d->vars), name, strlen(name), r->e);
    free(name);
    if (rc == 0)
        return buf_detach(&b);
    buf_release(&b);
    return NULL;
}

/* The one database that the dump is of: its own USE and CREATE DATABASE are skipped. Behind tables
 * of a dump that named none, it must be another one. */
int reading_own_database(struct reading *r)
{
    char *name;
    int rc = 0;

    while (token_is(&r->t, "IF") || token_is(&r->t, "NOT") || token_is(&r->t, "EXISTS"))
        reading_next(r);
    name = name_of(r);
    if (!name)
        return -EPERM;
    if (!r->d->database && r->d->n > 0)
        rc = err_set(r->e, EPERM,
                     "the dump continues with another database, '%.60s', after its tables: dump "
                     "one database",
                     name);
    else if (!r->d->database)
        r->d->database = xstrdup(name);
    else if (strcmp(r->d->database, name) != 0)
        rc = err_set(r->e, EPERM,
                     "the dump holds a second database ('%.60s' after '%.60s'): dump one database",
                     name, r->d->database);
    free(name);
    return rc;
}

/* Characters of UTF-8. */
static size_t count_chars(const char *name)
{
    size_t n = 0;

    for (; *name; name++)
        n += (*name & 0xc0) != 0x80;
    return n;
}

/* A server's names of files that it has not encoded, and the importer's own tables. */
bool reading_is_reserved(const char *name)
{
    return strncasecmp(name, "#mysql50#", 9) == 0 || strncasecmp(name, "_eefs_", 6) == 0;
}

/* Reads a name at the current token; stands behind it afterwards. NULL: refused. */
char *reading_object_name(struct reading *r)
{
    char *name;

    if (r->t.type != TOKEN_NAME && r->t.type != TOKEN_WORD) {
        err_set(r->e, EPERM, "a name is missing");
        return NULL;
    }
    name = name_of(r);
    if (!name)
        return NULL;
    if (!*name || count_chars(name) > NAME_MAX_CHARS) {
        err_set(r->e, EPERM, "a name is empty or too long");
        free(name);
        return NULL;
    }
    if (reading_is_reserved(name)) {
        err_set(r->e, EPERM, "a dump may not use the name '%.60s'", name);
        free(name);
        return NULL;
    }
    reading_next(r);
    if (token_is_punct(&r->t, '.')) {
        char *second;
        reading_next(r);
        second = token_text(&r->t, r->l.mode);
        err_set(r->e, EPERM, "'%.60s.%.60s' names a database: an import fills only its own", name,
                second);
        free(second);
        free(name);
        return NULL;
    }
    return name;
}

/* _latin1'…' keeps its bytes: it cannot be written in another character set. */
static bool has_introducer(const struct reading *r)
{
    struct lexer l = r->l;
    struct token t = r->t;
    bool introduced = false;

    for (; t.type != TOKEN_END; lexer_next(&l, &t)) {
        if (introduced && t.type == TOKEN_STRING && !charset_is_ascii(t.p, t.len))
            return true;
        introduced = t.type == TOKEN_WORD && *t.p == '_';
    }
    return false;
}

/* Only names and definitions of tables, which may be in any character set; the bodies of others
 * keep theirs, for a server remembers it with them. */
static bool is_body(const struct reading *r)
{
    struct lexer l = r->l;
    struct token t = r->t;

    if (!token_is(&t, "CREATE"))
        return token_is(&t, "SET");
    lexer_next(&l, &t);
    if (token_is(&t, "OR")) {
        lexer_next(&l, &t);
        lexer_next(&l, &t);
    }
    return !token_is(&t, "TABLE") && !token_is(&t, "SEQUENCE") && !token_is(&t, "DATABASE") &&
           !token_is(&t, "SCHEMA");
}

/* Writes the plain text in UTF-8 when the dump is in another character set there. */
int reading_make_utf8(struct reading *r)
{
    const char *charset = session_vars_charset(r->d->vars);
    struct buf b = BUF_INIT;
    int rc;

    if (charset_is_utf8(charset) || charset_is_ascii(r->plain.data, r->plain.len) || is_body(r))
        return 0;
    if (has_introducer(r))
        return reading_refuse(r, "the dump creates a table with text in two character sets");
    rc = charset_to_utf8(&b, charset, r->plain.data, r->plain.len, r->e);
    if (rc < 0) {
        buf_release(&b);
        return rc;
    }
    buf_release(&r->plain);
    r->plain = b;
    r->utf8 = true;
    r->l.mode.charset = TOKEN_UTF8;
    lexer_init(&r->l, r->plain.data, r->plain.len, r->l.mode);
    reading_next(r);
    return 0;
}
