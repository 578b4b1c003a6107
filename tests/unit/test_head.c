/* SPDX-License-Identifier: MIT */
/* head: listeners hear of each higher seq, once, in their order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/master/db/head.h"

static int calls[HEAD_LISTENERS], last = -1;

static void moved(void *arg)
{
    int i = *(const int *)arg;

    calls[i]++;
    assert_int_equal(last, i - 1);
    last = i == HEAD_LISTENERS - 1 ? -1 : i;
}

static void test_listeners(void **state)
{
    static int numbers[HEAD_LISTENERS];
    struct head *h = head_new(7);

    (void)state;
    assert_int_equal(head_seq(h), 7);
    for (int i = 0; i < HEAD_LISTENERS; i++) {
        numbers[i] = i;
        head_listen(h, moved, &numbers[i]);
    }
    head_set(h, 7, NULL); /* the same, and a lower one: nobody is called */
    head_set(h, 3, NULL);
    assert_int_equal(head_seq(h), 7);
    head_set(h, 8, NULL);
    head_set(h, 12, "slave1");
    assert_int_equal(head_seq(h), 12);
    for (int i = 0; i < HEAD_LISTENERS; i++)
        assert_int_equal(calls[i], 2);
    head_free(h);
    head_free(NULL);
}

static void test_author(void **state)
{
    struct head *h = head_new(7);

    (void)state;
    assert_false(head_is_by(h, "slave1", 7));
    head_set(h, 9, "slave1");
    assert_true(head_is_by(h, "slave1", 7));
    assert_false(head_is_by(h, "slave1", 6)); /* nobody knows who was before */
    assert_false(head_is_by(h, "slave1", 9)); /* there is nothing after it */
    assert_false(head_is_by(h, "slave2", 7));
    head_set(h, 11, "slave1");
    assert_true(head_is_by(h, "slave1", 7));
    head_set(h, 12, NULL);
    assert_false(head_is_by(h, "slave1", 11));
    head_set(h, 13, "slave1");
    assert_false(head_is_by(h, "slave1", 11));
    assert_true(head_is_by(h, "slave1", 12));
    head_set(h, 14, "slave2");
    assert_false(head_is_by(h, "slave1", 13));
    assert_true(head_is_by(h, "slave2", 13));
    assert_false(head_is_by(h, "slave2", 12));
    head_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listeners),
        cmocka_unit_test(test_author),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
