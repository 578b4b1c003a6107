/* SPDX-License-Identifier: MIT */
/* tree: rows, tombstones, timelines; and the registry of mirrors. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/common/file.h"
#include "sync/master/db/registry.h"
#include "sync/master/db/schema.h"
#include "sync/master/db/tree.h"

struct fixture {
    char dir[64], path[96];
    struct tree t;
    char timeline[17], id[33];
    bool known;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    strcpy(f->dir, "/tmp/eefs-test-tree-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/master.db", f->dir);
    assert_int_equal(schema_open(f->path, 0, &f->t.db, NULL), 0);
    assert_int_equal(tree_start(&f->t, f->timeline, f->id, &f->known, NULL), 0);
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

static void put(struct tree *t, const char *path, enum entry_type type)
{
    struct row r = {.e = {.path = xstrdup(path), .type = type, .mode = 0644}};

    if (type == ENTRY_FILE)
        hash_bytes(path, strlen(path), &r.e.hash);
    assert_int_equal(tree_put(t, &r), 0);
    row_release(&r);
}

static int type_of(struct tree *t, const char *path)
{
    struct row r = {0};
    int found = tree_get(t->db, path, &r);
    int type = found == 1 ? (int)r.e.type : -1;

    row_release(&r);
    return type;
}

static void test_remove_takes_what_is_below(void **state)
{
    struct fixture *f = *state;
    static const char *const gone[] = {"a", "a/x", "a/b", "a/b/y", "a/b/c/z"};
    static const char *const stay[] = {"a.txt", "a0", "ab/x", "a-b", "b/a", "b"};
    struct row r = {0};

    for (size_t i = 0; i < 5; i++)
        put(&f->t, gone[i], i % 2 ? ENTRY_FILE : ENTRY_DIR);
    for (size_t i = 0; i < 6; i++)
        put(&f->t, stay[i], ENTRY_FILE);
    assert_int_equal(tree_remove(&f->t, "a"), 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(type_of(&f->t, gone[i]), ENTRY_GONE);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(type_of(&f->t, stay[i]), ENTRY_FILE);
    assert_int_equal(tree_get(f->t.db, "a/x", &r), 1);
    assert_false(hash_is_none(&r.e.hash)); /* tombstones keep the last hash */
    assert_true(r.e.seq > 11);
    row_release(&r);
    assert_int_equal(tree_remove(&f->t, "a"), 0);
    assert_int_equal(tree_remove(&f->t, "never"), 0);
}

static void expect_total(struct tree *t, int64_t entries, int64_t files, int64_t bytes)
{
    struct tree_total total;

    assert_int_equal(tree_total(t->db, &total), 0);
    assert_int_equal(total.entries, entries);
    assert_int_equal(total.files, files);
    assert_int_equal(total.bytes, bytes);
}

static void test_total(void **state)
{
    struct fixture *f = *state;
    struct row r = {.e = {.path = xstrdup("d/a"), .type = ENTRY_FILE, .size = 10}};

    assert_int_equal(tree_begin(&f->t), 0);
    put(&f->t, "d", ENTRY_DIR);
    put(&f->t, "d/b", ENTRY_FILE);
    assert_int_equal(tree_put(&f->t, &r), 0);
    assert_int_equal(tree_commit(&f->t), 0);
    expect_total(&f->t, 3, 2, 10);
    assert_int_equal(tree_begin(&f->t), 0);
    r.e.size = 7;
    assert_int_equal(tree_put(&f->t, &r), 0);
    assert_int_equal(tree_touch(&f->t, &r), 0);
    assert_int_equal(tree_commit(&f->t), 0);
    expect_total(&f->t, 3, 2, 7);
    assert_int_equal(tree_begin(&f->t), 0);
    assert_int_equal(tree_remove(&f->t, "d"), 3);
    tree_rollback(&f->t);
    expect_total(&f->t, 3, 2, 7);
    assert_int_equal(tree_begin(&f->t), 0);
    assert_int_equal(tree_remove(&f->t, "d/a"), 1);
    put(&f->t, "d/a", ENTRY_LINK);
    assert_int_equal(tree_commit(&f->t), 0);
    expect_total(&f->t, 3, 1, 0);
    assert_int_equal(tree_begin(&f->t), 0);
    assert_int_equal(tree_remove(&f->t, "d"), 3);
    assert_int_equal(tree_commit(&f->t), 0);
    expect_total(&f->t, 0, 0, 0);
    row_release(&r);
}

static void test_names_are_bytes(void **state)
{
    struct fixture *f = *state;
    struct strlist names = {0};
    sqlite3_stmt *st;

    put(&f->t, "d/caf\xe9", ENTRY_FILE);
    put(&f->t, "d/\xff\n", ENTRY_FILE);
    put(&f->t, "d/A", ENTRY_FILE);
    put(&f->t, "d/a", ENTRY_FILE);
    st = tree_children(f->t.db, "d");
    while (db_step(f->t.db, st) == 1) {
        const char *name;
        struct row r;

        tree_child(st, &r, &name);
        assert_int_equal(r.e.type, ENTRY_FILE);
        strlist_add(&names, name);
    }
    assert_int_equal(names.n, 4);
    assert_string_equal(names.v[0], "A");
    assert_string_equal(names.v[1], "a");
    assert_string_equal(names.v[2], "caf\xe9");
    assert_string_equal(names.v[3], "\xff\n");
    strlist_release(&names);
}

static void test_timelines(void **state)
{
    struct fixture *f = *state;
    char second[17], third[17], id[33];

    put(&f->t, "a", ENTRY_FILE);
    put(&f->t, "b", ENTRY_FILE);
    assert_true(tree_knows(f->t.db, f->timeline, 2, f->timeline, 2));
    assert_false(tree_knows(f->t.db, f->timeline, 3, f->timeline, 2));
    assert_false(tree_knows(f->t.db, "0123456789abcdef", 0, f->timeline, 2));
    assert_int_equal(tree_start(&f->t, second, id, &f->known, NULL), 0);
    assert_true(f->known);
    assert_string_equal(id, f->id);
    assert_string_not_equal(second, f->timeline);
    put(&f->t, "c", ENTRY_FILE);
    /* The first one ended at 2, however far the tree is now. */
    assert_true(tree_knows(f->t.db, f->timeline, 2, second, 3));
    assert_false(tree_knows(f->t.db, f->timeline, 3, second, 3));
    assert_int_equal(tree_start(&f->t, third, id, &f->known, NULL), 0);
    assert_true(tree_knows(f->t.db, second, 3, third, 3));
    assert_int_equal(f->t.seq, 3);
}

static void test_mirrors(void **state)
{
    struct fixture *f = *state;
    struct strlist none = {0}, read = {0};
    struct mirror m;
    struct err e;
    char *one, *two, *again = NULL;
    int64_t gen;

    assert_int_equal(registry_add(f->t.db, "slave1", &none, &none, NULL, &one, &e), 0);
    assert_int_equal(registry_find(f->t.db, one, &m), 1);
    assert_string_equal(m.name, "slave1");
    assert_int_equal(m.scope.deny.n, 0);
    assert_true(scope_writes(&m.scope, "uploads/a.jpg"));
    assert_true(scope_writes(&m.scope, "sql/slave1/x.sql"));
    assert_false(scope_writes(&m.scope, "css/a.css"));
    gen = m.scopegen;
    mirror_release(&m);

    strlist_add(&read, "css/");
    assert_int_equal(registry_add(f->t.db, "slave2", &read, &none, NULL, &two, &e), 0);
    assert_int_equal(registry_add(f->t.db, "slave2", &read, &none, NULL, &again, &e), -EEXIST);
    assert_null(again);
    assert_int_equal(registry_add(f->t.db, "No/Name", &none, &none, NULL, &again, &e), -EINVAL);
    assert_string_not_equal(one, two);
    assert_int_equal(registry_find(f->t.db, one, &m), 1);
    assert_true(m.scopegen > gen); /* somebody else's slot is denied now */
    assert_false(scope_reads(&m.scope, "sql/slave2/x.sql"));
    mirror_release(&m);
    assert_int_equal(registry_find(f->t.db, two, &m), 1);
    assert_true(scope_reads(&m.scope, "css/a.css"));
    assert_false(scope_reads(&m.scope, "img/a.png"));
    mirror_release(&m);

    assert_int_equal(registry_remove(f->t.db, "slave1", &e), 0);
    assert_int_equal(registry_remove(f->t.db, "slave1", &e), -ENOENT);
    assert_int_equal(registry_find(f->t.db, one, &m), 0);
    strlist_release(&read);
    free(one);
    free(two);
}

static int hides(struct tree *t, const char *path)
{
    struct row r = {0};
    int found = tree_get(t->db, path, &r);
    int yes = found == 1 ? r.e.hides : -1;

    row_release(&r);
    return yes;
}

/* A folder's flag is kept; a database of before has none set. */
static void test_hides(void **state)
{
    struct fixture *f = *state;
    struct row r = {.e = {.path = xstrdup("a"), .type = ENTRY_DIR, .mode = 0755, .hides = true}};

    assert_int_equal(tree_put(&f->t, &r), 0);
    row_release(&r);
    put(&f->t, "b", ENTRY_DIR);
    assert_int_equal(hides(&f->t, "a"), 1);
    assert_int_equal(hides(&f->t, "b"), 0);
    assert_int_equal(tree_remove(&f->t, "a"), 1);
    assert_int_equal(hides(&f->t, "a"), 0);
    db_exec(f->t.db, "DROP TABLE lost; ALTER TABLE entry DROP COLUMN hides; PRAGMA user_version=7",
            NULL);
    db_close(f->t.db);
    assert_int_equal(schema_open(f->path, 0, &f->t.db, NULL), 0);
    assert_int_equal(hides(&f->t, "b"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_remove_takes_what_is_below, setup, teardown),
        cmocka_unit_test_setup_teardown(test_total, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hides, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_are_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timelines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mirrors, setup, teardown),
    };

    return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
