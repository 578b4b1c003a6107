/* SPDX-License-Identifier: MIT */
/* history: versions that end, and which of them are forgotten; rows found by inode. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/master/db/history.h"
#include "sync/master/db/schema.h"
#include "sync/master/db/tree.h"

struct fixture {
    char dir[64], path[96];
    struct tree t;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    char timeline[17], id[33] = "";
    bool known;

    strcpy(f->dir, "/tmp/eefs-test-history-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/master.db", f->dir);
    assert_int_equal(schema_open(f->path, 0, &f->t.db, NULL), 0);
    assert_int_equal(tree_start(&f->t, timeline, id, &known, NULL), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    strlist_release(&f->t.touched);
    db_close(f->t.db);
    file_remove_tree(AT_FDCWD, f->dir);
    free(f);
    return 0;
}

/* Publishes `text` at `path`; its seq. */
static int64_t put(struct tree *t, const char *path, const char *text, int64_t ino)
{
    struct row r = {.e = {.path = xstrdup(path), .type = ENTRY_FILE, .mode = 0640}, .ino = ino};
    int64_t seq;

    r.e.size = (int64_t)strlen(text);
    hash_bytes(text, strlen(text), &r.e.hash);
    assert_int_equal(tree_put(t, &r), 0);
    seq = r.e.seq;
    row_release(&r);
    return seq;
}

struct list {
    struct version v[16];
    char *paths[16];
    size_t n;
};

static bool add(void *arg, const struct version *v)
{
    struct list *l = arg;

    l->v[l->n++] = *v;
    return l->n < 16;
}

static struct list versions(struct tree *t, const char *path)
{
    struct list l = {0};

    assert_int_equal(history_each(t->db, path, add, &l), 0);
    return l;
}

static void test_versions_end(void **state)
{
    struct fixture *f = *state;
    struct tree *t = &f->t;
    struct version v;
    struct hash h;
    struct list l;
    int64_t one = put(t, "d/a", "one", 1), two, again;

    assert_int_equal(versions(t, "d/a").n, 0);
    two = put(t, "d/a", "two!", 1);
    again = put(t, "d/a", "two!", 1); /* only its attributes changed */
    assert_int_equal(versions(t, "d/a").n, 1);
    assert_int_equal(tree_remove(t, "d"), 1);
    l = versions(t, "d/a");
    assert_int_equal(l.n, 2); /* newest first */
    assert_int_equal(l.v[0].seq, again);
    assert_int_equal(l.v[0].size, 4);
    assert_int_equal(l.v[0].mode, 0640);
    assert_int_equal(l.v[1].seq, one);
    assert_int_equal(l.v[1].until, two);
    assert_true(clock_wall_ns() - l.v[1].ended < 60000000000LL);
    hash_bytes("one", 3, &h);
    assert_true(hash_eq(&l.v[1].hash, &h));
    assert_int_equal(history_get(t->db, "d/a", one, &v), 1);
    assert_int_equal(history_get(t->db, "d/a", two, &v), 0);
    assert_int_equal(history_get(t->db, "d/b", one, &v), 0);
    /* A tombstone ends no version a second time. */
    put(t, "d/a", "three", 1);
    assert_int_equal(versions(t, "d/a").n, 2);
}

static void test_dumps_have_none(void **state)
{
    struct fixture *f = *state;

    put(&f->t, "sql/slave1/x.sql", "one", 1);
    put(&f->t, "sql/slave1/x.sql", "two", 1);
    put(&f->t, "sqlite/x", "one", 2);
    put(&f->t, "sqlite/x", "two", 2);
    assert_int_equal(versions(&f->t, "sql/slave1/x.sql").n, 0);
    assert_int_equal(versions(&f->t, "sqlite/x").n, 1);
}

struct outdated {
    char *paths[16];
    int64_t seqs[16];
    size_t n;
};

static bool add_outdated(void *arg, const char *path, int64_t seq)
{
    struct outdated *o = arg;

    o->paths[o->n] = xstrdup(path);
    o->seqs[o->n++] = seq;
    return o->n < 16;
}

/* Forgets them; how many there were. */
static size_t prune(struct tree *t, int64_t before, int64_t per_path)
{
    struct outdated o = {0};

    assert_int_equal(history_outdated(t->db, before, per_path, add_outdated, &o), 0);
    for (size_t i = 0; i < o.n; i++) {
        assert_int_equal(history_forget(t->db, o.paths[i], o.seqs[i]), 0);
        free(o.paths[i]);
    }
    return o.n;
}

static void test_prune(void **state)
{
    struct fixture *f = *state;
    struct tree *t = &f->t;
    struct list l;
    char text[16];

    for (int i = 0; i < 8; i++) {
        snprintf(text, sizeof(text), "%d", i);
        put(t, "a", text, 1);
        put(t, "b", text, 2);
    }
    assert_int_equal(prune(t, 0, 3), 8);
    l = versions(t, "a");
    assert_int_equal(l.n, 3);
    assert_int_equal(l.v[0].size, 1);
    assert_true(l.v[0].seq > l.v[2].seq && l.v[0].seq == t->seq - 3);
    assert_int_equal(prune(t, 0, 3), 0);
    assert_int_equal(prune(t, clock_wall_ns() + 1, 100), 6);
    assert_int_equal(versions(t, "b").n, 0);
}

static bool add_path(void *arg, const char *path)
{
    struct list *l = arg;

    l->paths[l->n++] = xstrdup(path);
    return l->n < 16;
}

static void test_deleted_below(void **state)
{
    struct fixture *f = *state;
    struct tree *t = &f->t;
    struct list l = {0};
    static const char *const paths[] = {"img/a", "img/deep/b", "img.old/c", "img0", "top"};

    for (size_t i = 0; i < 5; i++) {
        put(t, paths[i], "x", (int64_t)i + 1);
        tree_remove(t, paths[i]);
    }
    put(t, "img/alive", "1", 9);
    put(t, "img/alive", "2", 9);
    assert_int_equal(history_deleted(t->db, "img", add_path, &l), 0);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.paths[0], "img/a");
    assert_string_equal(l.paths[1], "img/deep/b");
    assert_int_equal(history_deleted(t->db, "", add_path, &l), 0);
    assert_int_equal(l.n, 2 + 5);
    for (size_t i = 0; i < l.n; i++)
        free(l.paths[i]);
}

static bool is(void *arg, const struct row *row)
{
    return strcmp(row->e.path, arg) == 0;
}

static void test_find_inode(void **state)
{
    struct fixture *f = *state;
    struct row row = {0};
    char b[] = "b", none[] = "none";

    put(&f->t, "a", "x", 7);
    put(&f->t, "b", "y", 7);
    put(&f->t, "c", "z", 8);
    assert_int_equal(tree_find_inode(f->t.db, 7, is, b, &row), 1);
    assert_string_equal(row.e.path, "b");
    row_release(&row);
    assert_int_equal(tree_find_inode(f->t.db, 7, is, none, &row), 0);
    assert_int_equal(tree_find_inode(f->t.db, 9, is, b, &row), 0);
    tree_remove(&f->t, "b"); /* a tombstone is no file */
    assert_int_equal(tree_find_inode(f->t.db, 7, is, b, &row), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_versions_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dumps_have_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_prune, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deleted_below, setup, teardown),
        cmocka_unit_test_setup_teardown(test_find_inode, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
