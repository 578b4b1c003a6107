/* SPDX-License-Identifier: MIT */
#include "sqlimport/section.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sync/common/file.h"

struct section {
    int fd;
    const struct dump *d;
    const struct object *o;
    const struct shape *shape;
    const char *rowset_dir;
    struct strlist listed; /* columns that the statements name; none: those of the shape */
    char *list;            /* their text, the same in every statement */
    bool known;            /* the columns are */
    bool bad;              /* a row could not be read */
    bool checked;          /* all bytes were those of the dump */
    size_t next;           /* statement */
    struct buf text;       /* of the statement loaded last */
    struct values rows;    /* of it */
    bool reading;
    struct rowhash *hash;
    struct row_maker *maker;
    struct rowset_writer *rowset;
};

struct section *section_open(int fd, const struct dump *d, const struct object *o,
                             const struct shape *shape, const char *rowset_dir)
{
    struct section *s = xcalloc(1, sizeof(*s));

    s->fd = fd;
    s->d = d;
    s->o = o;
    s->shape = shape;
    s->rowset_dir = rowset_dir;
    s->hash = rowhash_new(&d->secret);
    return s;
}

void section_close(struct section *s)
{
    if (!s)
        return;
    rowset_end(s->rowset, s->checked && !s->bad && s->maker);
    values_release(&s->rows);
    row_maker_free(s->maker);
    rowhash_free(s->hash);
    strlist_release(&s->listed);
    free(s->list);
    buf_release(&s->text);
    free(s);
}

static void read_list(struct section *s, const struct values *r)
{
    struct lexer l;
    struct token t;

    s->list = xstrndup(r->columns, r->columns_len);
    lexer_init(&l, r->columns, r->columns_len, r->mode);
    for (lexer_next(&l, &t); t.type != TOKEN_END; lexer_next(&l, &t)) {
        char *name;
        if (t.type != TOKEN_NAME && t.type != TOKEN_WORD)
            continue;
        name = token_text(&t, r->mode);
        strlist_add(&s->listed, name);
        free(name);
    }
}

/* From the first statement, or from the shape alone when there is none. */
static void learn_columns(struct section *s, const struct values *r)
{
    const struct strlist *columns;

    s->known = true;
    if (r && r->columns)
        read_list(s, r);
    else if (s->shape->hidden)
        s->bad = true;
    columns = s->listed.n ? &s->listed : &s->shape->columns;
    s->maker = row_maker_new(columns, &s->shape->key);
    if (section_has_key(s) && s->rowset_dir && !s->bad &&
        strcasecmp(s->shape->engine, "InnoDB") == 0) {
        char *settings = env_sql(s->d->env, s->o->n_ranges ? s->o->ranges[0].env : s->o->env);
        s->rowset = rowset_create(s->rowset_dir, &s->o->hash, settings, columns);
        free(settings);
    }
}

static bool same_list(const struct section *s, const struct values *r)
{
    return r->columns ? s->list && strlen(s->list) == r->columns_len &&
                            memcmp(s->list, r->columns, r->columns_len) == 0
                      : !s->list;
}

int section_load(struct section *s, size_t i, const char **text, size_t *len, struct err *e)
{
    const struct range *g = &s->o->ranges[i];
    ssize_t got;

    buf_clear(&s->text);
    buf_reserve(&s->text, g->len);
    got = file_pread(s->fd, s->text.data, g->len, g->offset);
    if (got < 0)
        return err_sys(e, (int)-got, "cannot read the dump");
    if ((size_t)got != g->len)
        return err_set(e, ESTALE, "the dump became shorter while it was imported");
    s->text.len = g->len;
    rowhash_add(s->hash, s->d->env, g->env, s->text.data, g->len);
    s->next = i + 1;
    *text = s->text.data;
    *len = g->len;
    return 0;
}

int section_check(struct section *s, struct err *e)
{
    struct hash got;

    rowhash_end(s->hash, &got);
    if (!hash_eq(&got, &s->o->rows_hash))
        return err_set(e, ESTALE, "the dump changed while it was imported");
    if (!s->known)
        learn_columns(s, NULL);
    s->checked = true;
    return 0;
}

static int begin_rows(struct section *s)
{
    const struct range *g = &s->o->ranges[s->next - 1];
    int r;

    values_release(&s->rows);
    r = values_init(&s->rows, s->text.data, g->len, env_mode_of(s->d->env, g->env));
    if (r == 0 && !s->known)
        learn_columns(s, &s->rows);
    if (r < 0 || s->bad || !same_list(s, &s->rows)) {
        s->bad = true;
        return -EPROTO;
    }
    return 0;
}

static int one_row(struct section *s, struct row_id *id)
{
    size_t columns = s->listed.n ? s->listed.n : s->shape->columns.n;
    int r = values_next(&s->rows);

    if (r == 1 && s->rows.n != columns)
        r = -EPROTO;
    if (r == 1 && row_maker_make(s->maker, s->rows.v, s->rows.n, id) < 0)
        r = -EPROTO;
    if (r < 0)
        s->bad = true;
    else if (r == 1 && s->rowset)
        rowset_add(s->rowset, id);
    return r;
}

void section_note(struct section *s)
{
    struct row_id id;

    if (s->bad || !s->rowset_dir || s->shape->key.n == 0 || begin_rows(s) < 0 || !s->rowset)
        return;
    while (one_row(s, &id) == 1)
        ;
}

int section_next(void *section, struct row_id *id, struct row_place *place, struct err *e)
{
    struct section *s = section;
    const char *text;
    size_t len;
    int r;

    for (;;) {
        if (s->reading) {
            r = one_row(s, id);
            if (r < 0)
                return err_set(e, EPROTO, "its rows cannot be compared");
            if (r == 1) {
                place->range = (uint32_t)(s->next - 1);
                place->offset = (uint32_t)(s->rows.row - s->text.data);
                place->len = (uint32_t)s->rows.row_len;
                return 1;
            }
        }
        s->reading = false;
        if (s->next == s->o->n_ranges)
            return s->checked ? 0 : section_check(s, e);
        r = section_load(s, s->next, &text, &len, e);
        if (r < 0)
            return r;
        if (begin_rows(s) < 0)
            return err_set(e, EPROTO, "its rows cannot be compared");
        s->reading = true;
    }
}

bool section_columns(struct section *s, const struct strlist **ret, struct err *e)
{
    const struct range *g = s->o->ranges;
    struct values rows = {0};
    char head[65536]; /* rows points into it */

    if (!s->known && s->o->n_ranges > 0) {
        ssize_t got =
            file_pread(s->fd, head, g->len < sizeof(head) ? g->len : sizeof(head), g->offset);
        if (got < 0 || values_init(&rows, head, (size_t)got, env_mode_of(s->d->env, g->env)) < 0)
            s->bad = true;
    }
    if (!s->known && !s->bad)
        learn_columns(s, s->o->n_ranges > 0 ? &rows : NULL);
    values_release(&rows);
    if (s->bad) {
        err_set(e, EPROTO, "its rows cannot be compared");
        return false;
    }
    *ret = s->listed.n ? &s->listed : &s->shape->columns;
    return true;
}

bool section_has_key(const struct section *s)
{
    return s->shape->key.n > 0 && s->shape->key.n <= ROW_KEY_MAX;
}
