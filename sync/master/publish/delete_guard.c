/* SPDX-License-Identifier: MIT */
/*
 *   gone ──> waiting ──(quiet: 1 s, many: 5 s; at most 5 s, many: 60 s)──> decide
 *                                                   │
 *          back? drop it                            ├─ few: publish, some thousand at a time
 *                                                   └─ too many, the folder is empty, or hold:
 *                                                      held, looked at again from time to time
 *
 * A folder that is gone stands for all rows below it, so what counts are rows, not paths. Paths are
 * kept in a set: while they are held each scan finds them again.
 */
#include "sync/master/publish/delete_guard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/hash.h"
#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/common/thread.h"
#include "sync/master/db/meta.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/folder/scan_queue.h"
#include "sync/master/folder/visible.h"
#include "sync/master/publish/publish.h"

#define WINDOW_MS  60000
#define PERCENT    20
#define QUIET_MS   1000 /* after the last deletion of a few */
#define QUIET_MANY 5000
#define WAIT_MS    5000 /* since the first of a few that do not end */
#define STEP       2000 /* paths in one transaction */
#define LOOK_MS    1000 /* while held, at least */
#define EMPTY_MS   1000
#define RECENT     64

struct delete_guard {
    struct master *m;
    /* the committer's */
    char **paths;
    size_t n, cap, out; /* out: of the front, published in the open transaction */
    uint32_t *table;    /* index into paths + 1 by hash; 0: free */
    size_t buckets;
    int64_t first_ms, last_ms, due;
    int64_t freeing; /* how many from the front may be published without another decision */
    bool confirmed;
    struct {
        int64_t at, n;
    } recent[RECENT]; /* rows published within the last minute */

    pthread_mutex_t lock; /* guards the rest */
    int64_t held;
    bool emptied;
    char why[512];
    char hold[256]; /* each deletion is held, for this reason; "": none */
    int scans;      /* that end before a hold without deletions is over */
};

struct delete_guard *delete_guard_new(struct master *m)
{
    struct delete_guard *b = xcalloc(1, sizeof(*b));

    b->m = m;
    b->due = INT64_MAX;
    mutex_init(&b->lock);
    return b;
}

void delete_guard_free(struct delete_guard *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->n; i++)
        free(b->paths[i]);
    free(b->paths);
    free(b->table);
    mutex_destroy(&b->lock);
    free(b);
}

static uint32_t *slot_of(struct delete_guard *b, const char *path)
{
    size_t i;

    for (i = hash64(path, strlen(path)) & (b->buckets - 1); b->table[i];
         i = (i + 1) & (b->buckets - 1))
        if (strcmp(b->paths[b->table[i] - 1], path) == 0)
            break;
    return &b->table[i];
}

/* Makes the table anew from `paths`. */
static void rehash(struct delete_guard *b)
{
    if (b->buckets < b->n * 2 + 64) {
        b->buckets = b->buckets ? b->buckets : 128;
        while (b->buckets < b->n * 4)
            b->buckets *= 2;
        b->table = xrealloc(b->table, b->buckets * sizeof(*b->table));
    }
    memset(b->table, 0, b->buckets * sizeof(*b->table));
    for (size_t i = 0; i < b->n; i++)
        *slot_of(b, b->paths[i]) = (uint32_t)i + 1;
}

static bool many(struct delete_guard *b)
{
    return (int64_t)b->n > b->m->max_delete;
}

void delete_guard_add(struct delete_guard *b, const char *path)
{
    int64_t now = clock_mono_ms(), quiet, end;

    if (b->n * 2 + 64 > b->buckets)
        rehash(b);
    if (*slot_of(b, path))
        return;
    if (b->n == 0)
        b->first_ms = now;
    if (b->n == b->cap) {
        b->cap = b->cap * 2 + 64;
        b->paths = xrealloc(b->paths, b->cap * sizeof(*b->paths));
    }
    b->paths[b->n] = xstrdup(path);
    *slot_of(b, path) = (uint32_t)++b->n;
    b->last_ms = now;
    if (b->freeing || b->held > 0 || b->emptied)
        return; /* decided when that is */
    quiet = now + (many(b) ? QUIET_MANY : QUIET_MS);
    end = b->first_ms + (many(b) ? WINDOW_MS : WAIT_MS);
    b->due = quiet < end ? quiet : end;
}

int64_t delete_guard_due(struct delete_guard *b)
{
    return b->due;
}

static void set_held(struct delete_guard *b, int64_t n, bool emptied, const char *why)
{
    bool news;

    mutex_lock(&b->lock);
    news = n > 0 && b->held == 0;
    b->held = n;
    b->emptied = emptied;
    snprintf(b->why, sizeof(b->why), "%s", why);
    mutex_unlock(&b->lock);
    if (news)
        log_error("%s; if that is intentional: eefs-master confirm", why);
}

/* In the order of a walk: a folder directly before what is below it. */
static int by_walk(const void *x, const void *y)
{
    const unsigned char *a = *(const unsigned char *const *)x,
                        *b = *(const unsigned char *const *)y;

    for (; *a && *a == *b; a++, b++)
        ;
    return (*a == '/' ? 1 : *a ? *a + 1 : 0) - (*b == '/' ? 1 : *b ? *b + 1 : 0);
}

static int each_below(struct delete_guard *b, const char *path,
                      void (*fn)(void *arg, struct row *row), void *arg)
{
    struct row *rows = NULL, row = {0};
    size_t n = 0;
    int r = tree_get(b->m->tree->db, path, &row);

    if (r == 1)
        fn(arg, &row);
    row_release(&row);
    if (r >= 0)
        r = tree_below(b->m->tree->db, path, &rows, &n);
    for (size_t i = 0; i < n; i++) {
        if (r >= 0)
            fn(arg, &rows[i]);
        row_release(&rows[i]);
    }
    free(rows);
    return r < 0 ? r : 0;
}

int delete_guard_each_held(struct delete_guard *b, void (*fn)(void *arg, struct row *row),
                           void *arg)
{
    const char *top = NULL;
    char why[512];
    int r = 0;

    if (delete_guard_held(b, why, sizeof(why)) == 0)
        return 0;
    qsort(b->paths, b->n, sizeof(*b->paths), by_walk);
    rehash(b);
    for (size_t i = 0; i < b->n && r == 0; i++) {
        if (top && path_is_under(b->paths[i], top))
            continue;
        top = b->paths[i];
        r = each_below(b, top, fn, arg);
    }
    return r;
}

int64_t delete_guard_held(struct delete_guard *b, char *why, size_t cap)
{
    int64_t n;

    mutex_lock(&b->lock);
    n = b->held;
    snprintf(why, cap, "%s", b->why);
    mutex_unlock(&b->lock);
    return n;
}

bool delete_guard_emptied(struct delete_guard *b, char *why, size_t cap)
{
    bool yes;

    mutex_lock(&b->lock);
    yes = b->emptied;
    if (yes)
        snprintf(why, cap, "%s", b->why);
    mutex_unlock(&b->lock);
    return yes;
}

/* True when the folder is readable and shows nothing that is served. */
static bool root_is_bare(struct master *m)
{
    int fd = openat(root_fd(m->folder->root), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *de;
    bool bare = d != NULL;

    while (bare && (de = readdir(d)))
        bare = strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0 ||
               visible_hides(m->folder, de->d_name);
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    return bare;
}

/* 1 gone, 2 a folder that has become another type, 0 back (or no row), -EAGAIN not known, or an
 * error of the database. */
static int still_gone(struct delete_guard *b, const char *path)
{
    struct row row = {0};
    struct stat st;
    int found = tree_get(b->m->tree->db, path, &row);
    bool live = found == 1 && row.e.type != ENTRY_GONE, dir = row.e.type == ENTRY_DIR;
    int r;

    row_release(&row);
    if (found < 0 || !live)
        return found < 0 ? found : 0;
    r = visible_lstat(b->m->folder, path, &st);
    if (r == -ENOENT)
        return 1;
    if (r < 0)
        return -EAGAIN;
    return dir && !S_ISDIR(st.st_mode) ? 2 : 0;
}

/* Keeps paths that are still gone, or not known. */
static int drop_what_is_back(struct delete_guard *b)
{
    size_t kept = 0;
    int r = 0;

    for (size_t i = 0; i < b->n; i++) {
        r = r < 0 ? r : still_gone(b, b->paths[i]);
        if (r == -EAGAIN)
            r = 1;
        if (r == 0)
            free(b->paths[i]);
        else
            b->paths[kept++] = b->paths[i];
    }
    b->n = kept;
    rehash(b);
    return r < 0 ? r : 0;
}

/* Files that would be published as deleted, counted up to `enough`. */
static int count_files(struct delete_guard *b, int64_t enough, int64_t *ret)
{
    const char *top = NULL;
    int64_t all = 0, n;
    int r = 0;

    qsort(b->paths, b->n, sizeof(*b->paths), by_walk);
    rehash(b);
    for (size_t i = 0; i < b->n && r == 0 && all < enough; i++) {
        if (top && path_is_under(b->paths[i], top))
            continue;
        top = b->paths[i];
        r = tree_count_lost(b->m->tree->db, top, &n);
        all += r == 0 ? n : 0;
    }
    *ret = all;
    return r;
}

static int64_t count_recent(struct delete_guard *b)
{
    int64_t now = clock_mono_ms(), n = 0;

    for (size_t i = 0; i < RECENT; i++)
        if (b->recent[i].n && now - b->recent[i].at < WINDOW_MS)
            n += b->recent[i].n;
    return n;
}

static void add_recent(struct delete_guard *b, int64_t n)
{
    int64_t now = clock_mono_ms();
    size_t i = (size_t)(now / (WINDOW_MS / RECENT + 1) % RECENT);

    if (now - b->recent[i].at > WINDOW_MS / RECENT + 1) {
        b->recent[i].at = now;
        b->recent[i].n = 0;
    }
    b->recent[i].n += n;
}

void delete_guard_hold(struct delete_guard *b, const char *why, int scans)
{
    mutex_lock(&b->lock);
    snprintf(b->hold, sizeof(b->hold), "%s", why);
    b->scans = scans;
    mutex_unlock(&b->lock);
}

static bool holds_all(struct delete_guard *b, char *why, size_t cap)
{
    mutex_lock(&b->lock);
    snprintf(why, cap, "%s", b->hold);
    mutex_unlock(&b->lock);
    return *why && !b->confirmed;
}

/* Within the transaction. */
static int end_hold(struct delete_guard *b)
{
    delete_guard_hold(b, "", 0);
    return meta_remove(b->m->tree->db, DELETE_GUARD_HOLD);
}

int delete_guard_scanned(struct delete_guard *b)
{
    bool over;

    mutex_lock(&b->lock);
    over = *b->hold && --b->scans <= 0 && b->n == 0;
    mutex_unlock(&b->lock);
    return over ? end_hold(b) : 0;
}

/* 0 or -errno. */
static int hold_all(struct delete_guard *b, const char *reason)
{
    int64_t began = clock_mono_ms(), files = 0;
    char why[512];
    bool over;
    int r = drop_what_is_back(b);

    mutex_lock(&b->lock);
    over = b->n == 0 && b->scans <= 0;
    mutex_unlock(&b->lock);
    if (r == 0 && over)
        r = end_hold(b);
    if (r == 0)
        r = count_files(b, INT64_MAX, &files);
    snprintf(why, sizeof(why), "%s; %lld files are missing in it: the deletions are held", reason,
             (long long)files);
    set_held(b, (int64_t)b->n, false, b->n ? why : "");
    b->due = clock_mono_ms() + LOOK_MS + 50 * (clock_mono_ms() - began);
    return r;
}

/* 1: all that waits may be published; 0: held (or nothing waits); -errno. */
static int decide(struct delete_guard *b)
{
    struct master *m = b->m;
    struct tree_total total = {0};
    int64_t began = clock_mono_ms(), files = 0, gone = 0, before = count_recent(b);
    char why[512], hold[sizeof(b->hold)];
    int r;

    if (holds_all(b, hold, sizeof(hold))) /* also with an empty folder: it can be filled again */
        return hold_all(b, hold);
    if (!b->confirmed && root_is_bare(m)) {
        snprintf(why, sizeof(why), "the folder '%.200s' is empty now (emptied, or not mounted?)",
                 root_path(m->folder->root));
        set_held(b, (int64_t)b->n, true, why);
        b->due = began + EMPTY_MS;
        return 0;
    }
    r = b->held || b->emptied ? drop_what_is_back(b) : 0;
    if (r == 0)
        r = count_files(b, m->max_delete < INT64_MAX / 2 ? m->max_delete + 1 : INT64_MAX, &gone);
    if (r == 0 && gone + before > m->max_delete && !b->confirmed) {
        r = tree_total(m->tree->db, &total);
        files = total.files + m->tree->more.files;
    }
    if (r == 0 && files > 0) { /* many: now exactly */
        r = count_files(b, INT64_MAX, &gone);
        if (r == 0 && (gone + before) * 100 > (files + before) * PERCENT) {
            snprintf(why, sizeof(why),
                     "%lld of %lld files were deleted from '%.200s' within a minute: the deletions "
                     "are held",
                     (long long)(gone + before), (long long)(files + before),
                     root_path(m->folder->root));
            set_held(b, (int64_t)b->n, false, why);
            b->due = clock_mono_ms() + LOOK_MS + 50 * (clock_mono_ms() - began);
            return 0;
        }
    }
    if (r < 0) {
        b->due = began + LOOK_MS;
        return r;
    }
    set_held(b, 0, false, "");
    return b->n > 0;
}

/* A folder has become a symbolic link: that is published with the deletions, so that no mirror sees
 * the name missing. (A file's content must be read first, by the scan.) */
static int publish_link(struct master *m, const char *path)
{
    struct stat st;
    char *target;
    int r = 0;

    if (visible_lstat(m->folder, path, &st) < 0 || !S_ISLNK(st.st_mode))
        return 0;
    target = visible_readlink(m->folder, path);
    if (target)
        r = publish(m, path, &st, NULL, target, clock_wall_ns(), NULL);
    free(target);
    return r;
}

int delete_guard_run(struct delete_guard *b)
{
    int64_t removed = 0;
    int r = 0;

    if (b->freeing == 0) {
        r = decide(b);
        if (r <= 0) {
            if (b->n == 0)
                b->due = INT64_MAX;
            return r;
        }
        b->freeing = (int64_t)b->n;
    }
    b->out = 0;
    for (r = 0; r >= 0 && b->out < STEP && (int64_t)b->out < b->freeing; b->out++) {
        const char *path = b->paths[b->out];

        bool replaced;

        r = still_gone(b, path);
        replaced = r == 2;
        if (replaced)
            scan_queue_push(b->m->folder->scan_queue, path, SCAN_DEEP, 0);
        if (r > 0) {
            r = tree_remove(b->m->tree, path);
            removed += r > 0 ? r : 0;
            if (r >= 0 && replaced)
                r = publish_link(b->m, path);
        } else if (r == -EAGAIN) {
            r = 0; /* found again by the next look */
            scan_queue_push(b->m->folder->scan_queue, path, 0, 5000);
        }
    }
    if (r < 0) {
        b->out = 0;
        b->due = clock_mono_ms() + LOOK_MS;
        return r;
    }
    if (!b->confirmed)
        add_recent(b, removed);
    return (int)b->out;
}

void delete_guard_committed(struct delete_guard *b, bool ok)
{
    if (b->out == 0)
        return;
    if (!ok) {
        b->out = 0;
        b->due = clock_mono_ms() + LOOK_MS;
        return;
    }
    for (size_t i = 0; i < b->out; i++)
        free(b->paths[i]);
    memmove(b->paths, b->paths + b->out, (b->n - b->out) * sizeof(*b->paths));
    b->n -= b->out;
    b->freeing -= (int64_t)b->out;
    b->out = 0;
    rehash(b);
    b->first_ms = clock_mono_ms();
    if (b->freeing > 0) {
        b->due = b->first_ms;
    } else {
        b->confirmed = false;
        b->due = b->n ? b->first_ms + QUIET_MS : INT64_MAX;
    }
}

void delete_guard_put_off(struct delete_guard *b)
{
    int64_t later = clock_mono_ms() + QUIET_MS;

    if (b->due < later)
        b->due = later;
}

void delete_guard_now(struct delete_guard *b)
{
    if (b->n > 0)
        b->due = clock_mono_ms();
}

int delete_guard_confirm(struct delete_guard *b)
{
    if (b->n == 0)
        return 0;
    b->confirmed = true;
    b->due = clock_mono_ms();
    return end_hold(b);
}
