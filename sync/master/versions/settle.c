/* SPDX-License-Identifier: MIT */
#include "sync/master/versions/settle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/encode.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/common/thread.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/commit/committer.h"
#include "sync/master/folder/conflict.h"
#include "sync/master/folder/displaced.h"
#include "sync/master/folder/kept.h"
#include "sync/master/folder/install.h"
#include "sync/master/folder/staging.h"
#include "sync/master/db/readers.h"
#include "sync/master/publish/publish.h"
#include "sync/master/folder/volume.h"
#include "sync/master/folder/lease.h"
#include "sync/master/folder/visible.h"

struct settle {
    struct master *m;
    pthread_t thread;
};

static bool is_of(void *arg, const char *path)
{
    return displaced_is_of(arg, path);
}

/* The path whose digest the name bears, after a restart: 1, 0 or -errno. */
static int find_path(struct db *db, struct displaced_file *o)
{
    return tree_find_path(db, is_of, o, &o->path);
}

struct put_back {
    struct displaced_file *o;
    struct hash hash; /* of the local edit */
    char *copy;       /* what became the conflict copy */
    bool swapped;     /* the path is the local edit's, the staging file is the mirror's version */
    int error;        /* of the filesystem */
};

/* 0 or an error of the database; b->error of the filesystem. */
static int publish_at(struct master *m, struct put_back *b, int dir, const char *path,
                      const struct hash *hash)
{
    struct stat st;

    if (fstatat(dir, path_base(path), &st, AT_SYMLINK_NOFOLLOW) < 0) {
        b->error = -errno;
        return 0;
    }
    return publish(m, path, &st, hash, NULL, clock_wall_ns(), NULL);
}

/* The local edit gets its path back when the mirror's version is still there, or nothing is. */
static int take_path(struct master *m, struct put_back *b, int dir)
{
    const char *path = b->o->path, *base = path_base(path);
    int staging = root_staging_fd(m->folder->root);
    struct row row = {0};
    struct stat st;
    int r = tree_get(m->tree->db, path, &row);

    if (r < 0)
        return r;
    if (row.e.type == ENTRY_FILE && hash_eq(&row.e.hash, &b->o->now) &&
        visible_lstat(m->folder, path, &st) == 0 && row_matches(&row, &st)) {
        b->error = staging_exchange(staging, b->o->name, dir, base);
        b->swapped = b->error == 0;
        if (b->swapped && (fstatat(staging, b->o->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
                           (int64_t)st.st_ino != row.ino)) { /* a newer local file */
            b->error = staging_exchange(staging, b->o->name, dir, base);
            b->swapped = false;
            if (b->error == 0)
                b->error = -EEXIST;
        }
    } else {
        b->error = file_rename_new(staging, b->o->name, dir, base);
    }
    row_release(&row);
    return b->error < 0 ? 0 : publish_at(m, b, dir, path, &b->hash);
}

static int make_copy(struct master *m, struct put_back *b, int dir)
{
    bool there;

    b->copy = conflict_path(m->folder, b->o->path, "master", -1,
                            (struct conflict_like){NULL, NULL, 0}, &there);
    b->error =
        file_rename_new(root_staging_fd(m->folder->root), b->o->name, dir, path_base(b->copy));
    return b->error < 0 ? 0 : publish_at(m, b, dir, b->copy, b->swapped ? &b->o->now : &b->hash);
}

/* Committer's thread. */
static int put_back(struct master *m, void *arg)
{
    struct put_back *b = arg;
    int dir, r = 0;

    b->error = volume_enter_top(m->folder, b->o->top ? b->o->top : "");
    if (b->error == 0)
        b->error = install_parents(m->folder, b->o->path);
    dir = b->error < 0 ? b->error : staging_open_parent(m->folder, b->o->path);
    if (dir < 0) {
        b->error = dir;
        volume_leave(m->folder);
        return 0;
    }
    r = take_path(m, b, dir);
    if (r == 0 && (b->error == -EEXIST || (b->error == 0 && b->swapped)))
        r = make_copy(m, b, dir);
    if ((r < 0 || b->error < 0) && b->swapped)
        staging_exchange(root_staging_fd(m->folder->root), b->o->name, dir, path_base(b->o->path));
    close(dir);
    volume_leave(m->folder);
    return r;
}

/* 0: done with it; else to be looked at again. */
static int local_edit(struct settle *s, struct displaced_file *o, const struct hash *hash)
{
    struct put_back b = {.o = o, .hash = *hash};
    char *path, *copy;
    int r = committer_call(s->m->committer, put_back, &b);

    if (r == 0)
        r = b.error;
    path = path_encoded(o->path);
    copy = path_encoded(b.copy ? b.copy : "");
    if (r < 0)
        log_error(
            "a local edit of '%s' that a mirror's version displaced waits in 'staging/%s': %s",
            path, o->name, strerror(-r));
    else if (b.copy)
        log_info("'%s' was edited here while a mirror replaced it: both versions are kept, the %s "
                 "as '%s'",
                 path, b.swapped ? "mirror's" : "local one", copy);
    else
        log_info("'%s' was edited here while a mirror removed it: it stays", path);
    free(path);
    free(copy);
    free(b.copy);
    return r;
}

/* The hash of a file that nobody writes; -EBUSY. */
static int settled_hash(const struct master *m, int fd, const struct stat *st, struct hash *ret)
{
    enum writers who = lease_probe(fd);
    struct stat after;
    int r;

    if (who == WRITERS_SOME || (who == WRITERS_UNKNOWN &&
                                root_age_ns(m->folder->root, st) < m->folder->quiet_ms * 1000000))
        return -EBUSY;
    r = hash_fd(fd, ret, NULL);
    if (r == 0 && (fstat(fd, &after) < 0 || after.st_size != st->st_size ||
                   file_mtime_ns(&after) != file_mtime_ns(st) || lease_probe(fd) == WRITERS_SOME))
        r = -EBUSY;
    return r;
}

/* Unchanged: a version to be kept, or nothing. Another name of it somewhere could change it. */
static void let_go(struct master *m, const struct displaced_file *o, const struct hash *hash,
                   const struct stat *st)
{
    if (st->st_nlink == 1 && !hash_eq(hash, &o->now) &&
        kept_wants(m->folder->kept, o->path ? o->path : "", st->st_size))
        kept_adopt(m->folder->kept, o->name, hash, st->st_size);
    else
        staging_discard(m->folder, o->name);
}

/* 0: nothing is left to do. */
static int settle(struct settle *s, struct displaced_file *o)
{
    int fd = openat(root_staging_fd(s->m->folder->root), o->name,
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct hash hash;
    struct db *db;
    struct stat st;
    bool same;
    int r;

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    r = fstat(fd, &st) < 0 ? -errno : 0;
    if (r == 0)
        r = settled_hash(s->m, fd, &st, &hash);
    close(fd);
    if (r < 0)
        return r;
    same = hash_eq(&hash, &o->now) || hash_eq(&hash, &o->was);
    if (!same && !o->path) { /* left by an earlier run */
        db = readers_get(s->m->readers);
        r = db ? find_path(db, o) : -EIO;
        readers_put(s->m->readers, db);
        if (r < 0)
            return r;
    }
    if (!same && o->path)
        return local_edit(s, o, &hash);
    if (!same)
        log_error("'staging/%s' belongs to an unknown path; it stays there", o->name);
    else
        let_go(s->m, o, &hash, &st);
    return 0;
}

/* True when staging has a file whose name differs from `name` in the last digit only. */
static bool has_sibling(struct settle *s, const char *name)
{
    size_t last = strlen(name) - 1;
    char other[STAGING_NAME_CAP];
    struct stat st;
    bool found = false;

    memcpy(other, name, last + 2);
    for (const char *digit = "0123456789abcdef"; *digit && !found; digit++) {
        other[last] = *digit;
        found = *digit != name[last] &&
                fstatat(root_staging_fd(s->m->folder->root), other, &st, AT_SYMLINK_NOFOLLOW) == 0;
    }
    return found;
}

/*
 * An earlier run was killed when it had taken the old file from its path and not put the new one
 * there (staging_exchange() where there are no second names): both are in staging, with names that
 * differ in the last digit only. The old one goes back before a scan finds it gone.
 */
static void mend_exchange(struct settle *s, struct displaced_file *o)
{
    struct master *m = s->m;
    struct db *db = readers_get(m->readers);
    struct hash hash;
    int fd = -1, dir;

    if (hash_eq(&o->was, &o->now) || !has_sibling(s, o->name))
        goto out;
    fd = openat(root_staging_fd(m->folder->root), o->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || hash_fd(fd, &hash, NULL) < 0 || !hash_eq(&hash, &o->was) || !db ||
        find_path(db, o) != 1)
        goto out;
    dir = staging_open_parent(m->folder, o->path);
    if (dir >= 0 &&
        file_rename_new(root_staging_fd(m->folder->root), o->name, dir, path_base(o->path)) == 0)
        file_sync_dir(dir);
    if (dir >= 0)
        close(dir);
out:
    if (fd >= 0)
        close(fd);
    readers_put(m->readers, db);
}

/* What an earlier run left. */
static int recover_here(struct folder *f, const char *top, void *arg)
{
    struct settle *s = arg;
    int fd = openat(root_staging_fd(f->root), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *de;

    while (d && (de = readdir(d))) {
        struct displaced_file *o = displaced_parse(de->d_name);

        if (o) {
            o->top = xstrdup(top);
            mend_exchange(s, o);
            displaced_add(f->displaced, o);
        }
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    return 0;
}

static void *settle_run(void *arg)
{
    struct settle *s = arg;
    struct displaced_file *o;

    while ((o = displaced_take(s->m->folder->displaced))) {
        int r = volume_enter_top(s->m->folder, o->top ? o->top : "");

        if (r == 0)
            r = settle(s, o);
        volume_leave(s->m->folder);
        if (r < 0)
            displaced_add(s->m->folder->displaced, o);
        else
            displaced_file_free(o);
    }
    return NULL;
}

int settle_start(struct master *m, struct settle **ret, struct err *e)
{
    struct settle *s = xcalloc(1, sizeof(*s));
    int r;

    s->m = m;
    volumes_each(m->folder, recover_here, s);
    r = thread_start(&s->thread, "settle", settle_run, s);
    if (r < 0) {
        free(s);
        return err_sys(e, -r, "cannot start the thread that settles replaced files");
    }
    *ret = s;
    return 0;
}

void settle_stop(struct settle *s)
{
    if (!s)
        return;
    displaced_stop(s->m->folder->displaced);
    thread_join(s->thread);
}

void settle_free(struct settle *s)
{
    free(s);
}
