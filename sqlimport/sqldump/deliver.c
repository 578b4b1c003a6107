/* SPDX-License-Identifier: MIT */
/*
 *     open: lock ─> empty file in the work folder ─> finish: sync, close ─> into each slot:
 *
 *       the slot got these bytes last (.last)? ─> nothing
 *       else: second name (link) or copy ─> rename over DATABASE.sql ─> sync the folder ─> write .last
 */
#include "sqlimport/sqldump/deliver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/crash.h"
#include "sync/common/file.h"
#include "sync/common/log.h"

#define MASTER_MARKER ".eefs/marker"
#define MASTER_WORK   ".eefs/sqldump"
#define LEVELS_MAX    16

struct deliver {
    char *slots, *database;
    int slots_fd, work, lock;
    int out, in;
    char *temp;        /* the dump's name in the work folder */
    struct stat owner; /* of the slots folder */
};

/* Work folder: below the first folder upwards that is a master's root, else the slots folder. */
static int open_work(int slots)
{
    struct stat first, st;
    struct buf up = BUF_INIT;
    int fd = -1;

    if (fstat(slots, &first) < 0)
        return -errno;
    for (int i = 0; fd < 0 && i < LEVELS_MAX; i++) {
        size_t len = up.len;

        buf_puts(&up, MASTER_MARKER);
        if (fstatat(slots, up.data, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == first.st_dev) {
            up.data[up.len = len] = '\0';
            buf_puts(&up, MASTER_WORK);
            if (mkdirat(slots, up.data, 0700) == 0 && geteuid() == 0)
                (void)!fchownat(slots, up.data, first.st_uid, first.st_gid, AT_SYMLINK_NOFOLLOW);
            fd = openat(slots, up.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
            break;
        }
        up.data[up.len = len] = '\0';
        buf_puts(&up, "../");
    }
    buf_release(&up);
    if (fd < 0)
        fd = openat(slots, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int lock_out_others(struct deliver *d, struct err *e)
{
    char *name = xasprintf(".eefs-sqldump.%s.lock", d->database);
    int r = 0;

    d->lock = openat(d->work, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (d->lock < 0)
        r = err_sys(e, errno, "cannot make a lock file beside the slots '%s'", d->slots);
    else if (flock(d->lock, LOCK_EX | LOCK_NB) < 0)
        r = err_set(e, EBUSY, "another dump of '%s' is running", d->database);
    free(name);
    return r;
}

int deliver_open(const char *slots, const char *database, struct deliver **ret, struct err *e)
{
    struct deliver *d = xcalloc(1, sizeof(*d));
    int r = 0;

    d->slots = xstrdup(slots);
    d->database = xstrdup(database);
    d->temp = xasprintf(".eefs-sqldump.%s.tmp", database);
    d->work = d->lock = d->out = d->in = -1;
    d->slots_fd = open(slots, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->slots_fd < 0 || fstat(d->slots_fd, &d->owner) < 0 ||
        (d->work = open_work(d->slots_fd)) < 0)
        r = err_sys(e, errno, "cannot open the slots folder '%s'", slots);
    else
        r = lock_out_others(d, e);
    if (r == 0) {
        (void)unlinkat(d->work, d->temp, 0); /* of a run that was killed */
        d->out = openat(d->work, d->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        if (d->out < 0)
            r = err_sys(e, errno, "cannot write beside the slots '%s'", slots);
        else if (geteuid() == 0) /* who serves the slots must be able to read it */
            (void)!fchown(d->out, d->owner.st_uid, d->owner.st_gid);
    }
    if (r < 0) {
        deliver_close(d);
        return r;
    }
    *ret = d;
    return 0;
}

void deliver_close(struct deliver *d)
{
    if (!d)
        return;
    if (d->out >= 0 || d->in >= 0)
        (void)unlinkat(d->work, d->temp, 0);
    if (d->out >= 0)
        close(d->out);
    if (d->in >= 0)
        close(d->in);
    if (d->lock >= 0)
        close(d->lock);
    if (d->work >= 0)
        close(d->work);
    if (d->slots_fd >= 0)
        close(d->slots_fd);
    free(d->temp);
    free(d->slots);
    free(d->database);
    free(d);
}

int deliver_file(struct deliver *d)
{
    return d->out;
}

int deliver_finish(struct deliver *d, struct err *e)
{
    if (fsync(d->out) < 0)
        return err_sys(e, errno, "cannot write the new dump");
    d->in = openat(d->work, d->temp, O_RDONLY | O_CLOEXEC);
    if (d->in < 0)
        return err_sys(e, errno, "cannot read the new dump");
    close(d->out); /* the master publishes no file that somebody may still write */
    d->out = -1;
    return d->in;
}

/* "HASH DEV:INO": the last dump, and the slot that got it, for a slot may have been replaced. */
static char *memory_text(const struct hash *hash, int slot)
{
    char text[HASH_TEXT_CAP];
    struct stat st;

    if (fstat(slot, &st) < 0)
        memset(&st, 0, sizeof(st));
    return xasprintf("%s %llu:%llu\n", hash_text(hash, text), (unsigned long long)st.st_dev,
                     (unsigned long long)st.st_ino);
}

static bool remembers(struct deliver *d, const char *memory, const char *text)
{
    struct buf b = BUF_INIT;
    bool same = file_slurp(d->work, memory, 4096, &b) == 0 && strcmp(b.data, text) == 0;

    buf_release(&b);
    return same;
}

static int copy_into(struct deliver *d, int slot, const char *temp)
{
    int out = openat(slot, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640), r;

    if (out < 0)
        return -errno;
    if (geteuid() == 0)
        (void)!fchown(out, d->owner.st_uid, d->owner.st_gid);
    r = file_copy(d->in, out);
    if (r == 0 && fsync(out) < 0)
        r = -errno;
    close(out);
    return r;
}

/* By a second name of the dump that is moved into the slot, else by a copy (reflink where the
 * filesystem can) beside the old one. */
static int replace(struct deliver *d, int slot, const char *final)
{
    char *temp = xasprintf(".eefs-sqldump.%s.new", d->database);
    int r = 0;

    (void)unlinkat(d->work, temp, 0);
    (void)unlinkat(slot, temp, 0);
    if (linkat(d->work, d->temp, d->work, temp, 0) == 0) {
        if (renameat(d->work, temp, slot, final) == 0)
            goto out;
        (void)unlinkat(d->work, temp, 0); /* another filesystem */
    }
    r = copy_into(d, slot, temp);
    if (r == 0 && renameat(slot, temp, slot, final) < 0)
        r = -errno;
    if (r < 0)
        (void)unlinkat(slot, temp, 0);
out:
    free(temp);
    return r < 0 ? r : file_sync_dir(slot);
}

static int open_slot(struct deliver *d, const char *name, struct err *e)
{
    int fd;

    if (mkdirat(d->slots_fd, name, 0700) == 0) {
        log_info("made the slot '%s/%s', readable by its owner only", d->slots, name);
        if (geteuid() == 0)
            (void)!fchownat(d->slots_fd, name, d->owner.st_uid, d->owner.st_gid,
                            AT_SYMLINK_NOFOLLOW);
    }
    fd = openat(d->slots_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? err_sys(e, errno, "cannot open the slot '%s/%s'", d->slots, name) : fd;
}

int deliver_into(struct deliver *d, const char *slot, const struct hash *hash, bool force,
                 struct err *e)
{
    char *memory = xasprintf(".eefs-sqldump.%s.%s.last", d->database, slot);
    char *final = xasprintf("%s.sql", d->database), *text = NULL;
    int fd = open_slot(d, slot, e), r = fd < 0 ? fd : 0;

    if (r == 0) {
        text = memory_text(hash, fd);
        if (!force && remembers(d, memory, text))
            goto out;
        r = replace(d, fd, final);
        crash_point("sqldump.dropped");
        if (r < 0) {
            err_sys(e, -r, "cannot put the dump into the slot '%s/%s'", d->slots, slot);
        } else {
            r = 1;
            /* On failure the same dump is delivered once more, which changes nothing. */
            (void)file_replace(d->work, memory, text, strlen(text), 0600, false);
        }
    }
out:
    if (fd >= 0)
        close(fd);
    free(text);
    free(final);
    free(memory);
    return r;
}
