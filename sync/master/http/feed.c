/* SPDX-License-Identifier: MIT */
#include "sync/master/http/feed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/common/worker.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/db/readers.h"
#include "sync/master/db/head.h"
#include "sync/proto/wire.h"

#define PAGE_BYTES (4 << 20) /* a page ends early rather than grow beyond it */
#define SCAN_MAX   50000     /* rows looked at for one page, hidden ones included */
#define TICK_MS    200
#define ECHO_MS    50   /* a poll waits so long for more of what its mirror knows */
#define SCOPES_MS  1000 /* how often scopes and tokens are looked at while polls wait */

struct feed {
    struct master *m;
    struct worker worker; /* its lock guards first */
    struct parked *first;
};

/* The content is sent inline when it still matches the row. */
static void add_inline(struct master *m, struct entry *e)
{
    int fd =
        path_open_beneath(root_fd(m->folder->root), e->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
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

struct page {
    struct master *m;
    const struct mirror *who;
    const struct feed_query *q;
    struct buf *out;
    struct cursor *next;
    size_t entries;
    int64_t looked;
};

/* Adds the row if the mirror sees it; false: the page is full. */
static bool add_row(void *arg, struct row *row)
{
    struct page *p = arg;
    const struct scope *scope = &p->who->scope;
    bool whole;

    if ((int64_t)p->entries >= p->q->limit || p->out->len > PAGE_BYTES || p->looked++ > SCAN_MAX)
        return false;
    p->next->seq = row->e.seq;
    if (!scope_shows(scope, row->e.path) ||
        (row->e.type == ENTRY_GONE && row->e.seq <= p->next->full0))
        return true;
    whole = scope_reads(scope, row->e.path);
    if (row->e.moved_from && !scope_reads(scope, row->e.moved_from)) {
        free(row->e.moved_from);
        row->e.moved_from = NULL;
    }
    if (whole && row->e.type == ENTRY_FILE && row->e.size <= p->q->inline_max)
        add_inline(p->m, &row->e);
    if (whole || row->e.type == ENTRY_DIR || row->e.type == ENTRY_GONE) {
        entry_encode_line(p->out, &row->e);
        p->entries++;
    }
    return true;
}

int feed_page(struct master *m, struct db *db, const struct mirror *who, const struct feed_query *q,
              struct buf *out, struct cursor *next, size_t *entries)
{
    char text[CURSOR_CAP];
    int64_t head = 0, full0 = q->since.full0;
    struct page page = {.m = m, .who = who, .q = q, .out = out, .next = next};
    int r = db_begin_read(db);

    *entries = 0;
    if (r < 0)
        return r;
    r = tree_last_seq(db, &head);
    if (r == 0 && q->since.timeline[0])
        r = check_cursor(m, db, who, &q->since,
                         head > head_seq(m->head) ? head : head_seq(m->head));
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
    r = tree_each_since(db, next->seq, add_row, &page);
    *entries = page.entries;
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

/* Resumes those that are due; also those that a commit concerns, or all. */
enum resume { DUE, MOVED, ALL };

static bool is_due_locked(struct feed *f, struct parked *p, enum resume which, int64_t now)
{
    if (which == ALL || p->deadline <= now)
        return true;
    if (which == DUE || head_seq(f->m->head) <= p->seq)
        return false;
    if (p->echoed || !head_is_by(f->m->head, p->mirror, p->seq))
        return true;
    p->echoed = true;
    if (p->deadline > now + ECHO_MS)
        p->deadline = now + ECHO_MS;
    worker_wake_locked(&f->worker);
    return false;
}

static void resume_locked(struct feed *f, enum resume which)
{
    struct parked **p = &f->first;
    int64_t now = clock_mono_ms();

    while (*p) {
        struct parked *one = *p;
        if (!is_due_locked(f, one, which, now)) {
            p = &one->next;
            continue;
        }
        *p = one->next; /* before resuming: its handler may run at once */
        MHD_resume_connection(one->conn);
    }
}

/* When to look next. */
static int64_t next_locked(const struct feed *f)
{
    int64_t next = clock_mono_ms() + TICK_MS;

    for (const struct parked *p = f->first; p; p = p->next)
        next = p->deadline < next ? p->deadline : next;
    return next;
}

/* `eefs-master mirror` runs beside serve and does not notify it: serve reads the database. True
 * when scopes or tokens have changed since *known. */
static bool scopes_changed(struct feed *f, int64_t *known)
{
    struct db *db = readers_get(f->m->readers);
    int64_t now = *known;
    bool changed;

    if (db)
        registry_scopegen(db, &now);
    readers_put(f->m->readers, db);
    changed = now != *known && *known >= 0;
    *known = now;
    return changed;
}

static void *feed_run(void *arg)
{
    struct feed *f = arg;
    int64_t scopes = -1, next = 0;

    worker_lock(&f->worker);
    while (!worker_stopping_locked(&f->worker)) {
        bool changed = false;

        if (clock_mono_ms() >= next) {
            worker_unlock(&f->worker);
            changed = scopes_changed(f, &scopes);
            next = clock_mono_ms() + SCOPES_MS;
            worker_lock(&f->worker);
        }
        resume_locked(f, changed ? ALL : DUE);
        worker_wait_locked(&f->worker, next_locked(f));
    }
    resume_locked(f, ALL);
    worker_unlock(&f->worker);
    return NULL;
}

bool feed_park(struct feed *f, struct parked *p)
{
    bool parked = false;

    worker_lock(&f->worker);
    if (!worker_stopping_locked(&f->worker) &&
        (head_seq(f->m->head) <= p->seq || !is_due_locked(f, p, MOVED, clock_mono_ms()))) {
        MHD_suspend_connection(p->conn);
        p->next = f->first;
        f->first = p;
        parked = true;
    }
    worker_unlock(&f->worker);
    return parked;
}

static void head_moved(void *arg)
{
    struct feed *f = arg;

    worker_lock(&f->worker);
    resume_locked(f, MOVED);
    worker_unlock(&f->worker);
}

int feed_start(struct master *m, struct feed **ret, struct err *e)
{
    struct feed *f = xcalloc(1, sizeof(*f));
    int r;

    f->m = m;
    worker_init(&f->worker);
    r = worker_start(&f->worker, "feed", feed_run, f);
    if (r < 0) {
        worker_release(&f->worker);
        free(f);
        return err_sys(e, -r, "cannot start the poll timer");
    }
    head_listen(m->head, head_moved, f);
    *ret = f;
    return 0;
}

void feed_stop(struct feed *f)
{
    if (f)
        worker_stop(&f->worker);
}

void feed_free(struct feed *f)
{
    if (!f)
        return;
    worker_release(&f->worker);
    free(f);
}
