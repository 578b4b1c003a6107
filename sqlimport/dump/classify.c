/* SPDX-License-Identifier: MIT */
#include "sqlimport/dump/classify.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlimport/sql/alter.h"
#include "sqlimport/sql/charset.h"
#include "sqlimport/sql/ddl.h"
#include "sqlimport/sql/plain.h"
#include "sqlimport/sql/rows.h"
#include "sqlimport/sql/stored_grammar.h"
#include "sqlimport/sql/table_grammar.h"
#include "sync/common/buf.h"

/* Statements that make one range: bytes of all, and of what may stand between two: ";\r\n-- 2\r\n".
 */
#define RUN_MAX ((uint64_t)64 << 10)
#define RUN_GAP 64

#define NAME_MAX_CHARS 64 /* of a server's names */

/* One statement on its way through: an INSERT as it stands in the dump, anything else as plain
 * text. */
struct reading {
    struct dump *d;
    const struct statement *st;
    struct buf plain;
    bool versioned; /* it began within a versioned comment */
    bool utf8;      /* `plain` is in UTF-8, whatever the dump's character set is */
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

static bool take_punct(struct reading *r, char c)
{
    if (!token_is_punct(&r->t, c))
        return false;
    next(r);
    return true;
}

/* IF EXISTS, IF NOT EXISTS; false: half of it. */
static bool take_if(struct reading *r, bool is_not)
{
    return !take(r, "IF") || ((!is_not || take(r, "NOT")) && take(r, "EXISTS"));
}

/* malloc'd name at the current token, in UTF-8. NULL: refused. */
static char *name_of(struct reading *r)
{
    char *name = token_text(&r->t, r->l.mode);
    struct buf b = BUF_INIT;
    int rc;

    if (r->utf8)
        return name;
    rc = charset_to_utf8(&b, env_charset(r->d->env), name, strlen(name), r->e);
    free(name);
    if (rc == 0)
        return buf_detach(&b);
    buf_release(&b);
    return NULL;
}

/* The one database that the dump is of: its own USE and CREATE DATABASE are skipped. Behind tables
 * of a dump that named none, it must be another one. */
static int own_database(struct reading *r)
{
    char *name;
    int rc = 0;

    while (token_is(&r->t, "IF") || token_is(&r->t, "NOT") || token_is(&r->t, "EXISTS"))
        next(r);
    name = name_of(r);
    if (!name)
        return -EPERM;
    if (!r->d->database && r->d->n > 0)
        rc = err_set(r->e, EPERM,
                     "the dump goes on with another database, '%.60s', after its tables: dump one "
                     "database",
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

static int drop_database(struct reading *r)
{
    if (r->d->n > 0)
        return refuse(r, "the dump drops its database after its tables");
    return own_database(r);
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
    name = name_of(r);
    if (!name)
        return NULL;
    if (!*name || count_chars(name) > NAME_MAX_CHARS) {
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

/* The CREATE without OR REPLACE and IF NOT EXISTS: `head` and `rest` are what stands between these
 * and behind them. */
static void put_create(struct reading *r, struct buf *b, const char *head, size_t head_len,
                       const char *rest)
{
    buf_puts(b, "CREATE ");
    buf_append(b, head, head_len);
    buf_append(b, rest, (size_t)(r->plain.data + r->plain.len - rest));
}

/* Keeps it, with the importer as definer. */
static void keep_ddl(struct reading *r, struct object *o, const struct buf *create)
{
    int id = env_current(r->d->env);
    char *env = env_sql(r->d->env, id);
    struct buf b = BUF_INIT;

    ddl_replace_definer(&b, create->data, create->len, r->l.mode);
    free(o->ddl);
    o->ddl_len = b.len;
    o->ddl = buf_detach(&b);
    o->offset = r->st->offset;
    o->line = r->st->line;
    o->env = r->utf8 ? env_as_utf8(r->d->env, id) : id;
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
    struct buf b = BUF_INIT;
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
    put_create(r, &b, head, head_len, rest);
    keep_ddl(r, r->o, &b);
    buf_release(&b);
    return kind == OBJECT_TABLE
               ? tabledef_check(r->o->ddl, r->o->ddl_len, r->l.mode, &r->o->parents, r->e)
               : tabledef_check_sequence(r->o->ddl, r->o->ddl_len, r->l.mode, r->e);
}

/* A view, trigger, routine or event; the last CREATE of a view is the real one. */
static int create_other(struct reading *r, enum object_kind kind, const char *head)
{
    char *name, *table = NULL, *definer = NULL;
    struct buf b = BUF_INIT;
    size_t head_len, body;
    int rc;

    next(r);
    head_len = (size_t)(r->t.p - head);
    if (!take_if(r, true))
        return refuse(r, "the dump creates something unknown");
    put_create(r, &b, head, head_len, r->t.p);
    name = object_name(r);
    rc = name ? stored_read(kind, b.data, b.len, r->l.mode, &body, &table, &definer, r->e) : -EPERM;
    if (rc == 0 && table && is_reserved(table))
        rc = refuse(r, "a trigger is one of a table that no dump may name");
    if (rc == 0) {
        struct object *o = dump_object(r->d, kind, name);
        free(o->table);
        free(o->definer);
        o->table = table;
        o->definer = definer;
        table = definer = NULL;
        keep_ddl(r, o, &b);
    }
    free(name);
    free(table);
    free(definer);
    buf_release(&b);
    return rc;
}

/* The kind that is created; stored_read() looks at what stands before the word. -1: none. */
static int find_kind(const struct reading *r)
{
    struct lexer l = r->l;
    struct token t = r->t;

    for (int i = 0; i < DDL_HEAD_WORDS && t.type != TOKEN_END; i++, lexer_next(&l, &t))
        for (int kind = OBJECT_TABLE; kind <= OBJECT_EVENT; kind++)
            if (token_is(&t, object_kind_name((enum object_kind)kind)))
                return kind;
    return -1;
}

static int create(struct reading *r)
{
    const char *head;
    int kind;

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
    kind = find_kind(r);
    if (kind <= OBJECT_SEQUENCE)
        return refuse(r, "the dump creates something unknown");
    while (!token_is(&r->t, object_kind_name((enum object_kind)kind)))
        next(r);
    return create_other(r, (enum object_kind)kind, head);
}

/* The statement follows the range's last one, with nothing but blanks and short comments between.
 */
static bool continues(const struct range *g, const struct statement *st, int env)
{
    return st->rows > 0 && g->rows > 0 && st->semicolon && g->env == env &&
           st->number == g->number + 1 && st->head_len == 0 && g->head_len == 0 &&
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
        g->number = r->st->number;
    } else {
        dump_end_range(o);
        r->d->ranges++;
        if ((o->n_ranges & (o->n_ranges - 1)) == 0)
            o->ranges =
                xrealloc(o->ranges, (o->n_ranges ? 2 * o->n_ranges : 1) * sizeof(*o->ranges));
        o->ranges[o->n_ranges++] = (struct range){
            .offset = r->st->offset,
            .len = (uint32_t)(r->st->len - r->st->head_len),
            .head_len = (uint32_t)r->st->head_len,
            .head_offset = r->st->head_offset,
            .number = r->st->number,
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

/* A column became AUTO_INCREMENT behind its rows: 0 must have meant 0 in them. */
static bool zeros_count(const struct reading *r, const struct object *o)
{
    for (size_t i = 0; i < o->n_ranges; i++)
        if (!env_has_mode(r->d->env, o->ranges[i].env, "NO_AUTO_VALUE_ON_ZERO"))
            return false;
    return true;
}

/* Writes what the ALTER does into the table's CREATE. */
static int change_table(struct reading *r, struct object *o)
{
    struct buf create = BUF_INIT;
    struct lexer behind = r->l;
    bool counter = false;
    int rc;

    if (++o->alters > ALTERS_MAX)
        return refuse(r, "the dump alters a table again and again");
    behind.p = r->t.p;
    buf_append(&create, o->ddl, o->ddl_len);
    hash_stream_add(o->stream, r->plain.data, r->plain.len + 1);
    rc = alter_table(&create, &behind, &counter, r->e);
    if (rc == 0 && counter && !zeros_count(r, o))
        rc = refuse(r, "the dump makes a column AUTO_INCREMENT behind its rows without sql_mode "
                       "NO_AUTO_VALUE_ON_ZERO");
    if (rc == 0) {
        strlist_release(&o->parents);
        rc = tabledef_check(create.data, create.len, r->l.mode, &o->parents, r->e);
    }
    free(o->ddl);
    o->ddl_len = create.len;
    o->ddl = buf_detach(&create);
    return rc;
}

static int alter(struct reading *r)
{
    int env = env_current(r->d->env);
    struct object *o;
    char *name;

    next(r);
    if (token_is(&r->t, "DATABASE") || token_is(&r->t, "SCHEMA")) /* around routines */
        return 0;
    if (!take(r, "TABLE"))
        return refuse(r, "the dump alters something");
    name = object_name(r);
    if (!name)
        return -EPERM;
    if (token_is(&r->t, "DISABLE") || token_is(&r->t, "ENABLE")) {
        free(name);
        return 0;
    }
    o = dump_find(r->d, OBJECT_TABLE, name);
    free(name);
    if (!o || !o->ddl)
        return refuse(r, "the dump alters a table that it does not make");
    r->o = o;
    if (o->env != (r->utf8 ? env_as_utf8(r->d->env, env) : env))
        return refuse(r, "the dump alters a table under other settings than it was made");
    return change_table(r, o);
}

static int drop(struct reading *r)
{
    enum object_kind kind;
    char *name;

    next(r);
    if (token_is(&r->t, "DATABASE") || token_is(&r->t, "SCHEMA")) {
        next(r);
        return drop_database(r);
    }
    for (kind = OBJECT_TABLE; kind <= OBJECT_EVENT; kind++)
        if (token_is(&r->t, object_kind_name(kind)))
            break;
    if (kind > OBJECT_EVENT)
        return refuse(r, "the dump drops something that it does not make");
    next(r);
    if (!take_if(r, false))
        return refuse(r, "the dump drops something unknown");
    do {
        name = object_name(r);
        if (!name)
            return -EPERM;
        dump_discard(r->d, kind, name);
        free(name);
    } while (take_punct(r, ','));
    return 0;
}

/* DELETE FROM t, TRUNCATE t: before its rows it says what an import does anyway. */
static int empty_table(struct reading *r, const char *word)
{
    struct object *o;
    char *name;

    next(r);
    (void)take(r, word);
    name = object_name(r);
    if (!name)
        return -EPERM;
    o = dump_find(r->d, OBJECT_TABLE, name);
    free(name);
    if (r->t.type != TOKEN_END)
        return refuse(r, "the dump deletes some rows of a table");
    if (!o || !o->ddl)
        return err_set(
            r->e, EPERM,
            "the dump empties a table without making it: dump structure and rows into one "
            "file");
    return o->n_ranges > 0 ? refuse(r, "the dump empties a table after its rows") : 0;
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
    if (token_is(&r->t, "DELETE"))
        return empty_table(r, "FROM");
    if (token_is(&r->t, "TRUNCATE"))
        return empty_table(r, "TABLE");
    return ignored(&r->t, r->l) ? 0 : unknown(r);
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
static int make_utf8(struct reading *r)
{
    const char *charset = env_charset(r->d->env);
    struct buf b = BUF_INIT;
    int rc;

    if (charset_is_utf8(charset) || charset_is_ascii(r->plain.data, r->plain.len) || is_body(r))
        return 0;
    if (has_introducer(r))
        return refuse(r, "the dump makes a table with text in two character sets");
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
    next(r);
    return 0;
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
        if (rc == 0 && is_several(&r))
            rc = refuse(&r, "the dump holds several statements in one, under another DELIMITER");
        if (rc == 0)
            rc = make_utf8(&r);
        if (rc == 0)
            rc = is_insert(&r.t) ? refuse(&r, "an INSERT stands within a comment") : one(&r);
    }
    *ret = r.o;
    buf_release(&r.plain);
    return rc;
}
