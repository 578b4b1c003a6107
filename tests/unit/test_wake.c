/* SPDX-License-Identifier: MIT */
/* The mirror's wake and faults (sync/mirror/transfer). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sync/common/clock.h"
#include "sync/common/thread.h"
#include "sync/mirror/transfer/faults.h"
#include "sync/mirror/transfer/wake.h"

#define LONG_MS 60000

static void test_kick_that_came_before(void **state)
{
    struct wake w;

    (void)state;
    wake_init(&w);
    wake_kick(&w);
    assert_false(wake_wait(&w, WAKE_NEVER, true));
    wake_now(&w);
    assert_true(wake_wait(&w, WAKE_NEVER, true));
    wake_now(&w);
    assert_true(wake_wait(&w, WAKE_NEVER, false));
    wake_release(&w);
}

static void test_kick_does_not_end_a_rest(void **state)
{
    int64_t began = clock_mono_ms();
    struct wake w;

    (void)state;
    wake_init(&w);
    wake_kick(&w);
    assert_false(wake_wait(&w, began + 30, false));
    assert_true(clock_mono_ms() >= began + 30);
    /* … and is forgotten with it. */
    assert_false(wake_wait(&w, clock_mono_ms() + 30, true));
    assert_true(clock_mono_ms() >= began + 60);
    wake_release(&w);
}

static void *rest_run(void *arg)
{
    return wake_wait(arg, clock_mono_ms() + LONG_MS, false) ? arg : NULL;
}

static void test_end_ends_every_wait(void **state)
{
    int64_t began = clock_mono_ms();
    pthread_t t;
    struct wake w;

    (void)state;
    wake_init(&w);
    assert_int_equal(thread_start(&t, "rest", rest_run, &w), 0);
    wake_end(&w);
    thread_join(t);
    assert_false(wake_wait(&w, WAKE_NEVER, false));
    assert_true(clock_mono_ms() < began + LONG_MS);
    wake_release(&w);
}

static void test_reason_is_new_once(void **state)
{
    char text[WAKE_REASON_CAP];
    struct wake w;

    (void)state;
    wake_init(&w);
    assert_false(wake_set_reason(&w, ""));
    assert_true(wake_set_reason(&w, "full"));
    assert_false(wake_set_reason(&w, "full"));
    wake_reason(&w, text);
    assert_string_equal(text, "full");
    assert_false(wake_set_reason(&w, ""));
    assert_true(wake_set_reason(&w, "full"));
    wake_release(&w);
}

static void test_first_fault_is_shown(void **state)
{
    char text[FAULT_TEXT_CAP], action[FAULT_ACTION_CAP];
    struct faults f;
    bool failed;

    (void)state;
    faults_init(&f);
    fault_first(&f, text, action, &failed);
    assert_string_equal(text, "");
    fault_set(&f, FAULT_CONTENT, "content", "look");
    fault_first(&f, text, action, &failed);
    assert_string_equal(text, "content");
    assert_string_equal(action, "look");
    assert_false(failed);
    fault_set(&f, FAULT_DATABASE, "database", "wait");
    fault_first(&f, text, action, &failed);
    assert_string_equal(text, "database");
    assert_true(failed);
    assert_true(fault_is_set(&f, FAULT_CONTENT));
    fault_set(&f, FAULT_DATABASE, "", "");
    fault_set(&f, FAULT_CONTENT, "", "");
    assert_false(fault_is_set(&f, FAULT_CONTENT));
    faults_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kick_that_came_before),
        cmocka_unit_test(test_kick_does_not_end_a_rest),
        cmocka_unit_test(test_end_ends_every_wait),
        cmocka_unit_test(test_reason_is_new_once),
        cmocka_unit_test(test_first_fault_is_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
