/* SPDX-License-Identifier: MIT */
/* pathset: which paths are in a set, above or below one of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "sync/mirror/replica/pathset.h"

static void test_relations(void **state)
{
    struct pathset *s = pathset_new();

    (void)state;
    assert_false(pathset_covers(s, "a"));
    assert_false(pathset_below(s, ""));
    pathset_add(s, "a/b/c");
    assert_true(pathset_covers(s, "a/b/c"));
    assert_true(pathset_covers(s, "a/b/c/d/e"));
    assert_false(pathset_covers(s, "a/b"));
    assert_false(pathset_covers(s, "a/b/cc"));
    assert_false(pathset_covers(s, ""));
    assert_true(pathset_below(s, "a/b/c"));
    assert_true(pathset_below(s, "a/b"));
    assert_true(pathset_below(s, "a"));
    assert_true(pathset_below(s, ""));
    assert_false(pathset_below(s, "a/b/c/d"));
    assert_false(pathset_below(s, "a/bb"));
    pathset_add(s, "a"); /* was only a folder above one */
    assert_true(pathset_covers(s, "a/x"));
    pathset_add(s, "");
    assert_true(pathset_covers(s, "anything"));
    assert_true(pathset_covers(s, ""));
    pathset_free(s);
    pathset_free(NULL);
}

static void test_many(void **state)
{
    struct pathset *s = pathset_new();
    char path[64];

    (void)state;
    for (int i = 0; i < 100000; i++) {
        snprintf(path, sizeof(path), "d%d/f%d", i % 1000, i);
        pathset_add(s, path);
    }
    for (int i = 0; i < 100000; i += 7) {
        snprintf(path, sizeof(path), "d%d/f%d/x", i % 1000, i);
        assert_true(pathset_covers(s, path));
        snprintf(path, sizeof(path), "d%d/f%d", i % 1000, i + 1);
        assert_false(pathset_covers(s, path));
    }
    assert_true(pathset_below(s, "d999"));
    assert_false(pathset_below(s, "d1000"));
    pathset_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relations),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
