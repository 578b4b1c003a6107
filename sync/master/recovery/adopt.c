/* SPDX-License-Identifier: MIT */
#include "sync/master/recovery/adopt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "sync/common/hash.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/master/db/readers.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/folder.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/visible.h"
#include "sync/master/folder/volume.h"

#define SHOWN_MAX 20 /* names of a kind */

struct comparison {
    struct master *m;
    struct db *db;
    int fd; /* the folder */
    int64_t equal, changed, fresh, missing;
    json_t *shown;
    int error; /* -errno: the comparison is not complete */
};

static void show(struct comparison *c, const char *kind, int64_t n, const char *path)
{
    char *text;

    if (n > SHOWN_MAX)
        return;
    text = path_encoded(path);
    json_array_append_new(c->shown, json_pack("[s,s]", kind, text));
    free(text);
}

static bool same_content(struct comparison *c, const struct row *row, const struct stat *st)
{
    struct hash got;
    off_t size = 0;
    int fd, r;

    if (st->st_size != row->e.size)
        return false;
    if (file_mtime_ns(st) == row->e.mtime)
        return true;
    fd = path_open_beneath(c->fd, row->e.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    r = fd < 0 ? fd : hash_fd(fd, &got, &size);
    if (fd >= 0)
        close(fd);
    return r >= 0 && hash_eq(&got, &row->e.hash);
}

static bool same_target(const struct row *row, int fd)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(fd, "", target, sizeof(target));

    return n >= 0 && row->e.target && (size_t)n == strlen(row->e.target) &&
           memcmp(target, row->e.target, (size_t)n) == 0;
}

/* 1 equal, 0 changed, -ENOENT missing, -errno unknown. */
static int compare_row(struct comparison *c, const struct row *row)
{
    int fd = path_open_beneath(c->fd, row->e.path, O_PATH | O_NOFOLLOW, 0), r;
    struct stat st;

    if (fd < 0)
        return fd == -ELOOP || fd == -ENOTDIR ? -ENOENT : fd;
    if (fstat(fd, &st) < 0)
        r = -errno;
    else if (S_ISREG(st.st_mode))
        r = row->e.type == ENTRY_FILE && same_content(c, row, &st);
    else
        r = S_ISLNK(st.st_mode) && row->e.type == ENTRY_LINK && same_target(row, fd);
    close(fd);
    return r;
}

static bool look_at_row(void *arg, struct row *row)
{
    struct comparison *c = arg;
    int r;

    if ((row->e.type != ENTRY_FILE && row->e.type != ENTRY_LINK) ||
        visible_hides(c->m->folder, row->e.path) || volume_away(c->m->folder, row->e.path))
        return true;
    r = compare_row(c, row);
    if (r == 1)
        c->equal++;
    else if (r == 0)
        show(c, "changed", ++c->changed, row->e.path);
    else if (r == -ENOENT)
        show(c, "missing", ++c->missing, row->e.path);
    else
        c->error = r;
    return c->error == 0;
}

static void look_at_name(struct comparison *c, const char *path)
{
    struct row row = {0};
    int r = tree_get(c->db, path, &row);

    if (r < 0)
        c->error = r;
    else if (r == 0 || row.e.type == ENTRY_GONE)
        show(c, "new", ++c->fresh, path);
    row_release(&row);
}

/* Counts the files and links below `dir` that the database does not have. */
static void find_new(struct comparison *c, const char *dir)
{
    int fd = path_open_beneath(c->fd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *de;

    if (!d)
        c->error = fd < 0 ? fd : -errno;
    while (d && c->error == 0 && (de = readdir(d))) {
        struct stat st;
        char *path;

        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
            continue;
        path = path_join(dir, de->d_name);
        if (path_check(path) == 0 && !visible_hides(c->m->folder, path) &&
            fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            if (S_ISDIR(st.st_mode))
                find_new(c, path);
            else if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))
                look_at_name(c, path);
        }
        free(path);
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
}

static int compare(struct comparison *c, struct err *e)
{
    const char *path = root_path(c->m->folder->root);
    int r;

    c->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->fd < 0)
        return err_sys(e, errno, "cannot open the folder '%s'", path);
    c->db = readers_get(c->m->readers);
    r = c->db ? tree_each_since(c->db, 0, look_at_row, c) : -EIO;
    if (r >= 0 && c->error == 0)
        find_new(c, "");
    if (r < 0)
        err_sys(e, -r, "cannot read '%s'", c->m->db_path);
    else if (c->error < 0)
        r = err_sys(e, -c->error, "cannot compare the folder '%s' with the database", path);
    readers_put(c->m->readers, c->db);
    close(c->fd);
    return r < 0 ? r : 0;
}

int adopt(struct master *m, bool dry_run, json_t **ret, struct err *e)
{
    struct comparison c = {.m = m, .shown = json_array()};
    char why[512];
    bool marked = root_ok(m->folder->root, why, sizeof(why));
    int r = compare(&c, e);

    if (r == 0 && !dry_run && !marked)
        r = root_adopt(m->folder->root, e);
    if (r < 0) {
        json_decref(c.shown);
        return r;
    }
    if (!dry_run && !marked)
        log_info("adopted '%s': %lld equal, %lld changed, %lld new, %lld missing",
                 root_path(m->folder->root), (long long)c.equal, (long long)c.changed,
                 (long long)c.fresh, (long long)c.missing);
    *ret = json_pack("{s:b,s:I,s:I,s:I,s:I,s:o}", "marked", marked, "equal", (json_int_t)c.equal,
                     "changed", (json_int_t)c.changed, "new", (json_int_t)c.fresh, "missing",
                     (json_int_t)c.missing, "shown", c.shown);
    return 0;
}
