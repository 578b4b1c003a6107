/* SPDX-License-Identifier: MIT */
/* conflict: where the version goes that does not get the path: its name, found again, never longer
 * than a name may be, and round what is in the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>

#include <cmocka.h>

#include "sync/master/db/registry.h"
#include "sync/master/folder/conflict.h"
#include "sync/master/folder/staging.h"
#include "tests/unit/small_master.h"

#define TIME      1795687200000000000LL /* 2026-11-26 10:00:00 UTC */
#define MARK(who) " (conflict " who " 2026-11-26 100000"

static const struct conflict_like nothing;

static char *path_of(struct small_master *s, const char *path, const char *who, bool *there)
{
    return conflict_path(&s->folder, path, who, TIME, nothing, there);
}

static void expect(struct small_master *s, const char *path, const char *want)
{
    bool there = true;
    char *got = path_of(s, path, "slave1", &there);

    assert_string_equal(got, want);
    assert_false(there);
    free(got);
}

static void test_names(void **state)
{
    struct small_master *s = *state;

    expect(s, "css/site.css", "css/site" MARK("slave1") ").css");
    expect(s, "README", "README" MARK("slave1") ")");
    expect(s, "css/.htaccess", "css/.htaccess" MARK("slave1") ")");
    expect(s, "dump.sql.gz", "dump.sql" MARK("slave1") ").gz");
    expect(s, "d.old/x", "d.old/x" MARK("slave1") ")");
    /* a copy of a copy */
    expect(s, "a (conflict slave2 2025-01-01 000000 3).txt", "a" MARK("slave1") ").txt");
    expect(s, " (conflict slave2.txt", " (conflict slave2" MARK("slave1") ").txt");
}

/* Each is a name that may be: not too long, and never half a character. */
static void test_long_names(void **state)
{
    static const char *const parts[] = {"x", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    struct small_master *s = *state;
    char who[MIRROR_NAME_CAP], name[300];
    bool there;

    memset(who, 'w', sizeof(who) - 1);
    who[sizeof(who) - 1] = '\0';
    for (size_t p = 0; p < 4; p++) {
        for (size_t len = 1; len <= EEFS_NAME_MAX; len++) {
            size_t at = len % strlen(parts[p]), end;
            char *got;

            memset(name, 'a', at); /* so that the cut is at each place of a character once */
            for (; at < len; at += strlen(parts[p]))
                strcpy(name + at, parts[p]);
            name[at] = '\0';
            if (len % 3 == 0 && len > 40)
                name[len - 30] = '.';
            got = path_of(s, name, who, &there);
            assert_true(strlen(got) <= EEFS_NAME_MAX);
            end = (size_t)(strstr(got, " (conflict ") - got);
            assert_true(end > 0 && strncmp(got, name, end) == 0);
            if (len % 3) /* where the name was cut no character goes on */
                assert_int_not_equal(name[end] & 0xc0, 0x80);
            free(got);
        }
    }
}

static struct conflict_like like_text(const char *text, struct hash *h)
{
    hash_bytes(text, strlen(text), h);
    return (struct conflict_like){.content = h, .size = (int64_t)strlen(text)};
}

/* What was made before is found again; something else there means another name. */
static void test_found_again(void **state)
{
    struct small_master *s = *state;
    struct conflict_like link = {.target = "elsewhere"};
    struct hash h;
    bool there;
    char *got;

    small_master_write(s, "d/a" MARK("m") ").txt", "other");
    small_master_write(s, "d/a" MARK("m") " 2).txt", "mine");
    small_master_write(s, "d/a" MARK("m") " 3).txt", "mire");
    got = conflict_path(&s->folder, "d/a.txt", "m", TIME, like_text("mine", &h), &there);
    assert_string_equal(got, "d/a" MARK("m") " 2).txt");
    assert_true(there);
    free(got);
    got = conflict_path(&s->folder, "d/a.txt", "m", TIME, like_text("mine too", &h), &there);
    assert_string_equal(got, "d/a" MARK("m") " 4).txt");
    assert_false(there);
    assert_int_equal(symlinkat("elsewhere", root_fd(s->folder.root), got), 0);
    free(got);
    got = conflict_path(&s->folder, "d/a.txt", "m", TIME, link, &there);
    assert_string_equal(got, "d/a" MARK("m") " 4).txt");
    assert_true(there);
    free(got);
    link.target = "elsewhere else";
    got = conflict_path(&s->folder, "d/a.txt", "m", TIME, link, &there);
    assert_string_equal(got, "d/a" MARK("m") " 5).txt");
    assert_false(there);
    free(got);
}

/* A file that is where a mirror has a folder. */
static void test_round_what_is_in_the_way(void **state)
{
    struct small_master *s = *state;
    struct timespec at[2] = {{TIME / 1000000000, 0}, {TIME / 1000000000, 0}};
    bool there = true;
    char *got;

    small_master_write(s, "up/load/x", "x");
    assert_null(conflict_dir(&s->folder, "up/load", "m"));
    assert_null(conflict_dir(&s->folder, "up/new/deep", "m"));
    assert_false(conflict_is_blocked(&s->folder, "up/load/x"));
    assert_false(conflict_is_blocked(&s->folder, "not/there"));
    assert_false(conflict_is_blocked(&s->folder, "top"));
    assert_true(conflict_is_blocked(&s->folder, "up/load/x/y"));
    assert_true(conflict_is_blocked(&s->folder, "up/load/x/y/z"));
    assert_int_equal(utimensat(root_fd(s->folder.root), "up/load/x", at, 0), 0);

    got = conflict_dir(&s->folder, "up/load/x", "m");
    assert_string_equal(got, "up/load/x" MARK("m") ")");
    free(got);
    got = conflict_dir(&s->folder, "up/load/x/y", "m");
    assert_string_equal(got, "up/load/x" MARK("m") ")/y");
    free(got);
    got = conflict_path(&s->folder, "up/load/x/y.txt", "m", TIME, nothing, &there);
    assert_string_equal(got, "up/load/x" MARK("m") ")/y.txt"); /* free there: under its own name */
    assert_false(there);
    free(got);

    small_master_write(s, "up/load/x" MARK("m") ")/y.txt", "taken");
    got = conflict_path(&s->folder, "up/load/x/y.txt", "m", TIME, nothing, &there);
    assert_string_equal(got, "up/load/x" MARK("m") ")/y" MARK("m") ").txt");
    assert_false(there);
    free(got);
    small_master_remove(s, "up/load/x" MARK("m") ")");
    small_master_write(s, "up/load/x" MARK("m") ")", "a file again");
    got = conflict_dir(&s->folder, "up/load/x/y", "m");
    assert_string_equal(got, "up/load/x" MARK("m") " 2)/y");
    free(got);
}

/* The folder of --conflicts: outside of what is served, with nothing half done left in it. */
static void test_folder(void **state)
{
    struct small_master *s = *state;
    char *outside = path_join(s->dir, "conflicts/deep"), *inside = path_join(s->root, "c");
    char tmp[64], *staged, *kept = path_join(outside, "a (conflict m).txt");
    struct err e;

    assert_int_equal(conflict_folder(outside, s->root, &e), 0);
    snprintf(tmp, sizeof(tmp), "conflicts/deep/");
    staging_name(tmp + strlen(tmp));
    staged = path_join(s->dir, tmp);
    assert_int_equal(file_replace(AT_FDCWD, staged, "x", 1, 0600, false), 0);
    assert_int_equal(file_replace(AT_FDCWD, kept, "x", 1, 0600, false), 0);
    assert_int_equal(conflict_folder(outside, s->root, &e), 0);
    assert_int_not_equal(access(staged, F_OK), 0);
    assert_int_equal(access(kept, F_OK), 0);
    assert_int_equal(conflict_folder(inside, s->root, &e), -EINVAL);
    assert_int_equal(conflict_folder(s->root, s->root, &e), -EINVAL);
    assert_int_equal(conflict_folder(kept, s->root, &e) < 0, 1);
    free(outside);
    free(inside);
    free(staged);
    free(kept);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, small_master_setup, small_master_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_names),       TEST(test_long_names),
        TEST(test_found_again), TEST(test_round_what_is_in_the_way),
        TEST(test_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
