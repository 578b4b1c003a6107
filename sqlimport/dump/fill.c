/* SPDX-License-Identifier: MIT */
#include "sqlimport/dump/fill.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "sqlimport/sql/plain.h"
#include "sqlimport/sql/rows.h"

/* Statements that make one range: bytes of all, and of what may stand between two: ";\r\n-- 2\r\n".
 */
#define RUN_MAX ((uint64_t)64 << 10)
#define RUN_GAP 64

/* The statement follows the range's last one, with nothing but blanks and short comments between.
 */
static bool continues(const struct range *g, const struct statement *st, int vars_id)
{
    return st->rows > 0 && g->rows > 0 && st->semicolon && g->vars_id == vars_id &&
           st->number == g->number + 1 && st->head_len == 0 && g->head_len == 0 &&
           st->offset - g->offset - g->len <= RUN_GAP &&
           (uint64_t)(st->offset - g->offset) + st->len <= RUN_MAX;
}

/* by_bytes: no literal changes its meaning under session_vars_as_bytes(). */
static void add_range(struct reading *r, int64_t rows, bool by_bytes)
{
    struct object *o = r->o;
    struct range *g = o->n_ranges > 0 ? &o->ranges[o->n_ranges - 1] : NULL;
    int vars_id = session_vars_current(r->d->vars);

    if (g && continues(g, r->st, vars_id)) {
        g->len = (uint32_t)(r->st->offset - g->offset + (off_t)r->st->len);
        g->rows += (uint32_t)rows;
        g->statements++;
        g->number = r->st->number;
        if (!by_bytes)
            g->send_id = vars_id;
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
            .vars_id = vars_id,
            .send_id = by_bytes ? session_vars_as_bytes(r->d->vars, vars_id) : vars_id,
        };
    }
    o->rows += (uint64_t)rows;
    o->bytes += r->st->len;
    r->d->rows += (uint64_t)rows;
    rowhash_add(o->rows_stream, r->d->vars, vars_id, r->st->text, r->st->len);
}

/* The rows of the INSERT, of which the lexer has read all up to VALUES: seen by the splitter unless
 * something is strange. */
static int add_rows(struct reading *r)
{
    const char *p = r->l.p, *end = r->st->text + r->st->len;
    int64_t rows = r->st->rows;
    bool seen;

    while (p < end && isspace((unsigned char)*p))
        p++;
    seen = rows > 0 && p == r->st->text + r->st->rows_at;
    if (!seen)
        rows = rows_count(p, end, r->l.mode, r->e);
    if (rows < 0)
        return (int)rows;
    add_range(r, rows, seen && !r->st->national);
    return 0;
}

int fill_insert(struct reading *r)
{
    struct lexer back;
    char *name;
    int rc;

    reading_next(r);
    while (token_is(&r->t, "IGNORE") || token_is(&r->t, "DELAYED") ||
           token_is(&r->t, "LOW_PRIORITY") || token_is(&r->t, "INTO"))
        reading_next(r);
    back = r->l; /* reading_object_name() reads one token further than the name */
    name = reading_object_name(r);
    if (!name)
        return -EPERM;
    r->l = back;
    r->o = dump_object(r->d, OBJECT_TABLE, name);
    free(name);
    rc = rows_find(&r->l, r->e);
    if (rc == 0)
        rc = plain_head(r->st->text, (size_t)(r->l.p - r->st->text), r->l.mode, r->e);
    return rc < 0 ? rc : add_rows(r);
}

/* DO SETVAL(`s`, 5, 0) or SELECT SETVAL(…): the state of a sequence. It is sent as it stands in the
 * dump. */
int fill_setval(struct reading *r)
{
    struct object *o;
    char *name;

    reading_next(r);
    if (!reading_take(r, "SETVAL") || !reading_take_punct(r, '('))
        return reading_refuse(r, "the dump runs a query");
    name = reading_object_name(r);
    if (!name)
        return -EPERM;
    o = dump_find(r->d, OBJECT_SEQUENCE, name);
    free(name);
    if (!o)
        return reading_refuse(r, "the dump sets an unknown sequence");
    while (reading_take_punct(r, ',')) {
        (void)reading_take_punct(r, '-');
        if (r->t.type != TOKEN_NUMBER && !token_is(&r->t, "TRUE") && !token_is(&r->t, "FALSE"))
            return reading_refuse(r, "the dump runs a query");
        reading_next(r);
    }
    if (!reading_take_punct(r, ')') || r->t.type != TOKEN_END)
        return reading_refuse(r, "the dump runs a query");
    r->o = o;
    add_range(r, 0, false);
    return plain_head(r->st->text, r->st->len, r->l.mode, r->e);
}

/* DELETE FROM t, TRUNCATE t: before a table's rows this is what an import does anyway. */
int fill_empty(struct reading *r, const char *word)
{
    struct object *o;
    char *name;

    reading_next(r);
    (void)reading_take(r, word);
    name = reading_object_name(r);
    if (!name)
        return -EPERM;
    o = dump_find(r->d, OBJECT_TABLE, name);
    free(name);
    if (r->t.type != TOKEN_END)
        return reading_refuse(r, "the dump deletes some rows of a table");
    if (!o || !o->ddl)
        return err_set(r->e, EPERM,
                       "the dump empties a table that it does not create: dump structure and rows "
                       "into one file");
    return o->n_ranges > 0 ? reading_refuse(r, "the dump empties a table after its rows") : 0;
}
