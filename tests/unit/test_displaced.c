/* SPDX-License-Identifier: MIT */
/* displaced: names that tell a restart all it must know, and the queue of those that wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sync/common/clock.h"
#include "sync/common/thread.h"
#include "sync/master/folder/displaced.h"

static struct hash hash_of(const char *text)
{
    struct hash h;

    hash_bytes(text, strlen(text), &h);
    return h;
}

static void test_names(void **state)
{
    static const char *const paths[] = {"a", "css/site.css", "b\xff\xfe/x y\n", ""};
    struct hash was = hash_of("was"), now = hash_of("now"), none = {{0}};
    char name[STAGING_NAME_CAP], other[STAGING_NAME_CAP];

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct displaced_file *f;

        displaced_name(paths[i], &was, i % 2 ? &none : &now, name);
        displaced_name(paths[i], &was, i % 2 ? &none : &now, other);
        assert_string_not_equal(name, other);
        assert_null(strchr(name, '/'));
        f = displaced_parse(name);
        assert_non_null(f);
        assert_string_equal(f->name, name);
        assert_null(f->path);
        assert_true(hash_eq(&f->was, &was));
        assert_true(hash_eq(&f->now, i % 2 ? &none : &now));
        for (size_t j = 0; j < 4; j++)
            assert_int_equal(displaced_is_of(f, paths[j]), i == j);
        displaced_file_free(f);
    }
}

/* Each byte counts: what could not have been made here is no such name. */
static void test_junk(void **state)
{
    static const char bad[] = "-g/G.";
    struct hash was = hash_of("was"), now = hash_of("now");
    char name[STAGING_NAME_CAP], junk[STAGING_NAME_CAP + 1];

    (void)state;
    displaced_name("a", &was, &now, name);
    for (size_t i = 0; i < strlen(name); i++) {
        for (size_t j = 0; j < strlen(bad); j++) {
            strcpy(junk, name);
            junk[i] = bad[j];
            if (strcmp(junk, name) != 0 && displaced_parse(junk))
                fail_msg("'%s' is taken for a displaced file", junk);
        }
        snprintf(junk, sizeof(junk), "%.*s", (int)i, name);
        assert_null(displaced_parse(junk));
    }
    snprintf(junk, sizeof(junk), "%s0", name);
    assert_null(displaced_parse(junk));
    assert_null(displaced_parse(""));
    assert_null(displaced_parse("over-"));
}

static struct displaced_file *file(const char *path)
{
    struct hash was = hash_of("was"), now = hash_of("now");
    char name[STAGING_NAME_CAP];

    displaced_name(path, &was, &now, name);
    return displaced_parse(name);
}

static void test_first_in_first_due(void **state)
{
    struct displaced *d = displaced_new();
    static const char *const paths[] = {"one", "two", "three"};
    int64_t began = clock_mono_ms();

    (void)state;
    for (int i = 0; i < 3; i++)
        displaced_add(d, file(paths[i]));
    for (int i = 0; i < 2; i++) {
        struct displaced_file *f = displaced_take(d);

        assert_true(clock_mono_ms() - began >= 1000); /* a name that is being opened has its time */
        assert_true(displaced_is_of(f, paths[i]));
        displaced_file_free(f);
    }
    displaced_stop(d);
    assert_null(displaced_take(d)); /* also when one is due */
    displaced_free(d);              /* with the one that waits */
    displaced_free(NULL);
}

static void *take(void *arg)
{
    return displaced_take(arg);
}

static void test_stop_wakes(void **state)
{
    struct displaced *d = displaced_new();
    pthread_t thread;
    void *got = d;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, take, d), 0);
    displaced_stop(d);
    assert_int_equal(pthread_join(thread, &got), 0);
    assert_null(got);
    displaced_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_junk),
        cmocka_unit_test(test_first_in_first_due),
        cmocka_unit_test(test_stop_wakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
