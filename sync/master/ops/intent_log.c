/* SPDX-License-Identifier: MIT */
#include "sync/master/ops/intent_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/crash.h"
#include "sync/common/file.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/folder/fstype.h"
#include "sync/master/folder/staging.h"
#include "sync/master/folder/volume.h"
#include "sync/master/folder/visible.h"

#define LIFE_CAP 96

/* While this text is the same, inode numbers identify files: this boot's id (random(4),
 * /proc/sys/kernel/ random), and which folder staging is. "" when it is not known. */
static void life(const struct master *m, char *out)
{
    int staging = root_own_staging_fd(m->folder->root), fd;
    char boot[40] = ""; /* 36 digits and a newline */
    struct stat st;

    *out = '\0';
    fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, boot, sizeof(boot) - 1) > 0 && fstat(staging, &st) == 0 &&
        fstype_keeps_inodes(staging))
        snprintf(out, LIFE_CAP, "%.*s %llx:%llx", (int)strcspn(boot, "\n"), boot,
                 (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    if (fd >= 0)
        close(fd);
}

/* What was noted must be there before the folder changes. */
static int commit(struct apply *j)
{
    return apply_db(j, tree_step(j->m->tree));
}

int intent_log_write(struct apply *j, const char *staged, const char *lands, enum op_result result)
{
    const struct op *op = j->op;
    struct intent note = {0};
    char now[LIFE_CAP];
    struct stat st, over = {0};
    int r = 0;

    if (staged)
        r = fstatat(root_staging_fd(j->m->folder->root), staged, &st, AT_SYMLINK_NOFOLLOW) < 0
                ? -errno
                : 0;
    else
        r = visible_lstat(j->m->folder, op->path, &st);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    life(j->m, now);
    if (!*now)
        return 0; /* it could not be judged */
    if (!staged && lands && visible_lstat(j->m->folder, lands, &over) < 0)
        over.st_ino = 0;
    note.life = xstrdup(now);
    note.path = staged ? NULL : xstrdup(op->path);
    note.lands = lands ? xstrdup(lands) : NULL;
    note.ino = (int64_t)st.st_ino;
    note.over = (int64_t)over.st_ino;
    note.result = result;
    r = intents_put(j->m->tree->db, j->who->name, j->outbox, op->n, j->digest, &note);
    intent_release(&note);
    j->noted = r == 0;
    return apply_db(j, r);
}

int intent_log_note(struct apply *j, const char *staged, const char *lands, enum op_result result)
{
    int r = intent_log_write(j, staged, lands, result);

    if (r < 0 || !j->noted)
        return r;
    r = commit(j);
    j->noted = r == 0;
    crash_point("master.op.noted");
    return r;
}

int intent_log_forget(struct apply *j)
{
    return apply_db(j, intents_remove(j->m->tree->db, j->who->name, j->outbox, j->op->n));
}

int intent_log_withdraw(struct apply *j)
{
    int r = 0;

    if (j->noted)
        r = intent_log_forget(j);
    if (j->noted && r == 0) {
        r = commit(j);
        crash_point("master.intent.withdrawn");
    }
    j->noted = j->noted && r < 0;
    return r;
}

void intent_log_discard(struct apply *j, const char *tmp)
{
    if (*tmp && j->db_error == 0)
        (void)intent_log_withdraw(j);
    if (!j->noted) /* else the next start removes it */
        staging_discard(j->m->folder, tmp);
}

int intent_log_made(struct apply *j, struct intent *ret)
{
    int r = intents_find_made(j->m->tree->db, j->who->name, j->outbox, j->op->n, j->digest, ret);

    return r < 0 ? apply_db(j, r) : r;
}

/* --- at the start --- */

/* 1, 0, or -errno: unknown. In the volume that was entered. */
static int is_staged_here(struct folder *f, const char *top, void *arg)
{
    int64_t ino = *(int64_t *)arg;
    int fd = openat(root_staging_fd(f->root), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *de;
    struct stat st;

    (void)top;
    if (!d) {
        r = -errno;
        if (fd >= 0)
            close(fd);
        return r;
    }
    while (r == 0 && (errno = 0, de = readdir(d)))
        r = fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno
                                                                  : (int64_t)st.st_ino == ino;
    if (r == 0)
        r = -errno; /* of readdir(); 0 at the end */
    closedir(d);
    return r;
}

/* 1, 0, or -errno: unknown. */
static int is_at(const struct master *m, const char *path, int64_t ino)
{
    struct stat st;
    int r = visible_lstat(m->folder, path, &st);

    return r == -ENOENT ? 0 : r < 0 ? r : (int64_t)st.st_ino == ino;
}

static bool was_made(struct master *m, const struct intent *o)
{
    int64_t ino = o->ino;

    if (!o->path)
        return volumes_each(m->folder, is_staged_here, &ino) == 0;
    if (is_at(m, o->path, o->ino) != 0)
        return false;
    /* Away from its name it may be for any reason; a removal does not ask which. */
    return !o->lands || is_at(m, o->lands, o->ino) == 1 ||
           (o->over && is_at(m, o->path, o->over) == 1);
}

static int sync_here(struct folder *f, const char *top, void *arg)
{
    (void)top, (void)arg;
    return syncfs(root_staging_fd(f->root)) < 0 ? -errno : 0;
}

struct judge {
    struct master *m;
    char life[LIFE_CAP];  /* now */
    bool synced, durable; /* the folder is, as it is now */
};

static int judge(void *arg, const struct intent *o)
{
    struct judge *j = arg;

    if (!j->synced)
        j->durable = volumes_each(j->m->folder, sync_here, NULL) == 0;
    j->synced = true;
    return j->durable && *j->life && strcmp(o->life, j->life) == 0 && was_made(j->m, o);
}

int intent_log_judge(struct master *m)
{
    struct judge j = {.m = m};

    life(m, j.life);
    return intents_judge(m->tree->db, judge, &j);
}
