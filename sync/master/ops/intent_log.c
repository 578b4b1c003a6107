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
#include "sync/master/folder/fstype.h"
#include "sync/master/folder/staging.h"
#include "sync/master/folder/volume.h"
#include "sync/master/folder/visible.h"

#define LIFE_CAP 96

/* While this text is the same, inode numbers are: this boot's id (random(4), /proc/sys/kernel/
 * random), and which folder staging is. "" when it cannot be told. */
static void life(const struct master *m, char *out)
{
    int staging = root_own_staging_fd(m->root), fd;
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

static int commit(struct apply *j)
{
    int r = tree_commit(j->m->tree);

    return apply_db(j, r < 0 ? r : tree_begin(j->m->tree));
}

static char *text_or_null(sqlite3_stmt *st, int col)
{
    return sqlite3_column_type(st, col) == SQLITE_NULL ? NULL : xstrdup(db_col_text(st, col));
}

int intent_log_note(struct apply *j, const char *staged, const char *lands, enum op_result result)
{
    const struct op *op = j->op;
    char now[LIFE_CAP];
    struct stat st, over = {0};
    int r = 0;

    if (staged)
        r = fstatat(root_staging_fd(j->m->root), staged, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
    else
        r = visible_lstat(j->m, op->path, &st);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    life(j->m, now);
    if (!*now)
        return 0; /* it could not be judged */
    if (!staged && lands && visible_lstat(j->m, lands, &over) < 0)
        over.st_ino = 0;
    r = db_run(j->m->tree->db,
               "INSERT OR REPLACE INTO intent"
               "(mirror,id,n,digest,life,ino,path,lands,over,result,made)"
               " VALUES(?,?,?,?,?,?,?,?,?,?,0)",
               "ssihsippii", j->who->name, j->outbox, op->n, j->digest, now, (int64_t)st.st_ino,
               staged ? NULL : op->path, lands, (int64_t)over.st_ino, (int64_t)result);
    if (r < 0)
        return apply_db(j, r);
    r = commit(j);
    j->noted = r == 0;
    crash_point("master.op.noted");
    return r;
}

int intent_log_forget(struct db *db, const char *mirror, const char *outbox)
{
    int r = db_run(db, "DELETE FROM intent WHERE mirror=? AND id=?", "ss", mirror, outbox);

    return r < 0 ? r : 0;
}

int intent_log_withdraw(struct apply *j)
{
    int r = 0;

    if (j->noted)
        r = apply_db(j, intent_log_forget(j->m->tree->db, j->who->name, j->outbox));
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
        staging_discard(j->m, tmp);
}

int intent_log_made(struct apply *j, struct intent *ret)
{
    struct db *db = j->m->tree->db;
    sqlite3_stmt *st =
        db_query(db,
                 "SELECT lands,over,result FROM intent WHERE mirror=? AND id=? AND n=?"
                 " AND digest=? AND made=1",
                 "ssih", j->who->name, j->outbox, j->op->n, j->digest);
    int r = db_step(db, st);

    memset(ret, 0, sizeof(*ret));
    if (r == 1) {
        ret->lands = text_or_null(st, 0);
        ret->over = sqlite3_column_int64(st, 1);
        ret->result = (enum op_result)sqlite3_column_int(st, 2);
        db_done(st);
    }
    return r < 0 ? apply_db(j, r) : r;
}

/* --- at the start --- */

struct noted {
    char *mirror, *id, *path, *lands; /* path, lands: may be NULL */
    int64_t ino, over;
    bool can_tell; /* inode numbers are those of that time */
};

static int read_noted(const struct master *m, struct noted **ret, size_t *n)
{
    struct db *db = m->tree->db;
    sqlite3_stmt *st =
        db_query(db, "SELECT mirror,id,path,lands,ino,over,life FROM intent WHERE made=0", "");
    char now[LIFE_CAP];
    int r;

    life(m, now);
    while ((r = db_step(db, st)) == 1) {
        struct noted *o;

        *ret = xrealloc(*ret, (*n + 1) * sizeof(**ret));
        o = &(*ret)[(*n)++];
        memset(o, 0, sizeof(*o));
        o->mirror = xstrdup(db_col_text(st, 0));
        o->id = xstrdup(db_col_text(st, 1));
        o->path = text_or_null(st, 2);
        o->lands = text_or_null(st, 3);
        o->ino = sqlite3_column_int64(st, 4);
        o->over = sqlite3_column_int64(st, 5);
        o->can_tell = *now && strcmp(db_col_text(st, 6), now) == 0;
    }
    return r;
}

/* 1, 0, or -errno: unknown. In the volume that was entered. */
static int is_staged_here(struct master *m, const char *top, void *arg)
{
    int64_t ino = *(int64_t *)arg;
    int fd = openat(root_staging_fd(m->root), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
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
    int r = visible_lstat(m, path, &st);

    return r == -ENOENT ? 0 : r < 0 ? r : (int64_t)st.st_ino == ino;
}

static bool was_made(struct master *m, const struct noted *o)
{
    int64_t ino = o->ino;

    if (!o->path)
        return volumes_each(m, is_staged_here, &ino) == 0;
    if (is_at(m, o->path, o->ino) != 0)
        return false;
    /* Away from its name it may be for any reason; a removal does not ask which. */
    return !o->lands || is_at(m, o->lands, o->ino) == 1 ||
           (o->over && is_at(m, o->path, o->over) == 1);
}

static int sync_here(struct master *m, const char *top, void *arg)
{
    (void)top, (void)arg;
    return syncfs(root_staging_fd(m->root)) < 0 ? -errno : 0;
}

/* The rows that stay, once the folder is durable as it is now. */
static int note_made(struct master *m, struct db *db, const struct noted *all, size_t n)
{
    bool durable = volumes_each(m, sync_here, NULL) == 0;
    int r = db_begin(db);

    for (size_t i = 0; r >= 0 && i < n; i++) {
        if (durable && all[i].can_tell && was_made(m, &all[i]))
            r = db_run(db, "UPDATE intent SET made=1 WHERE mirror=? AND id=?", "ss", all[i].mirror,
                       all[i].id);
        else
            r = intent_log_forget(db, all[i].mirror, all[i].id);
    }
    if (r < 0) {
        db_rollback(db);
        return r;
    }
    return db_commit(db);
}

int intent_log_judge(struct master *m, struct err *e)
{
    struct db *db = m->tree->db;
    struct noted *all = NULL;
    size_t n = 0;
    int r = read_noted(m, &all, &n);

    if (r >= 0 && n)
        r = note_made(m, db, all, n);
    if (r < 0)
        db_error(db, e, "cannot judge the unfinished operations of an earlier run");
    for (size_t i = 0; i < n; i++) {
        free(all[i].mirror);
        free(all[i].id);
        free(all[i].path);
        free(all[i].lands);
    }
    free(all);
    return r < 0 ? r : 0;
}
