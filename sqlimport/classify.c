/* SPDX-License-Identifier: MIT */
#include "sqlimport/classify.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlimport/ddl.h"
#include "sqlimport/rows.h"
#include "sync/common/buf.h"

/* Statements that make one range: bytes of all, and what may stand between two: ";\r\n". */
#define RUN_MAX ((uint64_t)64 << 10)
#define RUN_GAP 3

/* One statement on its way through. */
struct reading {
    struct dump *d;
    const struct statement *st;
    struct lexer l;
    struct token t;
    struct object *o;
    struct err *e;
};

static void next(struct reading *r)
{
    lexer_next(&r->l, &r->t);
}

static int refuse(struct reading *r, const char *what)
{
    return err_set(r->e, EPERM, "%s, which an import does not allow", what);
}

/* The one database that the dump is of: its own USE and CREATE DATABASE are skipped. */
static int own_database(struct reading *r)
{
    char *name;
    int rc = 0;

    while (token_is(&r->t, "IF") || token_is(&r->t, "NOT") || token_is(&r->t, "EXISTS"))
        next(r);
    name = token_text(&r->t, r->l.mode);
    if (!r->d->database)
        r->d->database = xstrdup(name);
    else if (strcmp(r->d->database, name) != 0)
        rc = err_set(r->e, EPERM,
                     "the dump holds a second database ('%.60s' after '%.60s'): dump one database",
                     name, r->d->database);
    free(name);
    return rc;
}

/* Reads a name at the current token; stands behind it afterwards. NULL: refused. */
static char *object_name(struct reading *r)
{
    char *name;

    while (token_is(&r->t, "IF") || token_is(&r->t, "NOT") || token_is(&r->t, "EXISTS"))
        next(r);
    if (r->t.type != TOKEN_NAME && r->t.type != TOKEN_WORD) {
        err_set(r->e, EPERM, "a name is missing");
        return NULL;
    }
    name = token_text(&r->t, r->l.mode);
    if (!*name || strlen(name) > 192) {
        err_set(r->e, EPERM, "a name is empty or too long");
        free(name);
        return NULL;
    }
    next(r);
    if (token_is_punct(&r->t, '.')) {
        char *second;
        next(r);
        second = token_text(&r->t, r->l.mode);
        err_set(r->e, EPERM, "'%.60s.%.60s' names a database: an import fills only its own", name,
                second);
        free(second);
        free(name);
        return NULL;
    }
    return name;
}

static void keep_ddl(struct reading *r, struct object *o)
{
    struct buf b = BUF_INIT;

    ddl_replace_definer(&b, r->st->text, r->st->len, r->l.mode);
    free(o->ddl);
    o->ddl_len = b.len;
    o->ddl = buf_detach(&b);
    o->offset = r->st->offset;
    o->line = r->st->line;
    o->env = env_current(r->d->env);
}

static void hash_ddl(struct reading *r, struct object *o)
{
    char *env = env_sql(r->d->env, env_current(r->d->env));

    hash_stream_add(o->stream, env, strlen(env) + 1);
    hash_stream_add(o->stream, r->st->text, r->st->len);
    hash_stream_add(o->stream, "", 1);
    free(env);
}

static int create_table(struct reading *r, enum object_kind kind)
{
    bool placeholder = r->t.versioned; /* mysqldump before 5.7: a table in a view's place */
    char *name = object_name(r);
    int rc;

    if (!name)
        return -EPERM;
    if (placeholder) {
        free(name);
        return 0;
    }
    if (dump_find(r->d, OBJECT_TABLE, name) || dump_find(r->d, OBJECT_SEQUENCE, name)) {
        rc = err_set(r->e, EPERM, "table '%.100s' is made a second time", name);
        free(name);
        return rc;
    }
    r->o = dump_object(r->d, kind, name);
    free(name);
    rc = kind == OBJECT_TABLE
             ? ddl_check_table(r->st->text, r->st->len, r->l.mode, &r->o->parents, r->e)
             : 0;
    keep_ddl(r, r->o);
    hash_ddl(r, r->o);
    return rc;
}

/* A view, trigger, routine or event; the last CREATE of a view is the real one. */
static int create_other(struct reading *r, enum object_kind kind)
{
    char *name = object_name(r);
    struct object *o;

    if (!name)
        return -EPERM;
    if (kind == OBJECT_FUNCTION && !token_is_punct(&r->t, '(')) {
        free(name);
        return refuse(r, "the dump loads a library into the server");
    }
    o = dump_object(r->d, kind, name);
    free(name);
    if (kind == OBJECT_TRIGGER) {
        while (r->t.type != TOKEN_END && !token_is(&r->t, "ON"))
            next(r);
        next(r);
        r->o = o;
        name = object_name(r);
        if (!name)
            return -EPERM;
        free(o->table);
        o->table = name;
    }
    keep_ddl(r, o);
    hash_ddl(r, o);
    return 0;
}

static int create(struct reading *r)
{
    static const struct {
        const char *word;
        enum object_kind kind;
    } kinds[] = {
        {"VIEW", OBJECT_VIEW},           {"TRIGGER", OBJECT_TRIGGER}, {"FUNCTION", OBJECT_FUNCTION},
        {"PROCEDURE", OBJECT_PROCEDURE}, {"EVENT", OBJECT_EVENT},
    };

    next(r);
    if (token_is(&r->t, "DATABASE") || token_is(&r->t, "SCHEMA")) {
        next(r);
        return own_database(r);
    }
    /* OR REPLACE, ALGORITHM=…, DEFINER=…, SQL SECURITY …, AGGREGATE */
    for (int i = 0; i < 24 && r->t.type != TOKEN_END; i++) {
        if (token_is(&r->t, "TABLE") || token_is(&r->t, "SEQUENCE")) {
            bool table = token_is(&r->t, "TABLE");
            bool versioned = r->t.versioned;
            next(r);
            r->t.versioned = versioned;
            return create_table(r, table ? OBJECT_TABLE : OBJECT_SEQUENCE);
        }
        for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
            if (!token_is(&r->t, kinds[k].word))
                continue;
            next(r);
            return create_other(r, kinds[k].kind);
        }
        next(r);
    }
    return refuse(r, "the dump creates something unknown");
}

/* The statement follows the range's last one, with not even a comment between. */
static bool continues(const struct range *g, const struct statement *st, int env)
{
    return st->rows > 0 && g->rows > 0 && st->semicolon && g->env == env &&
           st->offset - g->offset - g->len <= RUN_GAP &&
           (uint64_t)(st->offset - g->offset) + st->len <= RUN_MAX;
}

static void add_range(struct reading *r, int64_t rows)
{
    struct object *o = r->o;
    struct range *g = o->n_ranges > 0 ? &o->ranges[o->n_ranges - 1] : NULL;
    int env = env_current(r->d->env);

    if (g && continues(g, r->st, env)) {
        g->len = (uint32_t)(r->st->offset - g->offset + (off_t)r->st->len);
        g->rows += (uint32_t)rows;
        g->statements++;
    } else {
        dump_end_range(o);
        if ((o->n_ranges & (o->n_ranges - 1)) == 0)
            o->ranges =
                xrealloc(o->ranges, (o->n_ranges ? 2 * o->n_ranges : 1) * sizeof(*o->ranges));
        o->ranges[o->n_ranges++] = (struct range){
            .offset = r->st->offset,
            .len = (uint32_t)r->st->len,
            .rows = (uint32_t)rows,
            .statements = 1,
            .line = r->st->line,
            .env = env,
        };
    }
    o->rows += (uint64_t)rows;
    o->bytes += r->st->len;
    r->d->rows += (uint64_t)rows;
    rowhash_add(o->rows_stream, r->d->env, env, r->st->text, r->st->len);
}

/* Rows of the INSERT, of which the lexer has read all up to VALUES: counted by the splitter unless
 * something is strange. */
static int64_t count_rows(struct reading *r)
{
    const char *p = r->l.p, *end = r->st->text + r->st->len;

    while (p < end && isspace((unsigned char)*p))
        p++;
    if (r->st->rows > 0 && p == r->st->text + r->st->rows_at)
        return r->st->rows;
    return rows_count(p, end, r->l.mode, r->e);
}

static int insert(struct reading *r)
{
    struct lexer back;
    char *name;
    int64_t rows;
    int rc;

    next(r);
    while (token_is(&r->t, "IGNORE") || token_is(&r->t, "DELAYED") ||
           token_is(&r->t, "LOW_PRIORITY") || token_is(&r->t, "INTO"))
        next(r);
    back = r->l; /* object_name() reads one token further than the name */
    name = object_name(r);
    if (!name)
        return -EPERM;
    r->l = back;
    r->o = dump_object(r->d, OBJECT_TABLE, name);
    free(name);
    rc = rows_find(&r->l, r->e);
    if (rc < 0)
        return rc;
    rows = count_rows(r);
    if (rows < 0)
        return (int)rows;
    add_range(r, rows);
    return 0;
}

/* DO SETVAL(`s`, 5, 0) or SELECT SETVAL(…): the state of a sequence. */
static int setval(struct reading *r)
{
    char *name;
    struct object *o;

    next(r);
    if (!token_is(&r->t, "SETVAL"))
        return refuse(r, "the dump runs a query");
    next(r);
    next(r);
    name = object_name(r);
    if (!name)
        return -EPERM;
    o = dump_find(r->d, OBJECT_SEQUENCE, name);
    free(name);
    if (!o)
        return refuse(r, "the dump sets an unknown sequence");
    while (token_is_punct(&r->t, ',') || token_is_punct(&r->t, '-') || r->t.type == TOKEN_NUMBER ||
           r->t.type == TOKEN_WORD)
        next(r);
    next(r);
    if (r->t.type != TOKEN_END)
        return refuse(r, "the dump runs a query");
    r->o = o;
    add_range(r, 0);
    return 0;
}

/*
 * Percona's mysqldump asks in every dump whether the server has MyRocks, and switches its bulk load
 * on by a prepared statement. Nothing of that is stored, and nothing of it is run here.
 */
static bool is_bulk_load(const struct reading *r)
{
    struct lexer l = r->l;
    struct token t = r->t;
    bool known = token_is(&t, "EXECUTE") || token_is(&t, "DEALLOCATE");

    if (!t.versioned || !(known || token_is(&t, "PREPARE") || token_is(&t, "SELECT")))
        return false;
    for (; !known && t.type != TOKEN_END; lexer_next(&l, &t))
        known = t.type == TOKEN_USER && (memmem(t.p, t.len, "rocksdb", 7) != NULL ||
                                         memmem(t.p, t.len, "_bulk_load", 10) != NULL);
    return known;
}

static int alter(struct reading *r)
{
    next(r);
    if (token_is(&r->t, "DATABASE")) /* around routines, for their collation */
        return 0;
    if (!token_is(&r->t, "TABLE"))
        return refuse(r, "the dump alters something");
    next(r);
    next(r);
    if (token_is(&r->t, "DISABLE") || token_is(&r->t, "ENABLE"))
        return 0;
    return refuse(r, "the dump alters a table");
}

static int drop(struct reading *r)
{
    char *name;

    next(r);
    if (token_is(&r->t, "DATABASE") || token_is(&r->t, "SCHEMA")) {
        next(r);
        return own_database(r);
    }
    if (token_is(&r->t, "USER") || token_is(&r->t, "ROLE"))
        return refuse(r, "the dump drops accounts");
    next(r);
    name = object_name(r); /* nothing is dropped for it; it must only not be foreign */
    free(name);
    return name ? 0 : -EPERM;
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
        "BINLOG",  "CALL",     "CHECKSUM", "DELETE",    "EXECUTE", "EXPLAIN", "FLUSH",
        "GRANT",   "HANDLER",  "INSTALL",  "KILL",      "LOAD",    "LOCK",    "OPTIMIZE",
        "PREPARE", "PURGE",    "RENAME",   "REPAIR",    "RESET",   "REVOKE",  "SAVEPOINT",
        "SHOW",    "SHUTDOWN", "TRUNCATE", "UNINSTALL", "UPDATE",  "WITH",    "XA",
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (token_is(&r->t, words[i]))
            return err_set(r->e, EPERM,
                           "the dump holds a '%s' statement, which an import does not allow",
                           words[i]);
    return err_set(r->e, EPERM, "the dump holds a statement that an import does not know");
}

static int one(struct reading *r)
{
    next(r);
    if (r->t.type == TOKEN_END)
        return 0; /* a versioned comment with nothing in it */
    if (token_is(&r->t, "INSERT") || token_is(&r->t, "REPLACE"))
        return insert(r);
    if (token_is_twofold(r->st->text, r->st->len, r->l.mode))
        return refuse(r, "the dump holds a comment that servers read in different ways");
    if (token_is(&r->t, "SET"))
        return env_set(r->d->env, &r->l, r->e);
    if (token_is(&r->t, "CREATE"))
        return create(r);
    if (token_is(&r->t, "DROP"))
        return drop(r);
    if (token_is(&r->t, "ALTER"))
        return alter(r);
    if (is_bulk_load(r))
        return 0;
    if (token_is(&r->t, "DO") || token_is(&r->t, "SELECT"))
        return setval(r);
    if (token_is(&r->t, "USE")) {
        next(r);
        return own_database(r);
    }
    if (ignored(&r->t, r->l))
        return 0;
    return unknown(r);
}

int classify(struct dump *d, const struct statement *st, struct object **ret, struct err *e)
{
    struct reading r = {.d = d, .st = st, .e = e};
    int rc;

    lexer_init(&r.l, st->text, st->len, env_mode(d->env));
    rc = one(&r);
    *ret = r.o;
    return rc;
}
