/* SPDX-License-Identifier: MIT */
#include "sqlimport/classify.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlimport/ddl.h"
#include "sqlimport/plain.h"
#include "sqlimport/rows.h"
#include "sqlimport/tabledef.h"
#include "sync/common/buf.h"

/* Statements that make one range: bytes of all, and what may stand between two: ";\r\n". */
#define RUN_MAX ((uint64_t)64 << 10)
#define RUN_GAP 3

#define NAME_MAX_CHARS 64 /* of a server's names */

/* One statement on its way through: an INSERT as it stands in the dump, anything else as plain
 * text. */
struct reading {
    struct dump *d;
    const struct statement *st;
    struct buf plain;
    bool versioned; /* it began within a versioned comment */
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

static bool take(struct reading *r, const char *word)
{
    if (!token_is(&r->t, word))
        return false;
    next(r);
    return true;
}

/* IF EXISTS, IF NOT EXISTS; false: half of it. */
static bool take_if(struct reading *r, bool is_not)
{
    return !take(r, "IF") || ((!is_not || take(r, "NOT")) && take(r, "EXISTS"));
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

/* Characters of UTF-8, or bytes. */
static size_t count_chars(const char *name, enum token_charset charset)
{
    size_t n = 0;

    for (; *name; name++)
        n += charset != TOKEN_UTF8 || (*name & 0xc0) != 0x80;
    return n;
}

/* A server's names of files that it has not encoded, and the importer's own tables. */
static bool is_reserved(const char *name)
{
    return strncasecmp(name, "#mysql50#", 9) == 0 || strncasecmp(name, "_eefs_", 6) == 0;
}

/* Reads a name at the current token; stands behind it afterwards. NULL: refused. */
static char *object_name(struct reading *r)
{
    char *name;

    if (r->t.type != TOKEN_NAME && r->t.type != TOKEN_WORD) {
        err_set(r->e, EPERM, "a name is missing");
        return NULL;
    }
    name = token_text(&r->t, r->l.mode);
    if (!*name || count_chars(name, r->l.mode.charset) > NAME_MAX_CHARS) {
        err_set(r->e, EPERM, "a name is empty or too long");
        free(name);
        return NULL;
    }
    if (is_reserved(name)) {
        err_set(r->e, EPERM, "the name '%.60s' is none that a dump may use", name);
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

/* Keeps the CREATE without OR REPLACE, without IF NOT EXISTS, and with the importer as definer;
 * `head` and `rest` are what stands between these and behind them. */
static void keep_ddl(struct reading *r, struct object *o, const char *head, size_t head_len,
                     const char *rest)
{
    const char *end = r->plain.data + r->plain.len;
    struct buf b = BUF_INIT;
    char *env = env_sql(r->d->env, env_current(r->d->env));

    buf_puts(&b, "CREATE ");
    ddl_replace_definer(&b, head, head_len, r->l.mode);
    buf_append(&b, rest, (size_t)(end - rest));
    free(o->ddl);
    o->ddl_len = b.len;
    o->ddl = buf_detach(&b);
    o->offset = r->st->offset;
    o->line = r->st->line;
    o->env = env_current(r->d->env);
    hash_stream_add(o->stream, env, strlen(env) + 1);
    hash_stream_add(o->stream, o->ddl, o->ddl_len);
    hash_stream_add(o->stream, "", 1);
    free(env);
}

/* mysqldump before 5.7 makes a table in a view's place, in a versioned comment. */
static int placeholder(struct reading *r, char *name)
{
    strlist_add(&r->d->placeholders, name);
    free(name);
    return 0;
}

static int create_table(struct reading *r, enum object_kind kind, const char *head)
{
    const char *rest;
    size_t head_len;
    char *name;
    int rc;

    next(r);
    head_len = (size_t)(r->t.p - head);
    if (!take_if(r, true))
        return refuse(r, "the dump creates something unknown");
    rest = r->t.p;
    name = object_name(r);
    if (!name)
        return -EPERM;
    if (r->versioned && kind == OBJECT_TABLE)
        return placeholder(r, name);
    if (dump_find(r->d, OBJECT_TABLE, name) || dump_find(r->d, OBJECT_SEQUENCE, name)) {
        rc = err_set(r->e, EPERM, "table '%.100s' is made a second time", name);
        free(name);
        return rc;
    }
    r->o = dump_object(r->d, kind, name);
    free(name);
    keep_ddl(r, r->o, head, head_len, rest);
    return kind == OBJECT_TABLE
               ? tabledef_check(r->o->ddl, r->o->ddl_len, r->l.mode, &r->o->parents, r->e)
               : tabledef_check_sequence(r->o->ddl, r->o->ddl_len, r->l.mode, r->e);
}

/* A view, trigger, routine or event; the last CREATE of a view is the real one. */
static int create_other(struct reading *r, enum object_kind kind, const char *head)
{
    struct object *o;
    const char *rest;
    size_t head_len;
    char *name;

    next(r);
    head_len = (size_t)(r->t.p - head);
    if (!take_if(r, true))
        return refuse(r, "the dump creates something unknown");
    rest = r->t.p;
    name = object_name(r);
    if (!name)
        return -EPERM;
    if (kind == OBJECT_FUNCTION && !token_is_punct(&r->t, '(')) {
        free(name);
        return refuse(r, "the dump loads a library into the server");
    }
    if (kind == OBJECT_VIEW && !token_is_punct(&r->t, '(') && !token_is(&r->t, "AS")) {
        free(name);
        return refuse(r, "the dump creates something unknown");
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
    keep_ddl(r, o, head, head_len, rest);
    return 0;
}

/* `user`@`host`, 'user' @ 'host', CURRENT_USER[()], or a role. */
static bool take_account(struct reading *r)
{
    bool current = token_is(&r->t, "CURRENT_USER") || token_is(&r->t, "CURRENT_ROLE");

    if (r->t.type != TOKEN_NAME && r->t.type != TOKEN_WORD && r->t.type != TOKEN_STRING)
        return false;
    next(r);
    if (current && token_is_punct(&r->t, '(')) {
        next(r);
        if (!token_is_punct(&r->t, ')'))
            return false;
        next(r);
    }
    if (r->t.type == TOKEN_USER) {
        bool alone = r->t.len == 1;
        next(r);
        if (alone && r->t.type != TOKEN_NAME && r->t.type != TOKEN_WORD &&
            r->t.type != TOKEN_STRING)
            return false;
        if (alone)
            next(r);
    }
    return true;
}

static bool take_punct(struct reading *r, char c)
{
    if (!token_is_punct(&r->t, c))
        return false;
    next(r);
    return true;
}

/* [ALGORITHM=…] [DEFINER=…] [SQL SECURITY …] [AGGREGATE] */
static bool take_attributes(struct reading *r)
{
    if (take(r, "ALGORITHM") &&
        (!take_punct(r, '=') ||
         !(take(r, "UNDEFINED") || take(r, "MERGE") || take(r, "TEMPTABLE"))))
        return false;
    if (take(r, "DEFINER") && (!take_punct(r, '=') || !take_account(r)))
        return false;
    if (take(r, "SQL") && (!take(r, "SECURITY") || !(take(r, "DEFINER") || take(r, "INVOKER"))))
        return false;
    (void)(take(r, "AGGREGATE") && token_is(&r->t, "FUNCTION"));
    return true;
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
    const char *head;

    next(r);
    if (token_is(&r->t, "DATABASE") || token_is(&r->t, "SCHEMA")) {
        next(r);
        return own_database(r);
    }
    if (take(r, "OR") && !take(r, "REPLACE"))
        return refuse(r, "the dump creates something unknown");
    head = r->t.p;
    if (token_is(&r->t, "TABLE") || token_is(&r->t, "SEQUENCE"))
        return create_table(r, token_is(&r->t, "TABLE") ? OBJECT_TABLE : OBJECT_SEQUENCE, head);
    if (take_attributes(r))
        for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++)
            if (token_is(&r->t, kinds[k].word))
                return create_other(r, kinds[k].kind, head);
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
    if (rc == 0)
        rc = plain_head(r->st->text, (size_t)(r->l.p - r->st->text), r->l.mode, r->e);
    if (rc < 0)
        return rc;
    rows = count_rows(r);
    if (rows < 0)
        return (int)rows;
    add_range(r, rows);
    return 0;
}

/* DO SETVAL(`s`, 5, 0) or SELECT SETVAL(…): the state of a sequence. It is sent as it stands in the
 * dump. */
static int setval(struct reading *r)
{
    struct object *o;
    char *name;

    next(r);
    if (!take(r, "SETVAL") || !take_punct(r, '('))
        return refuse(r, "the dump runs a query");
    name = object_name(r);
    if (!name)
        return -EPERM;
    o = dump_find(r->d, OBJECT_SEQUENCE, name);
    free(name);
    if (!o)
        return refuse(r, "the dump sets an unknown sequence");
    while (take_punct(r, ',')) {
        (void)take_punct(r, '-');
        if (r->t.type != TOKEN_NUMBER && !token_is(&r->t, "TRUE") && !token_is(&r->t, "FALSE"))
            return refuse(r, "the dump runs a query");
        next(r);
    }
    if (!take_punct(r, ')') || r->t.type != TOKEN_END)
        return refuse(r, "the dump runs a query");
    r->o = o;
    add_range(r, 0);
    return plain_head(r->st->text, r->st->len, r->l.mode, r->e);
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

    if (!r->versioned || !(known || token_is(&t, "PREPARE") || token_is(&t, "SELECT")))
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
    enum object_kind kind;
    struct object *o;
    char *name;

    next(r);
    if (token_is(&r->t, "DATABASE") || token_is(&r->t, "SCHEMA")) {
        next(r);
        return own_database(r);
    }
    for (kind = OBJECT_TABLE; kind <= OBJECT_EVENT; kind++)
        if (token_is(&r->t, object_kind_name(kind)))
            break;
    if (kind > OBJECT_EVENT)
        return refuse(r, "the dump drops something that it does not make");
    next(r);
    if (!take_if(r, false))
        return refuse(r, "the dump drops something unknown");
    name = object_name(r); /* nothing is dropped for it; it must only not be foreign */
    if (!name)
        return -EPERM;
    o = dump_find(r->d, kind, name);
    if (o && o->ddl && object_is_table(o))
        err_set(r->e, EPERM, "table '%.100s' is dropped after it was made", name);
    free(name);
    return o && o->ddl && object_is_table(o) ? -EPERM : 0;
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

static bool is_insert(const struct token *t)
{
    return token_is(t, "INSERT") || token_is(t, "REPLACE");
}

static int one(struct reading *r)
{
    if (r->t.type == TOKEN_END)
        return 0; /* a comment */
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
    return ignored(&r->t, r->l) ? 0 : unknown(r);
}

int classify(struct dump *d, const struct statement *st, struct object **ret, struct err *e)
{
    struct reading r = {.d = d, .st = st, .e = e};
    struct token_mode mode = env_mode(d->env);
    int rc;

    lexer_init(&r.l, st->text, st->len, mode);
    next(&r);
    if (is_insert(&r.t)) {
        rc = insert(&r);
    } else if (r.t.type != TOKEN_WORD && r.t.type != TOKEN_END) {
        rc = unknown(&r);
    } else {
        rc = plain_text(&r.plain, st->text, st->len, mode, &r.versioned, e);
        lexer_init(&r.l, r.plain.data, r.plain.len, mode);
        next(&r);
        if (rc == 0)
            rc = is_insert(&r.t) ? refuse(&r, "an INSERT stands within a comment") : one(&r);
    }
    *ret = r.o;
    buf_release(&r.plain);
    return rc;
}
