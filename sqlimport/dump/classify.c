/* SPDX-License-Identifier: MIT */
/*
 * The list of statements. Each is read as the server reads it: an INSERT as it stands in the dump,
 * for it is long, anything else as plain text (plain.h), in UTF-8 where it makes a table. Then its
 * first word decides which unit takes it: define.c (CREATE, ALTER, DROP), fill.c (rows),
 * set_statement.c (SET), or none: it is skipped when it stores nothing, and refused otherwise.
 */
#include "sqlimport/dump/classify.h"

#include <errno.h>
#include <string.h>

#include "sqlimport/dump/define.h"
#include "sqlimport/dump/fill.h"
#include "sqlimport/sql/set_statement.h"
#include "sqlimport/sql/plain.h"

/*
 * Percona's mysqldump asks in every dump whether the server has MyRocks, and switches its bulk load
 * on by a prepared statement. Nothing of that is stored, and nothing of it is run here.
 */
static bool is_bulk_load(const struct reading *r)
{
    struct lexer l = r->l;
    struct token t = r->t;
    bool known = token_is(&t, "EXECUTE") || token_is(&t, "DEALLOCATE");

    if (!r->versioned || !(known || token_is(&t, "PREPARE") || token_is(&t, "SELECT")))
        return false;
    for (; !known && t.type != TOKEN_END; lexer_next(&l, &t))
        known = t.type == TOKEN_USER && (memmem(t.p, t.len, "rocksdb", 7) != NULL ||
                                         memmem(t.p, t.len, "_bulk_load", 10) != NULL);
    return known;
}

/* Statements that lock, end a transaction or place a replica: nothing that is stored. */
static bool ignored(const struct token *first, struct lexer l)
{
    static const char *const words[][2] = {
        {"LOCK", "TABLES"},        {"UNLOCK", "TABLES"}, {"COMMIT", NULL},     {"BEGIN", NULL},
        {"START", "TRANSACTION"},  {"FLUSH", "TABLES"},  {"ANALYZE", "TABLE"}, {"CHANGE", "MASTER"},
        {"CHANGE", "REPLICATION"}, {"STOP", "SLAVE"},    {"STOP", "REPLICA"},  {"STOP", "ALL"},
        {"START", "SLAVE"},        {"START", "REPLICA"}, {"START", "ALL"},
    };
    struct token second;

    lexer_next(&l, &second);
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (token_is(first, words[i][0]) && (!words[i][1] || token_is(&second, words[i][1])))
            return true;
    return false;
}

/* Quotes only what is a word of SQL: where a dump is damaged, any byte of a row may stand here. */
static int unknown(struct reading *r)
{
    static const char *const words[] = {
        "BINLOG",   "CALL",      "CHECKSUM", "EXECUTE", "EXPLAIN", "FLUSH",     "GRANT",
        "HANDLER",  "INSTALL",   "KILL",     "LOAD",    "LOCK",    "OPTIMIZE",  "PREPARE",
        "PURGE",    "RENAME",    "REPAIR",   "RESET",   "REVOKE",  "SAVEPOINT", "SHOW",
        "SHUTDOWN", "UNINSTALL", "UPDATE",   "WITH",    "XA",
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (token_is(&r->t, words[i]))
            return err_set(r->e, EPERM,
                           "the dump holds a '%s' statement, which an import does not allow",
                           words[i]);
    return err_set(r->e, EPERM, "the dump holds a statement that an import does not know");
}

static bool is_insert(const struct token *t)
{
    return token_is(t, "INSERT") || token_is(t, "REPLACE");
}

static int one(struct reading *r)
{
    if (r->t.type == TOKEN_END)
        return 0; /* a comment */
    if (token_is(&r->t, "SET"))
        return set_statement_follow(r->d->vars, &r->l, r->e);
    if (token_is(&r->t, "CREATE"))
        return define_create(r);
    if (token_is(&r->t, "DROP"))
        return define_drop(r);
    if (token_is(&r->t, "ALTER"))
        return define_alter(r);
    if (is_bulk_load(r))
        return 0;
    if (token_is(&r->t, "DO") || token_is(&r->t, "SELECT"))
        return fill_setval(r);
    if (token_is(&r->t, "USE")) {
        reading_next(r);
        return reading_own_database(r);
    }
    if (token_is(&r->t, "DELETE"))
        return fill_empty(r, "FROM");
    if (token_is(&r->t, "TRUNCATE"))
        return fill_empty(r, "TABLE");
    return ignored(&r->t, r->l) ? 0 : unknown(r);
}

/* CREATE of what has a body of statements. */
static bool holds_statements(const struct reading *r)
{
    struct lexer l = r->l;
    struct token t = r->t;

    if (!token_is(&t, "CREATE"))
        return false;
    for (; t.type != TOKEN_END && !token_is_punct(&t, '('); lexer_next(&l, &t)) {
        if (token_is(&t, "PROCEDURE") || token_is(&t, "FUNCTION") || token_is(&t, "TRIGGER") ||
            token_is(&t, "EVENT"))
            return true;
        if (token_is(&t, "VIEW") || token_is(&t, "TABLE") || token_is(&t, "AS"))
            return false;
    }
    return false;
}

/* Under another DELIMITER a client sends several statements at once, and a server runs them all. */
static bool is_several(const struct reading *r)
{
    struct lexer l = r->l;
    struct token t = r->t;

    if (holds_statements(r))
        return false;
    while (t.type != TOKEN_END && !token_is_punct(&t, ';'))
        lexer_next(&l, &t);
    while (token_is_punct(&t, ';'))
        lexer_next(&l, &t);
    return t.type != TOKEN_END;
}

int classify(struct dump *d, const struct statement *st, struct object **ret, struct err *e)
{
    struct reading r = {.d = d, .st = st, .e = e};
    struct token_mode mode = session_vars_mode(d->vars);
    int rc;

    lexer_init(&r.l, st->text, st->len, mode);
    reading_next(&r);
    if (is_insert(&r.t)) {
        rc = fill_insert(&r);
    } else if (r.t.type != TOKEN_WORD && r.t.type != TOKEN_END) {
        rc = unknown(&r);
    } else {
        rc = plain_text(&r.plain, st->text, st->len, mode, &r.versioned, e);
        lexer_init(&r.l, r.plain.data, r.plain.len, mode);
        reading_next(&r);
        if (rc == 0 && is_several(&r))
            rc = reading_refuse(
                &r, "the dump holds several statements in one, under another DELIMITER");
        if (rc == 0)
            rc = reading_make_utf8(&r);
        if (rc == 0)
            rc =
                is_insert(&r.t) ? reading_refuse(&r, "an INSERT stands within a comment") : one(&r);
    }
    *ret = r.o;
    buf_release(&r.plain);
    return rc;
}
