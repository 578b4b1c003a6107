/* SPDX-License-Identifier: MIT */
/* server_clock: a clock that was set back is told from one that went on, or is a little slow. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sqlimport/apply/server_clock.h"

#define SECOND ((int64_t)1000000)
#define HOUR   (3600 * SECOND)

static int64_t us; /* by which it was set back */

/* `passed` after a reading, when the server's clock went on by `went`. */
static enum clock_course course(int64_t passed, int64_t went, bool local, const char *boot)
{
    const struct clock_reading then = {.boot = "a", .after_us = 7 * HOUR, .server_us = 500 * HOUR};
    struct server_clock now = {.before_us = 7 * HOUR + passed, .local = local};

    strcpy(now.r.boot, boot);
    now.r.server_us = then.server_us + went;
    now.r.after_us = now.before_us + SECOND; /* a slow answer */
    return server_clock_course(&then, &now, &us);
}

static void test_went_on(void **state)
{
    (void)state;
    assert_int_equal(course(HOUR, HOUR, true, "a"), CLOCK_WENT_ON);
    assert_int_equal(course(HOUR, HOUR + SECOND, true, "a"), CLOCK_WENT_ON);
    assert_int_equal(course(HOUR, 9 * HOUR, true, "a"), CLOCK_WENT_ON);
    assert_int_equal(course(0, 0, true, "a"), CLOCK_WENT_ON);
    assert_int_equal(us, 0);
}

static void test_set_back(void **state)
{
    (void)state;
    assert_int_equal(course(HOUR, -1, true, "a"), CLOCK_SET_BACK);
    assert_int_equal(us, 1);
    assert_int_equal(course(HOUR, HOUR - SECOND / 2, true, "a"), CLOCK_SET_BACK);
    assert_in_range(us, SECOND / 3, SECOND / 2);
}

static void test_elsewhere_it_may_be_slow(void **state)
{
    (void)state;
    assert_int_equal(course(HOUR, HOUR - 3 * SECOND, false, "a"), CLOCK_WENT_ON);
    assert_int_equal(course(HOUR, HOUR - 4 * SECOND, false, "a"), CLOCK_SET_BACK);
}

static void test_unknown(void **state)
{
    const struct server_clock now = {.r = {.boot = "a"}};

    (void)state;
    assert_int_equal(course(HOUR, HOUR, true, "b"), CLOCK_UNKNOWN);
    assert_int_equal(course(HOUR, HOUR, true, ""), CLOCK_UNKNOWN);
    assert_int_equal(course(HOUR, -HOUR, true, "b"), CLOCK_SET_BACK);
    assert_int_equal(server_clock_course(NULL, &now, &us), CLOCK_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_went_on),
        cmocka_unit_test(test_set_back),
        cmocka_unit_test(test_elsewhere_it_may_be_slow),
        cmocka_unit_test(test_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
