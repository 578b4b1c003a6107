/* SPDX-License-Identifier: MIT */
/*
 * small_master: the least of a master that the units below its threads need: a folder with its
 * marker, a database and its tree, a queue, no thread. A test does the committer's work itself.
 */
#ifndef EEFS_TESTS_UNIT_SMALL_MASTER_H
#define EEFS_TESTS_UNIT_SMALL_MASTER_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/master/folder/folder.h"
#include "sync/master/db/schema.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/scan_queue.h"
#include "sync/master/master.h"

struct small_master {
    struct master m;
    struct folder folder;
    struct tree tree;
    struct excludes exclude;
    char dir[64], root[80], db[80];
};

static inline void small_master_nothing(void *arg)
{
    (void)arg;
}

/* For cmocka: *state is a struct small_master. */
static inline int small_master_setup(void **state)
{
    static const struct scan_hooks hooks = {small_master_nothing, small_master_nothing, NULL};
    struct small_master *s = xcalloc(1, sizeof(*s));
    bool known;

    strcpy(s->dir, "/tmp/eefs-test-master-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    snprintf(s->root, sizeof(s->root), "%s/root", s->dir);
    snprintf(s->db, sizeof(s->db), "%s/master.db", s->dir);
    assert_int_equal(mkdir(s->root, 0755), 0);
    assert_int_equal(schema_open(s->db, 0, &s->tree.db, NULL), 0);
    assert_int_equal(tree_start(&s->tree, s->m.timeline, s->m.id, &known, NULL), 0);
    assert_int_equal(root_open(s->root, NULL, s->m.id, false, 0, &s->folder.root, NULL), 0);
    s->folder.exclude = &s->exclude;
    s->m.tree = &s->tree;
    s->m.folder = &s->folder;
    s->m.db_path = s->db;
    s->folder.db_path = s->db;
    s->folder.owner_uid = s->folder.owner_gid = -1;
    s->m.max_delete = INT64_MAX;
    s->folder.scan_queue = scan_queue_new(&hooks);
    *state = s;
    return 0;
}

static inline int small_master_teardown(void **state)
{
    struct small_master *s = *state;

    scan_queue_free(s->folder.scan_queue);
    root_close(s->folder.root);
    strlist_release(&s->exclude.list);
    strlist_release(&s->tree.touched);
    db_close(s->tree.db);
    file_remove_tree(AT_FDCWD, s->dir);
    free(s);
    return 0;
}

/* A file of the folder, with the folders above it. */
static inline void small_master_write(struct small_master *s, const char *path, const char *text)
{
    char *at = path_join(s->root, path), *parent = path_parent(at);

    assert_int_equal(file_mkdirs(parent, 0755), 0);
    assert_int_equal(file_replace(AT_FDCWD, at, text, strlen(text), 0644, false), 0);
    free(parent);
    free(at);
}

/* The row of what is at `path` now, with the content `text` of a file, in the open transaction. */
static inline void small_master_put(struct small_master *s, const char *path, const char *text)
{
    struct row row = {.e.path = xstrdup(path)};
    struct stat st;

    assert_int_equal(fstatat(root_fd(s->folder.root), path, &st, AT_SYMLINK_NOFOLLOW), 0);
    row_from_stat(&row, &st);
    if (row.e.type == ENTRY_FILE)
        hash_bytes(text, strlen(text), &row.e.hash);
    assert_int_equal(tree_put(&s->tree, &row), 0);
    row_release(&row);
}

/* Writes the file and publishes it. */
static inline void small_master_publish(struct small_master *s, const char *path, const char *text)
{
    small_master_write(s, path, text);
    assert_int_equal(tree_begin(&s->tree), 0);
    small_master_put(s, path, text);
    assert_int_equal(tree_commit(&s->tree), 0);
}

static inline void small_master_remove(struct small_master *s, const char *path)
{
    assert_int_equal(file_remove_tree(root_fd(s->folder.root), path), 0);
}

/* Is the path published as there? */
static inline bool small_master_live(struct small_master *s, const char *path)
{
    struct row row = {0};
    int found = tree_get(s->tree.db, path, &row);
    bool live = found == 1 && row.e.type != ENTRY_GONE;

    assert_true(found >= 0);
    row_release(&row);
    return live;
}

#endif
