/* SPDX-License-Identifier: MIT */
#include "sync/master/ops/current.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/folder/scan_queue.h"
#include "sync/master/folder/lease.h"
#include "sync/master/folder/visible.h"

static int read_file(struct apply *j, const char *path, struct row *row)
{
    struct stat before, after;
    struct hash hash;
    int64_t seen = clock_wall_ns();
    int r, fd = path_open_beneath(root_fd(j->m->folder->root), path,
                                  O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);

    if (fd < 0)
        return fd;
    r = fstat(fd, &before) < 0 ? -errno : 0;
    if (r == 0 && lease_probe(fd) == WRITERS_SOME)
        r = -EBUSY;
    if (r == 0 && before.st_size > FOLDER_READ_MAX) {
        scan_queue_push(j->m->folder->scan_queue, path, SCAN_FORCE, 0);
        r = -EAGAIN;
    }
    if (r == 0)
        r = hash_fd(fd, &hash, NULL);
    if (r == 0 && fstat(fd, &after) < 0)
        r = -errno;
    if (r == 0 && lease_probe(fd) == WRITERS_SOME)
        r = -EBUSY;
    close(fd);
    if (r < 0)
        return r;
    if (file_mtime_ns(&before) != file_mtime_ns(&after) || before.st_size != after.st_size)
        return -EBUSY;
    r = apply_publish(j, path, &after, &hash, NULL, seen, NULL);
    if (r < 0)
        return r;
    row_release(row);
    return apply_db(j, tree_get(j->m->tree->db, path, row));
}

static int read_link(struct apply *j, const char *path, const struct stat *st)
{
    char target[PATH_MAX];
    int fd = path_open_beneath(root_fd(j->m->folder->root), path, O_PATH | O_NOFOLLOW, 0);
    ssize_t n = fd < 0 ? -1 : readlinkat(fd, "", target, sizeof(target) - 1);

    if (fd >= 0)
        close(fd);
    if (n < 0)
        return -EBUSY;
    target[n] = '\0';
    return apply_publish(j, path, st, NULL, target, 0, NULL);
}

/* The path is gone from the folder. What was below it is left to the delete guard: an operation at the
 * path says nothing about that. */
static int publish_gone(struct apply *j, const char *path, const struct row *row)
{
    int r = row->e.type == ENTRY_DIR ? tree_has_children(j->m->tree->db, path) : 0;

    if (r == 1) {
        scan_queue_push(j->m->folder->scan_queue, path, SCAN_DEEP, 0);
        return 0;
    }
    if (r == 0 && row->e.type != ENTRY_GONE)
        r = tree_remove(j->m->tree, path);
    return apply_db(j, r);
}

int current_row(struct apply *j, const char *path, struct row *row)
{
    struct stat st;
    int r;

    memset(row, 0, sizeof(*row));
    if (tree_get(j->m->tree->db, path, row) < 0)
        return apply_db(j, db_errno(j->m->tree->db));
    r = visible_lstat(j->m->folder, path, &st);
    if (r == -ENOENT) {
        r = publish_gone(j, path, row);
        row_release(row);
        return r;
    }
    if (r < 0 || (row_matches(row, &st) && !S_ISDIR(st.st_mode)))
        return r;
    if (S_ISREG(st.st_mode))
        return read_file(j, path, row);
    if (S_ISDIR(st.st_mode) && row->e.type == ENTRY_DIR && row->e.mtime == file_mtime_ns(&st) &&
        row->e.mode == (st.st_mode & 07777))
        return 0;
    r = S_ISDIR(st.st_mode) ? apply_publish(j, path, &st, NULL, NULL, 0, NULL)
                            : read_link(j, path, &st);
    row_release(row);
    return r < 0 ? r : apply_db(j, tree_get(j->m->tree->db, path, row));
}

bool pre_holds(const struct pre *pre, const struct row *row)
{
    switch (pre->kind) {
    case PRE_NONE:
        return true;
    case PRE_ABSENT:
        return row->e.type == ENTRY_GONE;
    case PRE_HASH:
        return row->e.type == ENTRY_FILE && hash_eq(&row->e.hash, &pre->hash);
    case PRE_DIR:
        return row->e.type == ENTRY_DIR;
    case PRE_LINK:
        return row->e.type == ENTRY_LINK;
    }
    return false;
}
