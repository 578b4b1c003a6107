/* SPDX-License-Identifier: MIT */
/* delete_guard: few deletions go through after a moment, many wait for the files or for a person. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/common/clock.h"
#include "sync/master/db/meta.h"
#include "sync/master/publish/delete_guard.h"
#include "tests/unit/small_master.h"

/* d/00 … of one text each, published in one transaction with their folder. */
static struct delete_guard *make_files(struct small_master *s, int n)
{
    char path[32];

    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof(path), "d/%04d", i);
        small_master_write(s, path, path);
    }
    assert_int_equal(tree_begin(&s->tree), 0);
    small_master_put(s, "d", "");
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof(path), "d/%04d", i);
        small_master_put(s, path, path);
    }
    assert_int_equal(tree_commit(&s->tree), 0);
    return delete_guard_new(&s->m);
}

/* They go from the folder, and the guard is told. */
static void lose(struct small_master *s, struct delete_guard *g, int from, int to)
{
    char path[32];

    for (int i = from; i < to; i++) {
        snprintf(path, sizeof(path), "d/%04d", i);
        small_master_remove(s, path);
        delete_guard_add(g, path);
    }
}

/* One turn of the committer. */
static int run(struct small_master *s, struct delete_guard *g, bool commit)
{
    int n;

    assert_int_equal(tree_begin(&s->tree), 0);
    n = delete_guard_run(g);
    if (commit)
        assert_int_equal(tree_commit(&s->tree), 0);
    else
        tree_rollback(&s->tree);
    delete_guard_committed(g, commit);
    return n;
}

static int64_t held(struct delete_guard *g, char *why)
{
    return delete_guard_held(g, why, 512);
}

static void test_few(void **state)
{
    struct small_master *s = *state;
    struct delete_guard *g = make_files(s, 10);
    int64_t now = clock_mono_ms(), due;
    char why[512];

    assert_int_equal(delete_guard_due(g), INT64_MAX);
    lose(s, g, 0, 2);
    delete_guard_add(g, "d/0001"); /* told twice */
    due = delete_guard_due(g);
    assert_true(due >= now + 1000 && due <= clock_mono_ms() + 1000);
    delete_guard_now(g);
    assert_true(delete_guard_due(g) <= clock_mono_ms());
    delete_guard_put_off(g);
    assert_true(delete_guard_due(g) > clock_mono_ms());

    assert_int_equal(run(s, g, false), 2); /* the commit failed: both wait on */
    assert_true(delete_guard_due(g) < INT64_MAX);
    assert_true(small_master_live(s, "d/0000"));
    assert_int_equal(run(s, g, true), 2);
    assert_int_equal(delete_guard_due(g), INT64_MAX);
    assert_false(small_master_live(s, "d/0000"));
    assert_false(small_master_live(s, "d/0001"));
    assert_true(small_master_live(s, "d/0002"));
    assert_int_equal(held(g, why), 0);
    delete_guard_free(g);
}

/* What is back, or has no row, is not published. */
static void test_back_in_time(void **state)
{
    struct small_master *s = *state;
    struct delete_guard *g = make_files(s, 3);

    lose(s, g, 0, 2);
    delete_guard_add(g, "never/there");
    small_master_write(s, "d/0001", "again");
    assert_int_equal(run(s, g, true), 3);
    assert_false(small_master_live(s, "d/0000"));
    assert_true(small_master_live(s, "d/0001"));
    assert_int_equal(delete_guard_due(g), INT64_MAX);
    delete_guard_free(g);
}

/* After the folder was put back, even one deletion is held; and for no longer than that is needed. */
static void test_hold(void **state)
{
    struct small_master *s = *state;
    struct delete_guard *g = make_files(s, 10);
    char why[512];
    char *kept = NULL;

    assert_int_equal(meta_set_text(s->tree.db, DELETE_GUARD_HOLD, "put back"), 0);
    delete_guard_hold(g, "put back", 1);
    lose(s, g, 0, 1);
    assert_int_equal(run(s, g, true), 0);
    assert_int_equal(held(g, why), 1);
    assert_string_equal(why, "put back; 1 files are missing in it: the deletions are held");
    assert_int_equal(delete_guard_scanned(g), 0); /* with one that is missing it goes on */
    assert_int_equal(run(s, g, true), 0);
    assert_int_equal(held(g, why), 1);
    delete_guard_confirm(g);
    assert_int_equal(run(s, g, true), 1);
    assert_int_equal(held(g, why), 0);
    assert_false(small_master_live(s, "d/0000"));
    assert_int_equal(meta_get_text(s->tree.db, DELETE_GUARD_HOLD, &kept), 0);

    delete_guard_hold(g, "put back", 1);
    lose(s, g, 1, 2);
    assert_int_equal(run(s, g, true), 0);
    small_master_write(s, "d/0001", "again");
    assert_int_equal(delete_guard_scanned(g), 0);
    assert_int_equal(run(s, g, true), 0); /* it is back: the hold is over */
    assert_int_equal(held(g, why), 0);
    lose(s, g, 2, 3);
    assert_int_equal(run(s, g, true), 1);

    delete_guard_hold(g, "put back", 1);
    assert_int_equal(delete_guard_scanned(g), 0); /* nothing was missing */
    lose(s, g, 3, 4);
    assert_int_equal(run(s, g, true), 1);
    delete_guard_free(g);
}

static void test_many_are_held(void **state)
{
    struct small_master *s = *state;
    struct delete_guard *g = make_files(s, 20);
    char why[512];
    int64_t now;

    s->m.max_delete = 3;
    lose(s, g, 0, 8);
    now = clock_mono_ms();
    assert_true(delete_guard_due(g) > now + 3000); /* many: a longer quiet */
    assert_int_equal(run(s, g, true), 0);
    assert_int_equal(held(g, why), 8);
    assert_non_null(strstr(why, "8 of 20 files"));
    assert_true(small_master_live(s, "d/0000"));
    assert_false(delete_guard_emptied(g, why, sizeof(why)));
    lose(s, g, 8, 9); /* one more changes nothing of that */
    assert_int_equal(run(s, g, true), 0);
    assert_int_equal(held(g, why), 9);

    for (int i = 0; i < 7; i++) { /* most are put back: the others are few */
        char path[32];
        snprintf(path, sizeof(path), "d/%04d", i);
        small_master_write(s, path, path);
    }
    assert_int_equal(run(s, g, true), 2);
    assert_int_equal(held(g, why), 0);
    assert_true(small_master_live(s, "d/0006"));
    assert_false(small_master_live(s, "d/0007"));
    assert_false(small_master_live(s, "d/0008"));
    delete_guard_free(g);
}

static void test_confirmed(void **state)
{
    struct small_master *s = *state;
    struct delete_guard *g = make_files(s, 20);
    char why[512];

    s->m.max_delete = 3;
    delete_guard_confirm(g); /* nothing waits: nothing is confirmed for later */
    lose(s, g, 0, 8);
    assert_int_equal(run(s, g, true), 0);
    delete_guard_confirm(g);
    assert_true(delete_guard_due(g) <= clock_mono_ms());
    assert_int_equal(run(s, g, true), 8);
    assert_int_equal(held(g, why), 0);
    assert_false(small_master_live(s, "d/0000"));

    lose(s, g, 8, 16); /* it was for those eight */
    assert_int_equal(run(s, g, true), 0);
    assert_int_equal(held(g, why), 8);
    delete_guard_free(g);
}

/* More than --max-delete, but few of all that there are. */
static void test_many_of_very_many(void **state)
{
    struct small_master *s = *state;
    struct delete_guard *g = make_files(s, 100);
    char why[512];

    s->m.max_delete = 3;
    lose(s, g, 0, 20);
    assert_int_equal(run(s, g, true), 20);
    assert_int_equal(held(g, why), 0);
    delete_guard_free(g);
}

/* Bursts within a minute count together. */
static void test_little_by_little(void **state)
{
    struct small_master *s = *state;
    struct delete_guard *g = make_files(s, 20);
    char why[512];

    s->m.max_delete = 3;
    lose(s, g, 0, 3);
    assert_int_equal(run(s, g, true), 3);
    lose(s, g, 3, 5);
    assert_int_equal(run(s, g, true), 0);
    assert_int_equal(held(g, why), 2);
    assert_non_null(strstr(why, "5 of 20 files"));
    delete_guard_free(g);
}

/* A folder stands for all rows below it. */
static void test_a_folder(void **state)
{
    struct small_master *s = *state;
    struct delete_guard *g = make_files(s, 20);
    char why[512];

    small_master_publish(s, "other", "x");
    s->m.max_delete = 3;
    small_master_remove(s, "d");
    delete_guard_add(g, "d");
    delete_guard_add(g, "d/0003"); /* counts once */
    assert_int_equal(run(s, g, true), 0);
    assert_int_equal(held(g, why), 2);
    assert_non_null(strstr(why, "20 of 21 files"));
    delete_guard_confirm(g);
    assert_int_equal(run(s, g, true), 2);
    assert_false(small_master_live(s, "d"));
    assert_false(small_master_live(s, "d/0019"));
    assert_true(small_master_live(s, "other"));
    delete_guard_free(g);
}

/* A folder that is a file now: what was below it is gone, and the file is looked at. */
static void test_another_type(void **state)
{
    struct small_master *s = *state;
    struct delete_guard *g = make_files(s, 2);
    struct scan_item *it;

    small_master_remove(s, "d");
    small_master_write(s, "d", "a file");
    delete_guard_add(g, "d");
    assert_int_equal(run(s, g, true), 1);
    assert_false(small_master_live(s, "d"));
    assert_false(small_master_live(s, "d/0000"));
    assert_int_equal(scan_queue_waiting(s->folder.scan_queue), 1);
    it = scan_queue_take(s->folder.scan_queue, true);
    assert_string_equal(scan_item_path(it), "d");
    scan_queue_done(s->folder.scan_queue, it);
    delete_guard_free(g);
}

/* A folder with nothing left in it is held however few there were, until something is back. */
static void test_emptied(void **state)
{
    struct small_master *s = *state;
    struct delete_guard *g = make_files(s, 2);
    char why[512] = "";

    strlist_add(&s->exclude.list, "*.tmp");
    small_master_write(s, "local.tmp", "not served");
    small_master_remove(s, "d");
    delete_guard_add(g, "d");
    assert_int_equal(run(s, g, true), 0);
    assert_int_equal(held(g, why), 1);
    assert_true(delete_guard_emptied(g, why, sizeof(why)));
    assert_non_null(strstr(why, "empty"));
    assert_true(small_master_live(s, "d/0001"));

    small_master_write(s, "d/0000", "d/0000");
    assert_int_equal(run(s, g, true), 0);
    assert_false(delete_guard_emptied(g, why, sizeof(why)));
    assert_int_equal(held(g, why), 0);
    assert_int_equal(delete_guard_due(g), INT64_MAX);
    assert_true(small_master_live(s, "d"));
    delete_guard_free(g);
}

/* A transaction takes a limited number; the rest needs no other decision. */
static void test_in_steps(void **state)
{
    struct small_master *s = *state;
    struct delete_guard *g = make_files(s, 2600);
    int first, second;

    lose(s, g, 0, 2500);
    first = run(s, g, true);
    assert_true(first < 2500);
    assert_true(delete_guard_due(g) <= clock_mono_ms());
    s->m.max_delete = 3;
    assert_int_equal(run(s, g, false), 2500 - first);
    second = run(s, g, true);
    assert_int_equal(first + second, 2500);
    assert_false(small_master_live(s, "d/2499"));
    assert_true(small_master_live(s, "d/2500"));
    assert_int_equal(delete_guard_due(g), INT64_MAX);
    delete_guard_free(g);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, small_master_setup, small_master_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_few),
        TEST(test_back_in_time),
        TEST(test_hold),
        TEST(test_many_are_held),
        TEST(test_confirmed),
        TEST(test_many_of_very_many),
        TEST(test_little_by_little),
        TEST(test_a_folder),
        TEST(test_another_type),
        TEST(test_emptied),
        TEST(test_in_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
