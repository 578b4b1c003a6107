/* SPDX-License-Identifier: MIT */
#include "sync/master/versions/keeper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/crash.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/common/trouble.h"
#include "sync/common/worker.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/commit/committer.h"
#include "sync/master/db/history.h"
#include "sync/master/db/kept_rows.h"
#include "sync/master/folder/kept.h"
#include "sync/master/folder/staging.h"
#include "sync/master/db/readers.h"
#include "sync/master/db/head.h"

#define PAGE    200   /* rows at a time */
#define TIDY_MS 60000 /* between prunings */
#define AWAY_MS 1000
#define VICTIMS 500
#define FULL(x) ((x) / 10 * 9) /* emptied down to this, so that it is not done for each file */
#define LATER_IO                                                                                   \
    (2 << 13 | 7) /* ioprio_set(2): best effort, last; idle could hold up the journal */

static const int64_t fill_sizes[] = {64 << 10, 1 << 20, INT64_MAX};

struct keeper {
    struct worker worker; /* its lock guards woken */
    bool woken;           /* there is something new in the tree */
    struct master *m;
    struct kept *k;
    /* the thread's own */
    int64_t seq;      /* kept up to here; -1: not read yet */
    int64_t fill_seq; /* of the present pass */
    size_t pass;
    int64_t next_tidy, next_count, counted_seq, counted_files;
    bool rewrite_seq;
};

/* --- in the committer's thread --- */

struct flush {
    struct kept_note *notes;
    int64_t seq; /* -1: as it was */
};

static int commit_flush(struct master *m, void *arg)
{
    const struct flush *f = arg;
    struct db *db = m->tree->db;
    int r = 0;

    for (const struct kept_note *n = f->notes; n && r >= 0; n = n->next)
        r = kept_rows_add(db, &n->hash, n->size, n->found ? clock_wall_ns() : 0);
    if (r == 0 && f->seq >= 0)
        r = kept_rows_set_seq(db, f->seq);
    return r;
}

struct drop {
    struct hash *v;
    size_t n, cap;
};

static int commit_drop(struct master *m, void *arg)
{
    const struct drop *d = arg;
    int r = 0;

    for (size_t i = 0; i < d->n && r >= 0; i++)
        r = kept_rows_remove(m->tree->db, &d->v[i]);
    return r;
}

/* Those that have a path are let go as all others once it has gone. */
static int commit_named(struct master *m, void *arg)
{
    (void)arg;
    return kept_rows_named(m->tree->db);
}

#define PRUNE_MAX 1000 /* versions in one transaction */

struct outdated {
    char *paths[PRUNE_MAX];
    int64_t seqs[PRUNE_MAX];
    size_t n;
};

static int commit_prune(struct master *m, void *arg)
{
    const struct outdated *o = arg;
    int r = 0;

    for (size_t i = 0; i < o->n && r == 0; i++)
        r = history_forget(m->tree->db, o->paths[i], o->seqs[i]);
    return r;
}

/* --- rows and files --- */

static bool stopping(struct keeper *t)
{
    bool yes;

    worker_lock(&t->worker);
    yes = worker_stopping_locked(&t->worker);
    worker_unlock(&t->worker);
    return yes || t->m->stopping;
}

/* Writes the notes, and the cursor. */
static void flush(struct keeper *t)
{
    struct kept *k = t->k;
    struct flush f = {NULL, t->rewrite_seq ? t->seq : -1};
    int r;

    f.notes = kept_notes_take(k);
    r = f.notes || f.seq >= 0 ? committer_call(t->m->committer, commit_flush, &f) : 0;
    if (r == 0)
        t->rewrite_seq = false;
    if (r < 0) { /* again later */
        kept_notes_add(k, f.notes);
        return;
    }
    for (struct kept_note *next, *n = f.notes; n; n = next) {
        next = n->next;
        free(n);
    }
}

/* Removes files, then their rows. */
static void drop(struct keeper *t, struct hash *v, const int64_t *sizes, size_t n)
{
    struct drop d = {.v = v, .n = n};
    char path[KEPT_PATH_CAP];

    for (size_t i = 0; i < n; i++) {
        kept_path(&v[i], path);
        if (unlinkat(root_private_fd(t->m->folder->root), path, 0) == 0) {
            t->k->bytes -= sizes[i];
            t->k->files--;
        }
    }
    crash_point("master.keep.dropped");
    if (n > 0)
        committer_call(t->m->committer, commit_drop, &d);
}

/* Files of one folder of the store that have no row are noted; sizes are summed up. 0 or -errno. */
static int reconcile_folder(struct keeper *t, struct db *db, int fd)
{
    int listfd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = listfd < 0 ? NULL : fdopendir(listfd);
    struct kept *k = t->k;
    struct dirent *de;
    struct hash h;
    struct stat st;
    int r;

    if (!d) {
        r = trouble_at(-errno, fd, NULL);
        if (listfd >= 0)
            close(listfd);
        return r;
    }
    while ((errno = 0, de = readdir(d))) {
        int has;

        if (hash_parse(de->d_name, &h) < 0 || fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        has = kept_rows_has(db, &h);
        if (has < 0)
            continue;
        if (!has) {
            struct kept_note *n = xcalloc(1, sizeof(*n));

            n->hash = h;
            n->size = st.st_size;
            n->found = true;
            kept_notes_add(k, n);
        }
        k->files++;
        k->bytes += st.st_size;
    }
    r = trouble_at(-errno, fd, NULL);
    closedir(d);
    return r;
}

struct fileless {
    const struct folder *folder;
    struct drop d;
};

static void add_fileless(void *arg, const struct hash *h)
{
    struct fileless *f = arg;
    struct drop *d = &f->d;

    if (kept_has(f->folder, h))
        return;
    if (d->n == d->cap) {
        d->cap = d->cap * 2 + 64;
        d->v = xrealloc(d->v, d->cap * sizeof(*d->v));
    }
    d->v[d->n++] = *h;
}

/* Rows without a file go. */
static void reconcile_rows(struct keeper *t, struct db *db)
{
    struct fileless f = {.folder = t->m->folder};

    (void)kept_rows_each(db, add_fileless, &f);
    if (f.d.n > 0)
        committer_call(t->m->committer, commit_drop, &f.d);
    free(f.d.v);
}

static int count_folder(struct keeper *t, struct db *db, unsigned i)
{
    struct kept *k = t->k;
    char path[sizeof(KEPT_DIR) + 3];
    int fd, r = 0;

    snprintf(path, sizeof(path), KEPT_DIR "/%02x", i);
    mutex_lock(&k->files_lock);
    fd = path_open_beneath(root_private_fd(k->folder->root), path,
                           O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd >= 0) {
        r = reconcile_folder(t, db, fd);
        close(fd);
    } else if (fd != -ENOENT) {
        r = fd;
    }
    k->counted[i] = r == 0;
    mutex_unlock(&k->files_lock);
    return r;
}

/* 0, or -errno: nothing is counted. */
static int reconcile(struct keeper *t, struct db *db)
{
    struct kept *k = t->k;
    int r = 0;

    for (unsigned i = 0; i < sizeof(k->counted) && r == 0; i++)
        r = count_folder(t, db, i);
    if (r == 0) {
        reconcile_rows(t, db);
        return 0;
    }
    mutex_lock(&k->files_lock);
    memset(k->counted, 0, sizeof(k->counted));
    k->bytes = k->files = 0;
    mutex_unlock(&k->files_lock);
    return r;
}

/* --- keeping --- */

static void keep_row(struct keeper *t, const struct row *row)
{
    struct kept *k = t->k;
    char tmp[STAGING_NAME_CAP];

    if (row->e.type != ENTRY_FILE || !kept_wants(k, row->e.path, row->e.size) ||
        kept_has(k->folder, &row->e.hash) || !kept_room(k->folder, row->e.size))
        return;
    staging_name(tmp);
    /* Changed again already: the new content has a later seq. */
    if (staging_copy(k->folder, tmp, root_fd(k->folder->root), row->e.path, &row->e.hash) == 0)
        kept_adopt(k, tmp, &row->e.hash, row->e.size);
}

struct page {
    struct row rows[PAGE];
    size_t n;
};

static bool add_row(void *arg, struct row *row)
{
    struct page *p = arg;

    p->rows[p->n++] = *row;
    memset(row, 0, sizeof(*row));
    return p->n < PAGE;
}

/* Keeps contents as long as the store stays within `max`. */
static void keep_page(struct keeper *t, struct page *p, int64_t max, int64_t *seq)
{
    for (size_t i = 0; i < p->n; i++) {
        if (!stopping(t)) {
            if (p->rows[i].e.size <= max - t->k->bytes)
                keep_row(t, &p->rows[i]);
            *seq = p->rows[i].e.seq;
        }
        row_release(&p->rows[i]);
    }
}

/* Rows that were handled; less than PAGE: all are. */
static size_t follow(struct keeper *t, struct db *db)
{
    struct page p = {.n = 0};

    (void)tree_each_since(db, t->seq, add_row, &p); /* files that it could not read: again later */
    if (p.n > 0)
        t->rewrite_seq = true;
    keep_page(t, &p, INT64_MAX, &t->seq);
    return p.n;
}

/* One page of contents to keep for the first time; false when none is left. */
static bool fill(struct keeper *t, struct db *db)
{
    struct page p = {.n = 0};
    struct kept *k = t->k;
    int r;

    if (t->pass >= sizeof(fill_sizes) / sizeof(fill_sizes[0]) || k->bytes >= k->rules.space / 2)
        return false;
    r = kept_rows_lacking(db, t->fill_seq, fill_sizes[t->pass], add_row, &p);
    keep_page(t, &p, k->rules.space / 2, &t->fill_seq);
    if (r < 0)
        return false;
    if (p.n < PAGE) {
        t->pass++;
        t->fill_seq = 0;
    }
    return true;
}

/* --- letting go --- */

static bool add_outdated(void *arg, const char *path, int64_t seq)
{
    struct outdated *o = arg;

    o->paths[o->n] = xstrdup(path);
    o->seqs[o->n++] = seq;
    return o->n < PRUNE_MAX;
}

static void prune(struct keeper *t, struct db *db)
{
    const struct kept_rules *rules = &t->k->rules;
    struct outdated *o = xcalloc(1, sizeof(*o));
    bool more = true;

    while (more && !stopping(t)) {
        o->n = 0;
        history_outdated(db, clock_wall_ns() - rules->age_ms * 1000000, rules->versions,
                         add_outdated, o);
        more =
            o->n > 0 && committer_call(t->m->committer, commit_prune, o) == 0 && o->n == PRUNE_MAX;
        for (size_t i = 0; i < o->n; i++)
            free(o->paths[i]);
    }
    free(o);
}

struct victims {
    struct keeper *t;
    bool orphans;          /* only those of no path, if that is not lost */
    int64_t left, down_to; /* bytes in the store without them, and how many may stay */
    struct hash v[VICTIMS];
    int64_t sizes[VICTIMS];
    size_t n;
};

static bool add_victim(void *arg, const struct hash *h, int64_t size, bool orphan)
{
    struct victims *x = arg;
    struct kept *k = x->t->k;

    if (!orphan &&
        (x->orphans || (x->left <= x->down_to && kept_room(k->folder, k->bytes - x->left))))
        return false;
    x->v[x->n] = *h;
    x->sizes[x->n++] = size;
    x->left -= size;
    return true;
}

/* One round; the number of contents dropped. `orphans`: only those of no path, if that is not
 * lost. */
static size_t evict(struct keeper *t, struct db *db, bool orphans, int64_t down_to)
{
    struct victims x = {.t = t, .orphans = orphans, .down_to = down_to};

    flush(t); /* the content just added may be the oldest */
    x.left = t->k->bytes;
    (void)kept_rows_oldest(db, orphans ? clock_wall_ns() - t->k->rules.age_ms * 1000000 : INT64_MAX,
                           VICTIMS, add_victim, &x);
    drop(t, x.v, x.sizes, x.n);
    return x.n;
}

struct sum {
    int64_t files, bytes;
};

static bool add_unnamed(void *arg, const struct hash *h, int64_t size, int64_t found)
{
    struct sum *sum = arg;

    (void)h, (void)found;
    sum->files++;
    sum->bytes += size;
    return true;
}

/* The figures for status. Of a large tree this takes a while, so it is done as often as it is cheap. */
static void count(struct keeper *t, struct db *db)
{
    struct kept *k = t->k;
    int64_t files = 0, bytes = 0, versions = 0, lost = 0, begin = clock_mono_ms();
    struct sum unnamed = {0};

    if (begin < t->next_count ||
        (t->counted_seq == head_seq(t->m->head) && t->counted_files == k->files))
        return;
    t->counted_seq = head_seq(t->m->head);
    t->counted_files = k->files;
    (void)kept_rows_count_lacking(db, &files, &bytes);
    (void)history_count(db, &versions, &lost);
    (void)kept_rows_unnamed(db, add_unnamed, &unnamed);
    k->unnamed_files = unnamed.files;
    k->unnamed_bytes = unnamed.bytes;
    k->unkept_files = files;
    k->unkept_bytes = bytes;
    k->versions = versions;
    k->lost = lost;
    t->next_count = clock_mono_ms() + (clock_mono_ms() - begin) * 50 + 200;
}

static void tidy(struct keeper *t, struct db *db)
{
    struct kept *k = t->k;

    if (clock_mono_ms() >= t->next_tidy) {
        prune(t, db);
        while (!stopping(t) && evict(t, db, true, 0) == VICTIMS)
            ;
        t->next_tidy = clock_mono_ms() + TIDY_MS;
    }
    if (k->bytes > k->rules.space || (k->files > 0 && !kept_room(k->folder, 0)))
        while (!stopping(t) && evict(t, db, false, FULL(k->rules.space)) > 0 &&
               (k->bytes > FULL(k->rules.space) || !kept_room(k->folder, 0)))
            ;
    count(t, db);
}

/* --- the thread --- */

static void start_seq(struct keeper *t, struct db *db)
{
    if (kept_rows_seq(db, &t->seq) < 0)
        return;
    if (t->seq < 0 || t->seq > head_seq(t->m->head)) { /* the first scan of all was no change */
        t->seq = head_seq(t->m->head);
        t->rewrite_seq = true;
    }
    if (reconcile(t, db) < 0) {
        t->seq = -1; /* a disk that fails: again later */
        return;
    }
    flush(t);
    committer_call(t->m->committer, commit_named, NULL);
}

/* Returns true when there is more to do at once. */
static bool work(struct keeper *t)
{
    struct master *m = t->m;
    struct db *db = readers_get(m->readers);
    bool more = false;

    if (!db)
        return false;
    if (t->seq < 0)
        start_seq(t, db);
    if (t->seq >= 0) {
        more = follow(t, db) == PAGE;
        if (!more)
            more = fill(t, db);
        flush(t);
        tidy(t, db);
    }
    readers_put(m->readers, db);
    return more;
}

static void *keeper_run(void *arg)
{
    struct keeper *t = arg;
    struct master *m = t->m;
    bool more = false;

    syscall(SYS_ioprio_set, 1, 0, LATER_IO); /* 1, 0: this thread */
    worker_lock(&t->worker);
    while (!worker_stopping_locked(&t->worker)) {
        if (!t->woken && !more && !worker_wait_locked(&t->worker, clock_mono_ms() + AWAY_MS))
            break;
        t->woken = false;
        worker_unlock(&t->worker);
        more = t->k->rules.space > 0 && m->scanned && root_ok(m->folder->root, (char[1]){0}, 1) &&
               work(t);
        worker_lock(&t->worker);
    }
    worker_unlock(&t->worker);
    return NULL;
}

static void wake(void *arg)
{
    struct keeper *t = arg;

    worker_lock(&t->worker);
    t->woken = true;
    worker_wake_locked(&t->worker);
    worker_unlock(&t->worker);
}

int keeper_start(struct master *m, struct keeper **ret, struct err *e)
{
    struct keeper *t = xcalloc(1, sizeof(*t));
    int r;

    t->m = m;
    t->k = m->folder->kept;
    t->seq = -1;
    t->counted_seq = -1;
    worker_init(&t->worker);
    r = worker_start(&t->worker, "keeper", keeper_run, t);
    if (r < 0) {
        worker_release(&t->worker);
        free(t);
        return err_sys(e, -r, "cannot start the keeper of versions");
    }
    head_listen(m->head, wake, t);
    *ret = t;
    return 0;
}

void keeper_stop(struct keeper *t)
{
    if (t)
        worker_stop(&t->worker);
}

void keeper_free(struct keeper *t)
{
    if (!t)
        return;
    worker_release(&t->worker);
    free(t);
}
