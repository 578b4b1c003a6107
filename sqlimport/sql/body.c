/* SPDX-License-Identifier: MIT */
/*
 * One pass over the tokens, which follows just so much of the grammar as tells
 *
 *  - where a statement begins (blocks): only verbs on a list may stand there;
 *  - what a.b is (levels, one for each bracket): where a table is expected, a table in database a,
 *    and else a column of table a:
 *
 *      SELECT t.x FROM a.b JOIN c.d ON c.d.x = t.x , e.f WHERE t.y = (SELECT …)
 *      ^ column   ^ table  ^ table     ^ column      ^ table   ^ column ^ a level of its own
 *
 * Words that end a list of tables must be reserved ones on all servers: any other may be an alias
 * in the list, which then goes on. Where it is in doubt, it expects a table.
 */
#include "sqlimport/sql/body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlimport/sql/syntax.h"
#include "sqlimport/sql/table_grammar.h"
#include "sync/common/buf.h"

#define DEPTH_MAX 200

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
    struct level levels[DEPTH_MAX];
    int depth;
    enum block blocks[DEPTH_MAX];
    int n_blocks;
    bool start; /* a statement begins here */
    bool head;  /* between IF and THEN, WHILE and DO, and the like */
    bool until; /* between UNTIL and END REPEAT */
    bool view;
    bool ddl;    /* in a CREATE, ALTER or DROP, before any SELECT */
    bool set;    /* in a SET statement */
    bool target; /* what SET assigns to stands here */
};

static int refuse(struct body *b, const char *what)
{
    return err_set(b->s.e, EPERM, "%s", what);
}

static void next(struct body *b)
{
    b->last[2] = b->last[1];
    b->last[1] = b->last[0];
    b->last[0] = b->s.t;
    syntax_next(&b->s);
}

static bool is(const struct body *b, const char *word)
{
    return syntax_is(&b->s, word);
}

static bool is_any(const struct body *b, const char *const *words)
{
    for (; *words; words++)
        if (is(b, *words))
            return true;
    return false;
}

static struct level *level(struct body *b)
{
    return &b->levels[b->depth];
}

static void expect(struct body *b, enum place place, bool tables)
{
    level(b)->place = place;
    level(b)->tables = tables;
}

/* --- names --- */

/* Another database; information_schema shows everybody only what is his. */
static int check_database(struct body *b, const struct token *t)
{
    char *name = token_text(t, b->s.l.mode);
    int r = 0;

    if (strcmp(name, b->database) != 0 && strcasecmp(name, "information_schema") != 0)
        r = err_set(b->s.e, EPERM, "names another database ('%.64s')", name);
    free(name);
    return r;
}

/* Behind NEXT VALUE FOR, or in NEXTVAL( and its like, or behind ROW TYPE OF. */
static bool is_named_otherwise(const struct body *b)
{
    static const char *const functions[] = {"NEXTVAL", "LASTVAL", "SETVAL", NULL};
    const struct token *l = b->last;
    char *function;
    bool is = false;

    if (token_is(&l[0], "FOR") && token_is(&l[1], "VALUE"))
        return true;
    if (token_is(&l[0], "OF") && token_is(&l[1], "TYPE") && token_is(&l[2], "ROW"))
        return true;
    if (!token_is_punct(&l[0], '(') || (l[1].type != TOKEN_WORD && l[1].type != TOKEN_NAME))
        return false;
    function = token_text(&l[1], b->s.l.mode);
    for (const char *const *f = functions; *f; f++)
        is = is || strcasecmp(function, *f) == 0;
    free(function);
    return is;
}

/* a.b%ROWTYPE */
static bool is_row_type(const struct body *b)
{
    struct token behind = syntax_peek(&b->s);

    return syntax_is_punct(&b->s, '%') && token_is(&behind, "ROWTYPE");
}

/* a.b, a.b.c, a.b.*: at the first name, with a '.' behind it. */
static int chain(struct body *b)
{
    bool table = level(b)->place == PLACE_TABLE || b->ddl || is_named_otherwise(b);
    struct token first = b->s.t;
    bool star = false;
    int parts = 1;

    if (level(b)->place == PLACE_AFTER)
        return refuse(b, "holds a name that cannot be read for sure");
    next(b);
    while (syntax_is_punct(&b->s, '.') && !star) {
        next(b);
        star = syntax_is_punct(&b->s, '*');
        if (!syntax_is_name(&b->s) && !star)
            return refuse(b, "holds a name that cannot be read for sure");
        next(b);
        parts++;
    }
    if (parts > 3)
        return refuse(b, "holds a name that cannot be read for sure");
    table = (table && !star) || syntax_is_punct(&b->s, '(') || is_row_type(b);
    if (level(b)->place == PLACE_TABLE)
        level(b)->place = PLACE_AFTER;
    return parts == 3 || table ? check_database(b, &first) : 0;
}

static int name(struct body *b)
{
    struct token behind = syntax_peek(&b->s);

    if (syntax_is_called(&b->s, "LOAD_FILE"))
        return refuse(b, "reads a file (LOAD_FILE)");
    if (token_is_punct(&behind, '.'))
        return chain(b);
    if (level(b)->place == PLACE_TABLE)
        level(b)->place = PLACE_AFTER;
    next(b);
    return 0;
}

/* --- words within a statement --- */

static bool was(const struct body *b, const char *word)
{
    return token_is(&b->last[0], word);
}

/* Words behind which tables stand; true: it was one. */
static bool leads_to_tables(struct body *b)
{
    static const char *const always[] = {"JOIN", "TABLE", "USING", NULL};
    static const char *const changes[] = {"INSERT", "REPLACE", "DELETE", NULL};
    struct token behind = syntax_peek(&b->s);
    struct level *v = level(b);

    if (is(b, "FROM") && !v->query)
        return false; /* EXTRACT(YEAR FROM x) */
    if (is(b, "STRAIGHT_JOIN") && !v->tables)
        return false; /* SELECT STRAIGHT_JOIN … */
    if (is(b, "UPDATE") && (was(b, "KEY") || was(b, "FOR") || was(b, "ON"))) {
        if (was(b, "KEY"))
            expect(b, PLACE_VALUE, false); /* ON DUPLICATE KEY UPDATE */
        return false;
    }
    if (is_any(b, changes)) {
        if (was(b, "ON") || token_is_punct(&behind, '('))
            return false;
        v->query = v->query || is(b, "DELETE");
    } else if (!is(b, "FROM") && !is(b, "STRAIGHT_JOIN") && !is(b, "UPDATE") &&
               !is_any(b, always)) {
        return false;
    }
    expect(b, PLACE_TABLE, true);
    return true;
}

/* Behind these no table stands any more. */
static bool ends_tables(const struct body *b)
{
    static const char *const words[] = {"WHERE", "HAVING", "LIMIT", "UNION", NULL};

    if (is(b, "GROUP") || is(b, "ORDER")) /* USE INDEX FOR ORDER BY (…) goes on */
        return !was(b, "FOR") && !was(b, "WITHIN");
    if (is(b, "SET"))
        return !was(b, "CHARACTER") && !was(b, "CHAR");
    if (is(b, "VALUES")) /* not the function in a condition */
        return b->levels[b->depth].place == PLACE_AFTER;
    return is_any(b, words);
}

static int into(struct body *b)
{
    struct token behind = syntax_peek(&b->s);

    if (token_is(&behind, "OUTFILE") || token_is(&behind, "DUMPFILE"))
        return refuse(b, "writes a file (INTO OUTFILE)");
    if (b->view)
        return refuse(b, "is a view with INTO");
    if (level(b)->place != PLACE_TABLE) /* variables; INSERT INTO expects a table already */
        expect(b, PLACE_VALUE, false);
    next(b);
    return 0;
}

static int engine(struct body *b)
{
    char *engine;
    bool ok;

    next(b);
    if (syntax_is_punct(&b->s, '='))
        next(b);
    engine = token_text(&b->s.t, b->s.l.mode);
    ok = table_grammar_allows_engine(engine);
    free(engine);
    next(b);
    return ok ? 0 : refuse(b, "makes a table of a storage engine that an import does not allow");
}

/* What SET must not assign to. */
static int check_target(struct body *b)
{
    static const char *const server[] = {"GLOBAL", "PERSIST", "PERSIST_ONLY", NULL};
    static const char *const other[] = {"PASSWORD",  "ROLE",          "DEFAULT", "RESOURCE",
                                        "STATEMENT", "AUTHORIZATION", NULL};
    struct token behind = syntax_peek(&b->s);

    if (is_any(b, server) && !token_is_punct(&behind, '=') && !token_is_punct(&behind, ':'))
        return refuse(b, "changes a setting of the server (SET GLOBAL)");
    if (b->s.t.type == TOKEN_SYSTEM) {
        char *variable = token_text(&b->s.t, b->s.l.mode);
        bool session =
            strncasecmp(variable, "global", 6) != 0 && strncasecmp(variable, "persist", 7) != 0;
        free(variable);
        if (!session)
            return refuse(b, "changes a setting of the server (SET GLOBAL)");
    }
    if (is(b, "PASSWORD") ||
        (is_any(b, other) && !token_is_punct(&behind, '=') && !token_is_punct(&behind, ':')))
        return refuse(b, "changes an account or role, or sets something for another statement");
    return 0;
}

static int word(struct body *b)
{
    static const char *const modifiers[] = {"LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED",
                                            "IGNORE",       "TEMPORARY",     "IF",
                                            "NOT",          "EXISTS",        NULL};
    static const char *const places[] = {"DIRECTORY", "CONNECTION", "TABLESPACE", NULL};
    struct token behind = syntax_peek(&b->s);

    if (is(b, "INTO"))
        return into(b);
    if (token_is_punct(&behind, '.') || token_is_punct(&b->last[0], '.'))
        return name(b);
    if (is(b, "OUTFILE") || is(b, "INFILE"))
        return refuse(b, "reads or writes a file");
    if (b->ddl && is(b, "ENGINE"))
        return engine(b);
    if (b->ddl && is_any(b, places))
        return refuse(b, "makes a table that does not lie in the database's folder");
    if (is(b, "SELECT")) {
        expect(b, PLACE_VALUE, false);
        level(b)->query = true;
        b->ddl = b->ddl && b->depth > 0;
    } else if (is(b, "CASE")) {
        if (b->n_blocks == DEPTH_MAX)
            return refuse(b, "is too deep");
        b->blocks[b->n_blocks++] = BLOCK_CASE_VALUE;
    } else if (ends_tables(b)) {
        expect(b, PLACE_VALUE, false);
    } else if (is(b, "ON") && level(b)->place == PLACE_AFTER) {
        level(b)->place = PLACE_VALUE;
    } else if (!leads_to_tables(b) && !(level(b)->place == PLACE_TABLE && is_any(b, modifiers))) {
        return name(b);
    }
    next(b);
    return 0;
}

/* --- statements --- */

static enum block top(const struct body *b)
{
    return b->n_blocks > 0 ? b->blocks[b->n_blocks - 1] : BLOCK_BEGIN;
}

static void begin_statement(struct body *b)
{
    b->start = true;
    b->head = b->until = b->ddl = b->set = b->target = false;
    b->depth = 0;
    b->levels[0] = (struct level){.place = PLACE_VALUE};
}

static int push(struct body *b, enum block kind)
{
    if (b->n_blocks == DEPTH_MAX)
        return refuse(b, "is too deep");
    b->blocks[b->n_blocks++] = kind;
    next(b);
    return 0;
}

/* END [IF|CASE|LOOP|WHILE|REPEAT|FOR] */
static int end_block(struct body *b)
{
    static const char *const words[] = {"IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR", NULL};
    enum block kind;

    if (b->n_blocks == 0)
        return refuse(b, "ends a block that it did not begin");
    kind = b->blocks[--b->n_blocks];
    next(b);
    if (kind != BLOCK_CASE_VALUE && kind != BLOCK_BEGIN && is_any(b, words))
        next(b);
    if (kind != BLOCK_CASE_VALUE) { /* a label, then ';' */
        b->start = false;
        expect(b, PLACE_VALUE, false);
    }
    return 0;
}

/* DECLARE … HANDLER FOR condition, condition: a statement follows. */
static int handler(struct body *b)
{
    next(b);
    if (!is(b, "FOR"))
        return 0; /* of that name */
    do {
        next(b);
        if (is(b, "SQLSTATE")) {
            next(b);
            if (is(b, "VALUE"))
                next(b);
        } else if (is(b, "NOT")) {
            next(b);
        }
        next(b);
    } while (syntax_is_punct(&b->s, ','));
    begin_statement(b);
    return 0;
}

static int declare(struct body *b)
{
    b->start = false;
    next(b);
    if ((is(b, "CONTINUE") || is(b, "EXIT") || is(b, "UNDO"))) {
        next(b);
        if (is(b, "HANDLER"))
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
    next(b);
    while (is_any(b, skip))
        next(b);
    if (is(b, "TABLE") || is(b, "INDEX"))
        return 0;
    return refuse(b, "makes, alters or drops something other than a table or index");
}

/* A verb and the word that must follow it. */
static int pair(struct body *b, const char *second)
{
    b->start = false;
    next(b);
    return is(b, second) ? 0 : refuse(b, "holds a statement that changes the server");
}

/* Verbs that nothing special is to be known of. */
static bool is_plain_verb(const struct body *b)
{
    static const char *const words[] = {
        "SELECT", "INSERT",   "UPDATE",  "DELETE", "REPLACE",  "WITH",      "VALUES",
        "RETURN", "LEAVE",    "ITERATE", "OPEN",   "FETCH",    "CLOSE",     "SIGNAL",
        "DO",     "RESIGNAL", "COMMIT",  "UNTIL",  "ROLLBACK", "SAVEPOINT", NULL};

    return is_any(b, words);
}

static int unknown_verb(struct body *b)
{
    static const char *const dynamic[] = {"PREPARE", "EXECUTE", "DEALLOCATE", NULL};
    static const char *const server[] = {"GRANT",     "REVOKE", "KILL",   "SHUTDOWN", "INSTALL",
                                         "UNINSTALL", "FLUSH",  "RESET",  "CHANGE",   "PURGE",
                                         "STOP",      "LOAD",   "RENAME", "LOCK",     "HANDLER",
                                         "BINLOG",    "XA",     "SHOW",   NULL};
    const char *const *w = dynamic;

    if (is_any(b, dynamic))
        return refuse(b, "runs SQL that it puts together (PREPARE, EXECUTE)");
    for (w = server; *w; w++)
        if (is(b, *w))
            return err_set(b->s.e, EPERM, "holds a %s statement", *w);
    return refuse(b, "holds a statement that an import does not know");
}

/* A statement that holds no others. */
static int simple(struct body *b)
{
    static const char *const tables[] = {"ANALYZE", "OPTIMIZE", "CHECK", "REPAIR", NULL};
    struct token behind = syntax_peek(&b->s);

    if (is(b, "DECLARE"))
        return declare(b);
    if (syntax_is_punct(&b->s, '(') || token_is_punct(&behind, '.'))
        return 0; /* a.b := 1 under ORACLE */
    if (is(b, "CREATE") || is(b, "ALTER") || is(b, "DROP"))
        return change_table(b);
    if (is_any(b, tables) || (is(b, "RENAME") && token_is(&behind, "TABLE"))) {
        b->ddl = true;
        next(b);
        return 0;
    }
    if (is(b, "TRUNCATE") || is(b, "CALL")) {
        expect(b, PLACE_TABLE, false);
        next(b);
        return 0;
    }
    if (is(b, "SET")) {
        b->set = b->target = true;
        next(b);
        return 0;
    }
    if (is(b, "START"))
        return pair(b, "TRANSACTION");
    if (is(b, "RELEASE"))
        return pair(b, "SAVEPOINT");
    if (is(b, "GET") && (token_is(&behind, "CURRENT") || token_is(&behind, "STACKED")))
        next(b);
    if (is(b, "GET") || was(b, "GET"))
        return pair(b, "DIAGNOSTICS");
    if (is(b, "DO") && was(b, "DO"))
        return refuse(b, "holds a name that cannot be read for sure");
    b->until = is(b, "UNTIL");
    return is_plain_verb(b) ? 0 : unknown_verb(b);
}

static int statement(struct body *b)
{
    static const char *const loops[] = {"LOOP", "REPEAT", NULL};
    static const char *const heads[] = {"WHILE", "FOR", NULL};
    struct token behind = syntax_peek(&b->s);

    if (syntax_is_name(&b->s) && token_is_punct(&behind, ':')) { /* a label; or := under ORACLE */
        next(b);
        next(b);
        b->start = !syntax_is_punct(&b->s, '=');
        return 0;
    }
    if (is(b, "BEGIN")) {
        int r = push(b, BLOCK_BEGIN);
        if (is(b, "NOT")) { /* ATOMIC */
            next(b);
            next(b);
        }
        return r;
    }
    if (is_any(b, loops))
        return push(b, BLOCK_LOOP);
    if (is(b, "ELSE") && (top(b) == BLOCK_IF || top(b) == BLOCK_CASE)) {
        next(b);
        return 0;
    }
    if (is(b, "END"))
        return end_block(b);
    b->start = false;
    b->head = true;
    if (is(b, "IF"))
        return push(b, BLOCK_IF);
    if (is(b, "CASE"))
        return push(b, BLOCK_CASE);
    if (is_any(b, heads))
        return push(b, BLOCK_LOOP);
    if ((is(b, "ELSEIF") && top(b) == BLOCK_IF) || (is(b, "WHEN") && top(b) == BLOCK_CASE)) {
        next(b);
        return 0;
    }
    b->head = false;
    return simple(b);
}

/* --- brackets, commas, ends --- */

static int open_bracket(struct body *b)
{
    bool tables = level(b)->place == PLACE_TABLE;

    if (b->depth + 1 == DEPTH_MAX)
        return refuse(b, "is too deep");
    b->levels[++b->depth] = (struct level){
        .place = tables ? PLACE_TABLE : PLACE_VALUE,
        .tables = tables,
    };
    next(b);
    return 0;
}

static int close_bracket(struct body *b)
{
    if (b->depth == 0)
        return refuse(b, "closes a bracket that it did not open");
    b->depth--;
    if (level(b)->place == PLACE_TABLE)
        level(b)->place = PLACE_AFTER;
    next(b);
    return 0;
}

static int end_statement(struct body *b)
{
    if (b->depth > 0)
        return refuse(b, "ends a statement within brackets");
    next(b);
    if (b->n_blocks == 0 && b->s.t.type != TOKEN_END)
        return refuse(b, "holds a second statement");
    begin_statement(b);
    return 0;
}

static int punct(struct body *b)
{
    if (syntax_is_punct(&b->s, '('))
        return open_bracket(b);
    if (syntax_is_punct(&b->s, ')'))
        return close_bracket(b);
    if (syntax_is_punct(&b->s, ';'))
        return b->view ? refuse(b, "is a view of several statements") : end_statement(b);
    if (syntax_is_punct(&b->s, '.'))
        return refuse(b, "holds a name that cannot be read for sure");
    if (syntax_is_punct(&b->s, ',')) {
        if (level(b)->tables)
            level(b)->place = PLACE_TABLE;
        b->target = b->set && b->depth == 0;
    }
    next(b);
    return 0;
}

/*
 * WHEN, THEN and ELSE are reserved words: of the innermost CASE that gives a value, or where the
 * blocks say that they may stand. 1: a statement begins behind it; 0: it is passed over.
 */
static int structure(struct body *b)
{
    bool head = b->head && b->depth == 0;

    if (top(b) == BLOCK_CASE_VALUE)
        return 0;
    if (is(b, "DO"))
        return head && top(b) == BLOCK_LOOP;
    if (is(b, "WHEN") && head && top(b) == BLOCK_CASE)
        return 0;
    if (is(b, "THEN") && head && (top(b) == BLOCK_IF || top(b) == BLOCK_CASE))
        return 1;
    return refuse(b, "is not built as a statement must be");
}

static bool is_structure(const struct body *b)
{
    static const char *const words[] = {"WHEN", "THEN", "ELSE", "DO", NULL};

    return is_any(b, words);
}

/* An END that is no name: of a CASE that gives a value, or behind UNTIL. */
static bool ends_value(const struct body *b)
{
    return is(b, "END") && b->n_blocks > 0 &&
           (top(b) == BLOCK_CASE_VALUE || (b->until && top(b) == BLOCK_LOOP && b->depth == 0));
}

static int one(struct body *b)
{
    int r;

    if (b->start && b->s.t.type != TOKEN_WORD && b->s.t.type != TOKEN_NAME &&
        !syntax_is_punct(&b->s, '('))
        return refuse(b, "holds a statement that an import does not know");
    if (b->start)
        return statement(b);
    if (b->target) {
        b->target = false;
        r = check_target(b);
        if (r < 0)
            return r;
        /* SESSION and LOCAL stand before the variable. */
        b->target = is(b, "SESSION") || is(b, "LOCAL");
    }
    if (is_structure(b)) {
        r = structure(b);
        if (r >= 0)
            next(b);
        if (r == 1)
            begin_statement(b);
        return r < 0 ? r : 0;
    }
    if (ends_value(b))
        return end_block(b);
    if (b->s.t.type == TOKEN_WORD)
        return word(b);
    if (b->s.t.type == TOKEN_NAME)
        return name(b);
    if (b->s.t.type == TOKEN_PUNCT)
        return punct(b);
    if (b->s.t.type == TOKEN_USER && b->s.t.len == 1)
        return refuse(b, "holds a name that cannot be read for sure");
    if (level(b)->place == PLACE_TABLE)
        level(b)->place = PLACE_AFTER;
    next(b);
    return 0;
}

int body_check(const char *text, size_t len, struct token_mode mode, bool view,
               const char *database, struct err *e)
{
    struct body *b = xcalloc(1, sizeof(*b));
    int r = 0;

    b->database = database;
    b->view = view;
    b->start = !view;
    syntax_init(&b->s, text, len, mode, e);
    while (r == 0 && b->s.t.type != TOKEN_END)
        r = one(b);
    if (r == 0 && (b->n_blocks > 0 || b->depth > 0))
        r = refuse(b, "does not end");
    free(b);
    return r;
}
