/* SPDX-License-Identifier: MIT */
#include "sqlimport/importer/kept_report.h"

#include <stdlib.h>
#include <strings.h>

#include "sqlimport/record/report.h"
#include "sync/common/buf.h"
#include "sync/common/log.h"

void kept_report_notes(struct run *r, const char *sentence)
{
    if (keep_rules_report(r->a->keep, sentence))
        log_warn("cannot keep columns of '%s' as asked: %s", r->a->database, sentence);
}

static void report_kept(struct run *r, const struct strlist *kept)
{
    struct buf b = BUF_INIT;

    for (size_t i = 0; i < kept->n; i++)
        buf_printf(&b, "%s%s", i ? ", " : "", kept->v[i]);
    if (report_set_kept(r->a->report, kept))
        log_info("these tables and columns of '%s' stay this server's own: %s", r->a->database,
                 kept->n > 0 ? b.data : "none");
    buf_release(&b);
}

static void add_kept_column(struct strlist *kept, const char *table, const char *column)
{
    char *text = xasprintf("%s.%s", table, column);

    strlist_add(kept, text);
    free(text);
}

void kept_report_plan(struct run *r)
{
    struct strlist kept = {NULL, 0};

    for (size_t i = 0; i < r->plan->n; i++) {
        const struct step *st = &r->plan->steps[i];
        if (st->o && keep_rules_table(r->a->keep, st->name))
            strlist_add(&kept, st->name);
        for (size_t k = 0; st->o && k < st->o->own.n; k++)
            add_kept_column(&kept, st->name, st->o->own.v[k]);
    }
    report_kept(r, &kept);
    strlist_release(&kept);
}

struct column_search {
    struct strlist *kept;
    const char *table;
    struct table_def def;
};

static void add_if_there(void *arg, const char *column, bool asked)
{
    struct column_search *c = arg;

    (void)asked;
    for (size_t i = 0; i < c->def.columns.n; i++)
        if (strcasecmp(c->def.columns.v[i], column) == 0)
            add_kept_column(c->kept, c->table, c->def.columns.v[i]);
}

static void count_column(void *arg, const char *column, bool asked)
{
    (void)column;
    (void)asked;
    ++*(size_t *)arg;
}

static void add_kept_of_server(struct run *r, const char *table, struct strlist *kept)
{
    struct column_search c = {.kept = kept, .table = table};
    size_t n = 0;

    keep_rules_columns(r->a->keep, table, count_column, &n);
    if (n == 0 || live_table_def(r->s, r->a->database, table, &c.def, NULL) < 0)
        return;
    keep_rules_columns(r->a->keep, table, add_if_there, &c);
    table_def_release(&c.def);
}

int kept_report_server(struct run *r, struct err *e)
{
    struct strlist kept = {NULL, 0};
    struct live live;
    int rc = live_read(r->s, r->a->database, &live, e);

    keep_rules_begin(r->a->keep);
    for (size_t i = 0; i < live.n; i++)
        keep_rules_see(r->a->keep, live.v[i].name);
    keep_rules_end(r->a->keep);
    for (size_t i = 0; i < live.n; i++)
        if (!live.v[i].view && keep_rules_table(r->a->keep, live.v[i].name))
            strlist_add(&kept, live.v[i].name);
        else if (!live.v[i].view)
            add_kept_of_server(r, live.v[i].name, &kept);
    if (rc == 0)
        report_kept(r, &kept);
    strlist_release(&kept);
    live_release(&live);
    return rc;
}
