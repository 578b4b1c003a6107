/* SPDX-License-Identifier: MIT */
#include "sync/master/http/feed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/common/thread.h"
#include "sync/master/db/readers.h"
#include "sync/proto/wire.h"

#define PAGE_BYTES (4 << 20) /* a page ends early rather than grow beyond it */
#define SCAN_MAX   50000     /* rows looked at for one page, hidden ones included */
#define TICK_MS    200
#define SCOPES_MS  1000 /* how often scopes and tokens are looked at while polls wait */

struct feed {
    struct master *m;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t change;
    struct parked *first;
    bool stopping;
};

/* The content rides along when it still is what the row says. */
static void add_inline(struct master *m, struct entry *e)
{
    int fd = path_open_beneath(root_fd(m->root), e->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    struct hash got;
    ssize_t n;

    if (fd < 0)
        return;
    buf_reserve(&e->data, (size_t)e->size + 1);
    n = file_pread(fd, e->data.data, (size_t)e->size + 1, 0);
    close(fd);
    if (n != e->size)
        return;
    hash_bytes(e->data.data, (size_t)n, &got);
    if (!hash_eq(&got, &e->hash))
        return;
    e->data.len = (size_t)n;
    e->data.data[n] = '\0';
    e->has_data = true;
}

static int check_cursor(struct master *m, struct db *db, const struct mirror *who,
                        const struct cursor *c, int64_t head)
{
    if (c->scopegen != who->scopegen)
        return -ESTALE;
    return tree_knows(db, c->timeline, c->seq, m->timeline, head) ? 0 : -ESTALE;
}

static int page_rows(struct master *m, struct db *db, const struct mirror *who,
                     const struct feed_query *q, struct buf *out, struct cursor *next,
                     size_t *entries)
{
    sqlite3_stmt *st =
        db_query(db, "SELECT " TREE_COLUMNS " FROM entry WHERE seq>? ORDER BY seq", "i", next->seq);
    int64_t looked = 0;
    int r;

    while ((r = db_step(db, st)) == 1) {
        struct row row;

        if ((int64_t)*entries >= q->limit || out->len > PAGE_BYTES || looked++ > SCAN_MAX) {
            db_done(st);
            break; /* r == 1: there is more */
        }
        tree_row(st, &row);
        next->seq = row.e.seq;
        if (scope_shows(&who->scope, row.e.path) &&
            (row.e.type != ENTRY_GONE || row.e.seq > next->full0)) {
            bool whole = scope_reads(&who->scope, row.e.path);
            if (row.e.moved_from && !scope_reads(&who->scope, row.e.moved_from)) {
                free(row.e.moved_from);
                row.e.moved_from = NULL;
            }
            if (whole && row.e.type == ENTRY_FILE && row.e.size <= q->inline_max)
                add_inline(m, &row.e);
            if (whole || row.e.type == ENTRY_DIR || row.e.type == ENTRY_GONE) {
                entry_encode_line(out, &row.e);
                ++*entries;
            }
        }
        row_release(&row);
    }
    return r;
}

int feed_page(struct master *m, struct db *db, const struct mirror *who, const struct feed_query *q,
              struct buf *out, struct cursor *next, size_t *entries)
{
    char text[CURSOR_CAP];
    int64_t head = 0, full0 = q->since.full0;
    int r = db_run(db, "BEGIN", "");

    *entries = 0;
    if (r < 0)
        return r;
    r = db_get_int(db, 0, &head, "SELECT max(seq) FROM entry", "");
    if (r == 0 && q->since.timeline[0])
        r = check_cursor(m, db, who, &q->since, head > m->head ? head : m->head);
    if (r < 0)
        goto out;
    *next = q->since;
    if (!q->since.timeline[0]) {
        next->seq = 0;
        full0 = head;
    }
    next->full0 = full0;
    strcpy(next->timeline, m->timeline);
    next->scopegen = who->scopegen;
    r = page_rows(m, db, who, q, out, next, entries);
    if (r == 0) {
        next->full0 = -1;
        if (head > next->seq)
            next->seq = head;
    }
    if (r >= 0)
        page_encode_end(out, r == 1 ? PAGE_MORE : PAGE_COMMIT, cursor_text(next, text));
out:
    db_rollback(db);
    return r < 0 ? r : 0;
}

static void resume_locked(struct feed *f, int64_t now)
{
    struct parked **p = &f->first;

    while (*p) {
        struct parked *one = *p;
        if (now >= 0 && one->deadline > now) {
            p = &one->next;
            continue;
        }
        *p = one->next; /* before resuming: its handler may run at once */
        MHD_resume_connection(one->conn);
    }
}

/* `eefs-master mirror` runs beside serve and tells it nothing: the database does. True when scopes
 * or tokens are others than *known. */
static bool scopes_changed(struct feed *f, int64_t *known)
{
    struct db *db = db_pool_get(f->m->pool);
    int64_t now = *known;
    bool changed;

    if (db)
        db_get_int(db, *known, &now, "SELECT value FROM meta WHERE key='scopegen'", "");
    db_pool_put(f->m->pool, db);
    changed = now != *known && *known >= 0;
    *known = now;
    return changed;
}

static void *run(void *arg)
{
    struct feed *f = arg;
    int64_t scopes = -1, next = 0;

    mutex_lock(&f->lock);
    while (!f->stopping) {
        bool changed = false;

        if (clock_mono_ms() >= next) {
            mutex_unlock(&f->lock);
            changed = scopes_changed(f, &scopes);
            next = clock_mono_ms() + SCOPES_MS;
            mutex_lock(&f->lock);
        }
        resume_locked(f, changed ? -1 : clock_mono_ms());
        if (!f->stopping)
            cond_wait_until(&f->change, &f->lock, clock_mono_ms() + TICK_MS);
    }
    resume_locked(f, -1);
    mutex_unlock(&f->lock);
    return NULL;
}

bool feed_park(struct feed *f, struct parked *p, int64_t seq)
{
    bool parked = false;

    mutex_lock(&f->lock);
    if (!f->stopping && f->m->head <= seq) {
        MHD_suspend_connection(p->conn);
        p->next = f->first;
        f->first = p;
        parked = true;
    }
    mutex_unlock(&f->lock);
    return parked;
}

void feed_wake(struct feed *f)
{
    mutex_lock(&f->lock);
    resume_locked(f, -1);
    mutex_unlock(&f->lock);
}

int feed_start(struct master *m, struct feed **ret, struct err *e)
{
    struct feed *f = xcalloc(1, sizeof(*f));
    int r;

    f->m = m;
    mutex_init(&f->lock);
    cond_init(&f->change);
    r = thread_start(&f->thread, "feed", run, f);
    if (r < 0) {
        free(f);
        return err_sys(e, -r, "cannot start the poll timer");
    }
    *ret = f;
    return 0;
}

void feed_stop(struct feed *f)
{
    if (!f)
        return;
    mutex_lock(&f->lock);
    f->stopping = true;
    cond_signal(&f->change);
    mutex_unlock(&f->lock);
    thread_join(f->thread);
}

void feed_free(struct feed *f)
{
    if (!f)
        return;
    cond_destroy(&f->change);
    mutex_destroy(&f->lock);
    free(f);
}
