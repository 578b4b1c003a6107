/* SPDX-License-Identifier: MIT */
#include "sqlimport/confirm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sqlimport/live.h"
#include "sqlimport/rowset.h"
#include "sync/common/buf.h"

#define TRIED "-" /* no mark of a table looks like this */

struct candidate {
    char *name;
    struct past past;
};

static int choose(void *arg, const char *name, const struct past *past)
{
    struct candidate *c = arg;

    if (c->name || *past->mark)
        return 0;
    c->name = xstrdup(name);
    c->past = *past;
    return 0;
}

/* 1: the live rows are those of the rowset, 0: they are not. */
static int same_rows(struct server *s, const char *database, const struct candidate *c,
                     struct rowset_reader *old, struct err *e)
{
    struct live_rows *rows = NULL;
    struct diff diff = {0};
    struct shape shape;
    int r = live_shape(s, database, c->name, &shape, e);

    if (r < 0)
        return r;
    if (!hash_eq(&shape.hash, &c->past.shape)) {
        shape_release(&shape);
        return 0;
    }
    r = server_run(s, rowset_settings(old), strlen(rowset_settings(old)), e);
    if (r == 0)
        r = live_rows_open(s, database, c->name, rowset_columns(old), &shape.key, NULL, &rows, e);
    if (r == 0) {
        r = diff_make(&diff, live_rows_next, rows, rowset_next, old, 0, e);
        r = r == 0 ? 1 : r == -E2BIG || r == -EPROTO ? 0 : r;
    }
    diff_release(&diff);
    live_rows_close(rows);
    shape_release(&shape);
    return r;
}

static int look(struct server *s, const char *database, const char *rowset_dir, struct candidate *c,
                struct err *e)
{
    struct rowset_reader *old = rowset_open(rowset_dir, &c->past.hash);
    struct live live = {0};
    const struct live_table *t;
    int r;

    strcpy(c->past.mark, TRIED);
    if (!old)
        return 0;
    r = live_read(s, database, &live, e);
    t = r == 0 ? live_find(&live, c->name) : NULL;
    /* The mark is read before the rows: a change meanwhile will make it another one. */
    if (t && *t->mark)
        r = same_rows(s, database, c, old, e);
    if (r == 1)
        memcpy(c->past.mark, t->mark, sizeof(c->past.mark));
    live_release(&live);
    rowset_close(old);
    return r < 0 ? r : 0;
}

int confirm_one(struct history *h, const char *defaults_file, const char *database,
                const char *rowset_dir, struct err *e)
{
    struct candidate c = {0};
    struct server *s = NULL;
    int r = history_each(h, "TABLE", choose, &c, e);

    if (r < 0 || !c.name)
        goto out;
    r = server_open(defaults_file, &s, e);
    if (r == 0)
        r = look(s, database, rowset_dir, &c, e);
    if (r == 0 && history_set_object(h, "TABLE", c.name, &c.past) < 0)
        r = err_set(e, EIO, "cannot write the import history");
    if (r == 0)
        r = 1;
out:
    server_close(s);
    free(c.name);
    return r;
}
