/* SPDX-License-Identifier: MIT */
/*
 * Two statements for each table or partition, gathered into batches. Where one fails, the server
 * leaves out what comes behind it in its batch: the rest is sent again without that table.
 */
#include "sqlimport/compare/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

#define NONE        SIZE_MAX
#define BATCH_BYTES ((size_t)64 * 1024) /* and not more than half of what the server takes */

/* A statement of a batch. */
struct part {
    size_t probe; /* which one it belongs to */
    size_t at;    /* in the batch's text */
    bool ends;    /* the last one of its table or partition */
};

struct probing {
    struct server *s;
    const char *schema;
    const struct probe *v;
    struct buf sql;
    struct part *parts;
    size_t n, from;           /* parts, and the first one that is sent */
    size_t failed;            /* a probe of which nothing counts, or NONE */
    size_t current;           /* the probe whose results come now, or NONE */
    struct hash_stream *hash; /* of its results, or NULL */
};

/* --- results --- */

static void drop_current(struct probing *g)
{
    hash_stream_free(g->hash);
    g->hash = NULL;
    g->current = NONE;
}

static void end_current(struct probing *g)
{
    if (g->hash)
        hash_stream_end(g->hash, g->v[g->current].ret);
    drop_current(g);
}

static void begin_probe(struct probing *g, size_t probe)
{
    if (g->current == probe)
        return;
    end_current(g);
    g->current = probe;
    g->hash = hash_stream_new();
}

static void add_result(void *arg, size_t i, MYSQL_RES *res)
{
    struct probing *g = arg;
    const struct part *p = &g->parts[g->from + i];
    MYSQL_ROW row;

    begin_probe(g, p->probe);
    while ((row = mysql_fetch_row(res))) {
        unsigned long *lengths = mysql_fetch_lengths(res);
        for (unsigned k = 0; k < mysql_num_fields(res); k++) {
            uint64_t len = row[k] ? lengths[k] : UINT64_MAX;
            hash_stream_add(g->hash, &len, sizeof(len));
            if (row[k])
                hash_stream_add(g->hash, row[k], lengths[k]);
        }
        hash_stream_add(g->hash, "row", 3);
    }
    if (p->ends)
        hash_stream_add(g->hash, "end", 3);
}

static int run_batch(struct probing *g, struct err *e)
{
    int r = 0;

    g->from = 0;
    while (r == 0 && g->from < g->n) {
        const char *sql = g->sql.data + g->parts[g->from].at;
        size_t done = 0;
        r = server_query_many(g->s, sql, g->sql.len - g->parts[g->from].at, add_result, g, &done,
                              e);
        g->from += done;
        if (r == 0 || r == -ENOTCONN)
            continue;
        r = 0;
        g->failed = g->parts[g->from].probe;
        if (g->current == g->failed)
            drop_current(g);
        while (g->from < g->n && g->parts[g->from].probe == g->failed)
            g->from++;
    }
    g->n = 0;
    buf_clear(&g->sql);
    return r;
}

/* --- statements --- */

static void put_end_row(struct probing *g, size_t probe, const char *from, const char *order,
                        bool ends)
{
    const struct strlist *key = g->v[probe].key;

    if (g->n > 0)
        buf_putc(&g->sql, ';');
    g->parts = xrealloc(g->parts, (g->n + 1) * sizeof(*g->parts));
    g->parts[g->n++] = (struct part){.probe = probe, .at = g->sql.len, .ends = ends};
    buf_printf(&g->sql, "SELECT * FROM %s", from);
    for (size_t i = 0; i < key->n; i++) {
        char *name = server_name(key->v[i]);
        buf_printf(&g->sql, "%s%s%s", i ? "," : " ORDER BY ", name, order);
        free(name);
    }
    buf_puts(&g->sql, " LIMIT 1");
}

/* The first and the last row of a table or a partition. */
static int put_ends(struct probing *g, size_t probe, const char *from, struct err *e)
{
    size_t max = (size_t)g->s->packet_max / 2;
    bool has_key = g->v[probe].key->n > 0;

    if (probe == g->failed)
        return 0;
    put_end_row(g, probe, from, "", !has_key);
    if (has_key)
        put_end_row(g, probe, from, " DESC", true);
    return g->sql.len >= (max < BATCH_BYTES ? max : BATCH_BYTES) ? run_batch(g, e) : 0;
}

static int put_partitions(struct probing *g, size_t probe, const char *from, struct err *e)
{
    char *schema = server_text(g->schema), *table = server_text(g->v[probe].table->name);
    MYSQL_RES *res;
    MYSQL_ROW row;
    int r = server_query(
        g->s, &res, e,
        "SELECT IFNULL(SUBPARTITION_NAME, PARTITION_NAME) FROM information_schema.PARTITIONS "
        "WHERE TABLE_SCHEMA=%s AND TABLE_NAME=%s ORDER BY PARTITION_ORDINAL_POSITION, "
        "SUBPARTITION_ORDINAL_POSITION",
        schema, table);

    free(schema);
    free(table);
    if (r < 0) {
        g->failed = probe;
        return r == -ENOTCONN ? r : 0;
    }
    while (r == 0 && (row = mysql_fetch_row(res))) {
        char *name = server_name(row[0]), *part = xasprintf("%s PARTITION (%s)", from, name);
        r = put_ends(g, probe, part, e);
        free(part);
        free(name);
    }
    mysql_free_result(res);
    return r;
}

/* --- all --- */

static int put_table(struct probing *g, size_t probe, const char *schema, struct err *e)
{
    const struct live_table *t = g->v[probe].table;
    char *name = server_name(t->name), *from = xasprintf("%s.%s", schema, name);
    int r = t->partitioned ? put_partitions(g, probe, from, e) : put_ends(g, probe, from, e);

    free(from);
    free(name);
    return r;
}

int probe_tables(struct server *s, const char *schema, const struct probe *v, size_t n,
                 struct err *e)
{
    struct probing g = {.s = s, .schema = schema, .v = v, .failed = NONE, .current = NONE};
    char *name = server_name(schema);
    int r = 0;

    for (size_t i = 0; i < n; i++)
        memset(v[i].ret, 0, sizeof(*v[i].ret));
    s->vars_id = -1;
    if (n > 0) /* bytes of text as they are, times as they are kept */
        r = server_runf(s, e, "SET NAMES utf8mb4, character_set_results=NULL, time_zone='+00:00'");
    for (size_t i = 0; i < n && r == 0; i++)
        r = put_table(&g, i, name, e);
    if (r == 0)
        r = run_batch(&g, e);
    if (r == 0)
        end_current(&g);
    drop_current(&g);
    if (r == 0 && n > 0)
        r = server_runf(s, e, "SET NAMES utf8mb4, time_zone='SYSTEM'");
    free(g.parts);
    buf_release(&g.sql);
    free(name);
    return r;
}
