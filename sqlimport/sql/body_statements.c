/* SPDX-License-Identifier: MIT */
/*
 * Blocks are a stack: BEGIN, IF, CASE, LOOP (with WHILE, REPEAT and FOR), and a CASE that gives a
 * value, in the midst of a statement. Between IF and THEN, WHILE and DO and the like (`head`)
 * stands a condition, behind it a statement:
 *
 *      label: WHILE x < 3 DO  INSERT …;  IF y THEN  SET …;  END IF;  END WHILE label;
 *             ^ block, head   ^ verb     ^ block    ^ verb  ^ pop    ^ pop
 */
#include "sqlimport/sql/body_statements.h"

#include <errno.h>

/* --- statements --- */

enum block body_top_block(const struct body *b)
{
    return b->n_blocks > 0 ? b->blocks[b->n_blocks - 1] : BLOCK_BEGIN;
}

void body_begin_statement(struct body *b)
{
    b->start = true;
    b->head = b->until = b->ddl = b->set = b->target = false;
    b->depth = 0;
    b->levels[0] = (struct level){.place = PLACE_VALUE};
}

static int push(struct body *b, enum block kind)
{
    if (b->n_blocks == BODY_DEPTH_MAX)
        return body_refuse(b, "is too deep");
    b->blocks[b->n_blocks++] = kind;
    body_next(b);
    return 0;
}

/* END [IF|CASE|LOOP|WHILE|REPEAT|FOR] */
int body_end_block(struct body *b)
{
    static const char *const words[] = {"IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR", NULL};
    enum block kind;

    if (b->n_blocks == 0)
        return body_refuse(b, "ends a block that it did not begin");
    kind = b->blocks[--b->n_blocks];
    body_next(b);
    if (kind != BLOCK_CASE_VALUE && kind != BLOCK_BEGIN && body_is_any(b, words))
        body_next(b);
    if (kind != BLOCK_CASE_VALUE) { /* a label, then ';' */
        b->start = false;
        body_expect(b, PLACE_VALUE, false);
    }
    return 0;
}

/* DECLARE … HANDLER FOR condition, condition: a statement follows. */
static int handler(struct body *b)
{
    body_next(b);
    if (!body_is(b, "FOR"))
        return 0; /* of that name */
    do {
        body_next(b);
        if (body_is(b, "SQLSTATE")) {
            body_next(b);
            if (body_is(b, "VALUE"))
                body_next(b);
        } else if (body_is(b, "NOT")) {
            body_next(b);
        }
        body_next(b);
    } while (syntax_is_punct(&b->s, ','));
    body_begin_statement(b);
    return 0;
}

static int declare(struct body *b)
{
    b->start = false;
    body_next(b);
    if ((body_is(b, "CONTINUE") || body_is(b, "EXIT") || body_is(b, "UNDO"))) {
        body_next(b);
        if (body_is(b, "HANDLER"))
            return handler(b);
    }
    return 0;
}

/* CREATE [OR REPLACE] [TEMPORARY] TABLE, … INDEX; ALTER TABLE; DROP [TEMPORARY] TABLE, INDEX */
static int change_table(struct body *b)
{
    static const char *const skip[] = {"OR",      "REPLACE", "TEMPORARY", "UNIQUE", "FULLTEXT",
                                       "SPATIAL", "ONLINE",  "IGNORE",    NULL};

    b->start = false;
    b->ddl = true;
    body_next(b);
    while (body_is_any(b, skip))
        body_next(b);
    if (body_is(b, "TABLE") || body_is(b, "INDEX"))
        return 0;
    return body_refuse(b, "makes, alters or drops something other than a table or index");
}

/* A verb and the word that must follow it. */
static int pair(struct body *b, const char *second)
{
    b->start = false;
    body_next(b);
    return body_is(b, second) ? 0 : body_refuse(b, "holds a statement that changes the server");
}

/* Verbs that nothing special is to be known of. */
static bool is_plain_verb(const struct body *b)
{
    static const char *const words[] = {
        "SELECT", "INSERT",   "UPDATE",  "DELETE", "REPLACE",  "WITH",      "VALUES",
        "RETURN", "LEAVE",    "ITERATE", "OPEN",   "FETCH",    "CLOSE",     "SIGNAL",
        "DO",     "RESIGNAL", "COMMIT",  "UNTIL",  "ROLLBACK", "SAVEPOINT", NULL};

    return body_is_any(b, words);
}

static int unknown_verb(struct body *b)
{
    static const char *const dynamic[] = {"PREPARE", "EXECUTE", "DEALLOCATE", NULL};
    static const char *const server[] = {"GRANT",     "REVOKE", "KILL",   "SHUTDOWN", "INSTALL",
                                         "UNINSTALL", "FLUSH",  "RESET",  "CHANGE",   "PURGE",
                                         "STOP",      "LOAD",   "RENAME", "LOCK",     "HANDLER",
                                         "BINLOG",    "XA",     "SHOW",   NULL};
    const char *const *w = dynamic;

    if (body_is_any(b, dynamic))
        return body_refuse(b, "runs SQL that it puts together (PREPARE, EXECUTE)");
    for (w = server; *w; w++)
        if (body_is(b, *w))
            return err_set(b->s.e, EPERM, "holds a %s statement", *w);
    return body_refuse(b, "holds a statement that an import does not know");
}

/* A statement that holds no others. */
static int simple(struct body *b)
{
    static const char *const tables[] = {"ANALYZE", "OPTIMIZE", "CHECK", "REPAIR", NULL};
    struct token behind = syntax_peek(&b->s);

    if (body_is(b, "DECLARE"))
        return declare(b);
    if (syntax_is_punct(&b->s, '(') || token_is_punct(&behind, '.'))
        return 0; /* a.b := 1 under ORACLE */
    if (body_is(b, "CREATE") || body_is(b, "ALTER") || body_is(b, "DROP"))
        return change_table(b);
    if (body_is_any(b, tables) || (body_is(b, "RENAME") && token_is(&behind, "TABLE"))) {
        b->ddl = true;
        body_next(b);
        return 0;
    }
    if (body_is(b, "TRUNCATE") || body_is(b, "CALL")) {
        body_expect(b, PLACE_TABLE, false);
        body_next(b);
        return 0;
    }
    if (body_is(b, "SET")) {
        b->set = b->target = true;
        body_next(b);
        return 0;
    }
    if (body_is(b, "START"))
        return pair(b, "TRANSACTION");
    if (body_is(b, "RELEASE"))
        return pair(b, "SAVEPOINT");
    if (body_is(b, "GET") && (token_is(&behind, "CURRENT") || token_is(&behind, "STACKED")))
        body_next(b);
    if (body_is(b, "GET") || body_was(b, "GET"))
        return pair(b, "DIAGNOSTICS");
    if (body_is(b, "DO") && body_was(b, "DO"))
        return body_refuse(b, "holds a name that cannot be read for sure");
    b->until = body_is(b, "UNTIL");
    return is_plain_verb(b) ? 0 : unknown_verb(b);
}

int body_statement(struct body *b)
{
    static const char *const loops[] = {"LOOP", "REPEAT", NULL};
    static const char *const heads[] = {"WHILE", "FOR", NULL};
    struct token behind = syntax_peek(&b->s);

    if (syntax_is_name(&b->s) && token_is_punct(&behind, ':')) { /* a label; or := under ORACLE */
        body_next(b);
        body_next(b);
        b->start = !syntax_is_punct(&b->s, '=');
        return 0;
    }
    if (body_is(b, "BEGIN")) {
        int r = push(b, BLOCK_BEGIN);
        if (body_is(b, "NOT")) { /* ATOMIC */
            body_next(b);
            body_next(b);
        }
        return r;
    }
    if (body_is_any(b, loops))
        return push(b, BLOCK_LOOP);
    if (body_is(b, "ELSE") && (body_top_block(b) == BLOCK_IF || body_top_block(b) == BLOCK_CASE)) {
        body_next(b);
        return 0;
    }
    if (body_is(b, "END"))
        return body_end_block(b);
    b->start = false;
    b->head = true;
    if (body_is(b, "IF"))
        return push(b, BLOCK_IF);
    if (body_is(b, "CASE"))
        return push(b, BLOCK_CASE);
    if (body_is_any(b, heads))
        return push(b, BLOCK_LOOP);
    if ((body_is(b, "ELSEIF") && body_top_block(b) == BLOCK_IF) ||
        (body_is(b, "WHEN") && body_top_block(b) == BLOCK_CASE)) {
        body_next(b);
        return 0;
    }
    b->head = false;
    return simple(b);
}
