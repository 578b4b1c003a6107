/* SPDX-License-Identifier: MIT */
/* kept: which contents are let in, and that files, their number and the notes for the rows agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/master/folder/kept.h"
#include "sync/master/folder/staging.h"
#include "tests/unit/small_master.h"

static char iso[] = "*.iso", cache[] = "/cache", *except_list[] = {iso, cache};
static const struct kept_rules rules = {.space = 1000, .file = 100, .except = {except_list, 2}};

static struct hash hash_of(const char *text)
{
    struct hash h;

    hash_bytes(text, strlen(text), &h);
    return h;
}

static void test_path(void **state)
{
    struct hash h = hash_of("abc");
    char path[KEPT_PATH_CAP];

    (void)state;
    kept_path(&h, path);
    assert_string_equal(
        path,
        "kept/ba/s2-ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); /* FIPS 180 */
}

static void test_rules(void **state)
{
    struct small_master *s = *state;
    struct kept_rules none = rules, little = rules;
    struct kept *k = kept_new(&s->folder, &rules);

    assert_true(kept_wants(k, "css/a.css", 100));
    assert_true(kept_wants(k, "cached", 0));
    assert_true(kept_wants(k, "up/cache/x", 0)); /* the pattern means the one at the top */
    assert_true(kept_wants(k, "sqlite/x", 0));
    assert_false(kept_wants(k, "css/a.css", 101));
    assert_false(kept_wants(k, "up/disk.iso", 1));
    assert_false(kept_wants(k, "cache", 1));
    assert_false(kept_wants(k, "cache/x/y", 1));
    assert_false(kept_wants(k, "sql/slave1/live.sql", 1)); /* dumps */
    kept_free(k);
    none.space = 0;
    k = kept_new(&s->folder, &none);
    assert_false(kept_wants(k, "css/a.css", 0));
    kept_free(k);
    little.space = 50;
    k = kept_new(&s->folder, &little);
    assert_true(kept_wants(k, "css/a.css", 50));
    assert_false(kept_wants(k, "css/a.css", 51));
    kept_free(k);
    kept_free(NULL);
    assert_true(kept_room(&s->folder, 0));
    assert_false(kept_room(&s->folder, INT64_MAX / 4));
}

/* A staging file of that text. */
static void stage(struct small_master *s, char *tmp, const char *text)
{
    staging_name(tmp);
    assert_int_equal(staging_write(&s->folder, tmp, text, strlen(text)), 0);
}

static bool is_staged(struct small_master *s, const char *tmp)
{
    return faccessat(root_own_staging_fd(s->folder.root), tmp, F_OK, 0) == 0;
}

static size_t count_notes(struct kept_note *notes)
{
    size_t n = 0;

    for (struct kept_note *next; notes; notes = next, n++) {
        next = notes->next;
        free(notes);
    }
    return n;
}

static void test_adopt(void **state)
{
    struct small_master *s = *state;
    struct kept *k = kept_new(&s->folder, &rules);
    struct hash a = hash_of("aaa"), b = hash_of("bbbb");
    struct kept_note *notes;
    char tmp[STAGING_NAME_CAP];

    memset(k->counted, true, sizeof(k->counted));
    assert_true(kept_lacks(&s->folder, &a));
    stage(s, tmp, "aaa");
    kept_adopt(k, tmp, &a, 3);
    assert_false(is_staged(s, tmp));
    assert_true(kept_has(&s->folder, &a));
    assert_false(kept_lacks(&s->folder, &a));
    assert_false(kept_has(&s->folder, &b));
    assert_int_equal(k->files, 1);
    assert_int_equal(k->bytes, 3);
    stage(s, tmp, "aaa"); /* a second time: nothing is counted or noted twice */
    kept_adopt(k, tmp, &a, 3);
    assert_false(is_staged(s, tmp));
    k->counted[b.b[0]] = false; /* a folder that the keeper has not counted yet */
    stage(s, tmp, "bbbb");
    kept_adopt(k, tmp, &b, 4);
    assert_int_equal(k->files, 1);

    notes = kept_notes_take(k);
    assert_null(kept_notes_take(k));
    kept_notes_add(k, notes); /* put back */
    assert_int_equal(count_notes(kept_notes_take(k)), 2);

    kept_damaged(k, &a, 3);
    assert_true(kept_lacks(&s->folder, &a));
    assert_int_equal(k->files, 0);
    assert_int_equal(k->bytes, 0);
    kept_damaged(k, &a, 3); /* it is gone: nothing less */
    assert_int_equal(k->files, 0);
    kept_free(k);
}

/* A mirror's write is kept before it lands, and stays in staging for that. */
static void test_staged(void **state)
{
    struct small_master *s = *state;
    struct kept *k = kept_new(&s->folder, &rules);
    struct hash a = hash_of("aaa");
    char tmp[STAGING_NAME_CAP], path[KEPT_PATH_CAP], *at;
    struct stat st;

    stage(s, tmp, "aaa");
    kept_staged(k, tmp, "up/disk.iso", &a, 3);
    assert_true(kept_lacks(&s->folder, &a));
    kept_staged(k, tmp, "up/x", &a, 3);
    assert_true(is_staged(s, tmp));
    assert_true(kept_has(&s->folder, &a));
    kept_path(&a, path);
    at = path_join(".eefs", path);
    assert_int_equal(fstatat(root_fd(s->folder.root), at, &st, 0), 0);
    assert_int_equal(st.st_nlink, 1); /* a copy: who writes the file in place changes no version */
    assert_int_equal(st.st_size, 3);
    kept_staged(k, tmp, "up/x", &a, 3);
    assert_int_equal(count_notes(kept_notes_take(k)), 1);
    free(at);
    kept_free(k);
}

/* A link or a folder of that name is no content; a folder that cannot be read tells nothing. */
static void test_not_a_content(void **state)
{
    struct small_master *s = *state;
    struct hash a = hash_of("aaa");
    char path[KEPT_PATH_CAP], *at;

    kept_path(&a, path);
    at = path_join(".eefs", path);
    small_master_write(s, at, "x");
    assert_true(kept_has(&s->folder, &a));
    small_master_remove(s, at);
    assert_int_equal(symlinkat("../marker", root_fd(s->folder.root), at), 0);
    assert_false(kept_has(&s->folder, &a));
    assert_true(kept_lacks(&s->folder, &a));
    small_master_remove(s, ".eefs/kept");
    small_master_write(s, ".eefs/kept", "a file where the store was");
    assert_false(kept_has(&s->folder, &a));
    assert_false(kept_lacks(&s->folder, &a));
    free(at);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, small_master_setup, small_master_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path), TEST(test_rules),         TEST(test_adopt),
        TEST(test_staged),           TEST(test_not_a_content),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
