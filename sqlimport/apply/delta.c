/* SPDX-License-Identifier: MIT */
/*
 * One try, each step for all tables in the order of the dump:
 *
 *     make statements ─> BEGIN ─> lock old rows ─> check them ─> read kept columns
 *                                                       ─> delete old, insert new ─> marker ─> COMMIT
 *
 * The statements are made before the first lock, and locks are taken in the order of the primary
 * key, so that visitors wait for as short as can be. Rows to insert are read from the dump again,
 * and their hashes compared.
 */
#include "sqlimport/apply/delta.h"

#include <errno.h>
#include <mysqld_error.h>
#include <stdlib.h>
#include <string.h>

#include "sqlimport/plan/kept_columns.h"
#include "sqlimport/compare/table_rows.h"
#include "sync/common/crash.h"
#include "sync/common/file.h"

#define KEYS_AT_ONCE 900 /* from 1000 on MariaDB makes a list of IN a table to join */
#define TEXT_AT_ONCE ((size_t)512 * 1024)

/* One table of a try. */
struct table {
    const struct plan *p;
    const struct step *st;
    const char *database;
    int fd;
    struct server *s;
    struct table_rows *table_rows; /* knows the columns */
    const struct strlist *columns;
    int vars_id;
    struct token_mode mode;
    struct buf *locks; /* statements that lock the old rows */
    size_t n_locks;
    bool *has_own; /* for each old row: its own values were read */
};

/* "`id` IN (1,2)", or "(`a`=1 AND `b`=2) OR (…)", for the old rows from *i on, as many as go at
 * once. */
static void put_keys(const struct table *t, struct buf *b, size_t *i)
{
    size_t end = *i + KEYS_AT_ONCE, from = *i, start = b->len;
    size_t limit = t->s->packet_max / 4 < TEXT_AT_ONCE ? t->s->packet_max / 4 : TEXT_AT_ONCE;
    const struct row_diff *d = &t->st->diff;
    bool one = t->st->def.key.n == 1;

    for (; *i < d->n_old && *i < end && (*i == from || b->len - start < limit); ++*i) {
        const struct row_id *id = &d->old_rows[*i].id;
        if (*i > from)
            buf_puts(b, one ? "," : " OR ");
        else if (one)
            row_key_column(b, &t->st->def.key, 0);
        if (*i == from && one)
            buf_puts(b, " IN (");
        if (one)
            row_key_value(b, id, t->mode);
        else
            row_key_condition(b, id, &t->st->def.key, t->mode);
    }
    if (one)
        buf_putc(b, ')');
}

/* Before the transaction begins: visitors wait from the first lock on. */
static void make_locks(struct table *t)
{
    char *db = server_name(t->database), *name = server_name(t->st->name);

    for (size_t i = 0; i < t->st->diff.n_old;) {
        struct buf b = BUF_INIT;
        buf_printf(&b, "SELECT COUNT(*) FROM %s.%s FORCE INDEX (PRIMARY) WHERE ", db, name);
        put_keys(t, &b, &i);
        buf_puts(&b, server_for_update(t->s));
        t->locks = xrealloc(t->locks, (t->n_locks + 1) * sizeof(*t->locks));
        t->locks[t->n_locks++] = b;
    }
    free(db);
    free(name);
}

static int lock_old(struct table *t, struct err *e)
{
    int r = 0;

    for (size_t i = 0; i < t->n_locks && r == 0; i++)
        r = server_run(t->s, t->locks[i].data, t->locks[i].len, e);
    return r;
}

/* The rows between two places of the list of old ones, by key. */
static const struct row_id *find_old(const struct table *t, size_t from, size_t to,
                                     const struct row_id *id)
{
    for (size_t i = from; i < to; i++)
        if (row_key_compare(&t->st->diff.old_rows[i].id, id) == 0)
            return &t->st->diff.old_rows[i].id;
    return NULL;
}

/* Are the locked rows as the plan took them? Rows that the plan read from the live table may have
 * changed since: they are replaced all the same. */
static int check_some(const struct table *t, size_t from, size_t to, const struct buf *keys,
                      struct err *e)
{
    struct live_rows *rows;
    struct row_id id;
    size_t n = 0;
    int r = live_rows_open(t->s, t->database, t->st->name, t->columns, &t->st->o->own,
                           &t->st->def.key, keys, &rows, e);

    if (r < 0)
        return r;
    while ((r = live_rows_next(rows, &id, NULL, e)) == 1) {
        const struct row_id *old = find_old(t, from, to, &id);
        if (old && memcmp(old->hash, id.hash, ROW_HASH_BYTES) == 0)
            n++;
    }
    live_rows_close(rows);
    if (r == 0 && n != to - from)
        r = err_set(e, EBADMSG, "%zu of %zu rows of '%.64s' changed since they were compared",
                    to - from - n, to - from, t->st->name);
    return r;
}

static int check_old(struct table *t, struct err *e)
{
    struct buf keys = BUF_INIT;
    int r = 0;

    for (size_t i = 0; i < t->st->diff.n_old && r == 0 && !t->st->rows_read;) {
        size_t from = i;
        buf_clear(&keys);
        put_keys(t, &keys, &i);
        r = check_some(t, from, i, &keys, e);
    }
    buf_release(&keys);
    return r;
}

/* The rows are locked: nobody writes these values until the commit. */
static int read_own(struct table *t, struct err *e)
{
    struct buf key = BUF_INIT;
    int r = 0;

    if (t->st->o->own.n == 0)
        return 0;
    t->has_own = xcalloc(t->st->diff.n_old + 1, sizeof(*t->has_own));
    for (size_t i = 0; i < t->st->diff.n_old && r >= 0; i++) {
        buf_clear(&key);
        row_key_condition(&key, &t->st->diff.old_rows[i].id, &t->st->def.key, t->mode);
        r = kept_columns_read(t->s, t->database, t->st->o, &key, i, e);
        t->has_own[i] = r == 1;
    }
    buf_release(&key);
    return r < 0 ? r : 0;
}

static int delete_old(const struct table *t, struct err *e)
{
    char *db = server_name(t->database), *name = server_name(t->st->name);
    struct buf keys = BUF_INIT, sql = BUF_INIT;
    int r = 0;

    for (size_t i = 0; i < t->st->diff.n_old && r == 0;) {
        buf_clear(&keys);
        put_keys(t, &keys, &i);
        buf_clear(&sql);
        buf_printf(&sql, "DELETE FROM %s.%s WHERE ", db, name);
        buf_append(&sql, keys.data, keys.len); /* may hold NUL bytes */
        r = server_run(t->s, sql.data, sql.len, e);
    }
    buf_release(&sql);
    buf_release(&keys);
    free(db);
    free(name);
    return r;
}

/* Puts the live row's own values in the place of the dump's in the row that b ends with. */
static int use_own(const struct table *t, const struct row_id *id, struct buf *b, size_t at,
                   struct err *e)
{
    const struct row_diff *d = &t->st->diff;
    struct buf row = BUF_INIT;
    size_t i = 0;

    while (i < d->n_old && (!t->has_own[i] || row_key_compare(&d->old_rows[i].id, id) != 0))
        i++;
    if (i == d->n_old)
        return 0;
    if (!kept_columns_put_row(&row, &(struct row){b->data + at, b->len - at}, t->mode, t->columns,
                              t->st->o, i)) {
        buf_release(&row);
        return err_set(
            e, EPROTO,
            "a row of the dump does not fit its columns, so it cannot take the kept values");
    }
    b->len = at;
    buf_append(b, row.data, row.len);
    buf_release(&row);
    return 0;
}

/* Appends the row's text, if the dump still holds the same row there. */
static int put_row(const struct table *t, const struct new_row *row, struct row_maker *maker,
                   struct buf *b, struct err *e)
{
    size_t at = b->len;
    off_t offset = t->st->o->ranges[row->place.range].offset + row->place.offset;
    struct values v;
    struct row_id id;
    ssize_t got;
    bool same;

    buf_reserve(b, row->place.len);
    got = file_pread(t->fd, b->data + at, row->place.len, offset);
    if (got < 0)
        return err_sys(e, (int)-got, "cannot read the dump");
    values_init_bare(&v, b->data + at, (size_t)got, t->mode);
    same = values_next(&v) == 1 && row_maker_make(maker, v.v, v.n, &id) == 0 &&
           memcmp(id.hash, row->hash, ROW_HASH_BYTES) == 0;
    values_release(&v);
    if (!same)
        return err_set(e, ESTALE, "the dump changed while it was imported");
    b->len = at + row->place.len;
    b->data[b->len] = '\0';
    return t->has_own ? use_own(t, &id, b, at, e) : 0;
}

static void put_head(const struct table *t, struct buf *b)
{
    char *db = server_name(t->database), *name = server_name(t->st->name);

    buf_printf(b, "INSERT INTO %s.%s (", db, name);
    for (size_t i = 0; i < t->columns->n; i++) {
        char *column = server_name(t->columns->v[i]);
        buf_printf(b, "%s%s", i ? "," : "", column);
        free(column);
    }
    buf_puts(b, ") VALUES ");
    free(db);
    free(name);
}

static int insert_new(const struct table *t, struct err *e)
{
    size_t limit = t->s->packet_max / 4 < TEXT_AT_ONCE ? t->s->packet_max / 4 : TEXT_AT_ONCE;
    const struct row_diff *d = &t->st->diff;
    struct row_maker *maker = row_maker_new(t->columns, &t->st->def.key);
    struct buf b = BUF_INIT;
    size_t head;
    int r = 0;

    row_maker_leave_out(maker, t->columns, &t->st->o->own);
    put_head(t, &b);
    head = b.len;
    for (size_t i = 0; i < d->n_new && r == 0; i++) {
        if (b.len > head && b.len + d->new_rows[i].place.len > limit) {
            r = server_run(t->s, b.data, b.len, e);
            b.len = head;
        }
        if (b.len > head)
            buf_putc(&b, ',');
        if (r == 0)
            r = put_row(t, &d->new_rows[i], maker, &b, e);
        if (r == 0 && b.len + SERVER_PACKET_RESERVE > t->s->packet_max)
            r = err_set(e, EREMOTEIO,
                        "a row of %u bytes is larger than the server accepts: set "
                        "max_allowed_packet to at least %zu on the server",
                        d->new_rows[i].place.len, b.len + SERVER_PACKET_RESERVE);
    }
    if (r == 0 && b.len > head)
        r = server_run(t->s, b.data, b.len, e);
    buf_release(&b);
    row_maker_free(maker);
    return r;
}

static int change_rows(struct table *t, struct err *e)
{
    int r = delete_old(t, e);

    crash_point("import.delta");
    return r < 0 ? r : insert_new(t, e);
}

/* --- all tables, in the order of the dump --- */

static int table_init(struct table *t, const struct plan *p, const struct step *st, struct err *e)
{
    t->p = p;
    t->st = st;
    t->vars_id = st->o->n_ranges ? st->o->ranges[0].vars_id : st->o->vars_id;
    t->mode = session_vars_mode_of(p->dump->vars, t->vars_id);
    t->table_rows = table_rows_open(t->fd, p->dump, st->o, &st->def, NULL);
    if (!table_rows_columns(t->table_rows, &t->columns, e))
        return -EPROTO;
    make_locks(t);
    return 0;
}

static void table_release(struct table *t)
{
    table_rows_close(t->table_rows);
    for (size_t i = 0; i < t->n_locks; i++)
        buf_release(&t->locks[i]);
    free(t->locks);
    free(t->has_own);
}

typedef int table_fn(struct table *t, struct err *e);

static int each_table(struct table *tables, size_t n, table_fn *fn, struct err *e)
{
    int r = 0;

    for (size_t i = 0; i < n && r == 0; i++) {
        struct table *t = &tables[i];
        r = server_set_vars(t->s, t->p->dump->vars, t->vars_id, e);
        if (r == 0)
            r = fn(t, e);
        if (r < 0)
            err_prefix(e, "cannot change rows of '%.64s'", t->st->name);
    }
    return r;
}

static int change_tables(struct table *tables, size_t n, struct server *s,
                         const struct commit_marker *c, struct err *e)
{
    int r = server_begin(s, e);

    if (r == 0)
        r = each_table(tables, n, lock_old, e);
    if (r == 0)
        r = each_table(tables, n, check_old, e);
    if (r == 0)
        r = each_table(tables, n, read_own, e);
    if (r == 0)
        r = each_table(tables, n, change_rows, e);
    if (r == 0)
        r = commit_marker_write_row(c, s, e);
    crash_point("import.commit");
    if (r == 0)
        r = server_runf(s, e, "COMMIT");
    else if (r != -ENOTCONN)
        (void)server_runf(s, NULL, "ROLLBACK");
    crash_point("import.committed");
    return r == -EREMOTEIO && s->code == ER_DUP_ENTRY ? -EBADMSG : r;
}

int delta_try(const struct plan *p, const char *database, int fd, struct server *s,
              const struct commit_marker *c, struct err *e)
{
    struct table *tables = xcalloc(p->n + 1, sizeof(*tables));
    size_t n = 0;
    int r = 0;

    for (size_t i = 0; i < p->n && r == 0; i++) {
        if (p->steps[i].action != ACTION_DELTA)
            continue;
        tables[n] = (struct table){.database = database, .fd = fd, .s = s};
        r = table_init(&tables[n++], p, &p->steps[i], e);
    }
    if (r == 0)
        r = change_tables(tables, n, s, c, e);
    for (size_t i = 0; i < n; i++)
        table_release(&tables[i]);
    free(tables);
    return r;
}

/* A table that is unchanged by its mark got its counter by an earlier import. */
static bool counter_due(const struct step *st)
{
    return st->has_live_def && !step_is_swap(st) && st->innodb && st->def.auto_increment &&
           !(st->action == ACTION_UNCHANGED && st->live_auto == st->def.auto_increment);
}

bool delta_counters_due(const struct plan *p)
{
    bool r = false;

    for (size_t i = 0; i < p->n; i++)
        r = r || counter_due(&p->steps[i]);
    return r;
}

int delta_counters(struct plan *p, const char *database, struct server *s, size_t *ret_n,
                   struct err *e)
{
    char *db = server_name(database);
    int r = 0;

    *ret_n = 0;
    for (size_t i = 0; i < p->n && r == 0; i++) {
        struct step *st = &p->steps[i];
        struct table_def now;
        char *name;

        if (!counter_due(st))
            continue;
        r = live_table_def(s, database, st->name, &now, e);
        if (r < 0)
            break;
        if (now.auto_increment != st->def.auto_increment) {
            name = server_name(st->name);
            r = server_runf(s, e, "ALTER TABLE %s.%s AUTO_INCREMENT=%llu", db, name,
                            (unsigned long long)st->def.auto_increment);
            free(name);
            ++*ret_n;
        }
        table_def_release(&now);
    }
    free(db);
    return r;
}
